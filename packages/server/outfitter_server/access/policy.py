"""IoT policies: JSON documents that say what a certificate may do, parsed once and asked for every packet.

A request is an action (``iot:Publish``) on a resource (an ARN). A statement applies when one of its actions and one of its
resources match and its conditions hold; it is denied by any Deny that applies, allowed by any Allow that applies and no
Deny, and denied when none applies. Actions match without regard to case, resources with it.

``*`` stands for any characters and ``?`` for one; MQTT's ``+`` and ``#`` are ordinary characters here. Policy variables
(``${iot:ClientId}``) are replaced by the values of the connection, whose characters are all taken literally; a resource
with a variable that the connection does not have matches nothing. ``${*}``, ``${?}`` and ``${$}`` are those characters.
Source: AWS IoT developer guide, "AWS IoT Core policies" and "policy variables".
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from outfitter_server.access.conditions import Condition, parse_conditions, template, texts, value_of
from outfitter_server.access.globs import Glob, Template
from outfitter_server.base.refusals import MalformedPolicy

DOCUMENT_CHARACTERS_MAX: Final = 2_048  # without white space, as AWS counts
STATEMENTS_MAX: Final = 100
_VERSIONS: Final = ("2012-10-17", "2008-10-17")
_MEMBERS: Final = frozenset({"Version", "Id", "Statement"})
_STATEMENT_MEMBERS: Final = frozenset({"Sid", "Effect", "Action", "Resource", "Condition"})
_ACTION: Final = re.compile(r"\*|[a-zA-Z0-9_-]+:[a-zA-Z0-9*?]+")


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement, compiled."""

    allows: bool
    actions: frozenset[str]
    action_globs: tuple[Glob, ...]
    resources: tuple[Template, ...]
    conditions: tuple[Condition, ...]

    def names(self, action: str) -> bool:
        """Whether the action (in lower case) is one of this statement's."""
        return action in self.actions or any(glob.matches(action) for glob in self.action_globs)


@dataclass(frozen=True, slots=True)
class PolicyDocument:
    """A parsed policy; equal texts share one, see ``parse_policy``."""

    statements: tuple[Statement, ...]


class Verdicts:
    """The policies of one connection with its variables filled in: what to ask for every packet."""

    __slots__ = ("_allows", "_by_action", "_denies")

    def __init__(self, documents: Iterable[PolicyDocument], variables: Mapping[str, str]) -> None:
        """Statements whose conditions fail, and resources that lack a variable, are dropped here, once."""
        allows: list[tuple[Statement, tuple[Glob, ...]]] = []
        denies: list[tuple[Statement, tuple[Glob, ...]]] = []
        for document in documents:
            for statement in document.statements:
                if all(condition.holds(variables) for condition in statement.conditions):
                    bound = (template.bind(variables) for template in statement.resources)
                    resources = tuple(glob for glob in bound if glob is not None)
                    (allows if statement.allows else denies).append((statement, resources))
        self._allows = tuple(allows)
        self._denies = tuple(denies)
        self._by_action: dict[str, tuple[tuple[Glob, ...], tuple[Glob, ...]]] = {}

    def allows(self, action: str, resource: str) -> bool:
        """Whether the connection may do this. Actions are names in our code, never input: each is looked up once."""
        found = self._by_action.get(action)
        if found is None:
            found = _resources_for(self._allows, action), _resources_for(self._denies, action)
            self._by_action[action] = found
        for glob in found[0]:
            if glob.matches(resource):
                break
        else:
            return False
        return not any(glob.matches(resource) for glob in found[1]) if found[1] else True

    def denies(self, action: str, resource: str) -> bool:
        """Whether a Deny applies."""
        return any(glob.matches(resource) for glob in _resources_for(self._denies, action))


def evaluate(
    documents: Iterable[PolicyDocument], action: str, resource: str, variables: Mapping[str, str]
) -> bool:
    """Whether the documents allow ``action`` on ``resource``; ask ``Verdicts`` when there will be more questions."""
    return Verdicts(documents, variables).allows(action, resource)


def judge(document: PolicyDocument, action: str, resource: str, variables: Mapping[str, str]) -> bool | None:
    """What one document says: True allows, False denies explicitly, None says nothing of it."""
    verdicts = Verdicts((document,), variables)
    if verdicts.denies(action, resource):
        return False
    return True if verdicts.allows(action, resource) else None


def missing_variables(
    documents: Iterable[PolicyDocument], action: str, variables: Mapping[str, str]
) -> set[str]:
    """Variables in resources and conditions of statements on this action that the connection does not have."""
    found: set[str] = set()
    for document in documents:
        for statement in document.statements:
            if not statement.names(action.lower()):
                continue
            found.update(each.key for each in statement.conditions if value_of(each.key, variables) is None)
            named = [name for pattern in statement.resources for name in pattern.variables()]
            for condition in statement.conditions:
                named += (name for value in condition.expected for name in value.variables())
            found.update(name for name in named if name not in variables)
    return found


@lru_cache(maxsize=4_096)
def parse_policy(text: str) -> PolicyDocument:
    """Compile a policy document.

    Raises:
        MalformedPolicy: not JSON, not a policy, or a part of the policy language that is not understood here: it is refused
            rather than passed over, because what is passed over would decide differently.
    """
    if len("".join(text.split())) > DOCUMENT_CHARACTERS_MAX:
        raise MalformedPolicy(
            f"a policy document has at most {DOCUMENT_CHARACTERS_MAX} characters besides white space"
        )
    try:
        document = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise MalformedPolicy(f"the policy document is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise MalformedPolicy("the policy document must be a JSON object")
    _check_members(document, _MEMBERS, "the policy document")
    version = document.get("Version", _VERSIONS[-1])
    if version not in _VERSIONS:
        raise MalformedPolicy(f"Version must be one of {', '.join(_VERSIONS)}")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not 0 < len(statements) <= STATEMENTS_MAX:
        raise MalformedPolicy(f"Statement must be a statement or a list of 1 to {STATEMENTS_MAX}")
    # Only the newer language has variables: in the older one their text stands for itself.
    return PolicyDocument(
        tuple(_statement(each, with_variables=version == _VERSIONS[0]) for each in statements)
    )


def _resources_for(statements: Iterable[tuple[Statement, tuple[Glob, ...]]], action: str) -> tuple[Glob, ...]:
    wanted = action.lower()
    return tuple(glob for statement, resources in statements if statement.names(wanted) for glob in resources)


def _statement(statement: Any, *, with_variables: bool) -> Statement:
    if not isinstance(statement, dict):
        raise MalformedPolicy("a statement must be a JSON object")
    _check_members(statement, _STATEMENT_MEMBERS, "a statement")
    effect = statement.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise MalformedPolicy("Effect must be Allow or Deny")
    if not isinstance(statement.get("Sid", ""), str):
        raise MalformedPolicy("Sid must be a string")
    actions = [action.lower() for action in texts(statement, "Action")]
    for action in actions:
        if not _ACTION.fullmatch(action):
            raise MalformedPolicy(
                f"{action!r} is not an action: expected service:Action, for example iot:Connect"
            )
    wild = [action for action in actions if "*" in action or "?" in action]
    return Statement(
        allows=effect == "Allow",
        actions=frozenset(actions).difference(wild),
        action_globs=tuple(Glob.parse(action) for action in wild),
        resources=tuple(
            _resource(text, with_variables=with_variables) for text in texts(statement, "Resource")
        ),
        conditions=tuple(parse_conditions(statement.get("Condition", {}), with_variables=with_variables)),
    )


def _resource(text: str, *, with_variables: bool) -> Template:
    if text != "*" and not text.startswith("arn:"):
        raise MalformedPolicy(f"{text!r} is not a resource: expected * or an ARN")
    return template(text, with_variables=with_variables)


def _check_members(holder: Mapping[str, Any], known: frozenset[str], what: str) -> None:
    unknown = sorted(set(holder) - known)
    if unknown:
        raise MalformedPolicy(f"{what} cannot have {', '.join(unknown)}; it has {', '.join(sorted(known))}")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise MalformedPolicy("a member occurs twice in one object of the policy document")
    return found
