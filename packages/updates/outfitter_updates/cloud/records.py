"""What runs where: the fleet index, and what keeps its record."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from outfitter_updates.catalogue.problems import CloudRefused, Conflict, NotFound
from outfitter_updates.catalogue.records import (
    RecordState,
    Running,
    is_indexed,
    running,
    where_query,
    with_index,
)
from outfitter_updates.cloud.connection import Connection

PAGE_SIZE: Final = 250
NOT_INDEXED: Final = frozenset({"IndexNotReadyException", "InvalidQueryException"})


class Records:
    """Reads the record, and turns it on and off."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def where(self, name: str, version: str | None, limit: int) -> tuple[Running, ...]:
        """The devices that run the software, or one version of it; raises Conflict when the index cannot tell."""
        query = where_query(name, version)
        found = (running(told, name) for told in self._search(query))
        # The index compares what looks like a number as one, so that 1.1 finds 1.10 as well.
        wanted = (each for each in found if each and version in {None, each.version})
        try:
            return tuple(islice(wanted, limit))
        except NotFound as problem:
            raise _not_indexed(problem) from problem
        except CloudRefused as refused:
            if refused.code not in NOT_INDEXED:
                raise
            raise _not_indexed(refused) from refused

    def state(self) -> RecordState:
        """Whether there is a record, and whether it can be searched."""
        iot = self._connection.iot
        told = iot.call("get_package_configuration").get("versionUpdateByJobsConfig", {})
        return RecordState(kept=bool(told.get("enabled")), indexed=is_indexed(self._indexing()))

    def keep(self, role_arn: str) -> RecordState:
        """Has jobs that succeed write the record with that role, and the index find it."""
        self._connection.iot.call(
            "update_package_configuration",
            versionUpdateByJobsConfig={"enabled": True, "roleArn": role_arn},
        )
        told = self._indexing()
        if not is_indexed(told):
            self._connection.iot.call(
                "update_indexing_configuration", thingIndexingConfiguration=with_index(told)
            )
        return self.state()

    def stop(self) -> RecordState:
        """Jobs write the record no more; what is in it stays, and the index as it is."""
        self._connection.iot.call(
            "update_package_configuration", versionUpdateByJobsConfig={"enabled": False}
        )
        return self.state()

    def _indexing(self) -> dict[str, Any]:
        told = self._connection.iot.call("get_indexing_configuration")
        return dict(told.get("thingIndexingConfiguration", {}))

    def _search(self, query: str) -> Iterator[dict[str, Any]]:
        token: str | None = None
        while True:
            told = self._connection.iot.call(
                "search_index", queryString=query, nextToken=token, maxResults=PAGE_SIZE
            )
            yield from told.get("things", ())
            token = told.get("nextToken")
            if not token:
                return


def _not_indexed(problem: Exception) -> Conflict:
    return Conflict(
        f"{problem} The fleet index does not know what devices run: turn that on with `outfitter software record --on`."
    )
