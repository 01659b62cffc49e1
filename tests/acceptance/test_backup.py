"""A backup while the server works hard, and the server that comes of it."""

import io
import json
import sqlite3
import subprocess
import sys
import threading
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

OUTFITTERD = Path(sys.executable).parent / "outfitterd"
WORKERS = 3


def command(*arguments):
    return subprocess.run(
        [OUTFITTERD, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False
    )


class Load:
    """Writers that make things, run jobs and put and delete files until they are stopped."""

    def __init__(self, server):
        self.server = server
        self.stopped = threading.Event()
        self.rounds = [0] * WORKERS
        self.busy = threading.Barrier(WORKERS + 1)
        self.faults = []
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(WORKERS)]

    def __enter__(self):
        self.server.client("s3").create_bucket(Bucket="load")
        for thread in self._threads:
            thread.start()
        self.busy.wait(20)
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self._threads:
            thread.join(30)

    def _work(self, number):
        iot, s3 = self.server.client("iot"), self.server.client("s3")
        data = self.server.client("iot-jobs-data")
        waited = False
        try:
            while not self.stopped.is_set():
                name = f"load-{number}-{self.rounds[number]}"
                iot.create_thing(thingName=name)
                iot.create_job(
                    jobId=name,
                    targets=[f"arn:aws:iot:us-east-1:000000000000:thing/{name}"],
                    document='{"operation": "test"}',
                )
                data.start_next_pending_job_execution(thingName=name)
                data.update_job_execution(jobId=name, thingName=name, status="SUCCEEDED")
                # Written over and over: bytes that a row names now are deleted a moment later.
                s3.put_object(Bucket="load", Key=f"changing-{number}", Body=name.encode() * 5000)
                s3.put_object(Bucket="load", Key=name, Body=name.encode())
                s3.delete_object(Bucket="load", Key=name)
                self.rounds[number] += 1
                if not waited:
                    waited = True
                    self.busy.wait(20)
        except Exception as error:  # noqa: BLE001 - told by the test
            self.faults.append(error)


@pytest.mark.parametrize("name", ["backup", "backup.tar"])
def test_a_backup_under_load_is_whole_and_serves_again(own_server, make_fleet, tmp_path, name):
    iot, s3 = own_server.client("iot"), own_server.client("s3")
    s3.create_bucket(Bucket="images")
    s3.put_object(Bucket="images", Key="image.bin", Body=b"x" * 3_000_000)
    with Load(own_server) as load:
        acknowledged = list(load.rounds)
        iot.create_thing(thingName="just-before")
        made = command("backup", "--data", own_server.data, tmp_path / name, "--json")
        during = [after - before for before, after in zip(acknowledged, load.rounds, strict=True)]
    assert not load.faults
    assert made.returncode == 0, made.stderr
    assert sum(during) > 0, "the server wrote nothing while the backup was made"
    assert json.loads(made.stdout)["blobs"] >= 1 + WORKERS
    assert own_server.stop() == 0

    back = type(own_server)(tmp_path / "back")
    restored = command("restore", tmp_path / name, "--data", back.data)
    assert restored.returncode == 0, restored.stderr
    check_rows(back.data)
    back.start()
    iot, s3 = back.client("iot"), back.client("s3")
    things = {
        thing["thingName"] for page in iot.get_paginator("list_things").paginate() for thing in page["things"]
    }
    for number, rounds in enumerate(acknowledged):
        assert {f"load-{number}-{n}" for n in range(rounds)} <= things
    assert "just-before" in things
    assert s3.get_object(Bucket="images", Key="image.bin")["Body"].read() == b"x" * 3_000_000
    for number in range(WORKERS):
        body = s3.get_object(Bucket="load", Key=f"changing-{number}")["Body"].read()
        assert body == body[: len(body) // 5000] * 5000
    fleet = make_fleet(back, tmp_path)
    job = fleet.job(fleet.thing())
    assert fleet.status(job) == "IN_PROGRESS"
    assert back.stop() == 0, back.log()


def check_rows(data):
    """Counters equal executions, every row's blob is there, and statuses follow from them."""
    with closing(sqlite3.connect(data / "state.sqlite3")) as state:
        assert state.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        wrong = state.execute(
            """
            SELECT jobs.id FROM jobs LEFT JOIN executions ON executions.job = jobs.id GROUP BY jobs.id
            HAVING queued <> sum(executions.status = 1) OR in_progress <> sum(executions.status = 0)
                OR succeeded + failed + rejected + timed_out + removed + canceled <> sum(executions.status > 1)
            """
        ).fetchall()
        assert wrong == []
        assert state.execute("SELECT count(*) FROM executions").fetchone()[0] > 0
        for blob, size in state.execute("SELECT blob, size FROM objects"):
            assert (data / "blobs" / blob[:2] / blob).stat().st_size == size


def test_a_devices_identity_survives_a_restore(own_server, make_fleet, make_link, tmp_path):
    fleet = make_fleet(own_server, tmp_path)
    thing = fleet.thing()
    fleet.job(thing, job="waiting")
    identity = fleet.identity(thing)
    assert command("backup", "--data", own_server.data, tmp_path / "backup").returncode == 0
    assert own_server.stop() == 0
    back = type(own_server)(tmp_path / "back")
    assert command("restore", tmp_path / "backup", "--data", back.data).returncode == 0
    back.start()
    again = make_fleet(back, tmp_path)
    again.use_identity(thing, identity)
    device = again.device(thing, make_link(5, True))
    device.subscribe("get/accepted")
    assert [one["jobId"] for one in device.ask("get")["queuedJobs"]] == ["waiting"]
    device.disconnect()
    assert back.stop() == 0


def test_a_live_installation_is_not_restored_over(own_server, tmp_path):
    assert command("backup", "--data", own_server.data, tmp_path / "backup.tar").returncode == 0
    refused = command("restore", tmp_path / "backup.tar", "--data", own_server.data)
    assert refused.returncode == 1
    assert "serves" in refused.stderr
    again = command("backup", "--data", own_server.data, tmp_path / "backup.tar")
    assert again.returncode == 1
    assert "exists" in again.stderr
    assert command("backup", tmp_path / "x").returncode == 2


def test_functions_and_rules_run_again_after_a_restore(own_server, make_fleet, make_link, tmp_path):
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "def handle(event, context): return {'n': event['n'] + 1}")
    functions = own_server.client("lambda")
    functions.create_function(
        FunctionName="adds",
        Runtime="python3.13",
        Role="arn:aws:iam::000000000000:role/functions",
        Handler="app.handle",
        Code={"ZipFile": code.getvalue()},
    )
    action = {"republish": {"roleArn": "arn:aws:iam::000000000000:role/rules", "topic": "free/out"}}
    own_server.client("iot").create_topic_rule(
        ruleName="kept", topicRulePayload={"sql": "SELECT * FROM 'free/in'", "actions": [action]}
    )
    made = command("backup", "--data", own_server.data, tmp_path / "backup.tar")
    assert made.returncode == 0, made.stderr
    back = type(own_server)(tmp_path / "back")
    assert command("restore", tmp_path / "backup.tar", "--data", back.data).returncode == 0
    back.start()
    functions = back.client("lambda")
    functions.get_waiter("function_active_v2").wait(FunctionName="adds")
    answer = functions.invoke(FunctionName="adds", Payload=json.dumps({"n": 1}))
    assert json.load(answer["Payload"]) == {"n": 2}
    device = make_fleet(back, tmp_path).device("dev", make_link(4, False))
    device.subscribe("free/out")
    device.publish("free/in", {"still": "here"})
    assert device.take().body == {"still": "here"}
    device.disconnect()
    assert back.stop() == 0
