"""The agent as a process against a real server: TLS, both protocols, reconnects, cancelled and deleted jobs."""

import hashlib
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from outfitter_agent.hands.journal import JournalFile
from outfitter_agent.plans.transaction import FinalReport, JobRef, Journal
from outfitter_contract.execution import Status

AGENT = Path(sys.executable).parent / "outfitter-agent"
RUNS = "import time\nprint('up', flush=True)\nwhile True:\n    time.sleep(1)\n"
CRASHES = "print('no lamp', flush=True)\nraise SystemExit(3)\n"
SETTINGS = """
settle_seconds = 0.5
health_interval_seconds = 0.1
health_timeout_seconds = 5
reconnect_max_seconds = 0.5
download_backoff_max_seconds = 0.1
answer_timeout_seconds = 3
stop_timeout_seconds = 2
"""
counter = itertools.count(1)


class Device:
    """A thing with a certificate of its own, and its agent."""

    def __init__(self, server, folder, settings=""):
        self.server, self.folder = server, folder
        self.name = f"agent-{next(counter)}-{os.getpid()}"
        subprocess.run(
            [
                *(AGENT.parent / "outfitter", "device", "add", self.name, "--type", "lamp", "--out", folder),
                *("--mqtt", f"localhost:{server.port('mqtts')}"),
            ],
            env=server.environment(),
            check=True,
            capture_output=True,
        )
        drop_ins = folder / "agent.toml.d"
        drop_ins.mkdir()
        (drop_ins / "10-quick.toml").write_text(SETTINGS)
        (drop_ins / "20-test.toml").write_text(settings)
        self.process = None

    def start(self):
        with (self.folder / "log").open("a") as log:
            command = [AGENT, "--verbose", "run", "--config", self.folder / "agent.toml"]
            self.process = subprocess.Popen(command, stderr=log)

    def stop(self):
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(20)
        self.process = None
        return code

    def status(self):
        command = [AGENT, "status", "--config", self.folder / "agent.toml", "--json"]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    def job(self, **document):
        """Create a job for this device; its id."""
        iot = self.server.client("iot")
        job_id = f"{self.name}-{next(counter)}"
        iot.create_job(
            jobId=job_id,
            targets=[iot.describe_thing(thingName=self.name)["thingArn"]],
            document=json.dumps({"operation": "install"} | document),
            presignedUrlConfig={"roleArn": "arn:aws:iam::000000000000:role/updates", "expiresInSec": 300},
        )
        return job_id

    def execution(self, job_id):
        iot = self.server.client("iot")
        found = iot.describe_job_execution(jobId=job_id, thingName=self.name)["execution"]
        return found["status"], found.get("statusDetails", {}).get("detailsMap", {})

    def ends(self, job_id, eventually):
        try:
            return eventually(lambda: (found := self.execution(job_id))[0] not in PENDING and found)
        except AssertionError:
            raise AssertionError(f"{self.execution(job_id)}\n{(self.folder / 'log').read_text()}") from None

    def reaches(self, job_id, step, eventually):
        eventually(lambda: self.execution(job_id)[1].get("step") == step)


PENDING = ("QUEUED", "IN_PROGRESS")


@pytest.fixture
def eventually(server):
    """The waiting of the shared tools."""
    return sys.modules[type(server).__module__].eventually


@pytest.fixture
def device(server, tmp_path):
    made = Device(server, tmp_path / "device")
    yield made
    assert made.stop() == 0, (made.folder / "log").read_text()


def image(version, program=RUNS, device_type="lamp"):
    manifest = {
        "name": "lamp",
        "version": version,
        "device_types": [device_type],
        "start": ["python3", "main.py"],
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in (("main.py", program), ("outfitter.json", json.dumps(manifest))):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content.encode()))
    return packed.getvalue()


def stored(server, version, **options):
    """Put an image in the store; the members of a document for it."""
    s3, content = server.client("s3"), image(version, **options)
    key = f"lamp-{version}-{next(counter)}.tar.gz"
    s3.create_bucket(Bucket="agent-images")
    s3.put_object(Bucket="agent-images", Key=key, Body=content)
    url = f"https://s3.us-east-1.amazonaws.com/agent-images/{key}"
    return {
        "url": f"${{aws:iot:s3-presigned-url:{url}}}",
        "version": version,
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }


@contextmanager
def stalling(status=200):
    """A store that sends the head of an answer and no more; with another status, a short whole answer."""
    released = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.send_header("Content-Length", "1000000" if status == 200 else "1000")
            self.end_headers()
            self.wfile.write(b"x" * 1000)
            self.wfile.flush()
            if status == 200:
                released.wait(60)

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as store:
        thread = threading.Thread(target=store.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{store.server_port}/image"
        finally:
            released.set()
            store.shutdown()
            thread.join()


@pytest.mark.parametrize("version", ["5", "3.1.1"])
def test_install_and_roll_back(version, server, tmp_path, eventually):
    device = Device(server, tmp_path / "device", f'mqtt_version = "{version}"')
    first = device.job(**stored(server, "1.0.0"))
    device.start()
    status, details = device.ends(first, eventually)
    assert status == "SUCCEEDED", details
    assert (details["step"], details["slot"], details["version"]) == ("done", "a", "1.0.0")
    status, details = device.ends(device.job(**stored(server, "2.0.0", program=CRASHES)), eventually)
    assert status == "FAILED"
    assert "exit code 3" in details["reason"]
    assert (details["step"], details["slot"], details["log_1"]) == ("rolled-back", "a", "no lamp")
    shown = device.status()
    assert (shown["version"], shown["job"], shown["unreported_job"]) == ("1.0.0", None, None)
    assert shown["connected_since"] <= datetime.now(UTC).isoformat(timespec="seconds")
    assert device.stop() == 0
    shown = device.status()
    assert (shown["connected_since"], shown["last_status"]) == (None, "FAILED")
    assert shown["last_job"] != first
    assert shown["store"].startswith("https://")
    assert "?" not in shown["store"]
    assert "exit code 3" in shown["last_error"]


def test_what_is_refused(device, server, eventually):
    device.start()
    good = stored(server, "1.0.0")
    cases = {
        device.job(operation="config-upload", url="https://x"): ("FAILED", "has no configuration"),
        device.job(operation="dance"): ("REJECTED", "not known"),
        device.job(url=""): ("FAILED", "'url'"),
        device.job(**good | {"sha256": "0" * 64}): ("FAILED", "the image is corrupt"),
        device.job(**good | {"size": 1}): ("FAILED", "the image is corrupt"),
        device.job(**good | {"version": "9"}): ("FAILED", "the job says 9"),
        device.job(**stored(server, "1", device_type="pump")): ("FAILED", "for device types pump"),
        device.job(url=f"{server.http}/agent-images/none"): ("FAILED", "not accessible"),
    }
    for job_id, (status, reason) in cases.items():
        seen, details = device.ends(job_id, eventually)
        assert (seen, reason in details["reason"]) == (status, True), details
    assert device.status()["version"] is None


def test_refused_url_is_asked_for_again(device, eventually):
    """403 is what an expired URL gets: the agent asks for the document, and goes on with the URL in it."""
    with stalling(403) as url:
        job_id = device.job(url=url)
        device.start()
        status, details = device.ends(job_id, eventually)
    assert status == "FAILED"
    assert details["reason"] == "the image is not accessible: HTTP 403 from the store, also with a fresh URL"


@pytest.mark.parametrize("meanwhile", ["nothing", "reported", "cancelled", "deleted"])
def test_final_report_of_a_former_life(meanwhile, device, server, eventually):
    """It is sent with a version that is long past; whatever became of the job, the report is closed."""
    job_id = device.job(operation="dance")
    data, iot = server.client("iot-jobs-data"), server.client("iot")
    data.start_next_pending_job_execution(thingName=device.name)
    details = {"step": "done", "version": "1.0.0"}
    job = JobRef(job_id=job_id, execution_number=1)
    final = FinalReport(job=job, version_number=99, status=Status.SUCCEEDED, details=details)
    (device.folder / "state").mkdir()
    JournalFile(device.folder / "state").save(Journal(final=final))
    if meanwhile == "reported":
        data.update_job_execution(
            jobId=job_id, thingName=device.name, status="SUCCEEDED", statusDetails=details
        )
    elif meanwhile == "cancelled":
        iot.cancel_job(jobId=job_id, force=True)
    elif meanwhile == "deleted":
        iot.delete_job(jobId=job_id, force=True)
    device.start()
    eventually(lambda: device.status()["unreported_job"] is None)
    if meanwhile != "deleted":
        expected = "CANCELED" if meanwhile == "cancelled" else "SUCCEEDED"
        assert eventually(lambda: device.execution(job_id)[0] == expected)
    assert device.ends(device.job(operation="dance"), eventually)[0] == "REJECTED"


def test_cancelled_during_the_download(device, server, eventually):
    device.start()
    with stalling() as url:
        stuck = device.job(url=url)
        device.reaches(stuck, "downloading", eventually)
        after = device.job(**stored(server, "1.0.0"))
        server.client("iot").cancel_job(jobId=stuck, force=True)
        assert device.ends(after, eventually)[0] == "SUCCEEDED"
    assert device.execution(stuck)[0] == "CANCELED"


def test_deleted_on_trial_is_rolled_back(server, tmp_path, eventually):
    device = Device(server, tmp_path / "device", "settle_seconds = 3")
    device.start()
    assert device.ends(device.job(**stored(server, "1.0.0")), eventually)[0] == "SUCCEEDED"
    doomed = device.job(**stored(server, "2.0.0"))
    device.reaches(doomed, "verifying", eventually)
    server.client("iot").delete_job(jobId=doomed, force=True)
    eventually(lambda: (shown := device.status())["version"] == "1.0.0" and shown["stage"] is None)
    assert device.ends(device.job(operation="dance"), eventually)[0] == "REJECTED"
    assert device.stop() == 0


def test_server_that_goes_and_comes_back(server, tmp_path, eventually):
    """Killed while the software is on trial: the result waits in the journal, and reaches the next server."""
    own = type(server)(tmp_path / "data")
    own.start()
    try:
        device = Device(own, tmp_path / "device", "settle_seconds = 1")
        device.start()
        job_id = device.job(**stored(own, "1.0.0"))
        device.reaches(job_id, "verifying", eventually)
        own.kill()
        eventually(lambda: device.status()["unreported_status"] == "SUCCEEDED")
        assert device.stop() == 0
        device.start()
        own.start()
        assert device.ends(job_id, eventually)[0] == "SUCCEEDED"
        eventually(lambda: device.status()["unreported_job"] is None)
        assert device.stop() == 0
    finally:
        own.stop()


def test_revoked_certificate_keeps_out(device, server, eventually):
    iot = server.client("iot")
    device.start()
    assert device.ends(device.job(operation="dance"), eventually)[0] == "REJECTED"
    principal = iot.list_thing_principals(thingName=device.name)["principals"][0]
    iot.update_certificate(certificateId=principal.rpartition("/")[2], newStatus="INACTIVE")
    eventually(lambda: "lost" in (device.folder / "log").read_text())
    waits = device.job(operation="dance")
    iot.update_certificate(certificateId=principal.rpartition("/")[2], newStatus="ACTIVE")
    assert device.ends(waits, eventually)[0] == "REJECTED"
