"""TLS for devices: certificates are demanded, and the trust store follows the registry.

Python's TLS has no verify callback. The store therefore holds the installation's CA, the registered CAs and each foreign
certificate that was registered alone (``VERIFY_X509_PARTIAL_CHAIN`` lets a leaf be its own anchor); which certificate may
connect is decided afterwards, by its fingerprint in the registry.
"""

import logging
import ssl
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from outfitter_server.services.effects import Effect, TrustChanged

SERVER_NAME: Final = (
    "outfitter_server_name"  # the attribute of the TLS object that keeps what the client asked for
)
# OpenSSL's X509_V_FLAG_PARTIAL_CHAIN; typeshed and Python 3.11 know it by this name.
_PARTIAL_CHAIN: Final = ssl.VERIFY_X509_PARTIAL_CHAIN

REBUILT_MAX: Final = 500  # certificates that are loaded anew in a hundredth of a second or two
_END: Final = "-----END CERTIFICATE-----\n"

_log = logging.getLogger(__name__)


class DeviceTls:
    """The TLS context of the device listener, renewed when the registry's trust changes.

    Attributes:
        context: what the listener is started with; each handshake is moved to the newest one.
    """

    def __init__(
        self,
        trust_pem: Callable[[], str],
        certificate: Path,
        key: Path,
        *,
        clients: ssl.VerifyMode = ssl.CERT_REQUIRED,
        protocols: Sequence[str] = ("x-amzn-mqtt-ca", "mqtt"),
    ) -> None:
        """``trust_pem`` gives the CA certificates; ``certificate`` and ``key`` are the server's PEM files.

        The https listener asks for certificates (``clients``) without demanding them, and names its own ``protocols``.
        """
        self._clients = clients
        self._protocols = tuple(protocols)
        self._trust_pem = trust_pem
        self._certificate = certificate
        self._key = key
        self._pem = trust_pem()
        self._shown = certificate.read_bytes()
        self._stale = False
        self.context = self._current = self._build()

    def hear(self, effects: Sequence[Effect]) -> None:
        """Look at the trust again, at the next handshake, after a change of the registry. For ``committer.listen``."""
        self._stale = self._stale or any(isinstance(effect, TrustChanged) for effect in effects)

    def renew(self) -> None:
        """Read trust and server certificate anew for the handshakes to come, when one of them is another."""
        pem, shown = self._trust_pem(), self._certificate.read_bytes()
        if (pem, shown) != (self._pem, self._shown):
            self._pem, self._shown = pem, shown
            self._current = self._build()

    def _follow(self, pem: str) -> None:
        """Trust what the registry has now; what is new is added, for thousands take seconds to be loaded.

        What is gone stays trusted, where there are many, until the server certificate is renewed: it is no identity any more, so its
        handshake is in vain, and the connection refused.
        """
        known, found = _certificates(self._pem), _certificates(pem)
        if len(found) <= REBUILT_MAX and not known.keys() <= found.keys():
            self.renew()
        elif new := found.keys() - known.keys():
            self._current.load_verify_locations(cadata="".join(new))
        self._pem = pem

    def _build(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A ticket costs as much as the signatures that it saves once, and few devices keep one over a power cut.
        context.num_tickets = 0
        context.verify_mode = self._clients
        context.verify_flags |= _PARTIAL_CHAIN
        context.load_cert_chain(self._certificate, self._key)
        context.load_verify_locations(cadata=self._pem)
        context.set_alpn_protocols(self._protocols)
        context.sni_callback = self._on_hello
        return context

    def _on_hello(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, _context: ssl.SSLContext
    ) -> None:
        if name:
            setattr(connection, SERVER_NAME, name)
        if self._stale:
            self._stale = False
            try:
                self._follow(self._trust_pem())
            except (ssl.SSLError, OSError):
                _log.exception("the trust of the device listener could not be renewed; the old one stays")
        if self._current is not self.context:
            connection.context = self._current


def _certificates(pem: str) -> dict[str, None]:
    """Each certificate of a bundle, in order."""
    return dict.fromkeys(f"{each}{_END}" for each in pem.split(_END) if each.strip())
