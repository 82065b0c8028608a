"""A certificate authority for one server, thrown away with it."""

from __future__ import annotations

import ssl


class Authority:
    """An authority, a server's certificate signed by it, and a context for each side.

    The certificate is good for `hostname`, `localhost`, `127.0.0.1` and `::1`.

    Raises `ModuleNotFoundError` without the extra `testing`.
    """

    def __init__(self, hostname: str) -> None:
        try:
            import trustme  # noqa: PLC0415 - an extra; only TLS needs it
        except ModuleNotFoundError as error:
            problem = "TLS needs trustme here: pip install 'esmtp-async[testing]'"
            raise ModuleNotFoundError(problem, name="trustme") from error
        authority = trustme.CA()
        certificate = authority.issue_cert(hostname, "localhost", "127.0.0.1", "::1")
        #: For the server.
        self.server_context: ssl.SSLContext = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificate.configure_cert(self.server_context)
        #: The server's certificate, as PEM.
        self.server_certificate: str = certificate.cert_chain_pems[0].bytes().decode()
        #: The same, as DER.
        self.server_certificate_der: bytes = ssl.PEM_cert_to_DER_cert(
            self.server_certificate
        )
        #: For a client that trusts the authority and no other.
        self.client_context: ssl.SSLContext = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        authority.configure_trust(self.client_context)
        #: The authority's certificate, as PEM.
        self.certificate: bytes = authority.cert_pem.bytes()
