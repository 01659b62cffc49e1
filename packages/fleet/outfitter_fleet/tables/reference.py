"""The tables of docs/reference, from the contract and the rules of job documents."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, Final

from outfitter_contract import details, document, image, signed, topics
from outfitter_contract.execution import DEVICE_MAY_SET, PENDING, TRANSITIONS, Actor, Status
from outfitter_contract.operations import NEEDS_URL, Operation
from outfitter_contract.topics import JobsRequest, Verb
from outfitter_server.jobs import documents as job_documents
from outfitter_server.jobs import substitution as job_substitution
from outfitter_server.jobs.documents import PlaceholderKind
from outfitter_server.jobs.substitution import PackagePart, PackagePlaceholder

from outfitter_fleet.tables import limits, metrics, transaction
from outfitter_fleet.tables.blocks import code, table

_STATUS_MEANINGS: Final = {
    Status.QUEUED: "waits for its device",
    Status.IN_PROGRESS: "the device has begun",
    Status.SUCCEEDED: "done, and proven on the device",
    Status.FAILED: "the device could not; the reason is in the status details",
    Status.REJECTED: "the device will not do this at all",
    Status.TIMED_OUT: "the device did not end in time",
    Status.REMOVED: "the thing left the job's targets before it began",
    Status.CANCELED: "taken back by a person or a rule",
}
_OPERATIONS: Final = {
    Verb.GET_PENDING: ("GetPendingJobExecutions", "get"),
    Verb.START_NEXT: ("StartNextPendingJobExecution", "start-next"),
    Verb.DESCRIBE: ("DescribeJobExecution", "{jobId}/get"),
    Verb.UPDATE: ("UpdateJobExecution", "{jobId}/update"),
}
_OPERATION_MEANINGS: Final = {
    Operation.INSTALL: "download, check and install the image at `url`, restart, prove it or roll back",
    Operation.CONFIG_DOWNLOAD: "fetch the configuration at `url`, check it, apply it and tell the services, or go back to the one before",
    Operation.CONFIG_UPLOAD: "put the device's configuration to `url`, by HTTP PUT",
    Operation.TRUST_UPDATE: "take over which keys may sign images, and the lowest versions, from the statement in `signed`",
}
_PLACEHOLDERS: Final = {
    PlaceholderKind.DOWNLOAD: ("GET", "the object at `URL`, taken as written"),
    PlaceholderKind.DOWNLOAD_V1: ("GET", "the same, by its longer name"),
    PlaceholderKind.DOWNLOAD_V2: (
        "GET",
        "the object at `URL`, which is percent-encoded; `%3FversionId%3D` pins a version",
    ),
    PlaceholderKind.UPLOAD: (
        "PUT",
        "the object at `URL`; the key may hold the keywords below, or be left out",
    ),
}
_PACKAGE_PARTS: Final = {
    PackagePart.ATTRIBUTE: ("attributes:KEY", "the value of that attribute"),
    PackagePart.ATTRIBUTES: (
        "attributes",
        "all attributes, as an object; the placeholder is the whole string that it stands in",
    ),
    PackagePart.ARTIFACT: (
        "artifact:s3-presigned-url",
        "the artifact's placeholder `s3-presigned-url-v2`, filled in at each delivery; also written `artifact-location:…`",
    ),
}
_DOCUMENT_MEMBERS: Final = {
    "operation": f"one of {code([operation.value for operation in Operation])}",
    "url": f"where the data is, at most {document.URL_LENGTH_MAX} characters; usually a placeholder for a pre-signed URL",
    "forced": "whether a version that is not newer than the running one may be installed, or a configuration that is in force applied again; also taken as text",
    "name": f"the software's name, at most {document.NAME_LENGTH_MAX} characters; the image must carry it",
    "version": f"the version, at most {document.VERSION_TEXT_LENGTH_MAX} characters; the image must carry it",
    "sha256": "the digest of the file at `url`, 64 hex digits",
    "size": "the length of the file at `url` in bytes; also taken as text",
    "signed": f"what an offline key says of the image, or of the keys that count ([trust](trust.md)), at most {signed.SIGNED_LENGTH_MAX} characters",
    "merge": "`config-download`: whether parameters that the configuration does not name stay as they are on the device; also taken as text",
    "confirm": f"an object of 1 to {details.PAIRS_MAX} status details, without which no SUCCEEDED counts ([proof](beyond-aws.md#proof))",
    "deltas": f"`install`: at most {document.DELTAS_MAX} objects with `base`, `url`, `sha256`, `size`, all required: what makes the image out of the one with the digest `base`; needs `sha256` ([deltas](delta-images.md))",
    "delta_policy": f"what a device does that has no use for them, one of {code([policy.value for policy in document.DeltaPolicy])}; `full` when absent",
}
_MANIFEST_MEMBERS: Final = {
    "name": "the software's name",
    "version": "its version: dotted numbers with an optional pre-release, such as `1.4.0` or `2.0-rc.1`",
    "device_types": f"the device types that may run it, 1 to {image.DEVICE_TYPES_MAX}",
    "start": f"the program to run and its arguments, at most {image.ARGUMENTS_MAX}, in the image's own folder",
    "health": "a command that ends with 0 while the software is healthy; without one, running is healthy",
}


def documents() -> dict[str, Mapping[str, str]]:
    """The generated blocks of each document, by its name in docs/reference."""
    return {
        "execution-states.md": {"statuses": _statuses(), "transitions": _transitions()},
        "placeholders.md": {
            "placeholders": _placeholders(),
            "packages": _package_placeholders(),
            "limits": _limits(),
        },
        "limits.md": limits.blocks(),
        "metrics.md": metrics.blocks(),
        "update-transaction.md": transaction.blocks(),
        "topics.md": {"requests": _requests(), "notifications": _notifications()},
        "job-documents.md": {
            "operations": _operations(),
            "members": _members(),
            "manifest": _manifest(),
            "steps": _steps(),
        },
    }


def _statuses() -> str:
    rows = [
        [
            f"`{status}`",
            "pending" if status in PENDING else "ended",
            "yes" if status in DEVICE_MAY_SET else "no",
            _STATUS_MEANINGS[status],
        ]
        for status in Status
    ]
    return table(["status", "kind", "a device may set it", "meaning"], rows)


def _transitions() -> str:
    rows = []
    for current in Status:
        reach = {actor: TRANSITIONS.get((current, actor), frozenset()) for actor in Actor}
        if any(reach.values()):
            rows.append(
                [f"`{current}`", *(code([one for one in Status if one in reach[actor]]) for actor in Actor)]
            )
    return table(["from", *(f"to, by the {actor}" for actor in Actor)], rows)


def _requests() -> str:
    rows = []
    for verb in Verb:
        operation, words = _OPERATIONS[verb]
        _check(verb, words)
        rows.append([operation, f"`{words}`", code([f"{words}/accepted", f"{words}/rejected"])])
    return table(["operation", "publish to", "the answer comes on"], rows)


def _check(verb: Verb, words: str) -> None:
    """The written topic is one that the grammar takes for this request."""
    job = "job-1" if "{jobId}" in words else ""
    found = topics.parse_request(topics.jobs_prefix("thing-1") + words.replace("{jobId}", job))
    if found != JobsRequest("thing-1", verb, job):
        raise ValueError(f"the grammar reads {words} as {found}")


def _notifications() -> str:
    prefix = topics.jobs_prefix("{thing}")
    rows = [
        [f"`{topics.notify('{thing}').removeprefix(prefix)}`", "the list of pending executions has changed"],
        [
            f"`{topics.notify_next('{thing}').removeprefix(prefix)}`",
            "the first of them is another one, or there is none",
        ],
    ]
    return table(["topic", "says"], rows)


def _placeholders() -> str:
    rows = []
    for kind in PlaceholderKind:
        method, meaning = _PLACEHOLDERS[kind]
        text = f"${{aws:iot:{kind.value}:URL}}"
        if [found.kind for found in job_documents.placeholders(f'"{text}"')] != [kind]:
            raise ValueError(f"the rules do not know {text}")
        rows.append([f"`{text}`", method, meaning])
    return table(["placeholder", "URL for", "of"], rows)


def _package_placeholders() -> str:
    rows = []
    for part in PackagePart:
        ending, meaning = _PACKAGE_PARTS[part]
        text = f"${{aws:iot:package:NAME:version:VERSION:{ending}}}"
        if _parts(text) != [part]:
            raise ValueError(f"the rules do not know {text}")
        rows.append([f"`{text}`", meaning])
    return table(["placeholder", "becomes"], rows)


def _parts(text: str) -> list[PackagePart]:
    """What the rules read in a string of a document."""
    found: list[PackagePart] = []

    def fill(each: PackagePlaceholder) -> str:
        found.append(each.part)
        return f"{job_documents.BEGINNING}url}}" if each.part is PackagePart.ARTIFACT else ""

    job_substitution.with_packages(f'"{text}"', fill)
    return found


def _limits() -> str:
    keywords = code([f"${{{word}}}" for word in job_documents.UPLOAD_KEYWORDS])
    rows = [
        ["bytes of a stored document", str(job_documents.DOCUMENT_BYTES_MAX)],
        ["levels of nesting", str(job_documents.NESTING_MAX)],
        ["placeholders in a document, of all kinds", str(job_documents.SUBSTITUTIONS_MAX)],
        ["keywords of an upload key", keywords],
        ["uses of one keyword", str(job_documents.KEYWORD_USES_MAX)],
    ]
    return table(["what", "limit"], rows)


def _operations() -> str:
    rows = [
        [f"`{operation}`", "yes" if operation in NEEDS_URL else "no", _OPERATION_MEANINGS[operation]]
        for operation in Operation
    ]
    return table(["operation", "needs `url`", "what the device does"], rows)


def _members() -> str:
    whole = {"operation": "install", "url": "https://example.com/image", "forced": False}
    _same_names(document.JobDocument, _DOCUMENT_MEMBERS)
    return _described(_DOCUMENT_MEMBERS, whole, document.parse_document)


def _manifest() -> str:
    whole = {"name": "pump", "version": "1.0.0", "device_types": ["pump"], "start": ["./pump"]}
    _same_names(image.Manifest, _MANIFEST_MEMBERS)
    return _described(_MANIFEST_MEMBERS, whole, lambda value: image.parse_manifest(_json(value)))


def _described(members: Mapping[str, str], whole: dict[str, Any], parse: Callable[[Any], object]) -> str:
    rows = [
        [f"`{name}`", "yes" if _is_required(name, whole, parse) else "no", text]
        for name, text in members.items()
    ]
    return table(["member", "required", "meaning"], rows)


def _is_required(name: str, whole: dict[str, Any], parse: Callable[[Any], object]) -> bool:
    """Whether the parser refuses the value without this member."""
    try:
        parse({key: value for key, value in whole.items() if key != name})
    except ValueError:
        return True
    return False


def _same_names(kind: Any, members: Mapping[str, str]) -> None:
    named = {field.name for field in fields(kind)}
    if named != set(members):
        raise ValueError(f"{kind.__name__} has the members {named}, described are {set(members)}")


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _steps() -> str:
    return code([step.value for step in details.Step])
