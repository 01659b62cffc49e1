"""What ``outfitterd serve`` is told, checked before anything is opened."""

import difflib
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from outfitter_server.base.throttle import AWS_RATES, PER_SECOND_MAX

PORT_MAX: Final = 65_535
WORKERS_MAX: Final = 500
MEMORY_MB_MIN: Final = 128
MEMORY_MB_MAX: Final = 10_240
_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)


class WrongUsage(Exception):  # noqa: N818 - the caller's, not the program's
    """The command line cannot be followed; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener listens; port 0 picks a free one."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def text(self, port: int) -> str:
        """``host:port`` with the port that was bound."""
        return f"[{self.host}]:{port}" if ":" in self.host else f"{self.host}:{port}"


def parse_address(text: str) -> Address | None:
    """``HOST:PORT``, ``[V6]:PORT``, ``:PORT`` on loopback, or ``off`` for None.

    Raises:
        WrongUsage: anything else.
    """
    if text == "off":
        return None
    host, separator, port = text.rpartition(":")
    if not separator or not re.fullmatch("[0-9]{1,5}", port) or int(port) > PORT_MAX:
        raise WrongUsage(f"{text!r} is no address: write HOST:PORT, such as 127.0.0.1:4566, or off")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    return Address(host, int(port))


def parse_name(text: str) -> str:
    """A host name or IP address by which devices reach this server.

    Raises:
        WrongUsage: neither.
    """
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        if _HOST_NAME.fullmatch(text):
            return text.lower()
    raise WrongUsage(f"--advertise {text!r} is no host name or IP address (no scheme, no port)")


def parse_rates(table: str, given: Sequence[str]) -> dict[str, float]:
    """Rates by name: of ``table`` (``aws`` or ``off``), changed by each NAME=PER_SECOND or NAME=off.

    Raises:
        WrongUsage: a name that has no rate, or no rate.
    """
    rates = dict(AWS_RATES) if table == "aws" else {}
    for text in given:
        name, separator, value = text.partition("=")
        if not separator:
            raise WrongUsage(f"--rate {text!r}: write NAME=PER_SECOND, such as CreateJob=10, or NAME=off")
        if name not in AWS_RATES:
            near = difflib.get_close_matches(name, AWS_RATES, 1)
            hint = f"did you mean {near[0]}?" if near else "docs/reference/limits.md lists the names"
            raise WrongUsage(f"--rate {text}: {name!r} has no rate; {hint}")
        if value == "off":
            rates.pop(name, None)
        else:
            rates[name] = _per_second(text, value)
    return rates


def _per_second(text: str, value: str) -> float:
    if not re.fullmatch(r"[0-9]{1,7}(\.[0-9]{1,3})?", value) or not 0 < float(value) <= PER_SECOND_MAX:
        raise WrongUsage(
            f"--rate {text}: give a number a second above 0, at most {PER_SECOND_MAX:.0f}, or off"
        )
    return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionLimits:
    """What functions may take of this machine.

    Attributes:
        workers_max: functions that run at once, and stay warm.
        memory_mb_max: the largest MemorySize that is accepted.
        unconfined: run functions even where nothing keeps them from the server's own files.
    """

    workers_max: int = 10
    memory_mb_max: int = 3_008
    unconfined: bool = False

    def check(self) -> None:
        """Refuse what the pool cannot be.

        Raises:
            WrongUsage: with what to do instead.
        """
        if not 1 <= self.workers_max <= WORKERS_MAX:
            raise WrongUsage(f"--function-workers {self.workers_max}: give a number from 1 to {WORKERS_MAX}")
        if not MEMORY_MB_MIN <= self.memory_mb_max <= MEMORY_MB_MAX:
            raise WrongUsage(
                f"--function-memory {self.memory_mb_max}: give megabytes from {MEMORY_MB_MIN} to {MEMORY_MB_MAX}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeSettings:
    """Everything that ``serve`` needs.

    Attributes:
        data: the data folder, made when missing.
        http, https, mqtt, mqtts: listeners, None for off.
        advertise: names by which devices reach this server, best first.
        insecure: allow plain listeners off loopback.
        functions: what functions may take of this machine.
        console_bucket: the one bucket whose pages may run scripts; None: what `outfitter deploy` names by itself.
        rates: how often a second something may be asked, by the names of base/throttle.py; what has none is not limited.
    """

    data: Path
    http: Address | None
    https: Address | None
    mqtt: Address | None
    mqtts: Address | None
    advertise: tuple[str, ...]
    account: str
    region: str
    insecure: bool
    functions: FunctionLimits = FunctionLimits()
    console_bucket: str | None = None
    rates: Mapping[str, float] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what would be unsafe or useless.

        Raises:
            WrongUsage: with what to do instead.
        """
        self.functions.check()
        for option, address in (("--http", self.http), ("--mqtt", self.mqtt)):
            if address is not None and not address.loopback and not self.insecure:
                raise WrongUsage(
                    f"{option} {address.host}: plain text off loopback shows credentials and images to the network; "
                    f"use {option}s, or add --insecure if the network is trusted"
                )
        if self.http is None and self.https is None:
            raise WrongUsage("both --http and --https are off: nothing could manage this server; turn one on")
        if not re.fullmatch(r"[0-9]{12}", self.account):
            raise WrongUsage(f"--account {self.account!r}: an account is twelve digits")
        if not re.fullmatch(r"[a-z]{2}(-[a-z0-9]+)+", self.region):
            raise WrongUsage(f"--region {self.region!r}: a region looks like us-east-1")
