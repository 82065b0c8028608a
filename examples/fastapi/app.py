"""A web app that welcomes those who sign up, by mail.

`uvicorn app:app` runs it; `SMTP_URL` says which server takes its mail.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from typing import Annotated

from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from esmtp_async import (
    InvalidInput,
    NotDelivered,
    OutcomeUnknown,
    RecipientsRefused,
    SMTPClient,
    Timeouts,
    compose,
)

SENDER = "hello@shop.example"


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Have one client for the whole app, which keeps connections and closes them."""
    url = os.environ.get("SMTP_URL", "smtp://localhost")
    async with SMTPClient(url, timeouts=Timeouts.interactive()) as client:
        app.state.mail = client
        app.state.patience = float(os.environ.get("MAIL_PATIENCE", "10"))
        yield


def get_mail(request: Request) -> SMTPClient:
    """Give the app's client to an endpoint."""
    client: SMTPClient = request.app.state.mail
    return client


Mail = Annotated[SMTPClient, Depends(get_mail)]

app = FastAPI(lifespan=lifespan)


class SignUp(BaseModel):
    """Who signs up."""

    name: str
    email: str


class Outcome(BaseModel):
    """What became of the mail."""

    mail: str


def letter(who: SignUp, subject: str, text: str) -> EmailMessage:
    """Write a message; `InvalidInput` if it could not be sent."""
    to = [(who.name, who.email)]  # one, even if several were typed in
    return compose(("The Shop", SENDER), to, subject, text=text)


@app.exception_handler(InvalidInput)
async def no_address(_request: Request, _error: InvalidInput) -> JSONResponse:
    """Answer for what was typed as an address, and is none."""
    return JSONResponse({"detail": "that is no address for mail"}, 422)


@app.post("/signup", status_code=201)
async def sign_up(who: SignUp, mail: Mail, request: Request) -> Outcome:
    """Welcome somebody; the answer tells whether the mail is on its way."""
    text = f"Hello {who.name},\nnice to have you.\n"
    message = letter(who, f"Welcome, {who.name}!", text)
    try:
        await mail.send(message, timeout=request.app.state.patience)
    except OutcomeUnknown:
        # The server may have it: to send again could make two.
        return Outcome(mail="unknown")
    except NotDelivered as error:
        if isinstance(error, RecipientsRefused) and not error.temporary:
            raise HTTPException(422, "nobody has this address") from error
        later = {"Retry-After": "60"}
        raise HTTPException(503, "mail does not work now", later) from error
    return Outcome(mail="sent")


@app.post("/invite", status_code=202)
async def invite(who: SignUp, mail: Mail, background: BackgroundTasks) -> Outcome:
    """Invite somebody; nobody waits for the mail."""
    message = letter(who, "Come in", f"{who.name}, the door is open.\n")
    background.add_task(mail.send, message)
    return Outcome(mail="queued")
