"""How callers name a function: its name, a partial ARN, or the whole ARN, with or without ``$LATEST``."""

import re
from typing import Final

from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest, NotFound

LATEST: Final = "$LATEST"
NAME_CHARACTERS_MAX: Final = 64

_REFERENCE: Final = re.compile(
    r"(?:arn:aws[a-zA-Z-]*:lambda:[a-z0-9-]+:)?(?:(?P<account>\d{12}):)?(?:function:)?"
    r"(?P<name>[a-zA-Z0-9_-]+)(?::(?P<qualifier>\$LATEST|[a-zA-Z0-9_-]+))?",
    re.ASCII,
)


def function_name(reference: str, installation: Installation, qualifier: str | None = None) -> str:
    """The name in a reference. Any region is accepted, as scripts carry them over; the account must be this one's.

    Raises:
        InvalidRequest: it is no reference, or two qualifiers disagree.
        NotFound: it names a version or an alias (there are none), or a function of another account.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None or len(match["name"]) > NAME_CHARACTERS_MAX:
        raise InvalidRequest(
            f"{reference!r} names no function: give a name of at most {NAME_CHARACTERS_MAX} letters, digits, "
            "hyphens and underscores, or its ARN"
        )
    if match["account"] not in {None, installation.account}:
        raise NotFound(f"{reference!r} belongs to another account than {installation.account}")
    found = match["qualifier"]
    if found is not None and qualifier is not None and found != qualifier:
        raise InvalidRequest(
            f"the qualifier {qualifier!r} does not agree with the one in the name {reference!r}"
        )
    if (found or qualifier or LATEST) != LATEST:
        arn = function_arn(match["name"], installation)
        raise NotFound(f"Function not found: {arn}:{found or qualifier}; only {LATEST} exists here")
    return match["name"]


def function_arn(name: str, installation: Installation) -> str:
    """``arn:aws:lambda:{region}:{account}:function:{name}``."""
    return f"arn:aws:lambda:{installation.region}:{installation.account}:function:{name}"


def session_arn(role: str, name: str, installation: Installation) -> str:
    """Who a function is when it calls other services: a session of its role, named after the function."""
    return f"arn:aws:sts::{installation.account}:assumed-role/{role.rsplit('/', 1)[-1]}/{name}"
