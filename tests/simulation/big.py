"""Transcripts of a message that is several blocks, too long to stand in a file."""

from __future__ import annotations

from typing import Final

from tests.transcript import Transcript, parse

#: Two of them are a block of 64 KiB.
_LINE: Final = "x" * 32766

_TEXT: Final = """A message of two blocks and a half.

# sender: alice@example.test
# recipient: bob@example.test
# recipient: carol@example.test
# eager: {eager}
{message}

S: 220 mail.example.test ready

C: EHLO client.example.test
S: 250-mail.example.test
S: 250 {extension}

C: MAIL FROM:<alice@example.test>
S: 250 ok

C: RCPT TO:<bob@example.test>
S: 250 ok

C: RCPT TO:<carol@example.test>
S: 550 no

{content}

C: QUIT
S: 221 bye

= bob@example.test ACCEPTED 250 final
= carol@example.test REFUSED 550 rcpt
@ CLOSED
"""

_BLOCK: Final = f"C: {_LINE}\nC: {_LINE}"

_DATA: Final = f"""C: DATA
S: 354 go ahead

{_BLOCK}
{_BLOCK}
C: {_LINE}
C: .
S: 250 queued"""

_CHUNKS: Final = f"""C: BDAT 65536
{_BLOCK}
S: 250 ok

C: BDAT 65536
{_BLOCK}
S: 250 ok

C: BDAT 32768
C: {_LINE}
S: 250 ok

C: BDAT 0 LAST
S: 250 queued"""


def big() -> list[Transcript]:
    """Give one with DATA, and one with BDAT."""
    message = "\n".join([f"M: {_LINE}"] * 5)
    plain = _TEXT.format(message=message, eager="no", extension="HELP", content=_DATA)
    chunks = _TEXT.format(
        message=message, eager="yes", extension="CHUNKING", content=_CHUNKS
    )
    return [parse("blocks", plain), parse("blocks in chunks", chunks)]
