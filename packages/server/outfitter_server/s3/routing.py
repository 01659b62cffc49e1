"""From a request line to an operation: path style and virtual-hosted style, sub-resources in the query."""

import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final
from urllib.parse import parse_qsl, unquote

from outfitter_server.objects.names import is_bucket_name
from outfitter_server.objects.refusals import InvalidUri, MethodNotAllowed, NotSupported

_AWS_HOST: Final = re.compile(r"(?P<bucket>.+)\.s3(?:[.-][a-z0-9.-]+)?\.amazonaws\.com(?:\.cn)?")
_QUERY_FIELDS_MAX: Final = 100


class Operation(Enum):
    """The operations served, by AWS's names; the value is the action that a policy calls them by."""

    ListBuckets = ("s3:ListAllMyBuckets", "ListBuckets")
    CreateBucket = ("s3:CreateBucket", "CreateBucket")
    HeadBucket = ("s3:ListBucket", "HeadBucket")
    DeleteBucket = ("s3:DeleteBucket", "DeleteBucket")
    GetBucketLocation = ("s3:GetBucketLocation", "GetBucketLocation")
    GetBucketVersioning = ("s3:GetBucketVersioning", "GetBucketVersioning")
    GetBucketPolicy = ("s3:GetBucketPolicy", "GetBucketPolicy")
    PutBucketPolicy = ("s3:PutBucketPolicy", "PutBucketPolicy")
    DeleteBucketPolicy = ("s3:DeleteBucketPolicy", "DeleteBucketPolicy")
    GetBucketCors = ("s3:GetBucketCORS", "GetBucketCors")
    PutBucketCors = ("s3:PutBucketCORS", "PutBucketCors")
    DeleteBucketCors = ("s3:PutBucketCORS", "DeleteBucketCors")
    ListObjects = ("s3:ListBucket", "ListObjects")
    ListObjectsV2 = ("s3:ListBucket", "ListObjectsV2")
    ListMultipartUploads = ("s3:ListBucketMultipartUploads", "ListMultipartUploads")
    DeleteObjects = ("s3:DeleteObject", "DeleteObjects")
    GetObject = ("s3:GetObject", "GetObject")
    HeadObject = ("s3:GetObject", "HeadObject")
    PutObject = ("s3:PutObject", "PutObject")
    CopyObject = ("s3:PutObject", "CopyObject")
    DeleteObject = ("s3:DeleteObject", "DeleteObject")
    CreateMultipartUpload = ("s3:PutObject", "CreateMultipartUpload")
    UploadPart = ("s3:PutObject", "UploadPart")
    UploadPartCopy = ("s3:PutObject", "UploadPartCopy")
    CompleteMultipartUpload = ("s3:PutObject", "CompleteMultipartUpload")
    AbortMultipartUpload = ("s3:AbortMultipartUpload", "AbortMultipartUpload")
    ListParts = ("s3:ListMultipartUploadParts", "ListParts")

    @property
    def action(self) -> str:
        """The name that policies use."""
        return self.value[0]


ANONYMOUS: Final = frozenset(
    {
        Operation.GetObject,
        Operation.HeadObject,
        Operation.ListObjects,
        Operation.ListObjectsV2,
        Operation.HeadBucket,
    }
)
POLICY_KEEPERS: Final = frozenset(
    {Operation.GetBucketPolicy, Operation.PutBucketPolicy, Operation.DeleteBucketPolicy}
)

_BUCKET: Final = {
    ("PUT", ""): Operation.CreateBucket,
    ("HEAD", ""): Operation.HeadBucket,
    ("DELETE", ""): Operation.DeleteBucket,
    ("GET", ""): Operation.ListObjects,
    ("GET", "location"): Operation.GetBucketLocation,
    ("GET", "versioning"): Operation.GetBucketVersioning,
    ("GET", "policy"): Operation.GetBucketPolicy,
    ("PUT", "policy"): Operation.PutBucketPolicy,
    ("DELETE", "policy"): Operation.DeleteBucketPolicy,
    ("GET", "cors"): Operation.GetBucketCors,
    ("PUT", "cors"): Operation.PutBucketCors,
    ("DELETE", "cors"): Operation.DeleteBucketCors,
    ("GET", "uploads"): Operation.ListMultipartUploads,
    ("POST", "delete"): Operation.DeleteObjects,
}
_OBJECT: Final = {
    ("GET", ""): Operation.GetObject,
    ("HEAD", ""): Operation.HeadObject,
    ("PUT", ""): Operation.PutObject,
    ("DELETE", ""): Operation.DeleteObject,
    ("POST", "uploads"): Operation.CreateMultipartUpload,
    ("PUT", "uploadId"): Operation.UploadPart,
    ("POST", "uploadId"): Operation.CompleteMultipartUpload,
    ("DELETE", "uploadId"): Operation.AbortMultipartUpload,
    ("GET", "uploadId"): Operation.ListParts,
}
_SUBRESOURCES: Final = frozenset(name for _, name in (*_BUCKET, *_OBJECT) if name)
_UNSUPPORTED: Final = frozenset(
    {
        "accelerate",
        "acl",
        "analytics",
        "append",
        "attributes",
        "encryption",
        "intelligent-tiering",
        "inventory",
        "legal-hold",
        "lifecycle",
        "logging",
        "metadataConfiguration",
        "metadataInventoryTable",
        "metadataJournalTable",
        "metadataTable",
        "metrics",
        "notification",
        "object-lock",
        "ownershipControls",
        "policyStatus",
        "publicAccessBlock",
        "renameObject",
        "replication",
        "requestPayment",
        "restore",
        "retention",
        "select",
        "session",
        "tagging",
        "torrent",
        "versions",
        "website",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What a request is about: the service (both empty), a bucket (key empty), or an object."""

    bucket: str
    key: str

    @property
    def arn(self) -> str:
        """As policies name it."""
        return f"arn:aws:s3:::{self.bucket}" + (f"/{self.key}" if self.key else "")


def read_target(raw_path: str, host: str, bases: Collection[str]) -> Target:
    """The bucket and key of a request; ``host`` without port, ``bases`` the host names that are not bucket names.

    Raises:
        InvalidUri: the path is not percent-encoded UTF-8.
    """
    try:
        path = unquote(raw_path, errors="strict").removeprefix("/")
    except UnicodeDecodeError as error:
        raise InvalidUri("the path is not percent-encoded UTF-8") from error
    bucket = virtual_bucket(host.lower(), bases)
    if bucket is not None:
        return Target(bucket=bucket, key=path)
    bucket, _, key = path.partition("/")
    return Target(bucket=bucket, key=key)


def virtual_bucket(host: str, bases: Collection[str]) -> str | None:
    """The bucket that a host name carries in front of one of ours or of AWS's; None: path style."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        pass
    else:
        return None
    aws = _AWS_HOST.fullmatch(host)
    candidates = [aws["bucket"]] if aws else []
    for base in bases:
        if host.endswith(f".{base}"):
            label = host.removesuffix(f".{base}")
            if label != "s3" and not label.startswith("s3."):
                candidates.append(label.removesuffix(".s3"))
    return next((name for name in candidates if is_bucket_name(name)), None)


def read_query(raw_query: str) -> dict[str, str]:
    """The decoded query.

    Raises:
        InvalidUri: more than 100 parameters, or not UTF-8.
    """
    try:
        pairs = parse_qsl(
            raw_query, keep_blank_values=True, errors="strict", max_num_fields=_QUERY_FIELDS_MAX
        )
    except ValueError as error:
        raise InvalidUri(
            f"the query cannot be decoded, or has more than {_QUERY_FIELDS_MAX} parameters"
        ) from error
    return dict(pairs)


def choose_operation(method: str, target: Target, query: Mapping[str, str], *, copies: bool) -> Operation:
    """The operation; ``copies``: the request names a copy source.

    Raises:
        NotSupported: a sub-resource that this server does not keep.
        MethodNotAllowed: the resource does not take the method.
    """
    if not target.bucket:
        if method != "GET":
            raise MethodNotAllowed(
                f"the service does not take {method}", Method=method, ResourceType="SERVICE"
            )
        return Operation.ListBuckets
    if unsupported := sorted(_UNSUPPORTED & query.keys()):
        raise NotSupported(f"the sub-resource {unsupported[0]!r} is not supported by this server")
    chosen = sorted(_SUBRESOURCES & query.keys())
    subresource = chosen[0] if chosen else ""
    operation = (_OBJECT if target.key else _BUCKET).get((method, subresource))
    if operation is None and (method, subresource) == ("PUT", "versioning"):
        raise NotSupported(
            "buckets of this server keep one version of an object; versioning cannot be switched on"
        )
    if operation is None:
        raise MethodNotAllowed(
            f"{method} is not allowed on this resource",
            Method=method,
            ResourceType=(subresource or ("OBJECT" if target.key else "BUCKET")).upper(),
        )
    if operation is Operation.ListObjects and query.get("list-type") == "2":
        return Operation.ListObjectsV2
    if copies:
        return {
            Operation.PutObject: Operation.CopyObject,
            Operation.UploadPart: Operation.UploadPartCopy,
        }.get(operation, operation)
    return operation
