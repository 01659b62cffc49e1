"""What a statement of topic-rule SQL is made of."""

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Literal:
    """A number (int or Decimal), string, boolean or NULL."""

    value: Any


@dataclass(frozen=True, slots=True)
class Whole:
    """``*`` as an argument: the whole payload."""


@dataclass(frozen=True, slots=True)
class Field:
    """A member of the payload's top level."""

    name: str


@dataclass(frozen=True, slots=True)
class Member:
    """``owner.name``."""

    owner: "Expression"
    name: str


@dataclass(frozen=True, slots=True)
class Item:
    """``owner[index]``."""

    owner: "Expression"
    index: "Expression"


@dataclass(frozen=True, slots=True)
class Array:
    """``[a, b]``."""

    items: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Object:
    """``{'a': b}``."""

    members: tuple[tuple[str, "Expression"], ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """``-a``."""

    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Not:
    """``NOT a``."""

    operand: "Expression"


@dataclass(frozen=True, slots=True)
class Logic:
    """``a AND b AND c``, or the same with OR; flat, so that a long list nests nothing."""

    operator: str
    operands: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Operation:
    """Arithmetic, comparison or IN: two operands."""

    operator: str
    left: "Expression"
    right: "Expression"


@dataclass(frozen=True, slots=True)
class Call:
    """A function; ``name`` in lower case."""

    name: str
    arguments: tuple["Expression", ...]


@dataclass(frozen=True, slots=True)
class Cast:
    """``cast(operand AS kind)``; kind is ``string``, ``int``, ``decimal`` or ``boolean``."""

    operand: "Expression"
    kind: str


Expression = (
    Literal
    | Whole
    | Field
    | Member
    | Item
    | Array
    | Object
    | Negation
    | Not
    | Logic
    | Operation
    | Call
    | Cast
)


@dataclass(frozen=True, slots=True)
class Selected:
    """One item of a SELECT list, and where it goes in the outgoing object (``AS a.b`` makes two levels)."""

    expression: Expression
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A parsed statement.

    Attributes:
        everything: whether ``*`` is selected.
        selected: what else is, in order.
        value: the expression of SELECT VALUE, None without.
        topic_filter: of FROM, None without one (basic ingest only).
        filter_position: where it stands in the text, counted from 1.
        condition: of WHERE, None without.
    """

    everything: bool
    selected: tuple[Selected, ...]
    value: Expression | None = None
    topic_filter: str | None = None
    filter_position: int = 0
    condition: Expression | None = None


CAST_KINDS: Final = {
    "string": "string",
    "nvarchar": "string",
    "text": "string",
    "ntext": "string",
    "varchar": "string",
    "int": "int",
    "integer": "int",
    "double": "decimal",
    "decimal": "decimal",
    "bool": "boolean",
    "boolean": "boolean",
}

# Functions and how many arguments each takes; cast has a syntax of its own.
ARGUMENTS: Final[dict[str, tuple[int, int]]] = {
    "abs": (1, 1),
    "ceil": (1, 1),
    "clientid": (0, 0),
    "concat": (1, 100),
    "encode": (2, 2),
    "endswith": (2, 2),
    "floor": (1, 1),
    "get": (2, 2),
    "indexof": (2, 2),
    "isnull": (1, 1),
    "isundefined": (1, 1),
    "length": (1, 1),
    "lower": (1, 1),
    "ltrim": (1, 1),
    "mod": (2, 2),
    "replace": (3, 3),
    "round": (1, 1),
    "rtrim": (1, 1),
    "startswith": (2, 2),
    "substring": (2, 3),
    "timestamp": (0, 0),
    "topic": (0, 1),
    "trim": (1, 1),
    "upper": (1, 1),
}
