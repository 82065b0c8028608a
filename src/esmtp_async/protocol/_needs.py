"""What a message needs of a server, held against what the server offers.

It is found out before MAIL is said, or, of a stream, as its octets pass
(RFC 1870, RFC 6152, RFC 6531, RFC 3030). Everything here raises `NotSupported` where
what is needed is not to be had.
"""

from __future__ import annotations

from collections.abc import Iterable

from esmtp_async.protocol._commands import Parameters, Rcpt
from esmtp_async.protocol._content import MailData
from esmtp_async.protocol._envelope import Envelope, Recipient
from esmtp_async.protocol._exceptions import NotSupported
from esmtp_async.protocol._extensions import Extensions
from esmtp_async.protocol._parameters import Parameter
from esmtp_async.protocol._replies import printable
from esmtp_async.protocol._session import Session


def _not_offered(extension: str, why: str) -> NotSupported:
    msg = f"{why} {extension}, which the server does not offer"
    return NotSupported(msg, extension=extension)


def rcpt(recipient: Recipient, session: Session, preferred: frozenset[str]) -> Rcpt:
    """Give the command that asks for a recipient."""
    if recipient.path.needs_smtputf8 and "SMTPUTF8" not in session.extensions:
        who = printable(recipient.address.encode())
        raise _not_offered("SMTPUTF8", f"the recipient {who} needs")
    if not recipient.parameters:
        return Rcpt(recipient.path)
    return Rcpt(recipient.path, served(recipient.parameters, session, preferred))


def served(
    parameters: tuple[Parameter, ...], session: Session, preferred: frozenset[str]
) -> Parameters:
    """Give what of the parameters the server can serve; what is preferred may lack."""
    given: dict[str, str | None] = {}
    for parameter in parameters:
        why = parameter.unmet(session)
        if why is None:
            given[parameter.keyword] = parameter.value
        elif parameter.extension not in preferred:
            raise NotSupported(why, extension=parameter.extension)
    return given


def needed(envelope: Envelope, content: MailData) -> frozenset[str]:
    """Name the extensions that a message cannot do without, whatever the server."""
    names = {parameter.extension for parameter in _asked_for(envelope)}
    if _needs_smtputf8(envelope, content, range(len(envelope.recipients))):
        names.add("SMTPUTF8")
    if content.is_binary:
        # Where it is but preferred, another form does, and needs nothing.
        if "BINARYMIME" not in envelope.preferred:
            names |= {"BINARYMIME", "CHUNKING"}
    elif content.known is not None and content.is_8bit:
        names.add("8BITMIME")
    return frozenset(names) - envelope.preferred


def _asked_for(envelope: Envelope) -> list[Parameter]:
    """Give all that the caller asked for, of the message and of each recipient."""
    asked_for = [*envelope.parameters, *envelope.forwarded]
    for recipient in envelope.recipients:
        asked_for += recipient.parameters
    return asked_for


def _needs_smtputf8(
    envelope: Envelope, content: MailData, asked: Iterable[int]
) -> bool:
    for index in asked:
        if envelope.recipients[index].path.needs_smtputf8:
            return True
    return content.has_8bit_header or envelope.reverse_path.needs_smtputf8


def left_out(envelope: Envelope, content: MailData, session: Session) -> frozenset[str]:
    """Name the extensions that are preferred, and cannot serve what is asked for."""
    asked_for = _asked_for(envelope)
    unserved = {p.extension for p in asked_for if p.unmet(session) is not None}
    if not content.is_binary and not has_binary(session.extensions):
        unserved.add("BINARYMIME")
    return envelope.preferred.intersection(unserved)


def has_binary(extensions: Extensions) -> bool:
    """Tell whether a message may come in binary form (RFC 3030 §3)."""
    return "BINARYMIME" in extensions and "CHUNKING" in extensions


def mail_parameters(
    envelope: Envelope,
    asked: Iterable[int],
    content: MailData,
    session: Session,
) -> Parameters:
    """Give the parameters of MAIL for a message.

    `asked` are the positions of the recipients that are asked for.
    """
    extensions = session.extensions
    parameters: dict[str, str | None] = {}
    if content.known is not None:
        check_size(content.known.size, extensions)
        if "SIZE" in extensions:
            parameters["SIZE"] = str(content.known.size)
    if content.is_8bit:
        body = _body(content, extensions)
        if body is not None:
            parameters["BODY"] = body
    if _needs_smtputf8(envelope, content, asked):
        if "SMTPUTF8" not in extensions:
            why = "an address or a header of the message needs"
            raise _not_offered("SMTPUTF8", why)
        parameters["SMTPUTF8"] = None
    if envelope.parameters:
        parameters |= served(envelope.parameters, session, envelope.preferred)
    return parameters


def _body(content: MailData, extensions: Extensions) -> str | None:
    """Choose the BODY of what is, or may be, more than ASCII."""
    if content.is_binary:
        # Its line ends are nobody's to touch, so nothing else carries it.
        for extension in ("BINARYMIME", "CHUNKING"):
            if extension not in extensions:
                raise _not_offered(extension, "a message in binary form needs")
        return "BINARYMIME"
    # Where nothing is known of a stream its octets are seen only as they pass: it
    # is declared 8-bit where that can be, and watched where it cannot.
    if "8BITMIME" in extensions:
        return "8BITMIME"
    if content.known is not None:
        raise _not_offered("8BITMIME", "an octet above 127 needs")
    return None


def check_size(size: int, extensions: Extensions) -> None:
    """Hold octets, so far or in all, against the limit of the server (RFC 1870)."""
    if extensions.size is not None and size > extensions.size:
        msg = (
            f"the message of {size} octets exceeds the {extensions.size} that "
            "the server takes (SIZE)"
        )
        raise NotSupported(msg, extension="SIZE")


def check_block(block: bytes, content: MailData, extensions: Extensions) -> None:
    """Look at octets of a stream of which nothing is known."""
    if content.is_binary or block.isascii() or "8BITMIME" in extensions:
        return
    raise _not_offered("8BITMIME", "an octet above 127 needs")
