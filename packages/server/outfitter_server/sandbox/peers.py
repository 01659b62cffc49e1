"""Who is at the other end of a loopback connection: asked of the kernel, so that no neighbour passes for a worker."""

import contextlib
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_SOCK_DIAG: Final = 4  # NETLINK_SOCK_DIAG
_BY_FAMILY: Final = 20  # SOCK_DIAG_BY_FAMILY
_REQUEST: Final = 1  # NLM_F_REQUEST
_ALL_STATES: Final = 0xFFFFFFFF
_ANSWER_BYTES: Final = 4_096
_HEADER: Final = struct.Struct("=IHHII")
_QUESTION: Final = struct.Struct("=BBBBI")
_TAIL: Final = struct.Struct("=IIIII")  # expires, rqueue, wqueue, uid, inode
_BEFORE_TAIL: Final = 4 + 48


@dataclass(frozen=True, slots=True)
class Peer:
    """The socket at the other end."""

    uid: int
    inode: int


def find_peer(own: tuple[str, int], other: tuple[str, int]) -> Peer | None:
    """The owner of ``other``, which is connected to our ``own``; both IPv4. None when the kernel does not tell."""
    ports = struct.pack(">HH", other[1], own[1])
    addresses = b"".join(socket.inet_aton(host).ljust(16, b"\0") for host in (other[0], own[0]))
    question = _QUESTION.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ALL_STATES)
    question += ports + addresses + struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)
    header = _HEADER.pack(_HEADER.size + len(question), _BY_FAMILY, _REQUEST, 1, 0)
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG) as asked:
            asked.settimeout(1)
            asked.send(header + question)
            answer = asked.recv(_ANSWER_BYTES)
    except OSError:
        return None
    _, kind, *_ = _HEADER.unpack_from(answer)
    if kind != _BY_FAMILY:
        return None
    *_, uid, inode = _TAIL.unpack_from(answer, _HEADER.size + _BEFORE_TAIL)
    return Peer(uid, inode)


def holds(pid: int, inode: int) -> bool:
    """Whether a process has this socket open."""
    wanted = f"socket:[{inode}]"
    with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if str(Path(entry.path).readlink()) == wanted:
                    return True
    return False
