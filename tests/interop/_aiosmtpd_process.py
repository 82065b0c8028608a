"""aiosmtpd at work: `python _aiosmtpd_process.py JOB` serves until it is ended.

A process of its own, which imports nothing of this project.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import sys
import time
import warnings
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

JOB: Final[dict[str, Any]] = json.loads(sys.argv[1])
STORE: Final = Path(JOB["store"])

log: Final = logging.getLogger("mail.log")
_counter: Final = count()


class Keeper:
    """Takes mail for anybody at the domain, and keeps it."""

    async def handle_RCPT(
        self,
        _server: SMTP,
        _session: Session,
        envelope: Envelope,
        address: str,
        _options: list[str],
    ) -> str:
        """Refuse who is named, and who is at another domain."""
        if reply := JOB["replies"].get(address):
            return "{code} {status} {text}".format(**reply)
        if not address.endswith(f"@{JOB['domain']}"):
            return "550 5.7.1 Relay not permitted"
        envelope.rcpt_tos.append(address)
        return "250 2.1.5 OK"

    async def handle_DATA(
        self, _server: SMTP, _session: Session, envelope: Envelope
    ) -> str:
        """Store the octets, then the envelope: what has no envelope is not there."""
        name = f"{time.time_ns()}-{next(_counter)}"
        told = {"sender": envelope.mail_from, "recipients": envelope.rcpt_tos}
        (STORE / f"{name}.eml").write_bytes(envelope.original_content or b"")
        part = STORE / f"{name}.part"
        part.write_text(json.dumps(told), "utf-8")
        part.rename(STORE / f"{name}.json")
        log.info("queued as %s", name)
        return f"250 2.0.0 OK: queued as {name}"


def authenticate(
    _server: SMTP,
    _session: Session,
    _envelope: Envelope,
    mechanism: str,
    said: LoginPassword,
) -> AuthResult:
    """Let the one user in."""
    known = (JOB["username"].encode(), JOB["password"].encode())
    if known == (said.login, said.password):
        return AuthResult(success=True, auth_data=said)
    log.warning("%s authentication failed", mechanism)
    return AuthResult(success=False, handled=False)


async def serve() -> None:
    """Listen on the three ports."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(JOB["certificate"])
    serving = partial(
        SMTP,
        Keeper(),
        hostname=f"mx.{JOB['domain']}",
        data_size_limit=JOB["max_size"],
        enable_SMTPUTF8=True,
        timeout=JOB["idle"],
        authenticator=authenticate,
    )
    secure = partial(serving, tls_context=context, auth_required=True)
    # It takes only STARTTLS for TLS.
    tls = partial(serving, auth_required=True, auth_require_tls=False)
    loop = asyncio.get_running_loop()
    for protocol, port, around in (
        (secure, "submission", None),
        (tls, "smtps", context),
        (serving, "plain", None),
    ):
        await loop.create_server(protocol, JOB["host"], JOB[port], ssl=around)
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(
        filename=JOB["log"], level=logging.INFO, format="%(asctime)s %(message)s"
    )
    warnings.simplefilter("ignore")  # "Requiring AUTH while not requiring TLS": above
    asyncio.run(serve())
