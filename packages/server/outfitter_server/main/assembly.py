"""All wiring: which room gets what. Nothing here decides anything."""

import socket
import ssl
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from outfitter_server.aws.dispatch import Dispatcher, Handler
from outfitter_server.aws.operations.certificates import CertificateOperations
from outfitter_server.aws.operations.endpoint import EndpointOperations
from outfitter_server.aws.operations.groups import GroupOperations
from outfitter_server.aws.operations.identity import IdentityOperations
from outfitter_server.aws.operations.job_executions import ExecutionOperations, JobsDataOperations
from outfitter_server.aws.operations.jobs import JobOperations
from outfitter_server.aws.operations.packages import PackageOperations
from outfitter_server.aws.operations.policies import PolicyOperations
from outfitter_server.aws.operations.principals import PrincipalOperations
from outfitter_server.aws.operations.thing_types import ThingTypeOperations
from outfitter_server.aws.operations.things import ThingOperations
from outfitter_server.base.installation import Installation
from outfitter_server.blobs.files import FileBlobs
from outfitter_server.gateway.server import Gateway
from outfitter_server.gateway.tls import DeviceTls
from outfitter_server.https.door import HttpsDoor
from outfitter_server.keys.authority import FileAuthority
from outfitter_server.keys.credentials import root_credentials
from outfitter_server.main.settings import Address, ServeSettings
from outfitter_server.s3.door import S3Door
from outfitter_server.services.callers import Callers
from outfitter_server.services.certificates import Certificates
from outfitter_server.services.committer import Committer
from outfitter_server.services.continuous import ContinuousJobs
from outfitter_server.services.delivery import Delivery, ObjectsEndpoint
from outfitter_server.services.device_plane import DevicePlane
from outfitter_server.services.devices import Devices
from outfitter_server.services.executions import Executions
from outfitter_server.services.group_members import Memberships
from outfitter_server.services.groups import Groups
from outfitter_server.services.heads import Heads
from outfitter_server.services.jobs import Jobs
from outfitter_server.services.objects import Objects
from outfitter_server.services.pacer import Pacer
from outfitter_server.services.packages import Packages
from outfitter_server.services.policies import Policies
from outfitter_server.services.rollout import Steps
from outfitter_server.services.thing_types import ThingTypes
from outfitter_server.services.things import Things
from outfitter_server.services.workspace import Watched
from outfitter_server.stores.sqlite.store import SqliteStore

LOCAL_NAMES: Final = ("localhost", "127.0.0.1", "::1")
