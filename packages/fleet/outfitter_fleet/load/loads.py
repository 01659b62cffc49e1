"""What the connections of a load do: report progress, end executions, speak for many things, or just echo."""

import secrets
from collections.abc import Sequence
from typing import Final

import msgspec
from outfitter_contract import topics

from outfitter_fleet.load.echo import REQUESTS
from outfitter_fleet.load.plan import Client, Exchange, Spread
from outfitter_fleet.load.provision import Device

_EXCHANGES: Final = 16


def updating(device: Device, job: str) -> Client:
    """Reports progress of one job again and again; listens to its notifications, as agents do."""
    topic = _update_topic(device.name, job)
    return Client(
        client_id=device.name,
        certificate=str(device.certificate),
        key=str(device.key),
        topic=topic,
        answer=f"{topic}/accepted",
        listens=_notices(device.name),
        aside=_notices(device.name),
        exchanges=tuple(_progress(number) for number in range(_EXCHANGES)),
    )


def finishing(device: Device, jobs: Sequence[str]) -> Client:
    """Ends one execution after the other; each makes a ``notify`` and a ``notify-next`` with the next document."""
    exchanges = []
    for job in jobs:
        topic, token = _update_topic(device.name, job), secrets.token_hex(8)
        payload = msgspec.json.encode({"status": "SUCCEEDED", "clientToken": token}).decode()
        exchanges.append(
            Exchange(payload=payload, expected=f'"{token}"', topic=topic, answer=f"{topic}/accepted")
        )
    return msgspec.structs.replace(updating(device, ""), exchanges=tuple(exchanges), once=True)


def spreading(device: Device, job: str, spread: Spread) -> Client:
    """Reports progress for many things in turn, as a gateway before them would."""
    topic = _update_topic("{thing}", job)
    return msgspec.structs.replace(
        updating(device, job), topic=topic, answer=f"{topic}/accepted", spread=spread
    )


def echoing(device: Device) -> Client:
    """Publishes to a topic that it listens to itself: the same bytes, no job service."""
    topic = f"bench/{device.name}"
    payloads = [_progress(number).payload for number in range(_EXCHANGES)]
    return Client(
        client_id=device.name,
        certificate=str(device.certificate),
        key=str(device.key),
        topic=topic,
        answer=topic,
        listens=(topic,),
        exchanges=tuple(Exchange(payload=payload, expected=payload) for payload in payloads),
    )


def asking(device: Device, job: str = "") -> Client:
    """Asks for its jobs again and again, or for one of them, which is read out of the store each time."""
    topic = f"$aws/things/{device.name}/jobs/{job and f'{job}/'}get"
    return msgspec.structs.replace(
        updating(device, ""),
        topic=topic,
        answer=f"{topic}/accepted",
        listens=(),
        aside=(),
        exchanges=tuple(_question() for _ in range(_EXCHANGES)),
    )


def asking_an_echo(device: Device, *, subscribed: bool) -> Client:
    """The same where somebody echoes instead of a job service; at a broker, one must subscribe to the answers."""
    topic = REQUESTS.format(device.name)
    answer = f"{topic}/accepted"
    return msgspec.structs.replace(asking(device), topic=topic, answer=answer, listens=(answer,) * subscribed)


def _question() -> Exchange:
    token = secrets.token_hex(8)
    return Exchange(payload=f'{{"clientToken":"{token}"}}', expected=f'"{token}"')


def _update_topic(thing: str, job: str) -> str:
    return f"$aws/things/{thing}/jobs/{job}/update"


def _notices(thing: str) -> tuple[str, str]:
    return topics.notify(thing), topics.notify_next(thing)


def _progress(number: int) -> Exchange:
    token = secrets.token_hex(8)
    details = {"step": "download", "progress": str(number * 100 // _EXCHANGES), "sha256": token * 4}
    request = {"status": "IN_PROGRESS", "statusDetails": details, "clientToken": token}
    return Exchange(payload=msgspec.json.encode(request).decode(), expected=f'"{token}"')
