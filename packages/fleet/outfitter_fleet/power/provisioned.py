"""The scene of a device that gets its identity with a claim."""

import json
import tomllib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final
from unittest.mock import patch

from outfitter_agent.hands import claim as claim_hand
from outfitter_agent.main.provisioning import Claim, become
from paho.mqtt.client import MQTTMessage
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.reasoncodes import ReasonCode

from outfitter_fleet.power.disk import Disk
from outfitter_fleet.power.lives import World
from outfitter_fleet.power.service import THING, Service

ISSUED: Final = "certificate issued"
REGISTERED: Final = "registered"


class Client:
    """Takes the place of paho's client: the service makes a certificate, and registers it by the template."""

    world: World
    step: Callable[[str], None]

    def __init__(self, *_arguments: object, **_settings: object) -> None:
        """Nothing is connected."""
        self.on_connect: Callable[..., None]
        self.on_subscribe: Callable[..., None]
        self.on_message: Callable[..., None]

    def __getattr__(self, _name: str) -> Callable[..., None]:
        """All else does nothing."""
        return lambda *_arguments, **_settings: None

    def connect(self, *_address: object) -> None:
        """It is accepted."""
        self.step("before connect with the claim")
        self.step("after connect with the claim")

    def loop_start(self) -> None:
        """What the broker says."""
        self.on_connect(self, None, None, ReasonCode(PacketTypes.CONNACK), None)

    def subscribe(self, filters: Sequence[Any]) -> None:
        """Granted."""
        self.on_subscribe(self, None, 1, [ReasonCode(PacketTypes.SUBACK, "Granted QoS 1") for _ in filters])

    def publish(self, topic: str, payload: bytes, qos: int) -> None:  # noqa: ARG002 - as paho has it
        """Before the step the request has not left, after it the answer has not come."""
        label = f"publish {topic}"
        self.step(f"before {label}")
        answer = self._answer(topic, json.loads(payload))
        self.step(f"after {label}")
        message = MQTTMessage(topic=f"{topic}/accepted".encode())
        message.payload = json.dumps(answer).encode()
        self.on_message(self, None, message)

    def _answer(self, topic: str, asked: dict[str, Any]) -> dict[str, str]:
        acts = self.world.acts
        if topic == claim_hand.CREATE:
            acts.append(ISSUED)
            number = acts.count(ISSUED)
            return {
                "certificatePem": f"certificate {number}",
                "privateKey": f"key {number}",
                "certificateOwnershipToken": str(number),
            }
        acts.append(REGISTERED)
        self.world.service.ends.append(asked["certificateOwnershipToken"])
        return {"thingName": THING}


def live(disk: Disk, world: World, step: Callable[[str], None]) -> int:
    """The command, run once."""
    Client.world, Client.step = world, staticmethod(step)
    wanted = Claim(
        folder=disk.root / "claim",
        endpoint="device.example",
        template="line",
        device_type="p1",
        parameters={},
    )
    with ExitStack() as stack:
        stack.enter_context(patch.object(claim_hand, "Client", Client))
        stack.enter_context(patch.object(claim_hand, "tls_context", lambda _link: None))
        stack.enter_context(disk.watched(step))
        become(wanted, disk.root / "etc" / "outfitter")
    return 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioning:
    """From a claim to the settings."""

    title: str = "provisioning with a claim"
    right: str = "the files of one identity, whole, of a certificate that was registered; the settings last"

    def begin(self, disk: Disk) -> World:
        """The claim lies there."""
        folder = disk.root / "claim"
        folder.mkdir()
        for name in ("certificate.pem", "private.key", "ca.pem"):
            (folder / name).write_text(name)
        disk.settle()
        return World(service=Service())

    def live(self, disk: Disk, world: World, step: Callable[[str], None]) -> int:
        """The command, run once."""
        return live(disk, world, step)

    def wrong(self, disk: Disk, world: World) -> list[str]:
        """The identity is one that was registered, whole, and no other file is beside it."""
        folder = disk.root / "etc" / "outfitter"
        settings = tomllib.loads((folder / "agent.toml").read_text())
        certificate = (folder / settings["certificate"]).read_text()
        key = (folder / settings["private_key"]).read_text()
        number = certificate.removeprefix("certificate ")
        facts = {
            "the key is another one's": key == f"key {number}",
            "the certificate was never registered": number in world.service.ends,
            "the authority is another": (folder / settings["ca"]).read_text() == "ca.pem",
            "the key may be read by others": (folder / settings["private_key"]).stat().st_mode & 0o077 == 0,
            "the name is another": settings["thing_name"] == THING,
        }
        return [what for what, fine in facts.items() if not fine]
