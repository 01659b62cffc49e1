"""What a deployment consists of: names, policies, rules, and the settings that the page reads."""

import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

FUNCTION_NAME: Final = "outfitter-updates"
HANDLER: Final = "outfitter_updates.function.handler.handle"
RUNTIME: Final = "python3.13"
TIMEOUT_SECONDS: Final = 30
MEMORY_MEGABYTES: Final = 256
PAGE: Final = "index.html"
SETTINGS_KEY: Final = "config.json"
ASSETS: Final = "assets/"
PREFLIGHT_SECONDS: Final = 300
SIGNED_HEADERS: Final = (
    "authorization",
    "content-type",
    "x-amz-content-sha256",
    "x-amz-date",
    "x-amz-security-token",
)
CONTENT_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "json": "application/json",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentOrder:
    """What shall be there."""

    role_arn: str
    """The role of the function, and of the URLs that its jobs hand to devices."""
    bucket: str | None
    """For the page; None: one named after account and region."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What is there."""

    page_url: str
    function_url: str
    function_arn: str
    bucket: str
    changes: tuple[str, ...]
    """What had to be done, as sentences; empty when all was there already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where the page and its function live."""

    region: str
    endpoint: str | None
    """A server of one's own; None: AWS."""
    bucket: str


def console_bucket(account: str, region: str) -> str:
    """The bucket that holds the page of an account and a region; never what is not for everybody to see."""
    return f"outfitter-console-{account}-{region}"


def page_url(site: Site) -> str:
    """Where people find the page."""
    if site.endpoint is not None:
        return f"{site.endpoint.rstrip('/')}/{site.bucket}/{PAGE}"
    return f"https://{site.bucket}.s3.{site.region}.{_suffix(site.region)}/{PAGE}"


def page_origin(site: Site) -> str:
    """The page's origin, as browsers name it."""
    parts = urlsplit(page_url(site))
    return f"{parts.scheme}://{parts.netloc}"


def public_read(bucket: str, partition: str) -> str:
    """The bucket policy that lets everybody read, and nothing else."""
    statement = {
        "Sid": "EverybodyReadsThePage",
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:{partition}:s3:::{bucket}/*",
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def bucket_cors() -> dict[str, Any]:
    """The bucket's CORS rules: what everybody may read may be read from everywhere."""
    return {"CORSRules": [{"AllowedOrigins": ["*"], "AllowedMethods": ["GET", "HEAD"], "MaxAgeSeconds": 300}]}


def function_cors(site: Site) -> dict[str, Any]:
    """The function URL's CORS rules: signed calls from the page and from nowhere else."""
    return {
        "AllowOrigins": [page_origin(site)],
        "AllowMethods": ["POST"],
        "AllowHeaders": list(SIGNED_HEADERS),
        "ExposeHeaders": ["x-amzn-requestid", "date"],
        "MaxAge": PREFLIGHT_SECONDS,
    }


def page_settings(site: Site, function_url: str) -> bytes:
    """``config.json``: all that the page knows of where it is. An empty endpoint is the page's own origin."""
    endpoint = site.endpoint
    own = endpoint is not None
    told = {
        "region": site.region,
        "endpoints": {"iot": "" if own else f"https://iot.{site.region}.{_suffix(site.region)}"},
        "functionUrl": _relative(function_url, endpoint) if endpoint else function_url,
        "bucket": site.bucket,
    }
    return json.dumps(told, indent=2).encode() + b"\n"


def is_of_page(key: str) -> bool:
    """Whether an object of that name can be part of the page, of this version or an older one."""
    return key in {PAGE, SETTINGS_KEY} or key.startswith(ASSETS)


def object_headers(key: str) -> dict[str, str]:
    """Content type and caching of one file of the page: what carries a digest in its name never changes."""
    caching = "public, max-age=31536000, immutable" if key.startswith(ASSETS) else "no-cache"
    ending = key.rpartition(".")[2]
    return {
        "ContentType": CONTENT_TYPES.get(ending, "application/octet-stream"),
        "CacheControl": caching,
    }


def _relative(function_url: str, endpoint: str) -> str:
    """Without the origin when it is the page's own, so that the page works by every name of the server."""
    own, there = urlsplit(endpoint), urlsplit(function_url)
    return there.path if (own.hostname, own.port) == (there.hostname, there.port) else function_url


def _suffix(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
