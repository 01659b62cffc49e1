"""All of the cloud that the update application uses."""

from functools import cached_property

from outfitter_updates.cloud.claims import Claims
from outfitter_updates.cloud.configurations import Configurations
from outfitter_updates.cloud.connection import Connection
from outfitter_updates.cloud.deployment import Deployments
from outfitter_updates.cloud.devices import Devices
from outfitter_updates.cloud.identities import Identities
from outfitter_updates.cloud.jobs import Jobs
from outfitter_updates.cloud.lines import Lines
from outfitter_updates.cloud.own import Own
from outfitter_updates.cloud.presences import Presences
from outfitter_updates.cloud.privileges import Privileges
from outfitter_updates.cloud.records import Records
from outfitter_updates.cloud.running import RunningConfigurations
from outfitter_updates.cloud.software import Software
from outfitter_updates.operations.update import role_arn


class Cloud:
    """The services behind one set of credentials; nothing is opened before it is used."""

    def __init__(self, *, profile: str | None, region: str | None, endpoint_url: str | None) -> None:
        self._connection = Connection(profile=profile, region=region, endpoint_url=endpoint_url)
        self.devices = Devices(self._connection)
        self.presences = Presences(self._connection)
        self.identities = Identities(self._connection, self.devices)
        self.claims = Claims(self._connection, self.identities)
        self.software = Software(self._connection)
        self.records = Records(self._connection)
        self.jobs = Jobs(self._connection)
        self.configurations = Configurations(self._connection)
        self.running = RunningConfigurations(self._connection, self.jobs)
        self.lines = Lines(self._connection, self.devices, self.jobs)
        self.deployments = Deployments(self._connection)
        self.own = Own(self._connection)
        self.privileges = Privileges(self._connection, self.devices)

    @property
    def region(self) -> str:
        """The region of the file store's URLs."""
        return self._connection.region

    @cached_property
    def default_role_arn(self) -> str:
        """The role that signs download URLs unless another is named."""
        account = self._connection.account
        return role_arn(account.partition, account.account)
