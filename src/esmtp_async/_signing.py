"""Signing a message: over exactly the octets that are sent."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol, runtime_checkable

from esmtp_async.protocol._content import MailData, header_section
from esmtp_async.protocol._exceptions import InvalidInput, SMTPError

# Header fields, each with its folded lines (RFC 5322 §2.2, §2.2.3).
_FIELDS: Final = re.compile(rb"(?:[!-9;-~]+[ \t]*:[^\r\n]*\r\n(?:[ \t][^\r\n]*\r\n)*)*")


@runtime_checkable
class Signer(Protocol):
    """What can sign a message; anybody may write one."""

    def sign(self, header: bytes, body: Iterable[bytes], /) -> bytes:
        """Give the header fields to put before a message.

        Args:
            header: The header section exactly as it will be sent, each line with its
                CRLF, without the blank line that ends it.
            body: What stands behind the blank line, in blocks of any size, with CRLF
                line ends and no dots doubled. It can be read once.

        Returns:
            The fields, folded, each with its CRLF.

        It may be called from several threads at once. Raise `InvalidInput` if the
        message cannot be signed.
        """
        ...


#: Those that sign each message, in their order.
Signers = tuple[Signer, ...]


def checked(given: object) -> Signers:
    """Give one signer, or several, as a tuple; raises `InvalidInput`."""
    if isinstance(given, Signer) or not isinstance(given, Sequence):
        given = (given,)
    signers: list[Signer] = []
    for signer in given:
        if not isinstance(signer, Signer):
            msg = f"sign has a {type(signer).__name__}, which has no method sign"
            raise InvalidInput(msg)
        signers.append(signer)
    return tuple(signers)


def signatures(
    signers: Signers, header: bytes, body: Callable[[], Iterable[bytes]]
) -> bytes:
    """Give the fields of all signers for the same octets."""
    return b"".join([_signature(signer, header, body()) for signer in signers])


def _signature(signer: Signer, header: bytes, body: Iterable[bytes]) -> bytes:
    name = type(signer).__name__
    try:
        fields: object = signer.sign(header, body)
    except SMTPError:
        raise
    except Exception as error:
        # What it says of itself may be a secret of its own.
        msg = f"the message cannot be signed: {name} raised {type(error).__name__}"
        raise InvalidInput(msg) from error
    if not (isinstance(fields, bytes) and _FIELDS.fullmatch(fields)):
        msg = f"{name} gave no header fields in CRLF"
        raise InvalidInput(msg)
    return fields


def with_signatures(data: MailData, signers: Signers) -> MailData:
    """Put the signatures before a message that is at hand."""
    if not signers:
        return data
    header = header_section(data.octets)
    body = data.octets[len(header) + 2 :]
    fields = signatures(signers, header, lambda: (body,))
    return MailData(fields + data.octets)
