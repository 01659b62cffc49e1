"""All wiring: which room gets what. Nothing here decides anything."""

import contextlib
import os
import socket
import ssl
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from typing import Final

from outfitter_server.aws.dispatch import Dispatcher, Handler
from outfitter_server.aws.operations.authorization import AuthorizationOperations
from outfitter_server.aws.operations.certificates import CertificateOperations
from outfitter_server.aws.operations.connections import ConnectionOperations, ThingConnectivityOperations
from outfitter_server.aws.operations.data_plane import DataPlaneOperations
from outfitter_server.aws.operations.endpoint import EndpointOperations
from outfitter_server.aws.operations.events import EventOperations
from outfitter_server.aws.operations.identity import IdentityOperations
from outfitter_server.aws.operations.packages import PackageOperations
from outfitter_server.aws.operations.policies import PolicyOperations, PolicyTargetOperations
from outfitter_server.aws.operations.shadows import ShadowOperations
from outfitter_server.aws.operations.tags import TagOperations
from outfitter_server.aws.operations.thing_types import ThingTypeOperations
from outfitter_server.aws.operations.things import PrincipalOperations
from outfitter_server.aws.operations.topic_rules import TopicRuleOperations
from outfitter_server.aws.throttling import throttled
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import Unavailable
from outfitter_server.base.throttle import CONNECTION_PUBLISHES, Throttle
from outfitter_server.blobs.files import FileBlobs
from outfitter_server.gateway.board import GatewayBoard
from outfitter_server.gateway.server import Gateway
from outfitter_server.gateway.tls import DeviceTls
from outfitter_server.gateway.websocket import accept
from outfitter_server.https.door import HttpsDoor
from outfitter_server.keys.authority import FileAuthority
from outfitter_server.keys.credentials import root_credentials
from outfitter_server.main.fleet import FleetParts
from outfitter_server.main.functions import FunctionParts
from outfitter_server.main.job_service import JobParts
from outfitter_server.main.metric_families import Sources
from outfitter_server.main.metrics import Metrics
from outfitter_server.main.provisioning import ProvisioningParts
from outfitter_server.main.settings import Address, ServeSettings
from outfitter_server.s3.door import S3Door
from outfitter_server.services.authorization import Authorization
from outfitter_server.services.buckets import Buckets
from outfitter_server.services.callers import Callers
from outfitter_server.services.certificates import Certificates
from outfitter_server.services.committer import Committer
from outfitter_server.services.delivery import ObjectsEndpoint
from outfitter_server.services.devices import Devices
from outfitter_server.services.events import EventConfigurations
from outfitter_server.services.installed import Installed
from outfitter_server.services.messages import Messages, Publication, Published
from outfitter_server.services.meters import Meters
from outfitter_server.services.objects import Objects
from outfitter_server.services.packages import Packages
from outfitter_server.services.policies import Policies
from outfitter_server.services.principals import Principals
from outfitter_server.services.retained import RetainedMessages
from outfitter_server.services.rule_engine import RuleEngine
from outfitter_server.services.session_book import SessionBook
from outfitter_server.services.tags import Tags
from outfitter_server.services.thing_connectivity import ThingConnectivity
from outfitter_server.services.thing_types import ThingTypes
from outfitter_server.services.topic_rules import TopicRules
from outfitter_server.services.uploads import Uploads
from outfitter_server.stores.sqlite.store import SqliteStore

LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")


class Assembly:
    """One server: everything made and connected. ``start`` it, ``close`` it."""

    def __init__(
        self,
        settings: ServeSettings,
        clock: Callable[[], int],
        environment: Mapping[str, str],
        *,
        connections_max: int,
        jobs_clock: Callable[[], int] | None = None,
    ) -> None:
        """Open the data folder. Call inside a running loop; ``jobs_clock`` times jobs instead of ``clock``.

        Raises:
            Unavailable, CredentialsUnusable, OSError: the folder cannot be used; the message says why.
        """
        self._settings = settings
        self._clock = clock
        self._tls: DeviceTls | None = None
        self._installation = installation = Installation(account=settings.account, region=settings.region)
        credentials = root_credentials(settings.data, environment)
        self._authority = FileAuthority(settings.data / "ca", clock)
        self.store = SqliteStore(settings.data)
        self._meters = Meters()
        self._committer = Committer(self.store, jobs_clock or clock, meters=self._meters)
        blobs = FileBlobs(settings.data / "blobs")
        self.objects = Objects(self._committer, blobs)
        self._devices = Devices(self._committer, self._authority)
        self._throttle = Throttle(settings.rates)
        self._fleet = FleetParts(
            committer=self._committer, installation=installation, clock=clock, new_id=new_id
        )
        self._board = GatewayBoard(self._fleet.live)
        self._jobs = jobs = JobParts(
            committer=self._committer,
            installation=installation,
            credentials=credentials,
            clock=clock,
            new_id=new_id,
            read_text=self.objects.read_text,
            publish=self._publish,
            is_behind=self._is_behind,
            clients=self._clients,
            throttle=self._throttle,
            record=self._fleet.index.recorded,
        )
        callers = Callers(credentials, installation, clock)
        self._functions = self._make_functions(callers, blobs)
        self._retained = RetainedMessages(clock, self._committer)
        self._rules = RuleEngine(self._committer, installation, self._functions.invocations, self._meters)
        dispatcher = self._make_dispatcher(jobs)
        self._gateway = self._board.gateway = self._make_gateway(connections_max)
        self._gateway.provisioning = self._provisioning.desk
        self._rules.publish = self._publish
        self._door = self._make_door(dispatcher, callers, self._s3_door(blobs))

    async def start(self) -> dict[str, str]:
        """Listen; the bound addresses by listener name.

        Raises:
            Unavailable: an address cannot be listened on; the message names its option.
        """
        settings = self._settings
        bound: dict[str, str] = {}
        reached: dict[str, tuple[Address, int]] = {}
        self._gateway.begin()
        if settings.http is not None:
            with _told("--http", settings.http):
                port = await self._door.start(settings.http.host, settings.http.port)
            bound["http"] = settings.http.text(port)
            reached["http"] = (settings.http, port)
            self._jobs.delivery.endpoint = ObjectsEndpoint(
                scheme="http", port=port, advertised=settings.advertise
            )
        if settings.https is not None:
            context = self._context(ssl.CERT_OPTIONAL)
            with _told("--https", settings.https):
                port = await self._door.start(settings.https.host, settings.https.port, context)
            bound["https"] = settings.https.text(port)
            reached["https"] = (settings.https, port)
            self._jobs.delivery.endpoint = ObjectsEndpoint(
                scheme="https", port=port, advertised=settings.advertise
            )
        # Not before the store's address is known: documents may be sent at once, with URLs in them.
        self._jobs.start()
        self._fleet.start()
        self._provisioning.start()
        self._functions.start(reached, self._authority.ca_pem())
        if settings.mqtt is not None:
            with _told("--mqtt", settings.mqtt):
                port = await self._gateway.start(settings.mqtt.host, settings.mqtt.port)
            bound["mqtt"] = settings.mqtt.text(port)
        if settings.mqtts is not None:
            context = self._context(ssl.CERT_REQUIRED)
            with _told("--mqtts", settings.mqtts):
                port = await self._gateway.start(settings.mqtts.host, settings.mqtts.port, context)
            bound["mqtts"] = settings.mqtts.text(port)
        self._jobs.start_events()
        return bound

    async def close(self) -> None:
        """Stop listening, let what is under way end, close the store."""
        if self._tls is not None:
            self._tls.close()
        await self._door.close()
        await self._jobs.close_events()
        await self._fleet.close()
        await self._gateway.close()
        await self._fleet.record()
        await self._provisioning.close()
        await self._rules.close()
        await self._functions.close()
        await self._jobs.close()
        await self._committer.drain()
        self.store.close()

    def _make_dispatcher(self, jobs: JobParts) -> Dispatcher:
        return Dispatcher(
            {
                "iot": self._limited(self._registry(jobs), jobs.handlers()),
                "iotdata": self._messaging(),
                "iot-jobs-data": jobs.data_handlers(),
                "lambda": self._functions.handlers(),
                "sts": IdentityOperations().handlers(),
            }
        )

    def _messaging(self) -> dict[str, Handler]:
        messages = DataPlaneOperations(Messages(self._publish), self._retained)
        connections = ConnectionOperations(self._board, self._clock)
        shadows = ShadowOperations(Installed(self._committer))
        return messages.handlers() | connections.handlers() | shadows.handlers()

    def _limited(self, *groups: Mapping[str, Handler]) -> dict[str, Handler]:
        handlers = {name: handler for group in groups for name, handler in group.items()}
        return throttled(handlers, self._throttle, self._clock)

    def _make_functions(self, callers: Callers, blobs: FileBlobs) -> FunctionParts:
        settings = self._settings
        return FunctionParts(
            data=settings.data,
            limits=settings.functions,
            committer=self._committer,
            blobs=blobs,
            objects=self.objects,
            callers=callers,
            installation=self._installation,
            advertise=settings.advertise[0] if settings.advertise else None,
            clock=self._clock,
            new_id=new_id,
            meters=self._meters,
        )

    def _make_gateway(self, connections_max: int) -> Gateway:
        return Gateway(
            devices=self._devices,
            plane=self._jobs.plane,
            committer=self._committer,
            delivery=self._jobs.delivery,
            traces=self._jobs.traces,
            rules=self._rules,
            clock=self._clock,
            installation=self._installation,
            connections_max=connections_max,
            live=self._fleet.live,
            retained=self._retained,
            book=SessionBook(self._committer),
            meters=self._meters,
            publishes_per_second=self._settings.rates.get(CONNECTION_PUBLISHES),
        )

    def _make_door(self, dispatcher: Dispatcher, callers: Callers, objects_door: S3Door) -> HttpsDoor:
        return HttpsDoor(
            dispatcher=dispatcher,
            callers=callers,
            devices=self._devices,
            s3=objects_door.handle,
            s3_grant=objects_door.grant,
            function_urls=self._functions.door,
            bucket_of_host=objects_door.bucket_of_host,
            clock=self._clock,
            installation=self._installation,
            own=self._jobs.own,
            meters=self._meters,
            metrics=self._make_metrics().answer,
            mqtt=partial(accept, self._gateway),
        )

    def _make_metrics(self) -> Metrics:
        return Metrics(
            Sources(
                meters=self._meters,
                committer=self._committer,
                gateway=self._gateway,
                retained=self._retained,
                jobs=self._jobs,
                rules=self._rules,
                function_events=self._functions.queue,
                store=self.store,
            )
        )

    def _clients(self) -> Collection[str]:
        return self._gateway.clients()

    def _is_behind(self, topics: Collection[str]) -> bool:
        return self._gateway.broker.is_behind(topics)

    def _publish(self, message: Published) -> Publication:
        return self._gateway.publish(message)

    def renew_certificates(self) -> None:
        """Give the TLS listeners a new server certificate when theirs is near its end; for now and then."""
        if self._tls is not None:
            self._authority.server_certificate(self._names())
            self._tls.renew()

    def _s3_door(self, blobs: FileBlobs) -> S3Door:
        return S3Door(
            buckets=Buckets(self._committer),
            objects=self.objects,
            uploads=Uploads(self._committer, blobs, new_id),
            installation=self._installation,
            new_request_id=new_id,
            hosts=(*self._settings.advertise, *LOCAL_NAMES),
            console_bucket=self._settings.console_bucket
            or f"outfitter-console-{self._installation.account}-{self._installation.region}",
        )

    def _registry(self, jobs: JobParts) -> dict[str, Handler]:
        committer, installation = self._committer, self._installation
        policies = Policies(committer, new_id)
        advertised = self._settings.advertise
        groups = (
            EndpointOperations(advertised[0] if advertised else None),
            ThingTypeOperations(ThingTypes(committer, installation, new_id), installation),
            PrincipalOperations(Principals(committer), installation),
            CertificateOperations(
                Certificates(committer, self._authority, self._clock, new_id), installation
            ),
            PolicyOperations(policies, installation),
            PolicyTargetOperations(policies, installation),
            AuthorizationOperations(Authorization(committer, self._devices), installation),
            PackageOperations(Packages(committer, self.objects.exists), installation),
            TopicRuleOperations(TopicRules(committer, installation), installation),
            ThingConnectivityOperations(ThingConnectivity(committer, self._board)),
            EventOperations(EventConfigurations(committer, jobs.events)),
            TagOperations(Tags(committer, installation)),
        )
        handlers = {name: handler for group in groups for name, handler in group.handlers().items()}
        handlers |= self._fleet.handlers(jobs.continuous)
        self._provisioning = ProvisioningParts(
            committer=committer,
            authority=self._authority,
            devices=self._devices,
            fleet=self._fleet,
            policies=policies,
            invoke=self._functions.invocations.invoke_for,
            publish=self._publish,
            installation=installation,
            clock=self._clock,
            new_id=new_id,
        )
        return handlers | self._provisioning.handlers()

    def _context(self, clients: ssl.VerifyMode) -> ssl.SSLContext:
        if self._tls is None:
            certificate, key = self._authority.server_certificate(self._names())
            self._tls = DeviceTls(self._devices.trust_pem, certificate, key)
            self._committer.listen(self._tls.hear)
        return self._tls.listener(clients)

    def _names(self) -> list[str]:
        listeners = [a.host for a in (self._settings.https, self._settings.mqtts) if isinstance(a, Address)]
        bound = [host for host in listeners if host not in {"0.0.0.0", "::"}]  # noqa: S104 - told apart, not bound
        return list(
            dict.fromkeys([*self._settings.advertise, *LOCAL_NAMES, socket.gethostname().lower(), *bound])
        )


@contextlib.contextmanager
def _told(option: str, address: Address) -> Iterator[None]:
    """Say which option's address it is that cannot be listened on."""
    try:
        yield
    except OSError as error:
        # Names that cannot be resolved have numbers below 0, and words of their own.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise Unavailable(
            f"{option} {address.text(address.port)}: {reason}; end what listens there, or choose another HOST:PORT"
        ) from error


def new_id() -> str:
    """A fresh UUID: the one source of chance for the registry."""
    return str(uuid.uuid4())
