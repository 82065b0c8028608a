"""A Message of the standard library as octets, without touching it.

It is flattened once, by its own policy. What must change on the way (Bcc out,
Date and Message-ID in, another transfer encoding) changes in the octets or on
a copy, never in the caller's object.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email import encoders, policy
from email.generator import BytesGenerator
from email.message import Message
from email.utils import format_datetime, make_msgid
from io import BytesIO
from typing import Final

from esmtp_async import _headers
from esmtp_async.protocol._content import MAX_TEXT_LINE, MailData
from esmtp_async.protocol._exceptions import InvalidInput

# A field and its folded lines (RFC 5322 §2.2, §2.2.3).
_FIELD: Final = re.compile(rb"([!-9;-~]+)[ \t]*:(?:.*\r\n)(?:[ \t].*\r\n)*")

_BLIND: Final = frozenset({b"bcc", b"resent-bcc"})

_IDENTITY: Final = frozenset({"", "7bit", "8bit", "binary"})


class Flattened:
    """A message's octets, in 8-bit form or, where that cannot pass, in 7-bit form."""

    def __init__(
        self, message: Message, *, domain: str, x_mailer: str | None = None
    ) -> None:
        added: list[bytes] = []
        if message["Date"] is None:
            now = format_datetime(datetime.now(UTC))
            added.append(b"Date: %b\r\n" % now.encode())
        #: The Message-ID, the message's own or the one added.
        self.message_id = _headers.message_id(message)
        if self.message_id is None:
            self.message_id = make_msgid(domain=domain)
            added.append(b"Message-ID: %b\r\n" % self.message_id.encode())
        self._removed = _BLIND
        if x_mailer is not None:
            self._removed = _BLIND | {b"x-mailer"}
            added.append(b"X-Mailer: %b\r\n" % x_mailer.encode())
        self._added = b"".join(added)
        if any(_lacks_boundary(part) for part in message.walk()):
            # Flattening would give it one, in the caller's object.
            message = copy.deepcopy(message)
        self._message = message
        # Encoded words cannot stand in a local part (RFC 2047 §5): a header
        # with such an address is UTF-8 or nothing (RFC 6532).
        self._utf8 = any(not a.username.isascii() for a in _headers.addresses(message))
        self._data = MailData(self._octets(message))
        if self._data.longest_line > MAX_TEXT_LINE:
            self._data = self._reencoded(eight_bit=True)

    def mail_data(self, *, eight_bit: bool) -> MailData:
        """Give the octets; without `eight_bit` no body part has an octet above 127."""
        if eight_bit or not self._data.is_8bit:
            return self._data
        return self._reencoded(eight_bit=False)

    def _octets(self, message: Message) -> bytes:
        """Flatten, and change the header section: blind fields out, others in."""
        own = message.policy
        if not isinstance(own, policy.EmailPolicy) and self._utf8:
            own = policy.SMTP
        own = own.clone(linesep="\r\n", cte_type="8bit")
        if isinstance(own, policy.EmailPolicy):
            own = own.clone(utf8=self._utf8)
        buffer = BytesIO()
        try:
            BytesGenerator(buffer, mangle_from_=False, policy=own).flatten(message)
        except (UnicodeError, LookupError) as error:
            msg = f"the message cannot be made into octets: {error}"
            raise InvalidInput(msg) from error
        octets = buffer.getvalue()
        end = 0 if octets.startswith(b"\r\n") else octets.find(b"\r\n\r\n") + 2
        fields = list(_FIELD.finditer(octets, 0, end))
        names = [match[1].lower() for match in fields]
        whole = sum(match.end() - match.start() for match in fields) == end
        if not whole or sorted(names) != sorted(k.lower().encode() for k in message):
            # A value with a line end in it has made more fields, or fewer.
            msg = "a header field of the message holds a line end that begins another"
            raise InvalidInput(msg)
        kept = [match[0] for match in fields if match[1].lower() not in self._removed]
        return b"".join((*kept, self._added, octets[end:]))

    def _reencoded(self, *, eight_bit: bool) -> MailData:
        """Give the octets with a transfer encoding for each part that needs one."""
        message = copy.deepcopy(self._message)
        for part in _leaves(message):
            payload = part.get_payload(decode=True)
            if not isinstance(payload, bytes):
                continue
            longest = max(map(len, payload.splitlines()), default=0)
            if longest > MAX_TEXT_LINE or not (eight_bit or payload.isascii()):
                _encode(part, payload)
        return MailData(self._octets(message))


def _lacks_boundary(part: Message) -> bool:
    return part.is_multipart() and (
        part.get_content_maintype() == "multipart" and part.get_boundary() is None
    )


def _leaves(message: Message) -> Iterator[Message]:
    """Give the parts that hold octets as they are: no transfer encoding."""
    for part in message.walk():
        encoding = str(part.get("Content-Transfer-Encoding", "")).strip().lower()
        if not part.is_multipart() and encoding in _IDENTITY:
            yield part


def _encode(part: Message, payload: bytes) -> None:
    """Encode a part as quoted-printable or base64, whichever is shorter."""
    del part["Content-Transfer-Encoding"]
    text = part.get_content_maintype() == "text"
    unprintable = sum(octet > 126 for octet in payload)
    if text and unprintable * 6 < len(payload):
        part.set_payload(b"\n".join(payload.splitlines()) + b"\n")
        encoders.encode_quopri(part)
    else:
        part.set_payload(payload)
        encoders.encode_base64(part)
