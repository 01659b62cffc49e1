"""Whether this device reaches the service, step by step: name, port, TLS, MQTT; and whether it reaches a URL."""

import io
import queue
import socket
import ssl
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

import pycurl
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from outfitter_agent.hands.mqtt import Link, tls_context
from outfitter_agent.plans.findings import Finding, ok, wrong

TIMEOUT_SECONDS: Final = 10.0
SKEW_SECONDS_MAX: Final = 300
"""A clock that is further off may find certificates and pre-signed URLs invalid that are not."""
_BODY_BYTES_MAX: Final = 1024


def resolve(link: Link) -> Finding:
    """The addresses of the endpoint."""
    try:
        found = socket.getaddrinfo(link.host, link.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        return wrong("name", f"{link.host} has no address: {error}", "mend 'endpoint', or the name service")
    return ok("name", f"{link.host} is {', '.join(sorted({str(each[4][0]) for each in found}))}")


def handshake(link: Link) -> list[Finding]:
    """Open the port and, with tls, check the server's certificate; stops at what is wrong."""
    where = f"{link.host}:{link.port}"
    try:
        opened = socket.create_connection((link.host, link.port), TIMEOUT_SECONDS)
    except OSError as error:
        text = f"{where} cannot be reached: {error.strerror or error}"
        return [wrong("port", text, "does the server listen there, and do firewalls let it through?")]
    found = [ok("port", f"{where} is open")]
    if not link.tls:
        opened.close()
        return found
    with opened:
        try:
            with tls_context(link).wrap_socket(opened, server_hostname=link.host) as secured:
                found.append(ok("tls", f"the server's certificate is good; {secured.version()}"))
        except ssl.SSLCertVerificationError as error:
            found.append(_distrusted(link, error))
        except OSError as error:
            advice = "is it the port for MQTT over TLS, and nothing between that breaks TLS?"
            found.append(wrong("tls", f"no TLS with {where}: {error}", advice))
    return found


def mqtt(link: Link) -> Finding:
    """Connect as the agent would, and leave; the session stays. Not for a device whose agent runs: it would be put off."""
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client = Client(
        CallbackAPIVersion.VERSION2,
        client_id=link.client_id,
        clean_session=None if link.version_5 else False,
        protocol=MQTTProtocolVersion.MQTTv5 if link.version_5 else MQTTProtocolVersion.MQTTv311,
        reconnect_on_failure=False,
    )
    client.connect_timeout = TIMEOUT_SECONDS
    client.on_connect = lambda *given: answers.put(given[3])
    client.on_disconnect = lambda *_: answers.put(None)
    more: dict[str, Any] = {}
    if link.version_5:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = link.session_expiry_seconds
        more = {"clean_start": False, "properties": properties}
    try:
        if link.tls:
            client.tls_set_context(tls_context(link))
        client.connect(link.host, link.port, link.keep_alive_seconds, **more)
        client.loop_start()
        reason = answers.get(timeout=TIMEOUT_SECONDS)
    except queue.Empty:
        return wrong("mqtt", f"no answer within {TIMEOUT_SECONDS:.0f} s", "is it an MQTT gateway?")
    except (OSError, ValueError) as error:
        return wrong("mqtt", f"no connection: {error}", "see the lines above")
    finally:
        client.disconnect()
        client.loop_stop()
    if reason is None:
        advice = "is the certificate known to the server and active? has the thing a policy?"
        return wrong("mqtt", "the server ended the connection before accepting it", advice)
    if reason.is_failure:
        advice = f"the certificate's policies must allow iot:Connect as client {link.client_id}"
        return wrong("mqtt", f"the server refuses {link.client_id}: {reason}", advice)
    return ok("mqtt", f"the server accepts {link.client_id}")


def fetch(url: str, ca_file: Path | None, now: datetime, *, any_answer: bool = False) -> list[Finding]:
    """Ask for the first byte of a URL, as a download would, with what downloads trust.

    ``any_answer``: it is the store that is looked for, and nothing in it.
    """
    headers: list[bytes] = []
    curl = pycurl.Curl()
    try:
        curl.setopt(pycurl.URL, url)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.RANGE, "0-0")
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.TIMEOUT, int(TIMEOUT_SECONDS))
        body = io.BytesIO()
        curl.setopt(pycurl.WRITEFUNCTION, lambda part: _kept(body, part))
        curl.setopt(pycurl.HEADERFUNCTION, headers.append)
        if ca_file is not None:
            curl.setopt(pycurl.CAINFO, str(ca_file))
        curl.perform()
        status = curl.getinfo(pycurl.RESPONSE_CODE)
    except pycurl.error as error:
        if error.args[0] != pycurl.E_WRITE_ERROR:
            advice = "downloads from there fail: mend the network, or add the authority to 'system_ca'"
            return [wrong("store", f"the URL cannot be fetched: {error.args[1]}", advice)]
        status = curl.getinfo(pycurl.RESPONSE_CODE)
    finally:
        curl.close()
    if status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        told = ok("store", f"the URL can be fetched (HTTP {status})")
    elif any_answer:
        told = ok("store", f"{url}, the last job's, answers")
    else:
        advice = "has the URL expired, is the object there?"
        told = wrong("store", f"the host is reached, and answers HTTP {status}", advice)
    return [told, *_skew(headers, now)]


def _kept(body: io.BytesIO, part: bytes) -> int:
    """A server that knows no ranges sends everything; the first bytes are enough."""
    return body.write(part) if body.tell() <= _BODY_BYTES_MAX else 0


def _skew(headers: list[bytes], now: datetime) -> list[Finding]:
    for line in headers:
        name, _, value = line.decode("latin-1").partition(":")
        if name.lower() == "date":
            try:
                ahead = (now - parsedate_to_datetime(value.strip())).total_seconds()
            except (ValueError, TypeError):
                return []
            if abs(ahead) > SKEW_SECONDS_MAX:
                side = "ahead of" if ahead > 0 else "behind"
                text = f"this device's clock is {abs(ahead):.0f} s {side} the store's"
                return [wrong("clock", text, "set the clock; run an NTP client")]
            return [ok("clock", f"within {SKEW_SECONDS_MAX} s of the store's")]
    return []


def _distrusted(link: Link, error: ssl.SSLCertVerificationError) -> Finding:
    text = f"the server's certificate is not accepted: {error.verify_message}"
    advice = f"{link.ca} ('ca') must hold the authority of {link.host}'s certificate"
    if "expired" in error.verify_message or "not yet valid" in error.verify_message:
        advice = "is this device's clock right? if it is, the server needs a new certificate"
    elif "mismatch" in error.verify_message.lower():
        advice = "'endpoint' must be a name that the server's certificate has"
    return wrong("tls", text, advice)
