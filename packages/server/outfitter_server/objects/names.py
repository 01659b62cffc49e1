"""Bucket and key names, as in S3's "General purpose bucket naming rules" and "Naming objects"."""

import ipaddress
import re
from typing import Final

from outfitter_server.objects.refusals import InvalidBucketName, InvalidUri, KeyTooLong

KEY_BYTES_MAX: Final = 1_024
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIXES_RESERVED: Final = ("xn--", "sthree-", "amzn-s3-demo-")
_SUFFIXES_RESERVED: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")


def is_bucket_name(name: str) -> bool:
    """Whether a bucket of this name can exist."""
    if not _BUCKET.fullmatch(name) or ".." in name:
        return False
    if name.startswith(_PREFIXES_RESERVED) or name.endswith(_SUFFIXES_RESERVED):
        return False
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return True
    return False


def check_bucket_name(name: str) -> str:
    """The name itself.

    Raises:
        InvalidBucketName: it breaks a rule.
    """
    if not is_bucket_name(name):
        raise InvalidBucketName(
            f"bucket name {name!r} is not valid: 3 to 63 lower-case letters, digits, dots and hyphens, "
            "beginning and ending with a letter or digit, not an IP address",
            BucketName=name,
        )
    return name


def check_key(key: str) -> str:
    """The key itself.

    Raises:
        KeyTooLong: more than 1,024 bytes of UTF-8.
        InvalidUri: empty, or not Unicode.
    """
    if not key:
        raise InvalidUri("an object key has at least one character")
    try:
        size = len(key.encode())
    except UnicodeEncodeError as error:
        raise InvalidUri("an object key is UTF-8") from error
    if size > KEY_BYTES_MAX:
        raise KeyTooLong(
            f"the key has {size} bytes, at most {KEY_BYTES_MAX} are allowed",
            Size=size,
            MaxSizeAllowed=KEY_BYTES_MAX,
        )
    return key
