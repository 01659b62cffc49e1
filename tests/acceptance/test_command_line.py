"""The command ``outfitter`` against a real server: what a person types, from an empty server to an updated fleet."""

import json
import signal
import ssl
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import paho.mqtt.client as mqtt
import pytest

OUTFITTER = Path(sys.executable).parent / "outfitter"
MANIFEST = {"name": "pump", "version": "1.4.0", "device_types": ["generic"], "start": ["python3", "main.py"]}
RUN_SECONDS = 30


class Shell:
    """Types commands and reads what they say."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment, self.folder = environment, folder

    def run(self, *arguments, expect=0):
        done = subprocess.run(
            [OUTFITTER, *arguments],
            env=self.environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def told(self, *arguments, expect=0):
        return json.loads(self.run(*arguments, "--json", expect=expect).stdout)

    def start(self, *arguments):
        return subprocess.Popen(
            [OUTFITTER, *arguments],
            env=self.environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def image(self, name, version="1.4.0", content="print('pumping')"):
        """An image file in the folder, made with the command itself."""
        source = self.folder / f"{name}-{version}"
        source.mkdir()
        (source / "outfitter.json").write_text(json.dumps({**MANIFEST, "name": name, "version": version}))
        (source / "main.py").write_text(content)
        return self.told("software", "pack", str(source), "--out", f"{name}-{version}.tar.gz")


@pytest.fixture
def shell(server, tmp_path):
    return Shell(server.environment(), tmp_path)


@pytest.fixture
def name(request):
    """A name that no other test uses."""
    return "cli-" + "".join(mark if mark.isalnum() else "-" for mark in request.node.name[5:])[:50].strip("-")


@pytest.fixture
def device(server):
    """Connects with the files that ``device add`` wrote; returns a paho client that has its messages in order."""
    clients = []

    def connect(folder: Path, thing: str):
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id=thing)
        client.tls_set(str(folder / "ca.pem"), str(folder / "certificate.pem"), str(folder / "private.key"))
        client.messages = []
        client.on_message = lambda _, __, message: client.messages.append(message)
        client.connect("127.0.0.1", server.port("mqtts"))
        client.loop_start()
        clients.append(client)
        return client

    yield connect
    for client in clients:
        client.disconnect()
        client.loop_stop()


@pytest.fixture
def jobs(server):
    """The device side of a job over HTTPS: enough to end one."""
    return server.client("iot-jobs-data")


def test_from_nothing_to_an_updated_device(shell, server, name, device, eventually, tls):
    shell.environment = server.environment(tls=tls)
    packed = shell.image(name)
    stored = shell.told("software", "upload", packed["file"])
    assert stored["status"] == "PUBLISHED"
    assert stored["sha256"] == packed["sha256"]
    assert shell.told("software", "list", name) == [stored]
    shell.run("group", "create", name)
    shell.run("group", "create", name)
    out = shell.folder / "device"
    mqtts = f"127.0.0.1:{server.port('mqtts')}"
    added = shell.told("device", "add", f"{name}-1", "--group", name, "--mqtt", mqtts, "--out", str(out))
    assert (out / "private.key").stat().st_mode & 0o777 == 0o600

    client = device(out, f"{name}-1")
    jobs = f"$aws/things/{name}-1/jobs"
    eventually(client.is_connected)
    client.subscribe(f"{jobs}/#", 1)
    waiting = shell.start(
        "update", name, name, "1.4.0", "--wait", "--job-id", name, "--timeout", "25", "--json"
    )

    def next_job():
        client.publish(f"{jobs}/start-next", b"{}", 1).wait_for_publish(5)
        answers = [each for each in client.messages if each.topic.endswith("start-next/accepted")]
        return [told for each in answers if (told := json.loads(each.payload)).get("execution")]

    execution = eventually(next_job)[0]["execution"]
    document = execution["jobDocument"]
    assert document["operation"] == "install"
    assert (document["forced"], document["sha256"]) == (False, packed["sha256"])
    trusted = ssl.create_default_context(cafile=out / "ca.pem")
    with urlopen(document["url"], context=trusted) as answer:
        assert answer.read() == (shell.folder / packed["file"]).read_bytes()
    report = {"status": "SUCCEEDED", "statusDetails": {"step": "done", "version": "1.4.0"}}
    client.publish(f"{jobs}/{name}/update", json.dumps(report), 1).wait_for_publish(5)
    output, errors = waiting.communicate(timeout=RUN_SECONDS)
    assert waiting.returncode == 0, errors
    told = json.loads(output)
    assert (told["status"], told["counts"]["SUCCEEDED"]) == ("COMPLETED", 1)
    shown = shell.told("device", "show", f"{name}-1")
    assert shown["groups"] == [name]
    assert [(each["job_id"], each["step"]) for each in shown["executions"]] == [(name, "done")]
    assert added["certificate_id"] in shown["certificates"][0]


def test_a_failed_device_makes_the_wait_fail_with_its_reason(shell, name, jobs):
    packed = shell.image(name)
    shell.run("software", "upload", packed["file"])
    shell.run("device", "add", name, "--out", "device")
    job = shell.run("update", f"thing:{name}", name, "1.4.0").stdout.strip()
    jobs.update_job_execution(
        jobId=job,
        thingName=name,
        status="FAILED",
        statusDetails={"step": "checking", "reason": "digest mismatch"},
    )
    done = shell.run("job", "watch", job, expect=1)
    assert "digest mismatch" in done.stdout
    assert "digest mismatch" in shell.run("job", "show", job).stdout
    assert shell.told("job", "show", job)["executions"][0]["status"] == "FAILED"
    assert job in {each["job_id"] for each in shell.told("job", "list")}


def test_a_version_never_changes(shell, name):
    packed = shell.image(name)
    first = shell.told("software", "upload", packed["file"], "--no-publish")
    assert first["status"] == "DRAFT"
    shell.run("device", "add", name, "--out", "device")
    assert "is a draft" in shell.run("update", name, name, "1.4.0", expect=1).stderr
    assert shell.told("software", "upload", packed["file"])["status"] == "PUBLISHED"
    (shell.folder / f"{name}-1.4.0" / "main.py").write_text("something else")
    shell.run("software", "pack", f"{name}-1.4.0", "--out", "other.tar.gz")
    assert "never changes" in shell.run("software", "upload", "other.tar.gz", expect=1).stderr


def test_cancelling_with_and_without_force(shell, name, jobs):
    packed = shell.image(name)
    shell.run("software", "upload", packed["file"])
    shell.run("device", "add", f"{name}-1", "--out", "first")
    shell.run("device", "add", f"{name}-2", "--out", "second")
    shell.run("group", "create", name)
    shell.run("group", "add", name, f"{name}-1", f"{name}-2")
    job = shell.run("update", f"group:{name}", name, "1.4.0").stdout.strip()
    jobs.start_next_pending_job_execution(thingName=f"{name}-1")
    shell.run("job", "cancel", job, "--comment", "wrong group")
    counts = shell.told("job", "show", job)["counts"]
    assert (counts["IN_PROGRESS"], counts["CANCELED"]) == (1, 1)
    assert shell.told("job", "cancel", job, "--force")["counts"]["CANCELED"] == 2


def test_ctrl_c_leaves_the_job_running(shell, name):
    packed = shell.image(name)
    shell.run("software", "upload", packed["file"])
    shell.run("device", "add", name, "--out", "device")
    waiting = shell.start("update", name, name, "1.4.0", "--wait", "--job-id", name)
    line = ""
    while "0 of 1 done" not in line:
        line = waiting.stderr.readline()
        assert line, "the command ended before it watched"
    waiting.send_signal(signal.SIGINT)
    _, errors = waiting.communicate(timeout=RUN_SECONDS)
    assert waiting.returncode == 1
    assert "the job goes on" in errors
    assert shell.told("job", "show", name)["status"] == "IN_PROGRESS"


def test_a_device_reaches_only_its_own_topics(shell, server, name, device, eventually):
    shell.run("device", "add", name, "--out", "device", "--mqtt", f"127.0.0.1:{server.port('mqtts')}")
    client = device(shell.folder / "device", name)
    closed = []
    client.on_disconnect = lambda *_: closed.append(True)
    eventually(client.is_connected)
    client.subscribe("$aws/things/somebody-else/jobs/notify", 1)
    eventually(lambda: closed)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["update", "nobody-of-this-name", "pump", "1"], "no device or group"),
        (["device", "show", "nobody-of-this-name"], "no device named"),
        (["job", "show", "no-such-job"], "no job"),
        (["software", "list", "no-such-software"], "no software"),
        (["device", "add", "x", "--group", "no-such-group", "--out", "x"], "no group"),
        (["job", "cancel", "no-such-job"], "no job"),
    ],
)
def test_what_is_not_there_is_told(shell, arguments, words):
    done = shell.run(*arguments, expect=1)
    assert words in done.stderr
    assert done.stdout == ""


def test_a_wrong_secret_is_told(shell):
    shell.environment["AWS_SECRET_ACCESS_KEY"] = "wrong"
    done = shell.run("device", "list", expect=1)
    assert "AWS_SECRET_ACCESS_KEY" in done.stderr


def test_an_authority_that_is_not_trusted(server, tmp_path):
    environment = server.environment(tls=True)
    del environment["AWS_CA_BUNDLE"]
    done = Shell(environment, tmp_path).run("device", "list", expect=1)
    assert "AWS_CA_BUNDLE" in done.stderr
