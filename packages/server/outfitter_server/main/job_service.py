"""The wiring of the job service: its engine, what works in the background, and its calls."""

from collections.abc import Callable, Collection, Mapping

from outfitter_server.access.signature import Credentials
from outfitter_server.aws.dispatch import Handler
from outfitter_server.aws.operations.job_executions import ExecutionOperations, JobsDataOperations
from outfitter_server.aws.operations.job_templates import JobTemplateOperations, ManagedTemplateOperations
from outfitter_server.aws.operations.jobs import JobOperations
from outfitter_server.base.installation import Installation
from outfitter_server.base.throttle import DEVICE_READS, DEVICE_WRITES, Throttle
from outfitter_server.https.own_calls import OwnCalls
from outfitter_server.services.alarms import Alarms
from outfitter_server.services.committer import Committer
from outfitter_server.services.continuous import ContinuousJobs
from outfitter_server.services.delivery import Delivery
from outfitter_server.services.device_plane import DevicePlane
from outfitter_server.services.engine import Engine, Record
from outfitter_server.services.event_publisher import EventPublisher
from outfitter_server.services.events import Events
from outfitter_server.services.executions import Executions
from outfitter_server.services.job_changes import JobChanges
from outfitter_server.services.jobs import Jobs, ReadText
from outfitter_server.services.messages import Publication, Published
from outfitter_server.services.pacer import Pacer
from outfitter_server.services.rollout import Steps
from outfitter_server.services.templates import Templates
from outfitter_server.services.throttling import ThrottledPlane
from outfitter_server.services.timers import Timers
from outfitter_server.services.traces import Traces
from outfitter_server.services.why import Why


class JobParts:
    """Everything of the job service. ``start`` it before the listeners, ``close`` it after them.

    Attributes:
        plane: what devices ask.
        delivery: documents as they leave for devices.
        continuous: the registry's ear.
        own: the calls beyond AWS.
    """

    def __init__(
        self,
        *,
        committer: Committer,
        installation: Installation,
        credentials: Credentials,
        clock: Callable[[], int],
        new_id: Callable[[], str],
        read_text: ReadText,
        publish: Callable[[Published], Publication],
        is_behind: Callable[[Collection[str]], bool],
        clients: Callable[[], Collection[str]],
        throttle: Throttle,
        record: Record,
    ) -> None:
        """``publish`` hands messages to the broker; ``clients`` gives who is connected; ``record`` hears what runs where."""
        self.events = Events(installation, new_id)
        self.traces = Traces()
        self.delivery = Delivery(installation, credentials, clock, self.traces)
        engine = Engine(installation=installation, events=self.events, record=record, traces=self.traces)
        steps = Steps(engine)
        self._publisher = EventPublisher(committer, publish, is_behind)
        self._alarms = Alarms(committer, Timers(engine))
        self._pacer = Pacer(committer, steps)
        limited = throttle.limits(DEVICE_READS) or throttle.limits(DEVICE_WRITES)
        self.plane = (
            ThrottledPlane(committer, engine, throttle) if limited else DevicePlane(committer, engine)
        )
        self.continuous = ContinuousJobs(engine)
        jobs = Jobs(committer, installation, engine, steps, read_text)
        changes = JobChanges(committer, installation, engine, steps)
        self.own = OwnCalls(jobs, changes, Why(committer, self.traces, clients))
        templates = Templates(committer, installation)
        self._jobs = JobOperations(jobs, changes, templates, installation)
        self._executions = ExecutionOperations(Executions(committer, engine), installation)
        self._templates = JobTemplateOperations(templates, jobs, installation)
        self._managed_templates = ManagedTemplateOperations(installation)

    def handlers(self) -> Mapping[str, Handler]:
        """The operations of ``iot``."""
        return {
            **self._jobs.handlers(),
            **self._executions.handlers(),
            **self._templates.handlers(),
            **self._managed_templates.handlers(),
        }

    def data_handlers(self) -> dict[str, Handler]:
        """The operations of ``iot-jobs-data``."""
        return JobsDataOperations(self.plane, self.delivery).handlers()

    def start(self) -> None:
        """Go on with the work that the store holds, and with what became due meanwhile."""
        self._pacer.start()
        self._alarms.start()

    def start_events(self) -> None:
        """Publish what waits; once there is a gateway that listens."""
        self._publisher.start()

    @property
    def events_published(self) -> int:
        """How many lifecycle events were published."""
        return self._publisher.published

    @property
    def events_waiting(self) -> int:
        """How many wait, at most."""
        return self._publisher.waiting

    def look(self) -> None:
        """Look at what is due now; for who moves the clock."""
        self._alarms.look()

    async def close_events(self) -> None:
        """Publish no more; what waits stays in the store."""
        await self._publisher.close()

    async def close(self) -> None:
        """Stop the background work; what is left stays in the store."""
        await self._alarms.close()
        await self._pacer.close()
