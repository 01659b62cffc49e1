"""What a function's zip may hold. Nothing is extracted that these rules have not seen."""

import stat
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.functions.settings import MEMBERS_MAX, UNZIPPED_BYTES_MAX

RATIO_MAX: Final = 1_000  # zeros compress by a thousand to one; what claims more is no program
RATIO_FREE_BYTES: Final = 1024 * 1024
PATH_BYTES_MAX: Final = 1_024
METHODS: Final = frozenset(
    {0, 8}
)  # stored and deflated; readers of others take as much memory as a member asks


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveMember:
    """One entry of the zip's directory; ``mode`` as Unix has it, 0 when the zip does not say; ``method`` of compression."""

    name: str
    size: int
    packed_size: int
    mode: int
    encrypted: bool
    method: int

    @property
    def is_folder(self) -> bool:
        """Whether it holds no bytes of its own."""
        return self.name.endswith("/")


def check_members(members: Iterable[ArchiveMember]) -> None:
    """Whether an archive may be unpacked.

    Raises:
        InvalidRequest: a path that leads out, a link or device, a name twice, encryption, too much of anything.
    """
    seen: set[str] = set()
    files: set[str] = set()
    folders: set[str] = set()
    total = 0
    for member in members:
        _check_member(member)
        path = member.name.rstrip("/")
        if path in seen:
            raise InvalidRequest(f"the zip has {member.name!r} twice")
        seen.add(path)
        if not member.is_folder:
            files.add(path)
        folders.update(path[:at] for at, character in enumerate(path) if character == "/")
        total += member.size
        if len(seen) > MEMBERS_MAX:
            raise InvalidRequest(f"the zip has more than {MEMBERS_MAX} members")
        if total > UNZIPPED_BYTES_MAX:
            raise InvalidRequest(f"Unzipped size must be smaller than {UNZIPPED_BYTES_MAX} bytes")
    if files & folders:
        raise InvalidRequest(f"the zip's member {min(files & folders)!r} is both a file and a folder")
    if not seen:
        raise InvalidRequest("Uploaded file must be a non-empty zip")


def _check_member(member: ArchiveMember) -> None:
    name = member.name
    parts = name.removesuffix("/").split("/")
    if (
        not name.removesuffix("/")
        or "\\" in name
        or not name.isprintable()
        or any(part in {"", ".", ".."} for part in parts)
        or len(name.encode("utf-8", "surrogatepass")) > PATH_BYTES_MAX
    ):
        raise InvalidRequest(
            f"the zip's member {name[:100]!r} must be a relative path without .. or empty parts"
        )
    kind = stat.S_IFMT(member.mode)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR} or (kind == stat.S_IFDIR) > member.is_folder:
        raise InvalidRequest(
            f"the zip's member {name!r} is a link or a device; only files and folders are taken"
        )
    if member.encrypted:
        raise InvalidRequest(f"the zip's member {name!r} is encrypted")
    if member.method not in METHODS:
        raise InvalidRequest(
            f"the zip's member {name!r} is not compressed by deflate, which every zip program does"
        )
    if member.size > RATIO_FREE_BYTES and member.size > RATIO_MAX * max(1, member.packed_size):
        raise InvalidRequest(
            f"the zip's member {name!r} claims to unpack more than {RATIO_MAX} times its size"
        )
