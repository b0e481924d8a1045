"""TLS of the web side: one context, from the certificate and key of the settings."""

import ssl
from pathlib import Path
from typing import NoReturn

from pacsnode.errors import BadSettings


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 and newer, HTTP/1.1. Raises BadSettings where the files cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])

    def asked() -> NoReturn:
        raise BadSettings(f"The key {key} is encrypted: 'web.key' is a file without a password")

    try:
        context.load_cert_chain(certificate, key, asked)
    except ssl.SSLError as exc:
        raise BadSettings(
            f"Cannot use {certificate} with the key {key} ({exc.reason or 'no PEM'}): "
            "'web.certificate' is a PEM file, the server's own certificate first, and 'web.key' "
            "its key"
        ) from exc
    except OSError as exc:
        raise BadSettings(
            f"Cannot read 'web.certificate' {certificate} or 'web.key' {key}: {exc.strerror}"
        ) from exc
    return context
