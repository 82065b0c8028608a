"""A message from what a program has at hand: addresses, texts, files."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterable, Iterator, Mapping
from email import policy
from email.headerregistry import Address, AddressHeader, BaseHeader
from email.message import EmailMessage, Message
from types import NoneType
from typing import Final

from esmtp_async._fields import MAX_WORD, POLICY, checked_line
from esmtp_async._headers import Field
from esmtp_async._parts import (
    File,
    Invitation,
    attached_part,
    inline_part,
    multipart,
    text_part,
)
from esmtp_async._references import content_ids
from esmtp_async.protocol._addresses import Mailbox
from esmtp_async.protocol._exceptions import InvalidInput, check_type

#: A display name, and the address it is for.
Named = tuple[str, str]
#: One address, a list of them as a header has it, or several of these.
Addresses = str | Address | Iterable[str | Address | Named]

#: How values show in an error.
_SHORT: Final = reprlib.Repr()
_SHORT.maxstring = 60

#: Fields that have an argument of their own, and those that the parts decide.
_OWN: Final = {
    "from": "sender=",
    "to": "to=",
    "cc": "cc=",
    "bcc": "bcc=",
    "reply-to": "reply_to=",
    "subject": "subject=",
    "list-unsubscribe": "list_unsubscribe=",
    "list-unsubscribe-post": "list_unsubscribe=",
    "mime-version": "the content",
}
_CONTENT: Final = "content-"
#: Fields of addresses that have none.
_ADDRESSES: Final = frozenset({"sender"})
_NAME: Final = re.compile("[!-9;-~]{1,70}")
_URI: Final = re.compile(r"(?:(https?)://|mailto:)[!-;=?-~]+", re.IGNORECASE)


def compose(
    sender: str | Address | Named,
    to: Addresses,
    subject: str,
    *,
    text: str | None = None,
    html: str | None = None,
    attachments: Iterable[File | Message] = (),
    inline: Mapping[str, File] | None = None,
    calendar: str | bytes | None = None,
    cc: Addresses = (),
    bcc: Addresses = (),
    reply_to: Addresses = (),
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    list_unsubscribe: str | Iterable[str] = (),
) -> EmailMessage:
    r"""Give a message with its parts in order, ready for `send`.

    An address is `alice@example.org`, `"Alice, CEO" <alice@example.org>`, an
    `email.headerregistry.Address` or, for `sender` and in a list, the pair
    `("Alice, CEO", "alice@example.org")`, which is one address whatever was typed in.
    A text may also hold several, with commas between, as a header does; groups are not
    taken. Names of any language are encoded, domains become A-labels (RFC 5891 §5), and
    a local part outside ASCII stays as it is: such a message needs a server with
    SMTPUTF8 (RFC 6532).

    Args:
        sender: One address, for From.
        to: Recipients to be shown in To. It may be empty if `cc` or `bcc` is not.
        subject: One line of text.
        text: The body as plain text. Without it, HTML stands alone: none is made
            out of `html`.
        html: The body as HTML. With `text`, a reader shows one of both.
        attachments: Files, and messages to be forwarded. A file is a `Path`, which
            is read now, `(name, bytes)` or `(name, bytes, "type/subtype")`, the type
            with parameters or without. A type that is not given is guessed by the
            name; a text that is not UTF-8 is called octets, and so is what is of no
            known kind. The octets arrive unchanged.
        inline: Files that `html` shows, by the name in its `cid:name`. Where names
            should be unlike any other message's (RFC 2392 §2), `name@example.org`.
        calendar: An invitation, or an answer to one, as an iCalendar object
            in UTF-8. It is one more form of the body, for readers that know
            invitations, with the METHOD it has (RFC 6047 §2.4), and for all others
            the file `invite.ics`.
        cc: Recipients to be shown in Cc.
        bcc: Recipients that are not shown: `send` takes the field out.
        reply_to: Where answers go, if not to `sender`.
        headers: Further fields and their values. Date and Message-ID are added by
            `send`, if they do not stand here. A value is taken literally; one that
            cannot stand as it is becomes encoded words (RFC 2047).
        list_unsubscribe: URIs to leave a list by (RFC 2369 §3.2), `https:` or
            `mailto:`. One `https:` URI is said to work by a single POST, which it
            must (RFC 8058 §3.1); a DKIM signature must cover both fields.

    Returns:
        A message whose policy is like `email.policy.SMTP`, or `SMTPUTF8` where an
        address needs that, with header fields that fold without harm.

    Raises:
        InvalidInput: Where something is of another type or form, holds a line end,
            NUL or lone surrogate that cannot stand there, refers to a `cid:` that
            is not in `inline`, or has a field that an argument sets. It names the
            argument.
        OSError: If a file cannot be read. Files are read at the call, so read
            large ones in a thread, or call all of this there.
    """
    people = {
        "From": (_read if isinstance(sender, tuple) else _addresses)("sender", sender),
        "To": _addresses("to", to),
        "Cc": _addresses("cc", cc),
        "Bcc": _addresses("bcc", bcc),
        "Reply-To": _addresses("reply_to", reply_to),
    }
    if len(people["From"]) != 1:
        msg = f"sender holds {len(people['From'])} addresses, not one"
        raise InvalidInput(msg)
    if not (people["To"] or people["Cc"] or people["Bcc"]):
        msg = "to, cc and bcc hold no address"
        raise InvalidInput(msg)
    utf8 = not all(
        address.username.isascii()
        for addresses in people.values()
        for address in addresses
    )
    message = _content(text, html, calendar, inline, attachments)
    message.policy = POLICY.clone(utf8=utf8)
    content = list(message.raw_items())
    for name, _ in content:
        del message[name]
    for name, addresses in people.items():
        if addresses:
            message[name] = addresses
    message["Subject"] = checked_line("subject", subject)
    for argument, given, value in _pairs(headers):
        _add(message, argument, given, value)
    for name, line in _list_fields(list_unsubscribe):
        message[name] = line
    message["MIME-Version"] = "1.0"
    for name, line in content:
        message.set_raw(name, line)
    return message


def _items(argument: str, given: object) -> Iterator[tuple[str, object]]:
    """Give each item, and what it is called in an error."""
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        msg = f"{argument} is of type {type(given).__name__}, not several in a list"
        raise InvalidInput(msg)
    for index, item in enumerate(given):
        yield f"{argument}[{index}]", item


# Addresses


def _addresses(argument: str, given: object) -> list[Address]:
    if isinstance(given, (str, Address)):
        return _read(argument, given)
    return [each for items in _items(argument, given) for each in _read(*items)]


def _read(argument: str, given: object) -> list[Address]:
    """Give the addresses of a text as a header's, each fit for the envelope."""
    if isinstance(given, tuple):
        return [_paired(argument, *given)]
    check_type(argument, given, str, Address)
    text = checked_line(argument, str(given))
    shown = _SHORT.repr(text)
    field = Field("To", text)
    if isinstance(given, Address):
        field = Field("To", policy.default.header_factory("To", [given]))
    try:
        mailboxes = [Mailbox.parse(each) for each in field.mailboxes]
    except InvalidInput as error:
        why = error if shown == repr(text) else f"{shown} cannot be read"
        msg = f"{argument}: {why}"
        raise InvalidInput(msg) from None
    if _has_group(field.parsed):
        msg = f"{argument} {shown} holds a group; give its addresses"
        raise InvalidInput(msg)
    if not mailboxes:
        msg = f"{argument} {shown} holds no address"
        raise InvalidInput(msg)
    return [
        Address(
            checked_line(f"the name in {argument}", each.display_name),
            each.username,
            mailbox.domain,
        )
        for each, mailbox in zip(field.addresses, mailboxes, strict=True)
    ]


def _paired(argument: str, *given: object) -> Address:
    """Give the address of a pair; what goes for a list elsewhere is no address here."""
    if len(given) != 2:
        msg = f"{argument} is a tuple of {len(given)}, not (name, address)"
        raise InvalidInput(msg)
    name, text = given
    spec = checked_line(f"the address in {argument}", text)
    try:
        Mailbox.parse(spec)
    except InvalidInput as error:
        msg = f"{argument}: {error}"
        raise InvalidInput(msg) from None
    (address,) = _read(argument, spec)
    named = checked_line(f"the name in {argument}", name)
    return Address(named, address.username, address.domain)


def _has_group(header: BaseHeader) -> bool:
    return isinstance(header, AddressHeader) and any(
        group.display_name is not None for group in header.groups
    )


# Other fields


def _pairs(headers: object) -> Iterator[tuple[str, object, object]]:
    """Give the caller's fields, each with what it is called in an error."""
    if isinstance(headers, Mapping):
        for name, value in headers.items():
            yield f"headers[{_SHORT.repr(name)}]", name, value
        return
    for argument, pair in _items("headers", headers):
        if not isinstance(pair, tuple) or len(pair) != 2:
            msg = f"{argument} is not a pair (name, value)"
            raise InvalidInput(msg)
        yield argument, *pair


def _add(message: EmailMessage, argument: str, name: object, value: object) -> None:
    """Add a field of the caller's."""
    check_type(f"the name of {argument}", name, str)
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        msg = f"the name of {argument} is none (RFC 5322 section 2.2)"
        raise InvalidInput(msg)
    key = name.lower()
    if key in _OWN or key.startswith(_CONTENT):
        by = _OWN.get(key, "the content")
        msg = f"{argument} may not set {name}, which is set by {by}"
        raise InvalidInput(msg)
    text = checked_line(f"the value of {argument}", value)
    read = _read(argument, text) if key in _ADDRESSES else text
    try:
        message[name] = read
    except ValueError:
        msg = f"{argument} is a second {name}, which stands once in a message"
        raise InvalidInput(msg) from None
    if message[name].defects:
        msg = f"the value of {argument} is no {name}: {_SHORT.repr(text)}"
        raise InvalidInput(msg)


def _list_fields(given: object) -> Iterator[tuple[str, str]]:
    """Give the fields that tell how to leave a list."""
    argument = "list_unsubscribe"
    if isinstance(given, str):
        uris = [_uri(argument, given)]
    else:
        uris = [_uri(*item) for item in _items(argument, given)]
    if uris:
        yield "List-Unsubscribe", ", ".join(f"<{uri}>" for uri, _ in uris)
    # What is no https: URI of the web cannot be meant by it (RFC 8058 §3.1).
    if [scheme for _, scheme in uris if scheme != "mailto"] == ["https"]:
        yield "List-Unsubscribe-Post", "List-Unsubscribe=One-Click"


def _uri(argument: str, given: object) -> tuple[str, str]:
    """Give a URI and its scheme."""
    check_type(argument, given, str)
    uri = str(given)
    match = _URI.fullmatch(uri)
    if match is None or len(uri) > MAX_WORD - len("<>,"):
        msg = (
            f"{argument} {_SHORT.repr(uri)} is not an https: or mailto: URI of "
            f"ASCII, without brackets, spaces and commas (RFC 2369 section 2)"
        )
        raise InvalidInput(msg)
    return uri, (match[1] or "mailto").lower()


# The content


def _content(
    text: object,
    html: object,
    calendar: object,
    inline: object,
    attachments: object,
) -> EmailMessage:
    """Build the tree of parts, without a level for one part alone."""
    check_type("inline", inline, Mapping, NoneType)
    attached = [attached_part(*item) for item in _items("attachments", attachments)]
    shown: list[EmailMessage] = []
    if text is not None:
        shown.append(text_part("text", text))
    if html is not None:
        shown.append(_page(html, inline))
    elif inline:
        msg = "inline has files, but there is no html to show them"
        raise InvalidInput(msg)
    if calendar is not None:
        invitation = Invitation.of("calendar", calendar)
        shown.append(invitation.part("calendar"))
        attached.append(invitation.attachment())
    if not (shown or attached):
        shown.append(text_part("text", ""))
    if len(shown) > 1:
        shown = [multipart("alternative", shown)]
    return multipart("mixed", [*shown, *attached]) if attached else shown[0]


def _page(html: object, inline: object) -> EmailMessage:
    """Give HTML with the files it shows, its own type told (RFC 2387 §3.1)."""
    page = text_part("html", html, "html")
    files = dict(inline) if isinstance(inline, Mapping) else {}
    for content_id in content_ids(str(html)):
        if content_id not in files:
            msg = f"html refers to {_SHORT.repr(content_id)}, which is not in inline"
            raise InvalidInput(msg)
    if not files:
        return page
    parts = [
        inline_part(f"inline[{_SHORT.repr(name)}]", name, file)
        for name, file in files.items()
    ]
    return multipart("related", [page, *parts], '; type="text/html"')
