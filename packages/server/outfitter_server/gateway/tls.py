"""TLS for devices: certificates are demanded, and the trust store follows the registry.

Python's TLS has no verify callback. The store therefore holds the installation's CA, the registered CAs and each foreign
certificate that was registered alone (``VERIFY_X509_PARTIAL_CHAIN`` lets a leaf be its own anchor); which certificate may
connect is decided afterwards, by its fingerprint in the registry.

There is one store for all listeners, and where it is to hold many, most of it is loaded beside the loop: OpenSSL takes a
millisecond or two for each, and sorts what it has every time.
"""

import asyncio
import logging
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from outfitter_server.gateway.handshakes import Tls
from outfitter_server.services.effects import Effect, TrustChanged

SERVER_NAME: Final = (
    "outfitter_server_name"  # the attribute of the TLS object that keeps what the client asked for
)
# Of all listeners: a handshake is moved to the context that has the trust, and asks it.
PROTOCOLS: Final = ("x-amzn-mqtt-ca", "mqtt", "http/1.1")
# OpenSSL's X509_V_FLAG_PARTIAL_CHAIN; typeshed and Python 3.11 know it by this name.
_PARTIAL_CHAIN: Final = ssl.VERIFY_X509_PARTIAL_CHAIN

AT_ONCE_MAX: Final = 50  # certificates that are loaded while the loop waits
SLICE: Final = 100  # certificates that are loaded beside it, and that a stop may have to wait for
_END: Final = "-----END CERTIFICATE-----\n"

_log = logging.getLogger(__name__)


class DeviceTls:
    """The trust of the TLS listeners, renewed when the registry's changes. Use it on the event loop's thread."""

    def __init__(self, trust_pem: Callable[[], str], certificate: Path, key: Path) -> None:
        """``trust_pem`` gives the certificates, CAs first; ``certificate`` and ``key`` are the server's PEM files."""
        self._trust_pem = trust_pem
        self._certificate = certificate
        self._key = key
        self._pem = trust_pem()
        self._shown = certificate.read_bytes()
        self._stale = False
        self._beside: deque[str] = deque()  # what is still to be loaded into the next context
        self._loading: asyncio.Task[None] | None = None
        self._current = self._next = self._context()
        self._build()
        self._current = self._next

    def listener(self, clients: ssl.VerifyMode = ssl.CERT_REQUIRED) -> ssl.SSLContext:
        """What a listener is started with, which demands certificates or only asks for them.

        Each of its handshakes goes on with the context that has the trust.
        """
        context = self._context()
        context.verify_mode = clients
        context.sni_callback = self._on_hello
        return context

    def hear(self, effects: Sequence[Effect]) -> None:
        """Look at the trust again, at the next handshake, after a change of the registry. For ``committer.listen``."""
        self._stale = self._stale or any(isinstance(effect, TrustChanged) for effect in effects)

    def renew(self) -> None:
        """Read trust and server certificate anew for the handshakes to come, when one of them is another."""
        pem, shown = self._trust_pem(), self._certificate.read_bytes()
        if (pem, shown) != (self._pem, self._shown):
            self._pem, self._shown = pem, shown
            self._build()

    def close(self) -> None:
        """Load nothing more."""
        self._beside.clear()

    def _follow(self, pem: str) -> None:
        """Trust what the registry has now; what is new is added, for thousands take seconds to be loaded.

        What is gone stays trusted, where there are many, until the server certificate is renewed: it is no identity any more, so its
        handshake is in vain, and the connection refused.
        """
        known, found = _certificates(self._pem), _certificates(pem)
        new = [each for each in found if each not in known]
        if len(found) <= AT_ONCE_MAX and not known.keys() <= found.keys():
            self.renew()
        elif len(new) > AT_ONCE_MAX:
            self._load_beside(new)
        elif new:
            for context in {self._current, self._next}:
                context.load_verify_locations(cadata="".join(new))
        self._pem = pem

    def _context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sslobject_class = Tls
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        # A ticket costs as much as the signatures that it saves once, and few devices keep one over a power cut.
        context.num_tickets = 0
        context.verify_flags |= _PARTIAL_CHAIN
        context.load_cert_chain(self._certificate, self._key)
        context.set_alpn_protocols(PROTOCOLS)
        return context

    def _build(self) -> None:
        """Make another context, for use when it has everything."""
        certificates = list(_certificates(self._pem))
        self._next = self._context()
        self._next.load_verify_locations(cadata="".join(certificates[:AT_ONCE_MAX]))
        self._beside.clear()
        if certificates[AT_ONCE_MAX:]:
            self._load_beside(certificates[AT_ONCE_MAX:])
        else:
            self._current = self._next

    def _load_beside(self, certificates: Sequence[str]) -> None:
        self._beside.extend(certificates)
        if self._loading is None or self._loading.done():
            self._loading = asyncio.get_running_loop().create_task(self._load_all())

    async def _load_all(self) -> None:
        while self._beside:
            some = [self._beside.popleft() for _ in range(min(SLICE, len(self._beside)))]
            try:
                await asyncio.to_thread(_load, self._next, "".join(some))
            except (ssl.SSLError, OSError):
                _log.exception("certificates of devices could not be loaded; those devices cannot connect")
        self._current = self._next

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
        connection.context = self._current


def _load(context: ssl.SSLContext, pem: str) -> None:
    """From a file: what is loaded from memory keeps the interpreter's lock all the time."""
    with NamedTemporaryFile("w", encoding="ascii", suffix=".pem") as file:
        file.write(pem)
        file.flush()
        context.load_verify_locations(cafile=file.name)


def _certificates(pem: str) -> dict[str, None]:
    """Each certificate of a bundle, in order."""
    return dict.fromkeys(f"{each}{_END}" for each in pem.split(_END) if each.strip())
