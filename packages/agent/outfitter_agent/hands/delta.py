"""Applying delta images: the image file is made of the software that runs and a delta, window by window.

Memory is bounded by the windows, whatever the delta claims, and what is made is compared with the digest of the whole
image, as if it had been downloaded whole.
"""

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

from outfitter_contract.delta import (
    WINDOW_LOG_MAX,
    DeltaError,
    Head,
    Packer,
    Window,
    read_head,
    read_window,
)

from outfitter_agent.hands.base import Base
from outfitter_agent.hands.partial import refuse_without_room
from outfitter_agent.plans.effects import Downloaded
from outfitter_agent.plans.troubles import Trouble

FILE_NAME: Final = "image.made.part"
WRITE_BYTES: Final = 256 * 1024
"""What is packed at once: zlib's answer is as long."""


class Deltas:
    """Makes one image file at a time in its folder."""

    def __init__(self, folder: Path, *, bytes_max: int, also_needs: Callable[[int], int]) -> None:
        """``bytes_max`` bounds the image file and its content; ``also_needs`` tells what unpacking such a file will need."""
        self.path = folder / FILE_NAME
        self._bytes_max = bytes_max
        self._also_needs = also_needs

    def discard(self) -> None:
        """Remove what was made."""
        self.path.unlink(missing_ok=True)

    def apply(
        self,
        delta: Path,
        base: Base,
        *,
        base_sha256: str,
        sha256: str,
        size: int | None,
        go_on: Callable[[], None],
    ) -> Downloaded:
        """Make the image of that digest; raises Trouble, and what ``go_on`` raises, which is called all the while.

        It need not be durable: after a power loss it is made again.
        """
        try:
            with delta.open("rb") as opened:
                head = read_head(opened)
                self._check(head, base_sha256, sha256, size)
                refuse_without_room(
                    self.path.parent, head.size, self._also_needs(head.size), what="image that a delta makes"
                )
                return self._make(head, _content(head, opened, base, go_on), go_on)
        except DeltaError as error:
            self.discard()
            raise Trouble(f"the delta is corrupt: {error}") from None
        except BaseException:
            self.discard()
            raise

    def _check(self, head: Head, base_sha256: str, sha256: str, size: int | None) -> None:
        """Compare what the delta says of itself with what was promised, and with what this device takes."""
        told = (head.base, head.sha256, head.size)
        if told != (base_sha256, sha256, head.size if size is None else size):
            raise DeltaError(
                f"it makes {head.sha256} ({head.size} bytes) out of {head.base}, which is not what the job says"
            )
        if max(head.size, head.content_size) > self._bytes_max:
            raise Trouble(
                f"the image of {head.size} bytes ({head.content_size} unpacked) is larger than this device takes"
                f" ({self._bytes_max})"
            )

    def _make(self, head: Head, content: Iterator[bytes], go_on: Callable[[], None]) -> Downloaded:
        digest, length = hashlib.sha256(), 0
        packer = Packer(head.gzip_head, head.gzip_level)
        with self.path.open("wb") as made:
            for packed in _packed(packer, content):
                go_on()
                length += len(packed)
                if length > head.size:
                    raise Trouble(f"the delta makes more than the {head.size} bytes of the image")
                digest.update(packed)
                made.write(packed)
        if digest.hexdigest() != head.sha256:
            raise Trouble(
                f"what the delta makes here is not the image: its SHA-256 is {digest.hexdigest()} instead of"
                f" {head.sha256}; the software that runs was changed, or this device's zlib packs in another way"
            )
        return Downloaded(sha256=head.sha256, size=length)


def _packed(packer: Packer, content: Iterator[bytes]) -> Iterator[bytes]:
    for window in content:
        for start in range(0, len(window), WRITE_BYTES):
            yield packer.pack(window[start : start + WRITE_BYTES])
    yield packer.end()


def _content(head: Head, delta: BinaryIO, base: Base, go_on: Callable[[], None]) -> Iterator[bytes]:
    """The content of the new image; raises DeltaError, Trouble."""
    missing = head.content_size
    while missing:
        go_on()
        window = read_window(delta)
        if window.length > missing:
            raise DeltaError(f"its windows give more than the {head.content_size} bytes that it says")
        yield _expanded(window, base.read(window.base_offset, window.base_length))
        missing -= window.length
    if delta.read(1):
        raise DeltaError("there is more behind its end")


def _expanded(window: Window, prefix: bytes) -> bytes:
    """What the window gives: never more bytes than it says, however far its frame would expand."""
    zstd = _zstd()
    options = {zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX}
    try:
        dictionary = zstd.ZstdDict(prefix, is_raw=True).as_prefix if prefix else None
        expander = zstd.ZstdDecompressor(zstd_dict=dictionary, options=options)
        content: bytes = expander.decompress(window.packed, max_length=window.length)
        more = b"" if expander.eof else expander.decompress(b"", max_length=1)
    except (zstd.ZstdError, EOFError, ValueError) as error:
        raise DeltaError(f"a window of it cannot be expanded: {error}") from None
    if len(content) != window.length or more or not expander.eof or expander.unused_data:
        raise DeltaError(f"a window of it does not give the {window.length} bytes that it says")
    return content


def _zstd() -> Any:
    """The module, loaded where a delta is applied and nowhere else."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
