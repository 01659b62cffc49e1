"""Tags of everything that has some, by its ARN: one table says where each kind keeps them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from outfitter_server.base.arns import iot_resource
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest, NotFound
from outfitter_server.base.tags import tagged, untagged
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.ports import Transaction


@dataclass(frozen=True, slots=True)
class _Kind:
    words: str
    read: str
    write: str


_PACKAGE_VERSION: Final = "package version"
_KINDS: Final[Mapping[str, _Kind]] = {
    "job": _Kind("job", "job_tags", "job_tags_write"),
    "jobtemplate": _Kind("job template", "job_template_tags", "job_template_tags_write"),
    "thingtype": _Kind("thing type", "thing_type_tags", "thing_type_tags_write"),
    "thinggroup": _Kind("thing group", "thing_group_tags", "thing_group_tags_write"),
    "policy": _Kind("policy", "policy_tags", "policy_tags_write"),
    "package": _Kind("package", "package_tags", "package_tags_write"),
    _PACKAGE_VERSION: _Kind(_PACKAGE_VERSION, "package_version_tags", "package_version_tags_write"),
}


@dataclass(frozen=True, slots=True)
class _Resource:
    kind: _Kind
    name: str
    keys: Mapping[str, str]


class Tags:
    """Reading and changing tags."""

    def __init__(self, committer: Committer, installation: Installation) -> None:
        """``installation`` tells whose ARNs are ours."""
        self._committer = committer
        self._installation = installation

    def get(self, arn: str) -> dict[str, str]:
        """The tags of a resource.

        Raises:
            InvalidRequest: no ARN of this installation, or of a kind that has no tags.
            NotFound: there is no such resource.
        """
        resource = self._resource(arn)
        return self._committer.read(lambda tx: _read(tx, resource))

    async def add(self, arn: str, tags: Mapping[str, str]) -> None:
        """Add tags, or give new values to those that are there.

        Raises:
            InvalidRequest, NotFound: as for ``get``.
            LimitExceeded: the resource would have too many.
        """
        await self._change(arn, lambda present: tagged(present, tags))

    async def remove(self, arn: str, keys: Sequence[str]) -> None:
        """Take tags away; keys that are not there are nothing to do.

        Raises:
            InvalidRequest, NotFound: as for ``get``.
        """
        await self._change(arn, lambda present: untagged(present, keys))

    async def _change(self, arn: str, decide: Callable[[Mapping[str, str]], dict[str, str]]) -> None:
        resource = self._resource(arn)

        def apply(batch: Batch) -> None:
            after = decide(_read(batch.tx, resource))
            text = msgspec.json.encode(after).decode()
            batch.tx.run(resource.kind.write, **resource.keys, tags=text)

        await self._committer.change(apply)

    def _resource(self, arn: str) -> _Resource:
        kind, name = iot_resource(arn, self._installation)
        keys = {"name": name}
        package, middle, version = name.partition("/version/")
        if kind == "package" and middle:
            kind, keys = _PACKAGE_VERSION, {"package": package, "name": version}
        found = _KINDS.get(kind)
        if found is None:
            kinds = ", ".join(_KINDS)
            raise InvalidRequest(
                f"resourceArn: {arn!r} is the ARN of a {kind}, which has no tags here; these have: {kinds}"
            )
        return _Resource(found, name, keys)


def _read(tx: Transaction, resource: _Resource) -> dict[str, str]:
    row = tx.one(resource.kind.read, **resource.keys)
    if row is None:
        raise NotFound(f"resourceArn: {resource.kind.words} {resource.name} does not exist")
    return msgspec.json.decode(row["tags"], type=dict[str, str])
