"""The demonstration: one message through the model server, with all that is said."""

from __future__ import annotations

from email.message import EmailMessage

from esmtp_async._conversation import ConversationPrinter, Output
from esmtp_async._options import SendOptions
from esmtp_async.protocol._sasl import Login
from esmtp_async.testing import SMTPServer

_USERNAME, _PASSWORD = "alice", "open sesame"


async def demo(stream: Output) -> None:
    """Send a message over loopback with STARTTLS and AUTH LOGIN; print it all.

    Raises the errors of `SMTPClient.send`, and `RuntimeError` if what the
    server stored is not what was sent.
    """
    message = EmailMessage()
    message["From"] = "Alice <alice@example.test>"
    message["To"] = "Bob <bob@example.test>"
    message["Subject"] = "Grüße from esmtp_async"
    message.set_content("A line.\n.A line that begins with a dot.\n")
    server = SMTPServer(
        starttls=True,
        users={_USERNAME: _PASSWORD},
        mechanisms=["PLAIN", "LOGIN"],
        require_auth=True,
    )
    async with server.listen():
        client = server.client(
            auth=Login(_USERNAME, _PASSWORD),
            client_hostname="client.example.test",
            on_event=ConversationPrinter(stream),
        )
        async with client:
            receipt = await client.send(
                message, options=SendOptions(x_mailer="esmtp_async")
            )
    stored = server.messages[0]
    print("\nThe message as the server stored it:\n", file=stream)
    for line in stored.content.decode("utf-8").splitlines():
        print(f"    {line}", file=stream)
    if server.violations or stored.message["Subject"] != message["Subject"]:
        problem = f"the server stored something else: {server.violations}"
        raise RuntimeError(problem)
    print(
        f"\nSuccess: {', '.join(receipt.accepted)} accepted, queue id "
        f"{receipt.queue_id}, {receipt.tls.version if receipt.tls else 'no TLS'}.",
        file=stream,
    )
