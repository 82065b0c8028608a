"""`esmtp bulk --dry-run`: what would be sent, by what can be known without a server."""

from __future__ import annotations

from collections.abc import Callable

from esmtp_async._cli._journal import INVALID, Line
from esmtp_async._cli._letters import Letter, Letters
from esmtp_async._cli._tally import Tally
from esmtp_async._messages import prepare
from esmtp_async._options import NO_OPTIONS
from esmtp_async.protocol import _needs as needs
from esmtp_async.protocol._exceptions import SMTPError
from esmtp_async.protocol._extensions import Extensions

#: What a message has for an outcome that is due.
DUE = "due"


async def rehearse(
    letters: Letters, tally: Tally, say: Callable[[Line], object], sender: str | None
) -> None:
    """Tell of each message that is due from whom and for whom it is."""
    while (letter := letters.following()) is not None:
        found = letter.found
        line: dict[str, object] = {
            "key": letter.key,
            "path": str(found.path),
            "offset": found.offset,
            "outcome": INVALID,
        }
        try:
            line |= await _due(letter, sender)
        except (SMTPError, OSError) as error:
            line["error"] = str(error)
            tally.invalid += 1
        finally:
            found.close()
        tally.messages += 1
        say(line)


async def _due(letter: Letter, sender: str | None) -> dict[str, object]:
    """Make a message ready, as `send` would; raises what that raises."""
    found = letter.found
    if found.problem:
        return {"error": found.problem}
    outgoing = await prepare(found.content, sender, letter.recipients, NO_OPTIONS)
    envelope, content = outgoing.envelope, outgoing.mail_data(Extensions())
    mailbox = envelope.reverse_path.mailbox
    return {
        "outcome": DUE,
        "sender": "" if mailbox is None else str(mailbox),
        "recipients": [recipient.address for recipient in envelope.recipients],
        "size": content.size,
        "needs": sorted(needs.needed(envelope, content)),
    }
