"""What is printed stays printable, whatever stands in for a standard stream."""

from __future__ import annotations

import io

import pytest

from esmtp_async._cli._output import Output


@pytest.mark.parametrize(
    ("encoding", "written"),
    [
        ("ascii", b"Gr\\xfc\\xdfe \\udcff"),
        ("utf-8", b"Gr\xc3\xbc\xc3\x9fe \\udcff"),
    ],
)
def test_what_cannot_be_written_is_escaped(encoding: str, written: bytes) -> None:
    stream = io.TextIOWrapper(octets := io.BytesIO(), encoding)
    Output(stream).write("Gr\u00fc\u00dfe \udcff")
    assert octets.getvalue() == written


def test_a_stream_may_have_no_encoding() -> None:
    stream = io.StringIO()
    Output(stream).write("Gr\u00fc\u00dfe \udcff")
    assert stream.getvalue() == "Gr\u00fc\u00dfe \\udcff"
