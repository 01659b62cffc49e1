"""What delivering a job's document and timing its executions needs, remembered until UpdateJob changes it."""

from collections import OrderedDict
from typing import Final

from outfitter_server.jobs.configs import configs_of
from outfitter_server.jobs.values import JobHead
from outfitter_server.services.ports import Transaction

HEADS_KEPT: Final = 256  # at 32 KiB a document, 8 MiB at most

DEFAULT_URL_EXPIRES_SECONDS: Final = 3_600


class Heads:
    """A bounded cache of job heads, read through a transaction."""

    def __init__(self) -> None:
        """Start empty."""
        self._kept: OrderedDict[str, JobHead] = OrderedDict()

    def get(self, tx: Transaction, job: str) -> JobHead | None:
        """The head of a job, None when there is no such job."""
        head = self._kept.get(job)
        if head is not None:
            return head
        row = tx.one("job_head", id=job)
        if row is None:
            return None
        key, document, role_arn, expires, text = row
        configs = configs_of(text)
        head = JobHead(
            job=key,
            document=document,
            role_arn=role_arn,
            url_expires_seconds=expires or DEFAULT_URL_EXPIRES_SECONDS,
            timeout_minutes=configs.timeout_minutes,
            retries=configs.retries,
            installs=configs.installs,
            confirm=configs.confirm,
        )
        self._kept[job] = head
        if len(self._kept) > HEADS_KEPT:
            self._kept.popitem(last=False)
        return head

    def known(self, job: str) -> JobHead | None:
        """The head of a job as far as it is remembered."""
        return self._kept.get(job)

    def clear(self) -> None:
        """Forget everything: a transaction was undone, and what was read in it may never have been."""
        self._kept.clear()

    def forget(self, job: str) -> None:
        """The id may stand for another job from now on."""
        self._kept.pop(job, None)
