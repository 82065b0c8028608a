"""Mail in a directory: whole or not at all, exactly as it came, and there for good."""

from __future__ import annotations

import errno
import json
import mailbox
import os
import threading
import time
from pathlib import Path

import pytest

from esmtp_async._serve import _maildir
from esmtp_async._serve._maildir import MailDirectory
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.testing import StoredMessage, StoredRecipient

CONTENT = b"Subject: x\r\n\r\n.\r\n\xff\x00 \n lone\r\n"


def message(mail: MailDirectory, content: bytes = CONTENT, to: str = "b@x.test") -> str:
    """Store a message, and give its id."""
    stored = StoredMessage(
        queue_id=mail.next_id(),
        reverse_path="a@x.test",
        mail_parameters={"SIZE": "9", "SMTPUTF8": None},
        recipients=(StoredRecipient(to, {"NOTIFY": "NEVER"}),),
        content=content,
        username="alice",
        tls=True,
        connection=1,
        via="BDAT",
    )
    assert mail.store(stored, conversation=["C: x"], breaches=["y"])
    return stored.queue_id


def all_files(path: Path) -> set[str]:
    return {
        str(file.relative_to(path)) for file in path.rglob("*") if not file.is_dir()
    }


def test_octets_come_back_as_they_went(tmp_path: Path) -> None:
    mail = MailDirectory(tmp_path)
    message_id = message(mail)
    assert mail.octets(message_id) == CONTENT
    assert mail.octets(message_id, 7) == CONTENT[:7]


def test_a_restart_changes_nothing(tmp_path: Path) -> None:
    before = MailDirectory(tmp_path)
    ids = [message(before, b"%d\r\n" % number) for number in range(3)]
    after = MailDirectory(tmp_path)
    assert after.ids() == ids[::-1]
    assert [after.octets(each) for each in ids] == [b"0\r\n", b"1\r\n", b"2\r\n"]
    assert after.envelope(ids[0]) == before.envelope(ids[0])


def test_the_envelope_is_beside_it(tmp_path: Path) -> None:
    mail = MailDirectory(tmp_path)
    message_id = message(mail)
    told = json.loads((tmp_path / "envelopes" / f"{message_id}.json").read_bytes())
    assert told["reverse_path"] == "a@x.test"
    assert told["mail_parameters"] == {"SIZE": "9", "SMTPUTF8": None}
    assert told["recipients"] == [
        {"path": "b@x.test", "parameters": {"NOTIFY": "NEVER"}}
    ]
    assert (told["username"], told["tls"], told["via"]) == ("alice", True, "BDAT")
    assert (told["size"], told["conversation"]) == (len(CONTENT), ["C: x"])
    assert told["breaches"] == ["y"]


def test_it_is_a_maildir_to_others(tmp_path: Path) -> None:
    mail = MailDirectory(tmp_path / "deep" / "down")
    message(mail)
    box = mailbox.Maildir(tmp_path / "deep" / "down", create=False)
    [key] = box.keys()
    assert box.get_bytes(key).splitlines() == CONTENT.splitlines()
    assert box[key]["Subject"] == "x"


def test_what_another_program_moves_is_found(tmp_path: Path) -> None:
    mail = MailDirectory(tmp_path)
    message_id = message(mail)
    [file] = (tmp_path / "new").iterdir()
    file.rename(tmp_path / "cur" / f"{file.name}:2,S")
    assert mail.ids() == [message_id]
    assert mail.octets(message_id) == CONTENT
    mail.delete(message_id)
    assert all_files(tmp_path) == set()


def test_more_recipients_of_a_message_are_added(tmp_path: Path) -> None:
    mail = MailDirectory(tmp_path)
    message_id = message(mail)
    more = StoredMessage(
        queue_id=message_id,
        reverse_path="a@x.test",
        mail_parameters={},
        recipients=(StoredRecipient("c@x.test", {}),),
        content=CONTENT,
        username=None,
        tls=False,
        connection=1,
        via="DATA",
    )
    assert not mail.store(more)
    paths = [each["path"] for each in mail.envelope(message_id).recipients]
    assert paths == ["b@x.test", "c@x.test"]
    assert mail.ids() == [message_id]


def test_ids_are_unlike_each_other_and_in_order(tmp_path: Path) -> None:
    mail = MailDirectory(tmp_path)
    ids = [mail.next_id() for _ in range(1000)]
    assert sorted(set(ids)) == ids


def test_only_so_many_are_kept(tmp_path: Path) -> None:
    mail = MailDirectory(tmp_path, keep=2)
    ids = [message(mail) for _ in range(5)]
    assert mail.ids() == [ids[4], ids[3]]
    assert len(all_files(tmp_path)) == 4


def test_deleting_leaves_nothing_behind(tmp_path: Path) -> None:
    mail = MailDirectory(tmp_path)
    first, second = message(mail), message(mail)
    mail.delete(first)
    assert mail.ids() == [second]
    for ask in (mail.octets, mail.envelope, mail.delete):
        with pytest.raises(KeyError):
            ask(first)
    mail.clear()
    assert all_files(tmp_path) == set()


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "/etc/passwd", "66131BD5FBE18-1/../../x", "x\0"]
)
def test_an_id_is_no_path(tmp_path: Path, name: str) -> None:
    mail = MailDirectory(tmp_path)
    message(mail)
    (tmp_path / "x.json").write_text("{}")
    for ask in (mail.octets, mail.envelope, mail.delete):
        with pytest.raises(KeyError):
            ask(name)


def test_mail_of_others_is_neither_shown_nor_deleted(tmp_path: Path) -> None:
    box = mailbox.Maildir(tmp_path / "box")
    box.add(b"Subject: not yours\n\n")
    mail = MailDirectory(tmp_path / "box", keep=1)
    message(mail)
    message(mail)
    assert len(mail.ids()) == 1
    mail.clear()
    assert mail.ids() == []
    assert len(box) == 1


def test_a_message_without_its_envelope_is_none(tmp_path: Path) -> None:
    mail = MailDirectory(tmp_path)
    kept, lost = message(mail), message(mail)
    (tmp_path / "envelopes" / f"{lost}.json").unlink()
    assert mail.ids() == [kept]


def test_a_directory_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InvalidInput, match="is no Maildir, and holds other things"):
        MailDirectory(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        MailDirectory(tmp_path / "file")


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    mail = MailDirectory(tmp_path / "box")
    message(mail)
    for path in [tmp_path / "box", *(tmp_path / "box").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("nth", [1, 2])
def test_a_full_disk_leaves_no_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    mail = MailDirectory(tmp_path)
    message(mail)
    before = all_files(tmp_path)
    synced: list[int] = []

    def fsync(descriptor: int) -> None:
        if not Path(f"/proc/self/fd/{descriptor}").is_dir():
            synced.append(descriptor)
            if len(synced) == nth:
                raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="No space"):
        message(mail)
    assert all_files(tmp_path) == before


def test_it_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mail = MailDirectory(tmp_path)
    done: list[tuple[str, str]] = []
    rename, fsync = Path.replace, os.fsync

    def spied_fsync(descriptor: int) -> None:
        target = Path(f"/proc/self/fd/{descriptor}").readlink()
        done.append(("fsync", target.relative_to(tmp_path).parts[0]))
        fsync(descriptor)

    def spied_replace(path: Path, target: Path) -> Path:
        done.append(("rename", target.relative_to(tmp_path).parts[0]))
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", spied_fsync)
    monkeypatch.setattr(Path, "replace", spied_replace)
    message(mail)
    assert done == [
        ("fsync", "tmp"),
        ("rename", "envelopes"),
        ("fsync", "envelopes"),
        ("fsync", "tmp"),
        ("rename", "new"),
        ("fsync", "new"),
    ]


def test_what_a_crash_left_is_swept_once_it_is_old(tmp_path: Path) -> None:
    mail = MailDirectory(tmp_path)
    kept = message(mail)
    orphan = tmp_path / "envelopes" / f"{mail.next_id()}.json"
    draft = tmp_path / "tmp" / f"1.{mail.next_id()}.host"
    others = tmp_path / "tmp" / "1.M2P3.host"
    for path in (orphan, draft, others):
        path.touch()
    MailDirectory(tmp_path)
    assert orphan.exists()
    assert draft.exists()
    long_ago = time.time() - 37 * 60 * 60
    for path in (*(tmp_path / "envelopes").iterdir(), draft, others):
        os.utime(path, (long_ago, long_ago))
    assert MailDirectory(tmp_path).ids() == [kept]
    assert not orphan.exists()
    assert not draft.exists()
    assert others.exists()


def test_an_envelope_that_cannot_be_read_is_no_message(tmp_path: Path) -> None:
    mail = MailDirectory(tmp_path)
    message_id = message(mail)
    path = tmp_path / "envelopes" / f"{message_id}.json"
    for octets in (b"", b"[]", b'{"id": 1}', b"\xff"):
        path.write_bytes(octets)
        with pytest.raises(KeyError):
            mail.envelope(message_id)


def test_a_change_wakes_whoever_waits(tmp_path: Path) -> None:
    mail = MailDirectory(tmp_path)
    seen = mail.version
    assert mail.wait_for_change(seen, 0.01) == seen
    threading.Timer(0.05, message, [mail]).start()
    began = time.monotonic()
    after = mail.wait_for_change(seen, 10)
    assert after != seen
    assert time.monotonic() - began < 5


def test_a_change_by_another_program_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_maildir, "_LOOK", 0.02)
    mail, other = MailDirectory(tmp_path), MailDirectory(tmp_path)
    seen = mail.version
    threading.Timer(0.05, message, [other]).start()
    assert mail.wait_for_change(seen, 10) != seen
