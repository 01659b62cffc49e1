"""presignedUrlConfig of jobs and job templates."""

import re
from collections.abc import Mapping
from typing import Any, Final

from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.services.heads import DEFAULT_URL_EXPIRES_SECONDS

_ROLE_ARN: Final = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\w+=,.@/-]+", re.ASCII)


def presigned_of(given: Mapping[str, Any]) -> tuple[str | None, int | None] | None:
    """The role and the seconds of a call's presignedUrlConfig; None when it has none.

    Raises:
        InvalidRequest: the role is no role's ARN.
    """
    presigned = given.get("presignedUrlConfig")
    if presigned is None:
        return None
    role_arn = presigned.get("roleArn")
    if role_arn is not None and not _ROLE_ARN.fullmatch(role_arn):
        raise InvalidRequest(
            f"presignedUrlConfig: roleArn {role_arn[:100]!r} is not arn:aws:iam::ACCOUNT:role/NAME"
        )
    return role_arn, presigned.get("expiresInSec")


def described_presigned(role_arn: str | None, expires_seconds: int | None) -> dict[str, Any]:
    """The member as it is described: with a role, the seconds are those that count."""
    default = None if role_arn is None else DEFAULT_URL_EXPIRES_SECONDS
    return {"roleArn": role_arn, "expiresInSec": expires_seconds or default}
