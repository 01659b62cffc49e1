"""How the command leaves: without a traceback when its output has nowhere to go, or the person turns away."""

import os
import sys
from collections.abc import Callable

FAILED = 1


class OutputError(Exception):
    """The standard output takes no more."""


def say(text: str) -> None:
    """Writes a result, and sees that it arrives; what is said after it has not is lost in silence.

    Raises:
        OutputError: it does not.
    """
    if sys.stdout is None:  # closed before the start: nobody wants to know
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the rest waits for the next flush
        raise OutputError from error


def leave(program: str, run: Callable[[], int]) -> int:
    """The exit code of ``run``, or 1 when it is interrupted or its output is lost; why is on the standard error."""
    try:
        try:
            return run()
        finally:
            say("")  # what argparse wrote for --help may still wait
    except KeyboardInterrupt:
        sys.stderr.write(f"{program}: interrupted\n")
    except OutputError as error:
        if not isinstance(error.__cause__, BrokenPipeError):  # who closes a pipe has seen enough
            sys.stderr.write(f"{program}: the standard output cannot be written: {error.__cause__}\n")
    return FAILED
