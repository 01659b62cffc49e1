"""The images of the demonstration: one program, two good versions, one that is spoilt in the store, one that crashes."""

import json
import shutil
import sys
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Final

from outfitter_contract.image import MANIFEST_NAME, Manifest, build_manifest

SOFTWARE: Final = "lamp"
DEVICE_TYPE: Final = "street-lamp"
_PROGRAM: Final = ("lamp.py", "health.py", "reload.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """One version. ``colour`` None: the maker forgot a file, and the program crashes at its start."""

    version: str
    colour: str | None


BUILDS: Final = (
    Build(version="1.0.0", colour="yellow"),
    Build(version="2.0.0", colour="white"),
    Build(version="2.1.0", colour="blue"),
    Build(version="3.0.0", colour=None),
)


def write_folder(build: Build, folder: Path) -> None:
    """Lay out what ``outfitter software pack`` makes an image of."""
    folder.mkdir(parents=True)
    manifest = Manifest(
        name=SOFTWARE,
        version=build.version,
        device_types=(DEVICE_TYPE,),
        start=(sys.executable, "lamp.py"),
        health=(sys.executable, "health.py"),
    )
    (folder / MANIFEST_NAME).write_bytes(build_manifest(manifest))
    with as_file(files("outfitter_fleet.demo.software")) as program:
        for name in _PROGRAM:
            shutil.copy(program / name, folder / name)
    if build.colour is not None:
        (folder / "light.json").write_text(json.dumps({"colour": build.colour}))


def spoil(s3: Any, bucket: str, key: str) -> None:
    """Change one byte of an object: what a bad disk or a bad person would do. The length stays."""
    content = bytearray(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    content[len(content) // 2] ^= 0xFF
    s3.put_object(Bucket=bucket, Key=key, Body=bytes(content))
