"""Django, set up for one test after the other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import django
from django.conf import settings
from django.core import mail
from django.test.utils import override_settings

from esmtp_async.contrib.django import EmailBackend
from esmtp_async.testing import SMTPServer

BACKEND: Final = "esmtp_async.contrib.django.EmailBackend"
#: Whether Django knows MAILERS.
MAILERS: Final = django.VERSION >= (6, 1)
assert MAILERS is (sys.version_info >= (3, 12)), "pip takes the newest there is"

ADMIN: Final = "admin@example.test"


def _people(*addresses: str) -> list[object]:
    """Give what Django has for administrators: of old, with their names."""
    named = django.VERSION < (6, 0)
    return [("Admin", each) if named else each for each in addresses]


if not settings.configured:
    settings.configure(SECRET_KEY="nobody's", ADMINS=_people(ADMIN))
    django.setup()


@contextmanager
def admins(*addresses: str) -> Iterator[None]:
    """Have these administrators."""
    with override_settings(ADMINS=_people(*addresses)):
        yield


@contextmanager
def mailers(**options: object) -> Iterator[None]:
    """Have a backend with these options, in the way that this Django has."""
    if MAILERS:
        with override_settings(
            MAILERS={"default": {"BACKEND": BACKEND, "OPTIONS": options}}
        ):
            yield
    else:
        with override_settings(EMAIL_BACKEND=BACKEND, ESMTP_ASYNC=options):
            yield


def backend() -> EmailBackend:
    """Give the backend that Django makes of its settings."""
    made = mail.mailers["default"] if MAILERS else mail.get_connection()
    assert isinstance(made, EmailBackend)
    return made


def url(server: SMTPServer) -> str:
    """Give a server as a URL."""
    return f"smtp://127.0.0.1:{server.port}"


def letter(
    body: str = "How are you?\n",
    *,
    to: tuple[str, ...] = ("Bob <bob@example.test>",),
    sender: str = "Alice <alice@example.test>",
) -> mail.EmailMultiAlternatives:
    """Give a message of Django's."""
    return mail.EmailMultiAlternatives("Hello", body, sender, list(to))
