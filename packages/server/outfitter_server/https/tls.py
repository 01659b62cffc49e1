"""TLS for the door: certificates of clients are asked for and optional; whoever shows one is looked up in the registry."""

import ssl
from pathlib import Path


def door_context(certificate: Path, key: Path, trust_pem: str) -> ssl.SSLContext:
    """A context for ``HttpsDoor.start``.

    Args:
        certificate: the server's chain, PEM.
        key: its private key, PEM.
        trust_pem: the CAs whose client certificates complete the handshake; the registry decides about each afterwards.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_OPTIONAL
    # A foreign certificate that was registered alone is its own anchor.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(cadata=trust_pem)
    context.set_alpn_protocols(["http/1.1"])
    return context
