"""What looks at the built site finds what is wrong with it."""

from __future__ import annotations

from pathlib import Path

from .offline import page, problems


def build(site: Path, body: str) -> list[str]:
    (site / "style.css").write_text("")
    (site / "other.html").write_text('<h1 id="title">x</h1>')
    (site / "index.html").write_text(f'<link rel="stylesheet" href="style.css">{body}')
    page.cache_clear()
    return list(problems(site))


def test_a_whole_site_has_no_problem(tmp_path: Path) -> None:
    assert build(tmp_path, '<a href="other.html#title">x</a><a href="#">x</a>') == []


def test_what_is_loaded_from_elsewhere_is_told(tmp_path: Path) -> None:
    script = '<script src="https://cdn.example.test/x.js"></script>'
    told = ["index.html loads https://cdn.example.test/x.js"]
    assert build(tmp_path, script) == told
    link = '<a href="https://example.test/">x</a>'
    canonical = '<link rel="canonical" href="https://example.test/">'
    assert build(tmp_path, link + canonical) == []


def test_what_leads_nowhere_is_told(tmp_path: Path) -> None:
    assert build(tmp_path, '<img src="gone.svg">') == [
        "index.html loads gone.svg, which is not there"
    ]
    for url in ("gone.html", "other.html#gone", "#gone"):
        assert build(tmp_path, f'<a href="{url}">x</a>') == [
            f"index.html links to {url}, which is not there"
        ]


def test_what_is_meant_for_the_builder_is_told(tmp_path: Path) -> None:
    for raw in ("`name`", "](other.md)", "&lt;factory&gt;", "TypeAliasForwardRef"):
        (told,) = build(tmp_path, f"<p>some {raw} here</p>")
        assert told.startswith("index.html shows ")
        assert build(tmp_path, f"<pre>some {raw} here</pre>") == []
