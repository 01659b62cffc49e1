"""kill -9 of the server at random moments of paced rollouts, retries, cancellations and deletions of thousands.

Whatever it was doing, the server that starts after it goes on: counts equal the rows, nothing is lost or doubled, no rate is
exceeded, and every job ends.
"""

import asyncio
import collections
import contextlib
import random
import threading
import types

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from outfitter_fleet.load.provision import Api, create_members

THINGS = [f"thing-{number:04}" for number in range(2_300)]
REPORTING = THINGS[::200]
RATE = 1_000
RETRIES = 2
PENDING = {"QUEUED", "IN_PROGRESS"}


class Site:
    """A server whose clock and life are the test's, and jobs on thousands of things."""

    def __init__(self, server, fleet, chance, monkeypatch) -> None:
        self.server, self.fleet, self.chance = server, fleet, chance
        self.monkeypatch = monkeypatch
        self.ahead = 0

    def advance(self, seconds):
        self.ahead += seconds
        self.monkeypatch.setenv("AHEAD_SECONDS", str(self.ahead))
        self.server.advance(seconds)

    def kill_amid(self, action, seconds):
        """Kill the server at a moment of the action, within so many seconds; start it again."""
        killer = threading.Timer(self.chance.uniform(0, seconds), self.server.process.kill)
        killer.start()
        # What is refused or left unanswered by the kill may be done or not.
        with contextlib.suppress(BotoCoreError, ClientError, OSError, AssertionError):
            action()
        killer.join()
        self.server.kill()
        self.server.start()

    def rows(self, job):
        pages = self.fleet.iot.get_paginator("list_job_executions_for_job").paginate(jobId=job)
        return [
            (entry["thingArn"].rpartition("/")[2], entry["jobExecutionSummary"])
            for page in pages
            for entry in page["executionSummaries"]
        ]

    def sound(self, job):
        """What must hold at any moment; the executions by thing."""
        counts, rows = None, None
        while counts != (counts := self.fleet.counts(job)):  # until nothing moved meanwhile
            rows = self.rows(job)
        counted = collections.Counter(entry["status"].title().replace("_", "") for _, entry in rows)
        assert counts == dict(counted)
        by_thing = collections.defaultdict(list)
        for thing, entry in rows:
            by_thing[thing].append(entry)
        for entries in by_thing.values():
            entries.sort(key=lambda entry: entry["executionNumber"])
            assert [entry["executionNumber"] for entry in entries] == list(range(1, len(entries) + 1))
            assert [entry.get("retryAttempt", 0) for entry in entries] == list(range(len(entries)))
            assert all(entry["status"] not in PENDING for entry in entries[:-1])
            assert all(entry["status"] == "FAILED" for entry in entries[:-1])
        return by_thing


@pytest.fixture
def fleet(timed_server, make_fleet, tmp_path):
    made = make_fleet(timed_server, tmp_path)
    yield made
    made.close()


@pytest.fixture
def group(timed_server, fleet):
    name = fleet.group()
    where = types.SimpleNamespace(
        url=timed_server.http,
        access_key_id=timed_server.access_key,
        secret_access_key=timed_server.secret_key,
    )

    async def fill():
        async with Api(where) as api:
            await create_members(api, name, THINGS)

    asyncio.run(fill())
    return name


def gone(fleet, job):
    try:
        fleet.iot.describe_job(jobId=job)
    except fleet.iot.exceptions.ResourceNotFoundException:
        return True
    return False


@pytest.mark.timeout(240)
@pytest.mark.parametrize("seed", [1, 2])
def test_rates_retries_cancellations_and_deletions_outlive_the_process(
    timed_server, fleet, group, eventually, monkeypatch, seed
):
    site = Site(timed_server, fleet, random.Random(seed), monkeypatch)
    paced = fleet.job(
        group,
        jobExecutionsRolloutConfig={"maximumPerMinute": RATE},
        jobExecutionsRetryConfig={"criteriaList": [{"failureType": "FAILED", "numberOfRetries": RETRIES}]},
    )
    canceled, deleted = fleet.job(group), fleet.job(group)

    def fail():
        for thing in REPORTING:
            fleet.data.update_job_execution(jobId=paced, thingName=thing, status="FAILED")

    for _ in range(2):
        site.kill_amid(lambda: site.advance(60), 0.15)
        site.sound(paced)
        site.kill_amid(fail, 0.3)
        site.sound(paced)
    site.kill_amid(lambda: fleet.iot.cancel_job(jobId=canceled), 0.2)
    site.sound(canceled)
    site.kill_amid(lambda: fleet.iot.delete_job(jobId=deleted, force=True), 0.2)

    # At rest, after all of it.
    for _ in range(2):
        site.advance(60)
    eventually(lambda: len(site.sound(paced)) == len(THINGS))
    queued = sorted(
        entry["queuedAt"].timestamp()
        for entries in site.sound(paced).values()
        for entry in entries
        if "retryAttempt" not in entry
    )
    # Whole seconds are told, so a minute may look a second shorter.
    assert all(later - first >= 59 for first, later in zip(queued, queued[RATE:], strict=False))
    if fleet.status(canceled) == "IN_PROGRESS":
        fleet.iot.cancel_job(jobId=canceled)
    eventually(lambda: fleet.counts(canceled) == {"Canceled": len(THINGS)})
    assert len(site.sound(canceled)) == len(THINGS)
    if not gone(fleet, deleted) and fleet.status(deleted) != "DELETION_IN_PROGRESS":
        fleet.iot.delete_job(jobId=deleted, force=True)
    eventually(lambda: gone(fleet, deleted))

    for thing in REPORTING:
        for _ in range(RETRIES + 1):
            if fleet.execution(thing, paced)["status"] in PENDING:
                fleet.data.update_job_execution(jobId=paced, thingName=thing, status="FAILED")
    by_thing = site.sound(paced)
    assert {thing for thing, entries in by_thing.items() if len(entries) == RETRIES + 1} == set(REPORTING)
    assert fleet.status(paced) == "IN_PROGRESS"
    site.kill_amid(lambda: fleet.iot.cancel_job(jobId=paced, force=True), 0.2)
    if fleet.status(paced) == "IN_PROGRESS":
        fleet.iot.cancel_job(jobId=paced, force=True)
    ended = {"Failed": len(REPORTING) * (RETRIES + 1), "Canceled": len(THINGS) - len(REPORTING)}
    eventually(lambda: fleet.counts(paced) == ended)
    site.sound(paced)
    for thing in REPORTING:
        assert fleet.data.get_pending_job_executions(thingName=thing)["queuedJobs"] == []
