"""A rule definition checked and made ready: statement and templates parsed, ARNs taken apart, error documents."""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.rules.evaluate import Incoming, outgoing
from outfitter_server.rules.parser import parse_statement
from outfitter_server.rules.syntax import Statement
from outfitter_server.rules.templates import Template, parse_template
from outfitter_server.rules.values import Action, Failure, LambdaAction, RepublishAction, RuleDefinition

INGEST_PREFIX: Final = "$aws/rules/"

_FUNCTION: Final = re.compile(
    r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:(?P<account>\d{12}):function:(?P<name>[A-Za-z0-9_-]{1,64})(?::(?P<version>.+))?"
)
_ROLE: Final = re.compile(r"arn:aws[a-z-]*:iam::(?P<account>\d{12}):role/.+")


@dataclass(frozen=True, slots=True)
class ReadyAction:
    """An action and, for a republish, its topic as a template."""

    action: Action
    topic: Template | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyRule:
    """A rule that can be run."""

    statement: Statement
    actions: tuple[ReadyAction, ...]
    error_action: ReadyAction | None

    def outgoing(self, message: Incoming) -> bytes | None:
        """What the actions get, None when the rule does not apply.

        Raises:
            CannotEvaluate: the statement and the message do not fit.
        """
        return outgoing(self.statement, message)


def make_ready(definition: RuleDefinition) -> ReadyRule:
    """Parse what is text in a definition.

    Raises:
        MalformedSql: the statement or a template cannot be read.
        InvalidRequest: a republish goes to a topic that the service writes.
    """
    error = definition.error_action
    return ReadyRule(
        statement=parse_statement(definition.sql),
        actions=tuple(_ready(action) for action in definition.actions),
        error_action=None if error is None else _ready(error),
    )


def _ready(action: Action) -> ReadyAction:
    if isinstance(action, LambdaAction):
        return ReadyAction(action)
    topic = parse_template(action.topic)
    first = topic.parts[0] if topic.parts else ""
    if isinstance(first, str) and is_reserved(first):
        raise InvalidRequest(
            f"republish cannot go to the reserved topic '{action.topic}'; of the topics that begin with $, "
            f"only $${INGEST_PREFIX[1:]}NAME/… can be published to"
        )
    return ReadyAction(action, topic)


def is_reserved(topic: str) -> bool:
    """Whether rules may not publish there: the service writes it, or nobody."""
    return topic.startswith("$") and not topic.startswith(INGEST_PREFIX)


def lambda_action(arn: str, account: str) -> LambdaAction:
    """The action for a function's ARN.

    Raises:
        InvalidRequest: it is none of this account, or names a version.
    """
    match = _FUNCTION.fullmatch(arn)
    if match is None:
        raise InvalidRequest(
            f"'{arn}' is no function: expected arn:aws:lambda:REGION:{account}:function:NAME"
        )
    if match["account"] != account:
        raise InvalidRequest(f"'{arn}' belongs to account {match['account']}, this installation is {account}")
    if match["version"] not in {None, "$LATEST"}:
        raise InvalidRequest(
            f"'{arn}' names a version or alias of a function: this server has none, leave it out"
        )
    return LambdaAction(arn=arn, function=match["name"])


def check_role(arn: str, account: str) -> str:
    """The ARN of a role of the account.

    Raises:
        InvalidRequest: it is none.
    """
    match = _ROLE.fullmatch(arn)
    if match is None or match["account"] != account:
        raise InvalidRequest(f"'{arn}' is no role of this account: expected arn:aws:iam::{account}:role/NAME")
    return arn


def describe(action: Action) -> tuple[str, str]:
    """The kind and the resource of an action, as AWS's error document names them."""
    if isinstance(action, RepublishAction):
        return "RepublishAction", action.topic
    return "LambdaAction", action.arn


def error_document(
    rule: str, topic: str, client_id: str, payload: bytes, failures: Sequence[Failure]
) -> bytes:
    """What an error action is given (AWS IoT, error handling of rules); traces of CloudWatch there are none."""
    return msgspec.json.encode(
        {
            "ruleName": rule,
            "topic": topic,
            "clientId": client_id,
            "base64OriginalPayload": base64.b64encode(payload).decode(),
            "failures": [
                {"failedAction": one.action, "failedResource": one.resource, "errorMessage": one.message}
                for one in failures
            ],
        }
    )
