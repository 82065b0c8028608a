"""The model server: SMTP and LMTP as the RFCs have it, for tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from threading import Condition
from typing import Final, Unpack

from esmtp_async._client import SMTPClient
from esmtp_async._settings import ClientOptions
from esmtp_async.testing._faults import Faulty
from esmtp_async.testing._hosting import Host
from esmtp_async.testing._recording import script_of
from esmtp_async.testing._rules import Rule, RuleBook
from esmtp_async.testing._script import Script
from esmtp_async.testing._session import Conversation
from esmtp_async.testing._settings import DEFAULT_EXTENSIONS, Settings
from esmtp_async.testing._store import Page, Record, StoredMessage
from esmtp_async.testing._wire import Wire

#: Octets; what keeps a runaway client from filling the memory.
MAX_MESSAGE_SIZE: Final = 64 * 1024 * 1024


class SMTPServer(Host, Faulty):
    """A server that takes every message and keeps it, and every breach by the client.

    It is strict where real servers are lenient, and it is no MTA: nothing leaves it.
    `async with server:` serves in memory (`connect` gives a stream, as `SMTPClient`
    wants it), `async with server.listen():` on loopback TCP as well. On leaving, a
    failure of the server itself is raised.
    """

    def __init__(
        self,
        *,
        hostname: str = "mail.example.test",
        lmtp: bool = False,
        implicit_tls: bool = False,
        starttls: bool = False,
        users: Mapping[str, str] | None = None,
        mechanisms: Sequence[str] = ("PLAIN", "LOGIN"),
        any_user: bool = False,
        require_auth: bool = False,
        auth_needs_tls: bool = True,
        extensions: Sequence[str] = DEFAULT_EXTENSIONS,
        lists: Mapping[str, Sequence[str]] | None = None,
        rules: Sequence[Rule] = (),
        eager: bool = False,
        max_message_size: int = MAX_MESSAGE_SIZE,
        max_recipients: int = 1000,
        idle_timeout: float = math.inf,
        fragment: int | None = None,
        record: Record | None = None,
    ) -> None:
        """Configure a server.

        Args:
            hostname: the name in the greeting and on the certificate.
            lmtp: speak LMTP (RFC 2033) instead of SMTP.
            implicit_tls: start with a TLS handshake (RFC 8314 §3.3).
            starttls: offer STARTTLS (RFC 3207). TLS needs the extra `testing`.
            users: user name to password; AUTH (RFC 4954) is offered if there are any.
            mechanisms: those that are offered, of PLAIN, LOGIN, CRAM-MD5, EXTERNAL,
                ANONYMOUS, OAUTHBEARER and XOAUTH2, whose tokens are the passwords, and
                SCRAM-SHA-1, -256 and -512, which need the extra `scram`. Names with
                `-PLUS` are offered under TLS alone.
            any_user: let anybody in as whoever they say they are, where the mechanism
                shows the password: PLAIN, LOGIN, OAUTHBEARER and XOAUTH2.
            require_auth: refuse MAIL without authentication.
            auth_needs_tls: offer and take AUTH only under TLS.
            extensions: the lines of the EHLO reply besides STARTTLS and AUTH.
            lists: list name to members, for EXPN.
            rules: where to depart from serving; `rules` may be changed later.
            eager: take BDAT in the group of MAIL and RCPT as no breach (RFC 3030 §2).
            max_message_size: in octets, whatever SIZE says.
            max_recipients: of one message.
            idle_timeout: seconds without input until the server says 421 and closes.
            fragment: send replies in pieces of that many octets.
            record: takes all that the server sees, which is otherwise kept in memory,
                for `messages`, `violations`, `notes` and `transcript`.

        Raises:
            ValueError: for a mechanism that does not exist.
        """
        super().__init__(
            hostname=hostname,
            idle_timeout=idle_timeout,
            fragment=fragment,
            record=record,
        )
        self._settings = Settings(
            hostname=hostname,
            lmtp=lmtp,
            implicit_tls=implicit_tls,
            starttls=starttls,
            users=dict(users or {}),
            mechanisms=tuple(mechanisms),
            any_user=any_user,
            require_auth=require_auth,
            auth_needs_tls=auth_needs_tls,
            extensions=tuple(extensions),
            lists=dict(lists or {}),
            eager=eager,
            max_message_size=max_message_size,
            max_recipients=max_recipients,
        )
        self._rules = RuleBook(rules)

    @property
    def messages(self) -> list[StoredMessage]:
        """The messages taken, in the order of their acceptance."""
        return self._ledger.messages

    @property
    def violations(self) -> list[str]:
        """What clients did that the RFCs do not allow, in words."""
        return self._ledger.violations

    @property
    def notes(self) -> list[str]:
        """What was odd, but allowed."""
        return self._ledger.notes

    @property
    def news(self) -> Condition:
        """Notified of each message that is taken, for who waits in another thread."""
        return self._ledger.news

    @property
    def rules(self) -> list[Rule]:
        """The rules, which may be changed at any time."""
        return self._rules.rules

    @property
    def scripts(self) -> list[Script]:
        """The transcript as scripts, a connection each, for `ScriptedServer` to play.

        A client with another name, message or password can play along: these are told
        by their form alone. Of a connection that was open at a `reset` there is none.
        """
        return [
            script_of(said, f"connection {number}", tls=self._settings.implicit_tls)
            for number, said in enumerate(self.transcript, 1)
            if not said or said[0].side == "S"
        ]

    def reset(self) -> None:
        """Forget the rules and all that was seen, as between two tests.

        A connection that stays open gets another number, once something is said on it.
        """
        self._rules.clear()
        self._forget()

    def client(self, **options: Unpack[ClientOptions]) -> SMTPClient:
        """Make a client for this server: over TCP if it listens, else in memory.

        `options` are those of `SMTPClient`, and win over `client_options`.
        """
        scheme = "lmtp" if self._settings.lmtp else "smtp"
        return self._client(scheme, self.client_options(**options))

    def client_options(self, **options: Unpack[ClientOptions]) -> ClientOptions:
        """Give what a client of this server needs to be told besides where it is.

        It protects itself and authenticates as the server wants it, as the first of
        the users. `options` are those of `SMTPClient`, and win.
        """
        settings = self._settings
        defaults = ClientOptions(
            security="plaintext", server_hostname=settings.hostname
        )
        if settings.implicit_tls or settings.starttls:
            defaults["security"] = "tls" if settings.implicit_tls else "starttls"
            defaults["ssl_context"] = self.client_context
        if options.keys().isdisjoint({"auth", "username", "password"}):
            for username, password in list(settings.users.items())[:1]:
                defaults["username"], defaults["password"] = username, password
                defaults["allow_plaintext_auth"] = not settings.auth_needs_tls
        defaults.update(options)
        return defaults

    async def _converse(self, wire: Wire, page: Page) -> None:
        conversation = Conversation(
            settings=self._settings,
            record=self._record,
            rules=self._rules,
            wire=wire,
            page=page,
            authority=lambda: self.authority,
        )
        await conversation.hold()
