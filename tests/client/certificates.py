"""A throw-away authority and what it certifies, made once a test run."""

from __future__ import annotations

import ssl
from functools import cache

import trustme


@cache
def _authority(name: str) -> trustme.CA:
    return trustme.CA(organization_name=name)


@cache
def server_context(name: str = "127.0.0.1") -> ssl.SSLContext:
    """Give a server's side, with a certificate for one name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority("ours").issue_cert(name).configure_cert(context)
    return context


@cache
def client_context(authority: str = "ours") -> ssl.SSLContext:
    """Give a client's side, which trusts one authority."""
    context = ssl.create_default_context()
    _authority(authority).configure_trust(context)
    return context
