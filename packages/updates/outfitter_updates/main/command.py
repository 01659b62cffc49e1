"""The program ``outfitter``."""

import os
import secrets
import string
import sys
import time
from typing import TYPE_CHECKING

from outfitter_updates.cli.root import root
from outfitter_updates.cli.shape import Application

if TYPE_CHECKING:
    from outfitter_updates.cli.ports import CloudPort

TOKEN_LENGTH = 6
FAILED = 1


def main() -> None:
    """Runs the command with the real cloud, clock and chance."""
    try:
        root(prog_name="outfitter", obj=application())
    except OSError as error:  # click itself deals with a closed pipe
        sys.stderr.write(f"Error: {error.filename or 'The standard output'}: {error.strerror or error}.\n")
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # the interpreter writes the rest at its end
        sys.exit(FAILED)


def application() -> Application:
    """What the commands get from the world."""
    return Application(
        open_cloud=open_cloud,
        clock=lambda: time.time_ns() // 1_000_000,
        sleep=time.sleep,
        token=token,
    )


def open_cloud(*, profile: str | None, region: str | None, endpoint_url: str | None) -> "CloudPort":
    """The cloud; boto3 takes a third of a second to import, which help and usage errors need not wait for."""
    from outfitter_updates.cloud.cloud import Cloud

    return Cloud(profile=profile, region=region, endpoint_url=endpoint_url)


def token() -> str:
    """Letters and digits that no other job made in the same second has."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(TOKEN_LENGTH))
