"""The topic grammar of the jobs device plane, under ``$aws/things/{thing}/jobs/``.

    get                         start-next                      notify        notify-next
    get/accepted|rejected       start-next/accepted|rejected
    {jobId}/get                 {jobId}/update                  jobId may be $next in get
    {jobId}/get/accepted|…      {jobId}/update/accepted|…

A request is told by its depth before its words, so that a job called ``get`` or ``start-next`` (``jobs/get/get``)
never hides the requests of the thing. Source: AWS IoT developer guide, "Jobs device MQTT API".
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

PREFIX: Final = "$aws/things/"
NEXT: Final = "$next"
THING_NAME: Final = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
JOB_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")


class Verb(StrEnum):
    """What a device asks for."""

    GET_PENDING = "get"
    START_NEXT = "start-next"
    DESCRIBE = "describe"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class JobsRequest:
    """A request topic, taken apart; ``job`` is "" where the verb names none, and may be ``$next`` in describe."""

    thing: str
    verb: Verb
    job: str = ""


def jobs_prefix(thing: str) -> str:
    """``$aws/things/{thing}/jobs/``, the trailing slash included."""
    return f"{PREFIX}{thing}/jobs/"


def notify(thing: str) -> str:
    """Where the pending list is published."""
    return f"{PREFIX}{thing}/jobs/notify"


def notify_next(thing: str) -> str:
    """Where the next execution is published."""
    return f"{PREFIX}{thing}/jobs/notify-next"


def parse_request(topic: str) -> JobsRequest | None:
    """The jobs request that a published topic names, or None when it is no request of the jobs device plane."""
    parts = topic.split("/")
    if len(parts) not in (5, 6) or parts[0] != "$aws" or parts[1] != "things" or parts[3] != "jobs":
        return None
    thing = parts[2]
    if not THING_NAME.fullmatch(thing):
        return None
    if len(parts) == 5:  # noqa: PLR2004 - the depth that the grammar above shows
        if parts[4] == "get":
            return JobsRequest(thing, Verb.GET_PENDING)
        return JobsRequest(thing, Verb.START_NEXT) if parts[4] == "start-next" else None
    job, word = parts[4], parts[5]
    if word == "get" and (job == NEXT or JOB_ID.fullmatch(job)):
        return JobsRequest(thing, Verb.DESCRIBE, job)
    if word == "update" and JOB_ID.fullmatch(job):
        return JobsRequest(thing, Verb.UPDATE, job)
    return None


def is_jobs_topic(topic: str) -> bool:
    """Whether a topic lies in some thing's jobs namespace."""
    parts = topic.split("/", 4)
    return len(parts) == 5 and parts[0] == "$aws" and parts[1] == "things" and parts[3] == "jobs"  # noqa: PLR2004 - the depth of the grammar
