"""ARNs that clients send: what they name, and whether they agree with a name beside them.

Any partition and region is accepted (scripts carry them over from elsewhere); the account must be the installation's.
"""

from typing import Final

from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest

_PARTS: Final = 6


def iot_resource(arn: str, installation: Installation) -> tuple[str, str]:
    """The kind and the name in ``arn:aws:iot:{region}:{account}:{kind}/{name}``.

    Raises:
        InvalidRequest: not such an ARN, or one of another account.
    """
    parts = arn.split(":", _PARTS - 1)
    kind, slash, name = parts[-1].partition("/")
    if len(parts) != _PARTS or parts[0] != "arn" or parts[2] != "iot" or not (slash and kind and name):
        raise InvalidRequest(
            f"{arn!r} is not an ARN of this service: expected arn:aws:iot:REGION:ACCOUNT:KIND/NAME"
        )
    if parts[4] != installation.account:
        raise InvalidRequest(
            f"{arn!r} belongs to account {parts[4]!r}, this installation is {installation.account}"
        )
    return kind, name


def named(kind: str, name: str | None, arn: str | None, installation: Installation) -> str:
    """The one name that ``name`` or ``arn`` gives; both may be given and must agree then.

    Raises:
        InvalidRequest: neither is given, the ARN is of another kind, or they disagree.
    """
    if arn is None:
        if name is None:
            raise InvalidRequest(f"give the name or the ARN of the {kind}")
        return name
    found_kind, found = iot_resource(arn, installation)
    if found_kind != kind:
        raise InvalidRequest(f"{arn!r} names a {found_kind}, not a {kind}")
    if name is not None and name != found:
        raise InvalidRequest(f"the name {name!r} and the ARN {arn!r} do not name the same {kind}")
    return found
