"""Image files: a ``tar.gz`` with ``outfitter.json`` at its top, or a file of any kind that ``FILE.json`` describes."""

import gzip
import hashlib
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from outfitter_contract.image import MANIFEST_BYTES_MAX, MANIFEST_NAME, ManifestError, parse_manifest
from outfitter_contract.signed import SIGNED_LENGTH_MAX

from outfitter_updates.catalogue.problems import BadImage, BadSignature, Problem
from outfitter_updates.catalogue.software import Image, check_names

MEMBERS_MAX: Final = 50_000
"""What the agent takes at most."""
BLOCK_BYTES: Final = 1024 * 1024
SIGNED_SUFFIX: Final = ".signed"
DESCRIPTION_SUFFIX: Final = ".json"
EXECUTABLE_MODE: Final = 0o755
PLAIN_MODE: Final = 0o644
ANY_EXECUTE_BIT: Final = 0o111


def read_image(file: Path) -> Image:
    """What an image file says of itself, or ``FILE.json`` of it, with its digest; reads an archive to its end.

    Raises BadImage when there is no description, and the file is no readable ``tar.gz`` or has no manifest, and when
    either is malformed.
    """
    description = file.with_name(file.name + DESCRIPTION_SUFFIX)
    described = description.is_file()
    try:
        manifest = description.read_bytes() if described else _manifest_in(file)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise BadImage(
            f"{file} is no readable tar.gz: {error}. `outfitter software pack` makes images;"
            f" one of another kind is described by {description.name} beside it."
        ) from error
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    where = str(description) if described else str(file)
    image = _image(manifest, where, digest, file.stat().st_size, starts=not described)
    return replace(image, suffix=file.suffix) if described else image


def pack_folder(folder: Path, out: Path) -> Image:
    """Writes the folder as an image, the same bytes for the same content; raises BadImage when it can be none."""
    manifest_file = folder / MANIFEST_NAME
    if not manifest_file.is_file():
        raise BadImage(
            f"{folder} has no {MANIFEST_NAME}: write one with name, version, device_types and start."
        )
    _image(manifest_file.read_bytes(), str(manifest_file), "", 0)
    members = _members(folder, out)
    unfinished = out.with_name(f"{out.name}.part")
    try:
        _write(unfinished, folder, members)
        image = read_image(unfinished)
        unfinished.replace(out)
    except OSError as error:
        raise BadImage(f"{out} cannot be written: {error.strerror}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return image


def signed_file(file: Path) -> Path:
    """Where the signature of an image file is kept."""
    return file.with_name(file.name + SIGNED_SUFFIX)


def read_signed_text(file: Path) -> str:
    """The signed text in a file; raises BadSignature when it cannot be read."""
    try:
        with file.open("rb") as opened:
            content = opened.read(SIGNED_LENGTH_MAX + 1)
    except OSError as error:
        raise BadSignature(
            f"{file} cannot be read: {error.strerror}. `outfitter software sign` makes signatures."
        ) from error
    return content.decode("ascii", "replace").strip()


@contextmanager
def signed_in(file: Path) -> Iterator[None]:
    """In it, what is wrong with a signature is told with the file that it was read from."""
    try:
        yield
    except BadSignature as error:
        error.add_note(f"The signature is the one in {file}.")
        raise


def write_text(file: Path, text: str) -> None:
    """The file with this text, whole or as it was; raises Problem."""
    unfinished = file.with_name(f"{file.name}.part")
    try:
        unfinished.write_text(text, "ascii")
        unfinished.replace(file)
    except OSError as error:
        raise Problem(f"{file} cannot be written: {error.strerror}.") from error
    finally:
        unfinished.unlink(missing_ok=True)


def _write(file: Path, folder: Path, members: list[Path]) -> None:
    """The archive; neither the compressor nor the members carry a time, a name or an owner of their own."""
    with (
        file.open("wb") as raw,
        gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as archive,
    ):
        for path in members:
            _add(archive, path, path.relative_to(folder).as_posix())


def _members(folder: Path, out: Path) -> list[Path]:
    """What goes in, in a fixed order: the manifest first, then all else by name."""
    own = {out.resolve(), out.with_name(f"{out.name}.part").resolve()}
    found = [path for path in folder.rglob("*") if path.resolve() not in own]
    for path in found:
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BadImage(f"{path} is neither a file nor a folder: images hold nothing else.")
    if len(found) > MEMBERS_MAX:
        raise BadImage(f"{folder} holds {len(found)} files; an image holds at most {MEMBERS_MAX}.")
    return sorted(
        found, key=lambda path: (path != folder / MANIFEST_NAME, path.relative_to(folder).as_posix())
    )


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    """One member, without owner and time of its own."""
    member = tarfile.TarInfo(name)
    if path.is_dir():
        member.type, member.mode = tarfile.DIRTYPE, EXECUTABLE_MODE
        archive.addfile(member)
        return
    status = path.stat()
    member.size = status.st_size
    member.mode = EXECUTABLE_MODE if status.st_mode & ANY_EXECUTE_BIT else PLAIN_MODE
    with path.open("rb") as content:
        archive.addfile(member, content)


def _manifest_in(file: Path) -> bytes:
    found: bytes | None = None
    with gzip.open(file, "rb") as unpacked:
        with tarfile.open(fileobj=unpacked, mode="r|") as archive:
            for count, member in enumerate(archive):
                if count >= MEMBERS_MAX:
                    raise BadImage(f"{file} has more than {MEMBERS_MAX} members.")
                if found is None and member.name.removeprefix("./") == MANIFEST_NAME and member.isfile():
                    content = archive.extractfile(member)
                    found = content.read(MANIFEST_BYTES_MAX + 1) if content else b""
        while unpacked.read(BLOCK_BYTES):  # the checksum comes last
            pass
    if found is None:
        raise BadImage(f"{file} has no {MANIFEST_NAME} at its top: `outfitter software pack` makes images.")
    return found


def _image(manifest: bytes, where: str, digest: str, size_bytes: int, *, starts: bool = True) -> Image:
    try:
        told = parse_manifest(manifest, starts=starts)
    except ManifestError as error:
        raise BadImage(f"{where}: {error}.") from error
    image = Image(
        name=told.name,
        version=told.version,
        device_types=told.device_types,
        sha256=digest,
        size_bytes=size_bytes,
    )
    check_names(image)
    return image
