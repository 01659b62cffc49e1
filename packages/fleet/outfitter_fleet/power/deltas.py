"""A delta between two images of the proof, small enough for one window."""

import gzip
import hashlib
import sys
from typing import Any, Final

from outfitter_contract.delta import WINDOW_LOG_MAX, Head, Window, build_head, build_window

GZIP_HEAD_BYTES: Final = 10
GZIP_LEVEL: Final = 9


def delta_between(base: bytes, image: bytes) -> bytes:
    """What makes the image out of the base."""
    zstd = _zstd()
    prefix, content = gzip.decompress(base), gzip.decompress(image)
    head = Head(
        base=hashlib.sha256(base).hexdigest(),
        sha256=hashlib.sha256(image).hexdigest(),
        size=len(image),
        content_size=len(content),
        gzip_head=image[:GZIP_HEAD_BYTES],
        gzip_level=GZIP_LEVEL,
    )
    packed = zstd.compress(
        content,
        options={zstd.CompressionParameter.window_log: WINDOW_LOG_MAX},
        zstd_dict=zstd.ZstdDict(prefix, is_raw=True).as_prefix,
    )
    window = Window(base_offset=0, base_length=len(prefix), length=len(content), packed=packed)
    return build_head(head) + build_window(window)


def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
