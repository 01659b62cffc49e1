"""A network of one's own: some servers listen on every address, so they are compared where there is no other machine."""

import fcntl
import os
import shutil
import socket
import struct
import sys
from typing import Final

from outfitter_fleet.load.provision import ProvisioningFailed

INSIDE: Final = "OUTFITTER_BENCH_ALONE"
_SIOCGIFFLAGS: Final = 0x8913
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1


def enter(module: str) -> None:
    """Run this module again in a network namespace with nothing but a loopback; returns inside of it.

    Raises:
        ProvisioningFailed: this machine does not let us.
    """
    if os.environ.get(INSIDE):
        _loopback_up()
        return
    unshare = shutil.which("unshare")
    if unshare is None:
        raise ProvisioningFailed("there is no unshare (util-linux) to make a network namespace with")
    words = [unshare, "--net"] if os.geteuid() == 0 else [unshare, "--map-root-user", "--net"]
    os.environ[INSIDE] = "1"
    os.execv(unshare, [*words, sys.executable, "-m", module, *sys.argv[1:]])


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        asked = struct.pack("16sh14x", b"lo", 0)
        _, flags = struct.unpack("16sh14x", fcntl.ioctl(control, _SIOCGIFFLAGS, asked))
        if not flags & _IFF_UP:
            fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))
