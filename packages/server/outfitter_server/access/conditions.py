"""Conditions of policies: IAM's operators on the values that a connection has, which are single ones.

Text: ``StringEquals`` to the letter, ``StringEqualsIgnoreCase``, ``StringLike`` with ``*`` and ``?``. ``ArnEquals`` and
``ArnLike`` are the same: the six parts of an ARN are compared each by itself, with wildcards. ``Numeric...``, ``Bool``,
``IpAddress`` (an address or a network) and ``Null`` take no variables. A ``Not`` in the name holds when none of the values matches.

A value that the connection does not have fails the test, but for negated ones and ``...IfExists``, as in IAM. ``ForAnyValue:``
fails without it, negated or not, and ``ForAllValues:`` holds. Keys are told apart without regard to case.
Source: IAM user guide, "IAM JSON policy elements: Condition operators" and "multivalued context keys".
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from operator import eq, ge, gt, le, lt
from typing import Any, Final, Protocol

from outfitter_server.access.globs import Glob, Template
from outfitter_server.base.refusals import MalformedPolicy

SOURCE_IP: Final = "aws:SourceIp"
_WILD: Final = re.compile(r"(\$\{[^}]*\})|[*?]")
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_ARN_PIECE: Final = re.compile(r"\$\{[^}]*\}|:|[^:$]+|\$")
_ARN_PARTS: Final = 6
_IF_EXISTS: Final = "IfExists"
_ANY: Final = "ForAnyValue:"
_ALL: Final = "ForAllValues:"


class Expected(Protocol):
    """One of the values that a condition names."""

    def matches(self, value: str, variables: Mapping[str, str]) -> bool:
        """Whether the connection's value is it."""

    def variables(self) -> list[str]:
        """The policy variables in it."""


@dataclass(frozen=True, slots=True)
class _Text:
    pattern: Template
    any_case: bool = False

    def matches(self, value: str, variables: Mapping[str, str]) -> bool:
        glob = self.pattern.bind(variables)
        if glob is None:
            return False
        if self.any_case:
            return Glob(tuple(run.lower() for run in glob.runs)).matches(value.lower())
        return glob.matches(value)

    def variables(self) -> list[str]:
        return self.pattern.variables()


@dataclass(frozen=True, slots=True)
class _Arn:
    parts: tuple[_Text, ...]

    def matches(self, value: str, variables: Mapping[str, str]) -> bool:
        found = value.split(":", _ARN_PARTS - 1)
        return len(found) == len(self.parts) and all(
            part.matches(each, variables) for part, each in zip(self.parts, found, strict=True)
        )

    def variables(self) -> list[str]:
        return [name for part in self.parts for name in part.variables()]


@dataclass(frozen=True, slots=True)
class _Number:
    compare: Callable[[Decimal, Decimal], bool]
    number: Decimal

    def matches(self, value: str, variables: Mapping[str, str]) -> bool:  # noqa: ARG002 - it holds none
        return _NUMBER.fullmatch(value) is not None and self.compare(Decimal(value), self.number)

    def variables(self) -> list[str]:
        return []


@dataclass(frozen=True, slots=True)
class _Network:
    network: IPv4Network | IPv6Network

    def matches(self, value: str, variables: Mapping[str, str]) -> bool:  # noqa: ARG002 - it holds none
        try:
            address = ip_address(value)
        except ValueError:
            return False
        return address in self.network

    def variables(self) -> list[str]:
        return []


@dataclass(frozen=True, slots=True)
class Condition:
    """One test: the value of a variable against what is expected.

    Attributes:
        negated: it holds when nothing of what is expected matches.
        absent: what it says of a connection that does not have the value.
    """

    key: str
    expected: tuple[Expected, ...]
    negated: bool
    absent: bool

    def holds(self, variables: Mapping[str, str]) -> bool:
        """Whether the connection passes."""
        value = value_of(self.key, variables)
        if value is None:
            return self.absent
        return any(each.matches(value, variables) for each in self.expected) is not self.negated


def value_of(key: str, variables: Mapping[str, str]) -> str | None:
    """The value of a condition key, whose letters may be of either case."""
    value = variables.get(key)
    if value is None:
        wanted = key.lower()
        value = next((each for name, each in variables.items() if name.lower() == wanted), None)
    return value


def source_variables(host: str | None) -> dict[str, str]:
    """The variable of where a connection comes from; none for what has no address."""
    try:
        address = ip_address((host or "").partition("%")[0])
    except ValueError:
        return {}
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return {SOURCE_IP: str(mapped or address)}


def parse_conditions(block: Any, *, with_variables: bool) -> Iterable[Condition]:
    """Compile the Condition of a statement.

    Raises:
        MalformedPolicy: it is none, or has an operator that is not known here or a value that its operator does not take.
    """
    if not isinstance(block, dict):
        raise MalformedPolicy("Condition must be a JSON object")
    for operator, tests in block.items():
        if not isinstance(tests, dict):
            raise MalformedPolicy(f"{operator} must be a JSON object of keys and values")
        for key in tests:
            yield _condition(operator, key, tests, with_variables=with_variables)


def _condition(operator: str, key: str, tests: Mapping[str, Any], *, with_variables: bool) -> Condition:
    if operator == "Null":
        absent = [text.lower() for text in texts(tests, key, plain=True)]
        if absent not in (["true"], ["false"]):
            raise MalformedPolicy(f"Null asks whether {key} is missing: true or false")
        return Condition(key, (), negated=absent == ["false"], absent=absent == ["true"])
    all_values, any_value = operator.startswith(_ALL), operator.startswith(_ANY)
    name = operator.removeprefix(_ALL if all_values else _ANY)
    if_exists = name.endswith(_IF_EXISTS)
    name = name.removesuffix(_IF_EXISTS)
    if name not in _OPERATORS:
        raise MalformedPolicy(
            f"condition operator {operator} is not supported here; use Null or one of {', '.join(sorted(_OPERATORS))},"
            f" with {_IF_EXISTS} after it, {_ANY} or {_ALL} before it"
        )
    parse, plain = _OPERATORS[name]
    negated = "Not" in name
    return Condition(
        key,
        tuple(parse(text, with_variables) for text in texts(tests, key, plain=plain)),
        negated=negated,
        absent=if_exists or all_values or (negated and not any_value),
    )


def _equals(text: str, with_variables: bool) -> Expected:
    return _Text(template(_WILD.sub(_plain, text), with_variables=with_variables))


def _equals_in_any_case(text: str, with_variables: bool) -> Expected:
    return _Text(template(_WILD.sub(_plain, text), with_variables=with_variables), any_case=True)


def _like(text: str, with_variables: bool) -> Expected:
    return _Text(template(text, with_variables=with_variables))


def _arn(text: str, with_variables: bool) -> Expected:
    parts = [""]
    for piece in _ARN_PIECE.findall(text):
        if piece == ":" and len(parts) < _ARN_PARTS:
            parts.append("")
        else:
            parts[-1] += piece
    if len(parts) < _ARN_PARTS:
        raise MalformedPolicy(f"{text!r} is no ARN: expected six parts with colons between them")
    return _Arn(tuple(_Text(template(part, with_variables=with_variables)) for part in parts))


def _network(text: str, with_variables: bool) -> Expected:  # noqa: ARG001 - it takes none
    try:
        return _Network(ip_network(text, strict=False))
    except ValueError as error:
        raise MalformedPolicy(f"{text!r} is no IP address or network: {error}") from error


def _number(compare: Callable[[Decimal, Decimal], bool]) -> Callable[[str, bool], Expected]:
    def parse(text: str, with_variables: bool) -> Expected:  # noqa: ARG001 - it takes none
        if not _NUMBER.fullmatch(text):
            raise MalformedPolicy(f"{text!r} is no number")
        return _Number(compare, Decimal(text))

    return parse


# How the values of each operator are read, and whether they may be JSON's numbers and booleans.
_OPERATORS: Final[Mapping[str, tuple[Callable[[str, bool], Expected], bool]]] = {
    "StringEquals": (_equals, False),
    "StringNotEquals": (_equals, False),
    "StringEqualsIgnoreCase": (_equals_in_any_case, False),
    "StringNotEqualsIgnoreCase": (_equals_in_any_case, False),
    "StringLike": (_like, False),
    "StringNotLike": (_like, False),
    "ArnEquals": (_arn, False),
    "ArnNotEquals": (_arn, False),
    "ArnLike": (_arn, False),
    "ArnNotLike": (_arn, False),
    "NumericEquals": (_number(eq), True),
    "NumericNotEquals": (_number(eq), True),
    "NumericLessThan": (_number(lt), True),
    "NumericLessThanEquals": (_number(le), True),
    "NumericGreaterThan": (_number(gt), True),
    "NumericGreaterThanEquals": (_number(ge), True),
    "Bool": (_equals_in_any_case, True),
    "IpAddress": (_network, False),
    "NotIpAddress": (_network, False),
}


def _plain(found: re.Match[str]) -> str:
    """A wildcard as the plain character that it is in StringEquals; variables stay."""
    return found.group() if found.group(1) else f"${{{found.group()}}}"


def template(text: str, *, with_variables: bool) -> Template:
    """A pattern of a policy.

    Raises:
        MalformedPolicy: it is none.
    """
    try:
        return Template.parse(text, with_variables=with_variables)
    except ValueError as error:
        raise MalformedPolicy(f"{text!r}: {error}") from error


def texts(holder: Mapping[str, Any], member: str, *, plain: bool = False) -> list[str]:
    """A text or a list of them; ``plain`` takes JSON's numbers and booleans, too.

    Raises:
        MalformedPolicy: it is neither, or has nothing in it.
    """
    value = holder.get(member)
    found: list[str] = []
    for each in value if isinstance(value, list) else [value]:
        text = str(each).lower() if plain and isinstance(each, bool | int | float) else each
        if not isinstance(text, str) or not text:
            raise MalformedPolicy(f"{member} must be a non-empty string or a list of them")
        found.append(text)
    if not found:
        raise MalformedPolicy(f"{member} must not be an empty list")
    return found
