"""Everything that can go wrong, as one tree.

    Problem                     exit code 1
      WrongUsage                2: the command line asks for something that makes no sense
      NotFound                  a thing, group, package, version or job that is not there
      Conflict                  what is there already differs from what is wanted
      BadImage                  a software image that cannot be used
      BadKey                    a file that holds no key, or one that is not kept well
      BadSignature              a signature that is missing, wrong, or of something else
      BadConfiguration          a file that is no configuration, or too large for one
      NoCredentials             no access key, region or profile to call with
      EndpointUnreachable       nothing answers at the endpoint
      CloudRefused              the service answered with an error
      Unfinished                an update that failed, timed out or is no longer watched

Each message says what happened, where, and what to do.
"""

import difflib
from collections.abc import Iterable
from typing import Final

SUGGESTIONS_MAX: Final = 5
LISTED_MAX: Final = 20


class Problem(Exception):  # noqa: N818 - people read about problems, and so does this tree
    """The root: a message for a person, and the exit code of the command."""

    exit_code = 1


class WrongUsage(Problem):
    """The arguments contradict each other or the rules of names."""

    exit_code = 2


class NotFound(Problem):
    """Something that was named does not exist."""


class Conflict(Problem):
    """Something of that name exists and is different."""


class BadImage(Problem):
    """A file or folder is no software image."""


class BadKey(Problem):
    """A file holds no key of the kind that is needed, or others may read it."""


class BadSignature(Problem):
    """Nobody who is trusted says this."""


class BadConfiguration(Problem):
    """A file or an object is no configuration that devices could take."""


class NoCredentials(Problem):
    """There is nothing to sign requests with, or no region to send them to."""


class EndpointUnreachable(Problem):
    """The connection to the endpoint failed."""


class CloudRefused(Problem):
    """The service refused an operation; ``code`` is AWS's name of the error."""

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class Unfinished(Problem):
    """The job did not end well, or was not seen to its end."""


def did_you_mean(name: str, existing: Iterable[str], *, nothing: str) -> str:
    """A sentence that names what comes close to ``name``, else what there is, else ``nothing``."""
    names = sorted(set(existing))
    if not names:
        return nothing
    folded = {each.lower(): each for each in names}
    close = difflib.get_close_matches(name.lower(), folded, n=SUGGESTIONS_MAX, cutoff=0.6)
    if close:
        return f"Did you mean {' or '.join(folded[each] for each in close)}?"
    more = f" and {len(names) - LISTED_MAX} more" if len(names) > LISTED_MAX else ""
    return f"There are: {', '.join(names[:LISTED_MAX])}{more}."
