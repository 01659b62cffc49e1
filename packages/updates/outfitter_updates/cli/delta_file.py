"""Making delta images out of two image files, window by window, in bounded memory."""

import gzip
import hashlib
import sys
import tarfile
import tempfile
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from outfitter_contract.delta import (
    BASE_BYTES,
    WINDOW_BYTES,
    WINDOW_LOG_MAX,
    Head,
    Packer,
    Window,
    build_head,
    build_window,
)

from outfitter_updates.catalogue.problems import BadImage, Problem
from outfitter_updates.catalogue.software import Image
from outfitter_updates.cli.image_file import read_image

GZIP_HEAD_BYTES: Final = 10
LEVELS: Final = (9, 6, 8, 7, 5, 4, 3, 2, 1)
"""Of zlib, the likely ones first."""
BLOCK_BYTES: Final = 1024 * 1024
PREFIX_BYTES_MIN: Final = 8
"""What zstd takes for a prefix, at the least."""
TRIAL_LEVEL: Final = 1
LEVEL: Final = 15
"""Of zstd: above it deltas hardly become smaller, and take several times as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeDelta:
    """A delta in a file."""

    base: Image
    image: Image
    """What it makes."""
    sha256: str
    """Digest of its own file."""
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Where a file is in the content of an image."""

    start: int
    end: int


def make_delta(base_file: Path, new_file: Path, out: Path, progress: Callable[[int], None]) -> MadeDelta:
    """Write what makes the new image out of the base; ``progress`` hears of each stretch of the new image's content.

    Raises BadImage when one is no image, or the new one cannot be packed again byte for byte, which is what devices do.
    """
    base, image = read_image(base_file), read_image(new_file)
    unfinished = out.with_name(f"{out.name}.part")
    try:
        with _content(base_file) as old, _content(new_file) as new, unfinished.open("wb") as made:
            gzip_head, level = _packing(new_file, new)
            head = Head(
                base=base.sha256,
                sha256=image.sha256,
                size=image.size_bytes,
                content_size=_length(new),
                gzip_head=gzip_head,
                gzip_level=level,
            )
            made.write(build_head(head))
            for window in _windows(old, new):
                made.write(build_window(window))
                progress(window.length)
        with unfinished.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
        size = unfinished.stat().st_size
        unfinished.replace(out)
    except tarfile.TarError as error:
        raise BadImage(
            f"{base_file} or {new_file} is no tar.gz, and only those have deltas: {error}."
        ) from error
    except OSError as error:
        raise Problem(f"{out} cannot be written: {error.strerror}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return MadeDelta(base=base, image=image, sha256=digest, size_bytes=size)


def _packing(file: Path, content: IO[bytes]) -> tuple[bytes, int]:
    """How the file begins, and the level of zlib that packs the content to that very file; raises BadImage."""
    with file.open("rb") as opened:
        head = opened.read(GZIP_HEAD_BYTES)
    if head[3] == 0:  # a name or a comment would follow
        for level in LEVELS:
            if _packs_to(file, content, Packer(head, level)):
                return head, level
    raise BadImage(
        f"{file} cannot be packed again byte for byte, as devices do that apply a delta: another program than"
        " `outfitter software pack` has packed it. Unpack it, and pack and upload it under a new version."
    )


def _packs_to(file: Path, content: IO[bytes], packer: Packer) -> bool:
    content.seek(0)
    with file.open("rb") as wanted:
        while block := content.read(BLOCK_BYTES):
            packed = packer.pack(block)
            if wanted.read(len(packed)) != packed:
                return False
        packed = packer.end()
        return wanted.read(len(packed)) == packed and not wanted.read(1)


@contextmanager
def _content(file: Path) -> Iterator[IO[bytes]]:
    """The image's tar, unpacked in a file that nobody else sees."""
    with tempfile.TemporaryFile() as unpacked:
        try:
            with gzip.open(file, "rb") as packed:
                while block := packed.read(BLOCK_BYTES):
                    unpacked.write(block)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise BadImage(f"{file} is no readable tar.gz: {error}.") from error
        yield unpacked


def _windows(old: IO[bytes], new: IO[bytes]) -> Iterator[Window]:
    old_files, new_files = _stretches(old), _stretches(new)
    starts = [each.start for each in new_files.values()]
    names = list(new_files)
    length, shift = _length(new), 0
    for start in range(0, length, WINDOW_BYTES):
        end = min(start + WINDOW_BYTES, length)
        shifts = {shift: None, 0: None}
        for name in names[max(0, bisect_right(starts, start) - 1) : bisect_right(starts, end)]:
            if name in old_files:
                shifts[old_files[name].start - new_files[name].start] = None
                shifts[old_files[name].end - new_files[name].end] = None
        window, shift = _best(old, _read(new, start, end - start), start, _few(list(shifts)))
        yield window


def _few(shifts: list[int]) -> list[int]:
    """Of the shifts the last one used and none at all, and those of the first and last files."""
    return shifts if len(shifts) <= 6 else [*shifts[:4], *shifts[-2:]]  # noqa: PLR2004 - each one is a trial


def _best(old: IO[bytes], block: bytes, start: int, shifts: list[int]) -> tuple[Window, int]:
    """The window made with that stretch of the base that makes it smallest, and where it was found."""
    around = (BASE_BYTES - WINDOW_BYTES) // 2
    latest = max(0, _length(old) - BASE_BYTES)
    places = {min(max(0, start + shift - around), latest): shift for shift in reversed(shifts)}
    place = next(iter(places))
    if len(places) > 1:
        place = min(places, key=lambda each: len(_packed(block, _read(old, each, BASE_BYTES), TRIAL_LEVEL)))
    prefix = _read(old, place, BASE_BYTES)
    if len(prefix) < PREFIX_BYTES_MIN:
        prefix = b""
    window = Window(
        base_offset=place,
        base_length=len(prefix),
        length=len(block),
        packed=_packed(block, prefix, LEVEL),
    )
    return window, places[place]


def _packed(block: bytes, prefix: bytes, level: int) -> bytes:
    zstd = _zstd()
    parameter = zstd.CompressionParameter
    options = {
        parameter.compression_level: level,
        parameter.window_log: WINDOW_LOG_MAX,
        parameter.enable_long_distance_matching: 1,
    }
    dictionary = zstd.ZstdDict(prefix, is_raw=True).as_prefix if len(prefix) >= PREFIX_BYTES_MIN else None
    packed: bytes = zstd.compress(block, options=options, zstd_dict=dictionary)
    return packed


def _stretches(content: IO[bytes]) -> dict[str, _Stretch]:
    """By path, in their order, where the files are in a tar."""
    content.seek(0)
    with tarfile.open(fileobj=content, mode="r:") as archive:
        return {
            member.name.removeprefix("./"): _Stretch(member.offset, member.offset_data + member.size)
            for member in archive
            if member.isfile()
        }


def _read(content: IO[bytes], offset: int, length: int) -> bytes:
    content.seek(offset)
    return content.read(length)


def _length(content: IO[bytes]) -> int:
    return content.seek(0, 2)


def _zstd() -> Any:
    """The module, loaded where a delta is made and nowhere else."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
