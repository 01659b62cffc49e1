"""Functions of the ``lambda`` model: their life, their code, their configuration."""

import datetime as dt
import platform
from collections.abc import Callable, Mapping
from typing import Any, Final

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import page_size, refuse_left_out
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.functions.names import LATEST, function_arn, function_name
from outfitter_server.functions.settings import FunctionSettings
from outfitter_server.services.functions import CodeSource, Functions, StoredFunction

PAGE_SIZE: Final = 50
_ARCHITECTURE: Final = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"
_LEFT_OUT: Final = (
    "AcceleratorConfig", "CapacityProviderConfig", "CodeSigningConfigArn", "DurableConfig", "FileSystemConfigs",
    "ImageConfig", "KMSKeyArn", "Layers", "Publish", "PublishTo", "RuntimeConfig", "Tags", "TenancyConfig",
)  # fmt: skip
_CODE_LEFT_OUT: Final = ("ImageUri", "Publish", "PublishTo", "S3ObjectVersion", "SourceKMSKeyArn")
_MEMBERS: Final = {
    "Runtime": "runtime",
    "Handler": "handler",
    "Role": "role",
    "Description": "description",
    "Timeout": "timeout_seconds",
    "MemorySize": "memory_mb",
}


class FunctionOperations:
    """Handlers of the operations on functions.

    Args:
        code_url: a pre-signed URL of a function's zip, for GetFunction.
    """

    def __init__(
        self,
        functions: Functions,
        installation: Installation,
        code_url: Callable[[StoredFunction, str, bool], str],
    ) -> None:
        self._functions = functions
        self._installation = installation
        self._code_url = code_url

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "CreateFunction": self._create,
            "GetFunction": self._get,
            "GetFunctionConfiguration": self._get_configuration,
            "ListFunctions": self._list,
            "UpdateFunctionCode": self._update_code,
            "UpdateFunctionConfiguration": self._update_configuration,
            "DeleteFunction": self._delete,
        }

    async def _create(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        _refuse_unserved(given)
        _check_architecture(given)
        if given.get("PackageType", "Zip") != "Zip":
            raise InvalidRequest("PackageType Image is not supported by this service: give a zip")
        missing = [member for member in ("Runtime", "Handler") if member not in given]
        if missing:
            raise InvalidRequest(f"{missing[0]} is needed for a function from a zip")
        settings = FunctionSettings(**_changes(given))
        made = await self._functions.create(self._name(call), settings, _source(given["Code"]))
        return configuration(made, self._installation)

    async def _get(self, call: Call) -> dict[str, Any]:
        found = self._functions.find(self._name(call))
        return {
            "Configuration": configuration(found, self._installation),
            "Code": {
                "RepositoryType": "S3",
                "Location": self._code_url(found, call.host, call.secure),
            },
        }

    async def _get_configuration(self, call: Call) -> dict[str, Any]:
        return configuration(self._functions.find(self._name(call)), self._installation)

    async def _list(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        refuse_left_out(given, "MasterRegion")
        limit = min(page_size(given, "MaxItems", PAGE_SIZE), PAGE_SIZE)
        page = self._functions.page(token=given.get("Marker"), limit=limit)
        return {
            "Functions": [configuration(each, self._installation) for each in page.items],
            "NextMarker": page.next_token,
        }

    async def _update_code(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        _check_architecture(given)
        made = await self._functions.update_code(
            self._name(call),
            _source(given),
            revision=given.get("RevisionId"),
            dry_run=given.get("DryRun", False),
        )
        return configuration(made, self._installation)

    async def _update_configuration(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        _refuse_unserved(given)
        made = await self._functions.update_settings(
            self._name(call), _changes(given), revision=given.get("RevisionId")
        )
        return configuration(made, self._installation)

    async def _delete(self, call: Call) -> dict[str, Any]:
        await self._functions.delete(self._name(call))
        return {"StatusCode": 204}

    def _name(self, call: Call) -> str:
        return named(call, self._installation)


def named(call: Call, installation: Installation) -> str:
    """The function that a call names."""
    return function_name(call.parameters["FunctionName"], installation, call.parameters.get("Qualifier"))


def configuration(found: StoredFunction, installation: Installation) -> dict[str, Any]:
    """A FunctionConfiguration. Changes take effect at once here, so that a function is always Active and up to date."""
    settings = found.settings
    return {
        "FunctionName": found.name,
        "FunctionArn": function_arn(found.name, installation),
        "Runtime": settings.runtime,
        "Role": settings.role,
        "Handler": settings.handler,
        "CodeSize": found.code.size,
        "Description": settings.description,
        "Timeout": settings.timeout_seconds,
        "MemorySize": settings.memory_mb,
        "LastModified": timestamp(found.modified_at),
        "CodeSha256": found.code_sha256,
        "Version": LATEST,
        "Environment": {"Variables": dict(settings.environment)} if settings.environment else None,
        "TracingConfig": {"Mode": "PassThrough"},
        "RevisionId": found.revision,
        "State": "Active",
        "LastUpdateStatus": "Successful",
        "PackageType": "Zip",
        "Architectures": [_ARCHITECTURE],
        "EphemeralStorage": {"Size": 512},
    }


def timestamp(milliseconds: int) -> str:
    """``2026-11-23T10:00:00.000+0000``."""
    moment = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}+0000"


def _changes(given: Mapping[str, Any]) -> dict[str, Any]:
    changes = {ours: given[theirs] for theirs, ours in _MEMBERS.items() if theirs in given}
    if "Environment" in given:
        changes["environment"] = dict(given["Environment"].get("Variables") or {})
    return changes


def _source(given: Mapping[str, Any]) -> CodeSource:
    refuse_left_out(given, *_CODE_LEFT_OUT)
    return CodeSource(inline=given.get("ZipFile"), bucket=given.get("S3Bucket"), key=given.get("S3Key"))


def _refuse_unserved(given: Mapping[str, Any]) -> None:
    """Refuse members that this service does not act on; values that say what holds anyway may stay."""
    refuse_left_out(given, *_LEFT_OUT)
    vpc = given.get("VpcConfig") or {}
    holds = {
        "VpcConfig": not any(vpc.values()),
        "DeadLetterConfig": not (given.get("DeadLetterConfig") or {}).get("TargetArn"),
        "TracingConfig": (given.get("TracingConfig") or {}).get("Mode", "PassThrough") == "PassThrough",
        "EphemeralStorage": (given.get("EphemeralStorage") or {}).get("Size", 512) == 512,  # noqa: PLR2004 - AWS's default, in megabytes
        "SnapStart": (given.get("SnapStart") or {}).get("ApplyOn", "None") == "None",
        "LoggingConfig": set(given.get("LoggingConfig") or {}) <= {"LogFormat"}
        and (given.get("LoggingConfig") or {}).get("LogFormat", "Text") == "Text",
    }
    for member, harmless in holds.items():
        if not harmless:
            raise InvalidRequest(f"{member} is not supported by this service: leave it out")


def _check_architecture(given: Mapping[str, Any]) -> None:
    wanted = given.get("Architectures") or [_ARCHITECTURE]
    if wanted != [_ARCHITECTURE]:
        raise InvalidRequest(f"Architectures {wanted} cannot be: this server's machine is {_ARCHITECTURE}")
