"""The command line: ``python -m benchmarks`` writes the page, ``--quick`` does not."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Final

from benchmarks import page, plots
from benchmarks.results import FULL, QUICK, measured
from tests.docs.pages import DOCS, write

PAGE: Final = DOCS / "performance.md"


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("--quick", action="store_true", help="a small run, and no page")
    quick = parser.parse_args().quick
    results = measured(QUICK if quick else FULL)
    parts = {name: partial(make, results) for name, make in page.PARTS.items()}
    if not quick:
        plots.draw(results, DOCS)
        write(PAGE, parts)
    for make in parts.values():
        print(f"{make()}\n")


if __name__ == "__main__":
    main()
