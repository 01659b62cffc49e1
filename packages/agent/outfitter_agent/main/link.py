"""How the settings say that the service is reached."""

from outfitter_agent.hands.mqtt import Link
from outfitter_agent.main.settings import Settings


def link_of(settings: Settings) -> Link:
    """What the connection is made with."""
    return Link(
        host=settings.endpoint,
        port=settings.port,
        client_id=settings.thing_name,
        tls=settings.tls,
        ca=settings.ca,
        certificate=settings.certificate,
        private_key=settings.private_key,
        version_5=settings.mqtt_version == "5",
        keep_alive_seconds=settings.keep_alive_seconds,
        session_expiry_seconds=settings.session_expiry_seconds,
        reconnect_max_seconds=settings.reconnect_max_seconds,
    )
