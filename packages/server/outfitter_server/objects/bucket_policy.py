"""Bucket policies: who may do what with a bucket and its objects.

Taken is what this server can keep to: Allow and Deny, Principal, Action and Resource with ``*`` and ``?``. Condition,
NotPrincipal, NotAction and NotResource are refused when the policy is put, never ignored.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Any, Final

from outfitter_server.objects.refusals import MalformedBucketPolicy, NotSupported

POLICY_BYTES_MAX: Final = 20 * 1024
EVERYBODY: Final = "*"
_VERSIONS: Final = ("2012-10-17", "2008-10-17")
_KNOWN: Final = frozenset({"Sid", "Effect", "Principal", "Action", "Resource"})
_REFUSED: Final = frozenset({"Condition", "NotPrincipal", "NotAction", "NotResource"})


class Decision(Enum):
    """What a policy says about a request; silence leaves it to who the caller is."""

    ALLOW = "Allow"
    DENY = "Deny"
    SILENT = "silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement; principals are ARNs, account numbers or ``*``."""

    allow: bool
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    resources: tuple[str, ...]


@lru_cache(maxsize=256)
def parse_bucket_policy(text: str, bucket: str) -> tuple[Statement, ...]:
    """The statements of a policy for this bucket.

    Raises:
        MalformedBucketPolicy: it is not a policy, or speaks of another bucket.
        NotSupported: it uses an element that this server does not evaluate.
    """
    if len(text.encode()) > POLICY_BYTES_MAX:
        raise MalformedBucketPolicy(f"a bucket policy has at most {POLICY_BYTES_MAX} bytes")
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MalformedBucketPolicy("the policy is not JSON") from error
    if not isinstance(document, dict) or document.get("Version", "2008-10-17") not in _VERSIONS:
        raise MalformedBucketPolicy("the policy is not an object with a Version of 2012-10-17 or 2008-10-17")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise MalformedBucketPolicy("the policy has no Statement")
    return tuple(_statement(statement, bucket) for statement in statements)


def decide(
    statements: Sequence[Statement], principals: Sequence[str], action: str, resource: str
) -> Decision:
    """What the policy says: an explicit Deny outranks every Allow.

    ``principals`` are the names that the caller goes by, none for an anonymous one; ``*`` in a policy means anybody.
    """
    decision = Decision.SILENT
    for statement in statements:
        if EVERYBODY not in statement.principals and not set(principals) & set(statement.principals):
            continue
        # Action names do not mind the case, resources do.
        if not any(_matches(pattern.lower(), action.lower()) for pattern in statement.actions):
            continue
        if not any(_matches(pattern, resource) for pattern in statement.resources):
            continue
        if not statement.allow:
            return Decision.DENY
        decision = Decision.ALLOW
    return decision


def _statement(value: Any, bucket: str) -> Statement:
    if not isinstance(value, dict):
        raise MalformedBucketPolicy("a statement of the policy is not an object")
    if refused := sorted(_REFUSED & value.keys()):
        raise NotSupported(f"{refused[0]} in a bucket policy is not supported; state the rule without it")
    if unknown := sorted(value.keys() - _KNOWN):
        raise MalformedBucketPolicy(f"the policy has an unknown element {unknown[0]!r}")
    effect = value.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise MalformedBucketPolicy("Effect is neither Allow nor Deny")
    return Statement(
        allow=effect == "Allow",
        principals=_principals(value.get("Principal")),
        actions=_actions(value.get("Action")),
        resources=_resources(value.get("Resource"), bucket),
    )


def _principals(value: Any) -> tuple[str, ...]:
    if value == EVERYBODY:
        return (EVERYBODY,)
    if not isinstance(value, dict) or not value:
        raise MalformedBucketPolicy('Principal is neither "*" nor an object such as {"AWS": "*"}')
    if other := sorted(value.keys() - {"AWS"}):
        # Nobody comes here as one of them, and their "*" must not come to mean everybody.
        raise NotSupported(
            f"a Principal of {other[0]} in a bucket policy is not supported; name AWS accounts or ARNs"
        )
    return _strings(value["AWS"], "Principal AWS")


def _actions(value: Any) -> tuple[str, ...]:
    actions = _strings(value, "Action")
    for action in actions:
        if action != EVERYBODY and not action.lower().startswith("s3:"):
            raise MalformedBucketPolicy(f"the policy has an invalid action {action!r}")
    return actions


def _resources(value: Any, bucket: str) -> tuple[str, ...]:
    resources = _strings(value, "Resource")
    arn = f"arn:aws:s3:::{bucket}"
    for resource in resources:
        if resource != arn and not resource.startswith(f"{arn}/"):
            raise MalformedBucketPolicy(
                f"the policy has an invalid resource {resource!r}: it is not of bucket {bucket}"
            )
    return resources


def _strings(value: Any, what: str) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if (
        not isinstance(values, list)
        or not values
        or not all(isinstance(entry, str) and entry for entry in values)
    ):
        raise MalformedBucketPolicy(f"{what} in the policy is neither a string nor a list of strings")
    return tuple(values)


def _matches(pattern: str, text: str) -> bool:
    """Wildcards without backtracking over more than the last ``*``: at most pattern times text steps."""
    at = in_text = resume = 0
    star = -1
    while in_text < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume, at = at, in_text, at + 1
        elif at < len(pattern) and pattern[at] in ("?", text[in_text]):
            at, in_text = at + 1, in_text + 1
        elif star >= 0:
            resume += 1
            at, in_text = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")
