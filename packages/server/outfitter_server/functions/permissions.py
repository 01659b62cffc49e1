"""Statements of a function's resource policy: who but the account itself may call it.

AddPermission writes statements, one at a time, so there is no policy text to parse. Callers with a key of the account need
none. They matter for other services (a topic rule is ``iot.amazonaws.com``) and for function URLs without authentication,
which answer only when everybody may call ``lambda:InvokeFunctionUrl``, as on AWS.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

EVERYBODY: Final = "*"
INVOKE: Final = "lambda:InvokeFunction"
INVOKE_URL: Final = "lambda:InvokeFunctionUrl"
POLICY_BYTES_MAX: Final = 20 * 1024
NO_AUTHENTICATION: Final = "NONE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """One statement.

    Attributes:
        action: ``lambda:InvokeFunction``, another action, or with ``*``.
        principal: ``*``, an account, an ARN, or a service such as ``iot.amazonaws.com``.
        source_arn: with ``*`` and ``?``; the rule or other resource on whose behalf the principal calls.
        url_auth_type: the statement counts only for function URLs of this authentication.
    """

    id: str
    action: str
    principal: str
    source_arn: str | None = None
    source_account: str | None = None
    url_auth_type: str | None = None
    via_url: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What somebody without a key of the account wants."""

    action: str
    principal: str
    source_arn: str | None = None
    source_account: str | None = None
    url_auth_type: str | None = None


def statement(permission: Permission, arn: str) -> dict[str, Any]:
    """The statement as GetPolicy shows it."""
    found: dict[str, Any] = {
        "Sid": permission.id,
        "Effect": "Allow",
        "Principal": _principal(permission.principal),
        "Action": permission.action,
        "Resource": arn,
    }
    condition: dict[str, dict[str, str]] = {}
    if permission.source_arn is not None:
        condition["ArnLike"] = {"AWS:SourceArn": permission.source_arn}
    if permission.source_account is not None:
        condition.setdefault("StringEquals", {})["AWS:SourceAccount"] = permission.source_account
    if permission.url_auth_type is not None:
        condition.setdefault("StringEquals", {})["lambda:FunctionUrlAuthType"] = permission.url_auth_type
    if permission.via_url is not None:
        condition["Bool"] = {"lambda:InvokedViaFunctionUrl": "true" if permission.via_url else "false"}
    if condition:
        found["Condition"] = condition
    return found


def policy(permissions: Iterable[Permission], arn: str) -> str:
    """The whole policy, compact JSON."""
    document = {
        "Version": "2012-10-17",
        "Id": "default",
        "Statement": [statement(permission, arn) for permission in permissions],
    }
    return json.dumps(document, separators=(",", ":"))


def allows(permissions: Iterable[Permission], request: Request) -> bool:
    """Whether some statement allows the request; there is no Deny."""
    return any(_applies(permission, request) for permission in permissions)


def _applies(permission: Permission, request: Request) -> bool:
    if permission.principal not in {EVERYBODY, request.principal}:
        return False
    if not like(permission.action.lower(), request.action.lower()):
        return False
    if permission.source_arn is not None and not like(permission.source_arn, request.source_arn or ""):
        return False
    if permission.source_account not in {None, request.source_account}:
        return False
    if permission.via_url is not None and permission.via_url != (request.url_auth_type is not None):
        return False
    return permission.url_auth_type in {None, request.url_auth_type}


def like(pattern: str, text: str) -> bool:
    """Whether the whole text fits a pattern with ``*`` and ``?``; at most pattern times text steps."""
    at = position = resume = 0
    star = -1
    while position < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume, at = at, position, at + 1
        elif at < len(pattern) and pattern[at] in {"?", text[position]}:
            at, position = at + 1, position + 1
        elif star >= 0:
            resume += 1
            at, position = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")


def _principal(name: str) -> Any:
    if name == EVERYBODY:
        return EVERYBODY
    if name.endswith(".amazonaws.com"):
        return {"Service": name}
    account = f"arn:aws:iam::{name}:root" if name.isdecimal() else name
    return {"AWS": account}
