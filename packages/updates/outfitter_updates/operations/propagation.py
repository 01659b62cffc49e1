"""A propagation: upload from one device, then download to others; two jobs whose ids follow from its own."""

import re
from dataclasses import dataclass
from typing import Final

from outfitter_updates.catalogue.problems import Conflict, WrongUsage
from outfitter_updates.operations.progress import Job
from outfitter_updates.operations.update import JOB_ID_MAX, stamped_job_id

UPLOAD_ENDING: Final = "-up"
DOWNLOAD_ENDING: Final = "-down"
_ID: Final = re.compile(rf"[a-zA-Z0-9_-]{{1,{JOB_ID_MAX - len(DOWNLOAD_ENDING)}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Propagation:
    """The ids; everything else is in the jobs themselves, so that another run goes on where one ended."""

    name: str

    @property
    def upload_job(self) -> str:
        """The job of the device that gives its configuration."""
        return self.name + UPLOAD_ENDING

    @property
    def download_job(self) -> str:
        """The job of the devices that take it."""
        return self.name + DOWNLOAD_ENDING


def propagation(name: str | None, source: str, now: int, token: str) -> Propagation:
    """The one of that name, or a new one; raises WrongUsage for a name that gives no job ids."""
    if name is None:
        return Propagation(
            name=stamped_job_id(f"propagate-{source}", now, token, JOB_ID_MAX - len(DOWNLOAD_ENDING))
        )
    if not _ID.fullmatch(name):
        raise WrongUsage(
            f"{name!r} can be no name of a propagation: 1 to {JOB_ID_MAX - len(DOWNLOAD_ENDING)} letters, digits, '-'"
            " and '_'."
        )
    return Propagation(name=name)


def check_same(job: Job, arns: tuple[str, ...], what: str) -> None:
    """Raise Conflict when a job that is there already is that of another propagation."""
    if set(job.targets) != set(arns):
        raise Conflict(
            f"The job {job.job_id} is there already and {what} {', '.join(job.targets)}: it belongs to another"
            " propagation. Give this one another --id."
        )
