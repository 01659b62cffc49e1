"""Topic rules and their actions as values."""

from dataclasses import dataclass
from typing import Final

import msgspec

SQL_VERSION: Final = "2016-03-23"


class LambdaAction(msgspec.Struct, frozen=True, kw_only=True, tag="lambda"):
    """Queue an invocation of a function; ``function`` is the name in ``arn``."""

    arn: str
    function: str


class RepublishAction(msgspec.Struct, frozen=True, kw_only=True, tag="republish"):
    """Publish to another topic; ``topic`` is a substitution template."""

    role_arn: str
    topic: str
    qos: int = 0


Action = LambdaAction | RepublishAction


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDefinition:
    """What a caller asks for.

    Attributes:
        error_action: gets a document about actions that failed; None without one.
        disabled: the rule exists and does nothing.
    """

    sql: str
    description: str | None = None
    actions: tuple[Action, ...] = ()
    error_action: Action | None = None
    disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicRule:
    """A stored rule.

    Attributes:
        topic_filter: of its FROM, "" without one.
        created_at: milliseconds since the epoch.
    """

    name: str
    definition: RuleDefinition
    topic_filter: str
    created_at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An action that failed, in the words of AWS's error document."""

    action: str
    resource: str
    message: str
