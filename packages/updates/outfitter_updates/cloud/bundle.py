"""What is deployed, as bytes: the function's zip and the files of the page."""

import hashlib
import io
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

FUNCTION_PARTS: Final = (
    "outfitter_contract",
    "outfitter_updates/catalogue",
    "outfitter_updates/operations",
    "outfitter_updates/function",
)
"""The function's own room and the pure rooms under it; boto3 is in AWS's runtime and in ours."""
_ROOT_MODULE: Final = "outfitter_updates/__init__.py"
_LONG_AGO: Final = (1980, 1, 1, 0, 0, 0)


def function_zip() -> bytes:
    """The function's code; the same sources make the same bytes."""
    found = {_ROOT_MODULE: files("outfitter_updates").joinpath("__init__.py").read_bytes()}
    for part in FUNCTION_PARTS:
        package, _, room = part.partition("/")
        folder = files(package).joinpath(room) if room else files(package)
        found |= {f"{part}/{name}": content for name, content in _walk(folder) if name.endswith(".py")}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(found):
            entry = zipfile.ZipInfo(name, _LONG_AGO)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, found[name])
    return buffer.getvalue()


def code_digest(content: bytes) -> str:
    """The digest of a function's zip, as Lambda tells it (``CodeSha256``)."""
    return b64encode(hashlib.sha256(content).digest()).decode()


def page_files() -> dict[str, bytes]:
    """The files of the page by key, as they were built ahead."""
    return dict(sorted(_walk(files("outfitter_updates").joinpath("console", "static"))))


def entity_tag(content: bytes) -> str:
    """The ETag that S3 gives an object of this content that was put in one piece."""
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def _walk(folder: Traversable, prefix: str = "") -> Iterator[tuple[str, bytes]]:
    for each in folder.iterdir():
        if each.is_dir():
            if each.name != "__pycache__":
                yield from _walk(each, f"{prefix}{each.name}/")
        else:
            yield f"{prefix}{each.name}", each.read_bytes()
