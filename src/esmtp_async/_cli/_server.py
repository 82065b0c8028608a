"""Which server, and as whom: options that commands share."""

from __future__ import annotations

import argparse
import getpass
import os
import ssl
from collections.abc import Callable
from typing import Final

from esmtp_async._settings import ClientOptions
from esmtp_async.protocol._exceptions import InvalidInput
from esmtp_async.protocol._sasl import CramMD5, Login, Mechanism, Plain
from esmtp_async.protocol._scram import ScramSHA1, ScramSHA256, ScramSHA512

MECHANISMS: Final[dict[str, Callable[[str, str], Mechanism]]] = {
    "PLAIN": Plain,
    "LOGIN": Login,
    "CRAM-MD5": CramMD5,
    "SCRAM-SHA-1": ScramSHA1,
    "SCRAM-SHA-256": ScramSHA256,
    "SCRAM-SHA-512": ScramSHA512,
}


def client_options(options: argparse.Namespace) -> ClientOptions:
    """Give what a client is made with; a password may be asked for."""
    made_with = ClientOptions(security=options.security)
    if options.ca_file is not None:
        try:
            context = ssl.create_default_context(cafile=options.ca_file)
        except OSError as error:
            msg = f"--ca-file {options.ca_file!r} cannot be used: {error}"
            raise InvalidInput(msg) from None
        made_with["ssl_context"] = context
    if options.username is not None:
        _authenticate(options, made_with)
    elif options.auth is not None:
        msg = "--auth needs --username"
        raise InvalidInput(msg)
    return made_with


def _authenticate(options: argparse.Namespace, made_with: ClientOptions) -> None:
    password = os.environ.get("ESMTP_PASSWORD")
    if password is None:
        try:
            password = getpass.getpass(f"Password of {options.username}: ")
        except EOFError:
            msg = "there is no password: ESMTP_PASSWORD is not set, and nobody answers"
            raise InvalidInput(msg) from None
    if options.auth is None:
        made_with["username"] = options.username
        made_with["password"] = password
    else:
        made_with["auth"] = MECHANISMS[options.auth](options.username, password)
