"""Where the messages of `esmtp bulk` are found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from esmtp_async import InvalidInput
from esmtp_async._cli._sources import File, read, survey
from tests.cli.running import MESSAGE
from tests.cli.test_mbox import mbox

LARGE = 512 * 1024


def names(files: list[File]) -> list[str]:
    return [file.path.name for file in files]


def test_a_directory_is_its_eml_files_by_name(tmp_path: Path) -> None:
    for name in ("b.eml", "a.EML", "c.txt", ".hidden.eml"):
        (tmp_path / name).write_bytes(MESSAGE)
    (tmp_path / "d.eml").mkdir()
    files = survey([tmp_path])
    assert names(files) == ["a.EML", "b.eml"]
    assert {file.size for file in files} == {len(MESSAGE)}


def test_a_maildir_is_its_new_and_its_current_messages(tmp_path: Path) -> None:
    for folder in ("new", "cur", "tmp"):
        (tmp_path / folder).mkdir()
    for name in ("new/2.M1", "new/1.M1", "cur/0.M1:2,S", "cur/3.M1:2,ST", "tmp/9.M1"):
        (tmp_path / name).write_bytes(MESSAGE)
    assert names(survey([tmp_path])) == ["1.M1", "2.M1", "0.M1:2,S"]


def test_what_is_no_source(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"has no file \*\.eml, and is no Maildir"):
        survey([tmp_path])
    with pytest.raises(FileNotFoundError):
        survey([tmp_path / "none"])


def test_messages_are_known_by_their_content(tmp_path: Path) -> None:
    other = MESSAGE + b"More.\r\n"
    (tmp_path / "1.eml").write_bytes(MESSAGE)
    (tmp_path / "2.eml").write_bytes(other)
    (tmp_path / "3.eml").write_bytes(MESSAGE)
    box = tmp_path / "box"
    box.write_bytes(mbox(other, MESSAGE))
    first, second, third, fourth, fifth = read(survey([tmp_path, box]))
    assert first.digest == third.digest == fifth.digest
    assert second.digest == fourth.digest != first.digest
    assert (first.content, fourth.content) == (MESSAGE, other)
    assert [each.offset for each in (third, fourth)] == [None, 0]
    assert fifth.offset == 49 + len(other) + 1
    assert str(fifth) == f"{box} at octet {fifth.offset}"


def test_a_large_message_stays_in_its_file(tmp_path: Path) -> None:
    large = MESSAGE + b"x\r\n" * LARGE
    path = tmp_path / "large.eml"
    path.write_bytes(large)
    box = tmp_path / "box"
    box.write_bytes(mbox(large))
    alone, boxed = read(survey([path, box]))
    assert alone.content == path
    assert alone.digest == boxed.digest
    assert not isinstance(boxed.content, (bytes, Path))
    assert boxed.content.read() == large
    boxed.close()
    assert boxed.content.closed


def test_what_cannot_be_read_is_told_in_its_place(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad", tmp_path / "good.eml"
    bad.write_bytes(b"From nowhere\n")
    good.write_bytes(MESSAGE)
    gone = File(tmp_path / "gone\x1b.eml", 5)
    first, second, third = read([*survey([bad, good]), gone])
    assert "no date as that of an mbox" in first.problem
    assert (second.problem, second.content) == ("", MESSAGE)
    assert third.problem == "No such file or directory"
    assert str(third).endswith("gone\\x1b.eml")


def test_a_link_that_leads_nowhere_is_left_out_by_nobody(tmp_path: Path) -> None:
    (tmp_path / "1.eml").symlink_to(tmp_path / "none")
    (tmp_path / "2.eml").symlink_to("2.eml")
    (tmp_path / "3.eml").symlink_to(tmp_path)
    (tmp_path / "4.eml").symlink_to(tmp_path / "letter")
    (tmp_path / "letter").write_bytes(MESSAGE)
    found = list(read(survey([tmp_path])))
    assert [each.path.name for each in found] == [f"{n}.eml" for n in range(1, 5)]
    assert [bool(each.problem) for each in found] == [True, True, True, False]
    assert found[3].content == MESSAGE


def test_a_message_may_come_from_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    large = MESSAGE + b"x\r\n" * LARGE
    if os.fork() == 0:
        path.write_bytes(large)
        os._exit(0)
    (found,) = read([File(path, 0)])
    os.wait()
    assert found.content == large
