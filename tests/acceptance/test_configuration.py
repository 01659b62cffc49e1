"""Configuration from device to store to device, with the command, real agents and a real server."""

import hashlib
import json
import os
import signal
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

RELOAD = 'configuration_reload = ["sh", "reload.sh"]\n'
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "properties": {"interval": {"type": "integer", "minimum": 1}},
    "required": ["interval"],
}


@pytest.fixture
def shell(server, make_shell):
    return make_shell(server)


@pytest.fixture
def name(request):
    """A name that no other test uses."""
    return f"config-{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"


@pytest.fixture
def device(server, agents, name):
    """Makes devices that count their reloads, and refuse a configuration with "poison" in it."""

    def make(number=1, *added, settings="", refuses="poison"):
        made = agents(server, *added, name=f"{name}-{number}", settings=RELOAD + settings)
        made.folder.joinpath("reload.sh").write_text(
            f'echo reload >> reloads; echo "reading $OUTFITTER_CONFIGURATION"\n'
            f'if grep -q {refuses} "$OUTFITTER_CONFIGURATION"; then echo "no such lamp" >&2; exit 3; fi\n'
        )
        return made

    return make


def reloads(device):
    path = device.folder / "reloads"
    return len(path.read_text().splitlines()) if path.exists() else 0


def file(folder, content, name="new.json"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return str(path)


def raw_job(device, job_id, **document):
    """A job with a document of the test's own."""
    iot = device.server.client("iot")
    iot.create_job(
        jobId=job_id,
        targets=[iot.describe_thing(thingName=device.name)["thingArn"]],
        document=json.dumps(document),
        presignedUrlConfig={"roleArn": "arn:aws:iam::000000000000:role/updates", "expiresInSec": 300},
    )
    return job_id


def stored(server, content):
    """An object; the members of a document for it."""
    s3, key = server.client("s3"), f"{hashlib.sha256(content).hexdigest()}.json"
    s3.create_bucket(Bucket="config-tests")
    s3.put_object(Bucket="config-tests", Key=key, Body=content)
    return {"url": f"${{aws:iot:s3-presigned-url-v2:https://s3.us-east-1.amazonaws.com/config-tests/{key}}}"}


def test_pull_is_the_very_file_of_the_device(shell, device, tmp_path):
    one = device().configured(interval=5, site={"hall": 4}).start()
    told = shell.told("config", "pull", one.name)
    content = one.configuration.read_bytes()
    assert told["parameters"] == {"interval": 5, "site": {"hall": 4}}
    assert (told["sha256"], told["size"]) == (hashlib.sha256(content).hexdigest(), len(content))
    status, details = one.execution(told["job_id"])
    assert (status, details["step"]) == ("SUCCEEDED", "done")
    assert (details["sha256"], details["size"]) == (told["sha256"], str(told["size"]))
    shell.run("config", "pull", f"thing:{one.name}", "--out", "pulled.json")
    assert (tmp_path / "pulled.json").read_bytes() == content
    assert json.loads(shell.run("config", "pull", one.name).stdout) == told["parameters"]
    assert reloads(one) == 0


def test_push_is_applied_and_told_to_the_services(shell, device, tmp_path):
    one = device().configured(interval=5).start()
    before = one.configuration.read_bytes()
    new = file(tmp_path, {"interval": 6})
    told = shell.told("config", "push", new, one.name, "--wait")
    assert told["status"] == "COMPLETED"
    assert (one.holds(), reloads(one)) == ({"interval": 6}, 1)
    details = told["executions"][0]
    assert (
        one.execution(told["job_id"])[1]["sha256"]
        == hashlib.sha256((tmp_path / "new.json").read_bytes()).hexdigest()
    )
    assert details["status"] == "SUCCEEDED"
    assert (one.folder / "state/configuration/previous.json").read_bytes() == before
    shell.run("config", "push", new, one.name, "--wait")
    assert reloads(one) == 1, "what is in force already is not told again"
    shell.run("config", "push", new, one.name, "--wait", "--forced")
    assert reloads(one) == 2


def test_first_configuration_of_a_device(shell, device, tmp_path):
    one = device().start()
    shell.run("config", "push", file(tmp_path, {"interval": 1}), one.name, "--wait")
    assert one.holds() == {"interval": 1}
    assert one.configuration.stat().st_mode & 0o777 == 0o600


def test_parameters_of_one_device_alone_stay(shell, device, tmp_path):
    one = device().configured(serial="7", interval=5).start()
    shell.run(
        "config", "push", file(tmp_path, {"interval": 6, "colour": "red"}), one.name, "--merge", "--wait"
    )
    assert one.holds() == {"serial": "7", "interval": 6, "colour": "red"}
    more = file(tmp_path, {"interval": 7, "serial": "8", "colour": "blue"})
    shell.run("config", "push", more, one.name, "--except", "serial", "--wait")
    assert one.holds() == {"serial": "7", "interval": 7, "colour": "blue"}
    shell.run("config", "push", more, one.name, "--only", "serial", "--wait")
    assert one.holds()["serial"] == "8"
    assert (
        "no parameter 'seriel'. Did you mean serial?"
        in shell.run("config", "push", more, one.name, "--only", "seriel", expect=1).stderr
    )


def test_reload_that_fails_is_rolled_back(shell, device, tmp_path):
    one = device().configured(interval=5).start()
    before = one.configuration.read_bytes()
    done = shell.run("config", "push", file(tmp_path, {"poison": 1}), one.name, "--wait", expect=1)
    assert "the reload command ended with exit code 3" in done.stdout
    assert one.configuration.read_bytes() == before
    assert reloads(one) == 2, "the services are told of the one before, too"
    job = shell.told("job", "list", "--limit", "1")[0]["job_id"]
    status, details = one.execution(job)
    assert (status, details["step"]) == ("FAILED", "rolled-back")
    assert details["log_1"].endswith("no such lamp")
    assert details["sha256"] == hashlib.sha256(before).hexdigest()
    assert details["health"] == "the reload command passed"


def test_reload_that_never_ends_is_rolled_back(shell, device, tmp_path):
    one = device(settings="configuration_reload_timeout_seconds = 0.5\n").configured(interval=5).start()
    (one.folder / "reload.sh").write_text('grep -q 6 "$OUTFITTER_CONFIGURATION" && sleep 60; exit 0')
    done = shell.run("config", "push", file(tmp_path, {"interval": 6}), one.name, "--wait", expect=1)
    assert "took longer than 0.5 s" in done.stdout
    assert one.holds() == {"interval": 5}


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """A folder with a systemctl: a unit that is told of "poison" stops, one that is told of "refused" fails."""
    folder = tmp_path / "systemd"
    folder.mkdir()
    program = folder / "systemctl"
    program.write_text(
        f"""#!/bin/sh
command="$1"
shift 2
case "$command" in
reload-or-restart)
    echo "$1" >> {folder}/told
    if grep -q refused "$OUTFITTER_CONFIGURATION"; then echo "Job for $1 failed." >&2; exit 1; fi
    if grep -q slow "$OUTFITTER_CONFIGURATION"; then sleep 60; fi
    if grep -q poison "$OUTFITTER_CONFIGURATION"; then echo failed > {folder}/$1; else echo active > {folder}/$1; fi ;;
is-active)
    for unit in "$@"; do cat {folder}/$unit; done ;;
*)
    exit 1 ;;
esac
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


UNITS = """
configuration_reload_units = ["pump.service", "lamp.service"]
configuration_reload_timeout_seconds = 1
configuration_health = true
health_units = ["pump.service"]
health_timeout_seconds = 1
"""


@pytest.mark.parametrize(
    ("parameter", "reason", "told"),
    [
        ("poison", "the health check fails: pump.service is failed", ["pump.service", "lamp.service"]),
        ("refused", "the reload of pump.service ended with exit code 1", ["pump.service"]),
        ("slow", "the reload of pump.service took longer than 1 s", ["pump.service"]),
    ],
)
def test_units_of_a_device_without_software(
    systemctl, shell, server, agents, name, tmp_path, parameter, reason, told
):
    """They are reloaded in order, and must be active; else the configuration before is put back, and they are told of it."""
    one = agents(server, name=name, settings=UNITS).configured(interval=5).start()
    shell.run("config", "push", file(tmp_path, {"interval": 6}), one.name, "--wait")
    shell.run("config", "push", file(tmp_path, {parameter: 1}), one.name, "--wait", expect=1)
    assert one.holds() == {"interval": 6}
    both = ["pump.service", "lamp.service"]
    assert (systemctl / "told").read_text().split() == both + told + both
    status, details = one.execution(shell.told("job", "list", "--limit", "1")[0]["job_id"])
    assert (status, details["reason"]) == ("FAILED", reason)
    assert details["sha256"] == hashlib.sha256(one.configuration.read_bytes()).hexdigest()
    assert details["health"] == "the reload of pump.service passed; the reload of lamp.service passed"
    assert (systemctl / "pump.service").read_text() == "active\n"


def test_schema_of_the_device_decides(shell, device, tmp_path):
    one = device(settings='configuration_schema = "schema.json"\n').configured(interval=5).start()
    (one.folder / "schema.json").write_text(json.dumps(SCHEMA))
    done = shell.run("config", "push", file(tmp_path, {"interval": "often"}), one.name, "--wait", expect=1)
    assert 'breaks its schema: interval: breaks type "integer"' in done.stdout
    assert (one.holds(), reloads(one)) == ({"interval": 5}, 0)
    shell.run("config", "push", file(tmp_path, {"interval": 7}), one.name, "--wait")
    assert one.holds() == {"interval": 7}


def test_what_is_marked_in_the_schema_stays_on_the_device(shell, device, tmp_path):
    marked = {"serial": {"x-outfitter": "device"}, "wifi": {"properties": {"password": {"writeOnly": True}}}}
    settings = 'configuration_schema = "schema.json"\n'
    one = device(1, settings=settings).configured(interval=5, serial="1", wifi={"password": "topsecret"})
    two = device(2, settings=settings).configured(interval=6, serial="2", wifi={"password": "another"})
    for each in (one, two):
        (each.folder / "schema.json").write_text(json.dumps({"properties": marked}))
        each.start()
    told = shell.told("config", "pull", one.name)
    assert told["parameters"] == {"interval": 5, "serial": "1", "wifi": {}}
    assert one.execution(told["job_id"])[1]["left_out"] == "wifi.password"
    shell.run("config", "propagate", one.name, two.name, "--id", two.name, "--wait")
    assert two.holds() == {"interval": 5, "serial": "2", "wifi": {"password": "another"}}
    status, details = two.execution(f"{two.name}-down")
    assert (status, details["ignored"]) == ("SUCCEEDED", "serial")
    assert details["sha256"] == hashlib.sha256(two.configuration.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"pump: 7", "is not JSON"),
        (b"[1, 2]", "is not a JSON object of named parameters"),
        (b'{"a": 1, "a": 2}', "'a' stands twice"),
        (b'{"a": "' + b"x" * 10_000_000 + b'"}', "10000009 bytes; a configuration has at most 1048576"),
    ],
    ids=["no-json", "no-object", "twice", "10-MB"],
)
def test_bad_file_is_refused_before_it_is_sent(shell, server, agents, name, tmp_path, content, reason):
    agents(server, name=name)
    done = shell.run("config", "push", file(tmp_path, content), name, expect=1)
    assert reason in done.stderr


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"pump: 7", "the configuration is refused: it is not JSON"),
        (b"[1, 2]", "is not a JSON object of named parameters"),
        (b'{"a": "' + b"x" * 10_000_000 + b'"}', "larger than this device takes (1048576"),
    ],
    ids=["no-json", "no-object", "10-MB"],
)
@pytest.mark.parametrize("promised", [False, True], ids=["bare", "promised"])
def test_bad_object_is_refused_by_the_device(device, server, content, reason, promised):
    one = device().configured(interval=5).start()
    more = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)} if promised else {}
    job = raw_job(one, one.name, operation="config-download", **stored(server, content), **more)
    status, details = one.ends(job)
    assert status == "FAILED"
    assert reason in details["reason"]
    assert (one.holds(), reloads(one)) == ({"interval": 5}, 0)
    assert not list((one.folder / "state/configuration/download").glob("*.part"))


def test_object_that_is_not_what_was_promised(device, server):
    one = device().configured(interval=5).start()
    job = raw_job(
        one, one.name, operation="config-download", sha256="0" * 64, **stored(server, b'{"interval": 9}')
    )
    status, details = one.ends(job)
    assert status == "FAILED"
    assert "the configuration is corrupt: its SHA-256 is" in details["reason"]
    assert one.holds() == {"interval": 5}


@contextmanager
def refusing(status):
    """A store that refuses every PUT; counts them."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self):
            seen.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as store:
        thread = threading.Thread(target=store.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{store.server_port}/bucket/key", seen
        finally:
            store.shutdown()
            thread.join()


def test_upload_url_that_has_expired(device):
    one = device().configured(interval=5).start()
    with refusing(403) as (url, seen):
        status, details = one.ends(raw_job(one, one.name, operation="config-upload", url=url))
    assert status == "FAILED"
    assert (
        details["reason"]
        == "the configuration could not be uploaded: HTTP 403 from the store, also with a fresh URL"
    )
    assert len(seen) == 2, "the fresh document's URL was tried, too"


def test_upload_url_that_has_expired_at_the_store_itself(device, server, eventually):
    one = device().configured(interval=5)
    s3 = server.client("s3")
    s3.create_bucket(Bucket="config-tests")
    place = {"Bucket": "config-tests", "Key": one.name}
    stale = s3.generate_presigned_url("put_object", place, ExpiresIn=1)
    looked_at = s3.generate_presigned_url("get_object", place, ExpiresIn=1)
    eventually(lambda: b"expired" in refusal(looked_at))
    status, details = one.start().ends(raw_job(one, one.name, operation="config-upload", url=stale))
    assert status == "FAILED"
    assert "HTTP 403 from the store" in details["reason"]
    assert "Contents" not in s3.list_objects_v2(Bucket="config-tests", Prefix=one.name)


def refusal(url):
    try:
        with urlopen(url) as answer:
            return answer.read()
    except HTTPError as error:
        with error:
            return error.read()


def test_device_without_a_configuration(shell, device):
    one = device().start()
    assert "this device has no configuration" in shell.run("config", "pull", one.name, expect=1).stderr


def test_propagate_to_a_device_and_a_group(shell, device, name, server):
    shell.run("group", "create", name)
    one = device(1).configured(interval=5, serial="1").start()
    two = device(2).configured(interval=9, serial="2").start()
    three = device(3, "--group", name).configured(serial="3", old=True).start()
    told = shell.told("config", "propagate", one.name, two.name, name, "--except", "serial", "--wait")
    assert told["counts"]["SUCCEEDED"] == 2
    assert two.holds() == {"interval": 5, "serial": "2"}
    assert three.holds() == {"interval": 5, "serial": "3", "old": True}
    shell.run("config", "propagate", one.name, name, two.name, "--wait")
    assert (
        two.configuration.read_bytes() == three.configuration.read_bytes() == one.configuration.read_bytes()
    )
    assert reloads(one) == 0


def test_propagation_goes_on_where_it_was_interrupted(shell, device, name):
    one, two = device(1).configured(interval=5), device(2).start()
    command = ("config", "propagate", one.name, two.name, "--id", name, "--wait")
    waiting = shell.start(*command)
    while "0 of 1 done" not in (line := waiting.stderr.readline()):
        assert line, "the command ended before it waited"
    waiting.send_signal(signal.SIGINT)
    _, errors = waiting.communicate(timeout=30)
    assert waiting.returncode == 1
    assert f"--id {name} goes on from there" in errors
    assert "0 of 1 done" in shell.run(*command[:-1], "--timeout", "0", expect=1).stderr
    one.start()
    assert f"{name}-up is there already" in shell.run(*command).stderr
    assert two.holds() == {"interval": 5}
    again = shell.run(*command)
    assert f"{name}-down is COMPLETED" in again.stderr
    assert len([each for each in shell.told("job", "list") if each["job_id"].startswith(name)]) == 2
    done = shell.run("config", "propagate", two.name, one.name, "--id", name, expect=1)
    assert "belongs to another propagation" in done.stderr


def test_source_that_has_nothing_ends_the_propagation(shell, device):
    one, two = device(1).start(), device(2).configured(interval=1).start()
    done = shell.run("config", "propagate", one.name, two.name, "--wait", expect=1)
    assert "this device has no configuration" in done.stderr
    assert "--id" not in done.stderr
    assert two.holds() == {"interval": 1}


def test_diff_of_devices_and_files(shell, device, tmp_path):
    one = device(1).configured(interval=5, serial="1", same=[1]).start()
    two = device(2).configured(interval=6, colour="red", same=[1]).start()
    told = shell.told("config", "diff", one.name, two.name)
    assert told == {
        "same": False,
        "added": {"colour": "red"},
        "removed": {"serial": "1"},
        "changed": {"interval": {"from": 5, "to": 6}},
    }
    shown = shell.run(
        "config", "diff", one.name, file(tmp_path, {"interval": 5, "serial": 1, "same": [1]})
    ).stdout
    assert "changed  serial" in shown
    assert "interval" not in shown
    assert "No difference: 3 parameters" in shell.run("config", "diff", one.name, one.name).stderr


@pytest.mark.parametrize("moment", ["reload", "rollback"])
def test_agent_killed_in_the_middle_finishes_after_its_start(shell, device, tmp_path, moment, eventually):
    """kill -9 while the reload command runs, for the new configuration or the one before: the journal decides."""
    one = device().configured(interval=5).start()
    halt = tmp_path / "halt"
    number = 1 if moment == "reload" else 2
    (one.folder / "reload.sh").write_text(
        f"echo reload >> reloads\n[ $(wc -l < reloads) = {number} ] && touch {halt} && sleep 60\n"
        f"[ {moment} = rollback ] && grep -q 6 $OUTFITTER_CONFIGURATION && exit 1; exit 0\n"
    )
    job = shell.run("config", "push", file(tmp_path, {"interval": 6}), one.name).stdout.strip()
    eventually(halt.exists)
    one.kill()
    one.start()
    status, details = one.ends(job)
    if moment == "reload":
        assert (status, one.holds()) == ("SUCCEEDED", {"interval": 6})
    else:
        assert (status, one.holds()) == ("FAILED", {"interval": 5})
        assert "exit code 1" in details["reason"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["config", "pull", "nobody-of-this-name"], 1, "no device named"),
        (["config", "pull", "group:x"], 1, "configurations come from one device"),
        (["config", "propagate", "nobody-of-this-name", "x"], 1, "no device named"),
        (["config", "push", "no-such-file", "x"], 2, "does not exist"),
        (["config", "diff", "no/such/file", "x"], 1, "cannot be read"),
        (["config", "propagate", "x"], 2, "Missing argument"),
    ],
)
def test_what_is_not_there_is_told(shell, arguments, code, words):
    done = shell.run(*arguments, expect=code)
    assert words in done.stderr
    assert done.stdout == ""


def test_configuration_of_a_device_is_for_its_owner_alone(shell, device, server):
    """What a device has sent is in the store for those with rights, and for nobody else."""
    one = device().configured(interval=5).start()
    told = shell.told("config", "pull", one.name)
    s3 = server.client("s3")
    bucket = next(
        each["Name"] for each in s3.list_buckets()["Buckets"] if each["Name"].startswith("outfitter-software")
    )
    key = f"configurations/{one.name}/{told['job_id']}.json"
    assert s3.head_object(Bucket=bucket, Key=key)["ContentLength"] == told["size"]
    assert b"AccessDenied" in refusal(f"{server.http}/{bucket}/{key}")
