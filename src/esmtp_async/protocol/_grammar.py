"""The grammar of what goes on the wire: each production above its expression.

All are matched whole (`fullmatch`), against text whose characters are the
octets to come: ASCII, or, where RFC 6531 §3.3 widens a rule, any printable
character beyond it. Controls match nowhere, so nothing that passes can end a
line or begin another command.
"""

from __future__ import annotations

import re

# RFC 6531 §3.3: atext, qtextSMTP and esmtp-value grow by UTF8-non-ascii. C1
# controls, line and paragraph separators and surrogates are UTF8-non-ascii, but
# some reader downstream takes them for line ends, so they stay outside.
# A rule that grows so is written by what it leaves out: Python takes milliseconds to
# compile a class of all the others.
_NOWHERE = r"\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"

# Let-dig = ALPHA / DIGIT
# Ldh-str = *( ALPHA / DIGIT / "-" ) Let-dig
# sub-domain = Let-dig [Ldh-str]                        (RFC 5321 §4.1.2)
# A label has at most 63 octets (RFC 1035 §2.3.4).
SUB_DOMAIN = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"

# Domain = sub-domain *("." sub-domain)
DOMAIN = rf"{SUB_DOMAIN}(?:\.{SUB_DOMAIN})*"

# Snum = 1*3DIGIT, of the value 0 to 255                (RFC 5321 §4.1.3)
_SNUM = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4 = rf"{_SNUM}(?:\.{_SNUM}){{3}}"

# IPv6-address-literal = "IPv6:" IPv6-addr; the address itself is checked by the
# standard library.
# General-address-literal = Standardized-tag ":" 1*dcontent
# dcontent = %d33-90 / %d94-126
# A tag has a grammar of its own behind it, so what has IPv6's is no other literal.
# No other tag is registered; "<" and ">" stay out, for some reader downstream takes
# them for the end of the path.
ADDRESS_LITERAL = re.compile(
    rf"\[(?:(?P<ipv4>{IPV4})|(?i:IPv6):(?P<ipv6>[0-9A-Fa-f:.]+)"
    r"|(?!(?i:IPv6):)(?P<tag>[A-Za-z0-9-]*[A-Za-z0-9]):(?P<general>[!-;=?-Z^-~]+))\]"
)

# atext = ALPHA / DIGIT / "!#$%&'*+-/=?^_`{|}~"         (RFC 5322 §3.2.3)
# Dot-string = Atom *("." Atom)                         (RFC 5321 §4.1.2)
_ATEXT = rf'[^ "(),.:;<>@\[\\\]{_NOWHERE}]'
DOT_STRING = rf"{_ATEXT}+(?:\.{_ATEXT}+)*"

# Quoted-string = DQUOTE *QcontentSMTP DQUOTE
# qtextSMTP = %d32-33 / %d35-91 / %d93-126
# quoted-pairSMTP = %d92 %d32-126
QUOTED_STRING = rf'"(?:[^"\\{_NOWHERE}]|\\[ -~])*"'

# Mailbox = Local-part "@" ( Domain / address-literal )
# Local-part = Dot-string / Quoted-string
LOCAL_PART = re.compile(rf"{DOT_STRING}|{QUOTED_STRING}")
MAILBOX = re.compile(rf"(?P<local_part>{LOCAL_PART.pattern})@(?P<domain>[^@\s]+)")
DOMAIN_ONLY = re.compile(DOMAIN)

# esmtp-keyword = (ALPHA / DIGIT) *(ALPHA / DIGIT / "-")
# ehlo-keyword is the same                              (RFC 5321 §4.1.1.1)
KEYWORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*")

# esmtp-value = 1*(%d33-60 / %d62-126)                  (RFC 5321 §4.1.2)
VALUE = re.compile(rf"[^ ={_NOWHERE}]+")

# sasl-mech = 1*20mech-char; mech-char = %x41-5A / DIGIT / "-" / "_"
#                                                       (RFC 4422 §3.1)
SASL_MECHANISM = re.compile(r"[A-Z0-9_-]{1,20}")

# String = Atom / Quoted-string; the argument of VRFY, EXPN, HELP and NOOP is in
# practice any printable text, a Mailbox among it.     (RFC 5321 §4.1.1.6)
STRING = re.compile(rf"[^{_NOWHERE}]+")

# addr-type ";" xtext of ORCPT                          (RFC 3461 §4.2)
ADDR_TYPE = re.compile(r"[A-Za-z0-9-]+")

# by-time, future-release-interval and min-by-time: 1*9DIGIT
#                                     (RFC 2852 §4, RFC 4865 §3)
SECONDS = re.compile(r"[0-9]{1,9}")

# "@" and "#" name a domain with all below it, and a queue  (RFC 1985 §5.3)
NODE = re.compile(r"[@#]?[!-~]+")

# attribute-name "=" attribute-value of XCLIENT and XFORWARD (Postfix)
ATTRIBUTE = re.compile(r"[A-Z]+")

# absolute-URI, as much of its grammar as a command needs  (RFC 4468 §3.2)
URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")

# xchar = %d33-42 / %d44-60 / %d62-126; hexchar = "+" 2(%d48-57 / %d65-70)
#                                                       (RFC 3461 §4)
_NOT_XCHAR = re.compile(rb"[^!-*,-<>-~]")


def xtext(value: str) -> str:
    """Encode text so that it fits where only xchars may stand (RFC 3461 §4)."""
    octets = value.encode()
    return _NOT_XCHAR.sub(lambda match: b"+%02X" % match[0][0], octets).decode("ascii")


# QCHAR = %x21-2a / %x2c-3c / %x3e-5b / %x5d-7e
# EmbeddedUnicodeChar = "\x{" HEXPOINT "}"             (RFC 6533 §3)
_NOT_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")


def embedded(value: str) -> str:
    """Encode text as utf-8-addr-xtext, which is ASCII (RFC 6533 §3)."""
    return _NOT_QCHAR.sub(lambda match: f"\\x{{{ord(match[0]):02X}}}", value)
