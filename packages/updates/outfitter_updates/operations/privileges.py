"""Which statements of a device's policies speak of an action, and why they do or do not apply.

The verdict is the service's own (TestAuthorization); this explains it, from the documents that decide.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

ACTIONS: Final[Mapping[str, tuple[str, str, str]]] = {
    # the command's word: AWS's for TestAuthorization, the policy's, the kind in the resource's ARN
    "connect": ("CONNECT", "iot:Connect", "client"),
    "publish": ("PUBLISH", "iot:Publish", "topic"),
    "subscribe": ("SUBSCRIBE", "iot:Subscribe", "topicfilter"),
    "receive": ("RECEIVE", "iot:Receive", "topic"),
}
_VARIABLE: Final = re.compile(r"\$\{([^}]*)\}")
_PLAIN: Final = ("*", "?", "$")


class Why(StrEnum):
    """What a statement that names the action does with the resource."""

    APPLIES = "applies"
    OTHER_RESOURCE = "is for other resources"
    MISSING_VARIABLE = "needs a variable that the connection does not have"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One statement that names the action.

    Attributes:
        number: its place in the document, from 1.
        resources: its patterns; the one that matched first, when one did.
        conditional: it applies only when its conditions hold as well, which is the service's to judge.
    """

    policy: str
    number: int
    sid: str
    effect: str
    why: Why
    resources: tuple[str, ...]
    missing: tuple[str, ...]
    conditional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The service's answer for one certificate, and what its statements say."""

    certificate: str
    status: str
    decision: str
    resource: str
    said: tuple[Said, ...]

    @property
    def allowed(self) -> bool:
        """Whether it may, as far as policies and the certificate go."""
        return self.decision == "ALLOWED" and self.status == "ACTIVE"


def explain(
    policies: Mapping[str, str], action: str, resource: str, variables: Mapping[str, str]
) -> tuple[Said, ...]:
    """Every statement on the action, those that apply first; ``policies`` are documents by name."""
    found = [
        _said(name, number, statement, resource, variables)
        for name, document in sorted(policies.items())
        for number, statement in enumerate(_statements(document), start=1)
        if any(_matches(pattern.lower(), action.lower(), {}) for pattern in _texts(statement.get("Action")))
    ]
    return tuple(sorted(found, key=lambda said: (said.why is not Why.APPLIES, said.effect != "Deny")))


def variables_of(
    device: str, client_id: str, device_type: str | None, attributes: Mapping[str, str]
) -> dict[str, str]:
    """The policy variables that are known from outside; a thing's are there only when the client id is its name."""
    known = {"iot:ClientId": client_id}
    known["iot:Connection.Thing.IsAttached"] = "true" if client_id == device else "false"
    if client_id == device:
        known["iot:Connection.Thing.ThingName"] = device
        if device_type is not None:
            known["iot:Connection.Thing.ThingTypeName"] = device_type
        for name, value in attributes.items():
            known[f"iot:Connection.Thing.Attributes[{name}]"] = value
    return known


def _said(
    policy: str, number: int, statement: Mapping[str, Any], resource: str, variables: Mapping[str, str]
) -> Said:
    patterns = tuple(_texts(statement.get("Resource")))
    hits = tuple(pattern for pattern in patterns if _matches(pattern, resource, variables))
    used = {name for pattern in patterns for name in _VARIABLE.findall(pattern) if name not in _PLAIN}
    missing = tuple(sorted(used.difference(variables)))
    why = Why.APPLIES if hits else Why.MISSING_VARIABLE if missing else Why.OTHER_RESOURCE
    return Said(
        policy=policy,
        number=number,
        sid=str(statement.get("Sid", "")),
        effect=str(statement.get("Effect", "")),
        why=why,
        resources=hits or patterns,
        missing=() if hits else missing,
        conditional=bool(statement.get("Condition")),
    )


def _statements(document: str) -> Sequence[Mapping[str, Any]]:
    found = json.loads(document).get("Statement", [])
    return found if isinstance(found, list) else [found]


def _texts(value: Any) -> Iterator[str]:
    yield from value if isinstance(value, list) else [] if value is None else [value]


def _matches(pattern: str, text: str, variables: Mapping[str, str]) -> bool:
    """Whether the whole text fits; values of variables are plain characters, one that is not there fits nothing."""
    parts: list[str] = []
    rest = 0
    for found in _VARIABLE.finditer(pattern):
        value = found[1] if found[1] in _PLAIN else variables.get(found[1])
        if value is None:
            return False
        parts += [*_wild(pattern[rest : found.start()]), *value]
        rest = found.end()
    parts += _wild(pattern[rest:])
    reached = {0}
    for part in parts:
        if part == "\0*":
            reached = set(range(min(reached), len(text) + 1)) if reached else set()
        else:
            reached = {at + 1 for at in reached if at < len(text) and part in ("\0?", text[at])}
        if not reached:
            return False
    return len(text) in reached


def _wild(text: str) -> list[str]:
    return [f"\0{mark}" if mark in "*?" else mark for mark in text]
