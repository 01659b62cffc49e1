"""The root access key on disk: ``DIR/credentials`` in the format of AWS's credentials file, mode 0600."""

import configparser
import os
import re
import secrets
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from outfitter_server.access.signature import Credentials

FILE_NAME: Final = "credentials"
KEY_ID_VARIABLE: Final = "OUTFITTER_ROOT_ACCESS_KEY_ID"
SECRET_VARIABLE: Final = "OUTFITTER_ROOT_SECRET_ACCESS_KEY"  # noqa: S105 - the name of a variable, not a secret

_KEY_ID = re.compile(r"\w{4,128}\Z", re.ASCII)
_SECRET = re.compile(r"[!-~]{8,256}\Z")
_KEY_ID_LETTERS: Final = string.ascii_uppercase + "234567"
_SECRET_LETTERS: Final = string.ascii_letters + string.digits


class CredentialsUnusable(Exception):  # noqa: N818 - says what is wrong, as the refusals do
    """The file or the environment holds no usable root key; the message says where and what to do."""


def root_credentials(folder: Path, environment: Mapping[str, str]) -> Credentials:
    """The root key of a data folder.

    A key in the folder wins. A folder without one gets the key that the environment names, or else one at random.

    Raises:
        CredentialsUnusable: the file is not readable as one, or the environment's values cannot be a key.
    """
    path = folder / FILE_NAME
    if path.exists():
        return _read(path)
    credentials = _from_environment(environment) or _random()
    _write(path, credentials)
    return credentials


def _read(path: Path) -> Credentials:
    if path.stat().st_mode & 0o077:
        path.chmod(0o600)
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text())
        section = parser["default"]
        return Credentials(
            access_key_id=section["aws_access_key_id"], secret_access_key=section["aws_secret_access_key"]
        )
    except (configparser.Error, KeyError, UnicodeDecodeError) as error:
        raise CredentialsUnusable(
            f"{path} must hold a section [default] with aws_access_key_id and aws_secret_access_key; "
            "restore it, or remove it to have a new key made"
        ) from error


def _from_environment(environment: Mapping[str, str]) -> Credentials | None:
    key_id, secret = environment.get(KEY_ID_VARIABLE), environment.get(SECRET_VARIABLE)
    if not key_id and not secret:
        return None
    if not key_id or not secret:
        raise CredentialsUnusable(f"set both {KEY_ID_VARIABLE} and {SECRET_VARIABLE}, or neither")
    if not _KEY_ID.match(key_id):
        raise CredentialsUnusable(f"{KEY_ID_VARIABLE} must be 4 to 128 letters, digits and underscores")
    if not _SECRET.match(secret):
        raise CredentialsUnusable(f"{SECRET_VARIABLE} must be 8 to 256 visible ASCII characters")
    return Credentials(access_key_id=key_id, secret_access_key=secret)


def _random() -> Credentials:
    return Credentials(
        access_key_id="AKIA" + "".join(secrets.choice(_KEY_ID_LETTERS) for _ in range(16)),
        secret_access_key="".join(secrets.choice(_SECRET_LETTERS) for _ in range(40)),
    )


def _write(path: Path, credentials: Credentials) -> None:
    text = (
        "[default]\n"
        f"aws_access_key_id = {credentials.access_key_id}\n"
        f"aws_secret_access_key = {credentials.secret_access_key}\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = path.with_name(f"{FILE_NAME}.partial")
    partial.unlink(missing_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
