"""The wiring of the registry of things and groups, and of the fleet index over them."""

from collections.abc import Callable

from outfitter_server.aws.dispatch import Handler
from outfitter_server.aws.operations.dynamic_groups import DynamicGroupOperations
from outfitter_server.aws.operations.groups import GroupMemberOperations, GroupOperations
from outfitter_server.aws.operations.indexing import IndexingOperations
from outfitter_server.aws.operations.search import SearchOperations
from outfitter_server.aws.operations.things import ThingOperations
from outfitter_server.base.installation import Installation
from outfitter_server.services.committer import Committer
from outfitter_server.services.connectivity import ConnectivityFeed
from outfitter_server.services.dynamic_groups import DynamicGroups
from outfitter_server.services.fleet_index import FleetIndex
from outfitter_server.services.fleet_search import FleetSearch
from outfitter_server.services.group_builder import GroupBuilder
from outfitter_server.services.group_members import GroupMembers
from outfitter_server.services.groups import Groups
from outfitter_server.services.index_documents import Documents
from outfitter_server.services.index_settings import IndexSettings
from outfitter_server.services.live_clients import LiveClients
from outfitter_server.services.things import Membership, Things


class FleetParts:
    """Things, groups, index. ``start`` it before the listeners; ``close`` it before the gateway lets its clients go.

    Then have it ``record`` their departures.

    Attributes:
        things, members: the registries themselves, once the handlers are made.
        live: told by the gateway who comes and goes.
        index: told by the job service what runs where.
    """

    def __init__(
        self,
        *,
        committer: Committer,
        installation: Installation,
        clock: Callable[[], int],
        new_id: Callable[[], str],
    ) -> None:
        """``new_id`` makes a fresh UUID text."""
        self._committer = committer
        self._installation = installation
        self._new_id = new_id
        self.live = LiveClients(clock)
        self._documents = Documents(self.live)
        self.index = FleetIndex(self._documents)
        self.builder = GroupBuilder(committer, self.index, self._documents, self.live)
        self._feed = ConnectivityFeed(committer, self.live, self.index)

    def handlers(self, membership: Membership) -> dict[str, Handler]:
        """The operations; ``membership`` is the job service's ear."""
        committer, installation, index = self._committer, self._installation, self.index
        index.membership = membership
        self.things = Things(committer, installation, membership, index, self._new_id)
        self.members = GroupMembers(committer, membership, index)
        groups = Groups(committer, installation, membership, index, self._new_id)
        dynamic = DynamicGroups(committer, installation, groups, index, self._new_id)
        operations = (
            ThingOperations(self.things, installation),
            GroupOperations(groups, dynamic, installation),
            GroupMemberOperations(self.members, installation),
            DynamicGroupOperations(dynamic, installation),
            IndexingOperations(IndexSettings(committer, index)),
            SearchOperations(FleetSearch(committer, self._documents, self.live)),
        )
        return {name: handler for each in operations for name, handler in each.handlers().items()}

    def start(self) -> None:
        """Go on with the groups that are still to be built."""
        self._feed.start()
        self.builder.start()

    async def close(self) -> None:
        """Stop; groups that are still to be built stay so in the store."""
        await self._feed.close()
        await self.builder.close()

    async def record(self) -> None:
        """Keep when the clients left that were there until the stop."""
        await self._feed.record()
