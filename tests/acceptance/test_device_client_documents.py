"""Documents of AWS's device client: AWS's managed templates, filled in with boto3, carried out by real agents."""

import functools
import hashlib
import json
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ALLOWED = 'device_client = true\ndevice_client_handlers = "handlers"\n'


@pytest.fixture
def device(server, agents, request):
    """Makes a device by its settings, with a folder of handlers."""

    def make(settings=ALLOWED):
        name = f"steps-{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"
        made = agents(server, name=name, settings=settings)
        (made.folder / "handlers").mkdir(mode=0o755)
        return made

    return make


def handler(device, name, text):
    path = device.folder / "handlers" / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def job(device, **given):
    iot = device.server.client("iot")
    job_id = f"{device.name}-{hashlib.sha256(json.dumps(given).encode()).hexdigest()[:8]}"
    thing = iot.describe_thing(thingName=device.name)["thingArn"]
    iot.create_job(jobId=job_id, targets=[thing], **given)
    return job_id


def managed(device, name, **parameters):
    arn = f"arn:aws:iot:us-east-1::jobtemplate/AWS-{name}:1.0"
    return job(device, jobTemplateArn=arn, documentParameters=parameters)


def steps(device, *actions, **more):
    document = {"version": "1.0", "steps": [{"action": action} for action in actions], **more}
    return job(device, document=json.dumps(document))


def command(name, *words, **more):
    return {"name": name, "type": "runCommand", "input": {"command": ",".join(words)}, **more}


def test_a_command(device):
    one = device().start()
    status, told = one.ends(managed(one, "Run-Command", command=f"touch,{one.folder}/touched"))
    assert (status, told["step"]) == ("SUCCEEDED", "done")
    assert (one.folder / "touched").exists()
    status, told = one.ends(managed(one, "Run-Command", command="ls,/no/such/folder"))
    assert (status, told["reason"]) == ("FAILED", "step 1, Run-Command: ended with exit code 2")
    assert "/no/such/folder" in told["stderr"]


def test_a_file_is_downloaded(device, tmp_path):
    (tmp_path / "page").write_bytes(b"x" * 100_000)
    serve = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    store = ThreadingHTTPServer(("127.0.0.1", 0), serve)
    threading.Thread(target=store.serve_forever, daemon=True).start()
    one, url = device().start(), f"http://127.0.0.1:{store.server_port}"
    place = one.folder / "fetched"
    try:
        status, told = one.ends(managed(one, "Download-File", downloadUrl=f"{url}/page", filePath=str(place)))
        assert status == "SUCCEEDED", told
        assert place.read_bytes() == b"x" * 100_000
        status, told = one.ends(
            managed(one, "Download-File", downloadUrl=f"{url}/none", filePath=f"{place}.none")
        )
        assert (status, "404" in told["stderr"]) == ("FAILED", True)
        assert [path.name for path in one.folder.glob("fetched*")] == ["fetched"]
    finally:
        store.shutdown()
        store.server_close()


@pytest.mark.parametrize(
    ("name", "handler_name", "parameter"),
    [
        ("Install-Application", "install-packages.sh", "packages"),
        ("Remove-Application", "remove-packages.sh", "packages"),
        ("Start-Application", "start-services.sh", "services"),
        ("Stop-Application", "stop-services.sh", "services"),
        ("Restart-Application", "restart-services.sh", "services"),
    ],
)
def test_handlers_of_the_owner(device, name, handler_name, parameter):
    one = device()
    handler(one, handler_name, f'echo "$0 $#:$1:$2" > {one.folder}/called')
    one.start()
    job_id = managed(
        one,
        name,
        **{parameter: "nginx tree", "runAsUser": "root", "pathToHandler": str(one.folder / "handlers")},
    )
    status, told = one.ends(job_id)
    assert status == "SUCCEEDED", told
    called = (one.folder / "called").read_text()
    assert called == f"{one.folder}/handlers/{handler_name} 2:root:nginx tree\n"


def test_steps_with_their_output_and_a_final_one(device):
    one = device().start()
    job_id = steps(
        one,
        command("say", "echo", "hello"),
        command("may fail", "false", ignoreStepFailure="true"),
        finalStep={"action": command("last", "echo", "done")},
        includeStdOut="true",
        conditions=[{"key": "deviceType", "value": ["other", "generic"], "type": "stringEqual"}],
    )
    status, told = one.ends(job_id)
    assert (status, told["stdout"]) == ("SUCCEEDED", "hello | done")
    assert told["ignored"] == "step 2, may fail: ended with exit code 1"
    other = steps(one, command("say", "echo"), conditions=[{"key": "thingName", "value": ["another"]}])
    status, told = one.ends(other)
    assert (status, told["reason"]) == (
        "REJECTED",
        f"conditions: thingName of this device is {one.name!r}, not another",
    )


def test_a_reboot_that_would_only_restart_the_agent_is_refused(device):
    one = device().start()
    status, told = one.ends(managed(one, "Reboot"))
    assert status == "REJECTED"
    assert "this device has no reboot" in told["reason"]


def test_nothing_of_it_unless_it_is_allowed(device):
    one = device(settings="").start()
    status, told = one.ends(managed(one, "Run-Command", command=f"touch,{one.folder}/touched"))
    assert status == "REJECTED"
    assert "device_client = true" in told["reason"]
    assert not (one.folder / "touched").exists()


def test_a_cancelled_job_ends_its_command(device, eventually):
    one = device().start()
    job_id = steps(one, command("long", "sh", "-c", f"echo $$ > {one.folder}/process; exec sleep 600"))
    file = one.folder / "process"
    process = eventually(lambda: file.exists() and file.read_text().strip())
    one.server.client("iot").cancel_job(jobId=job_id, force=True)
    eventually(lambda: not alive(process))
    assert one.execution(job_id)[0] == "CANCELED"
    assert one.ends(steps(one, command("next", "true")))[0] == "SUCCEEDED"


def test_a_killed_agent_does_not_run_the_step_again(device, eventually):
    one = device().start()
    text = f"echo run >> {one.folder}/runs; echo $$ > {one.folder}/process; exec sleep 600"
    job_id = steps(one, command("first", "true"), command("long", "sh", "-c", text))
    file = one.folder / "process"
    process = eventually(lambda: file.exists() and file.read_text().strip())
    one.kill()
    eventually(lambda: not alive(process))
    one.start()
    status, told = one.ends(job_id)
    assert status == "FAILED"
    assert told["reason"].startswith("interrupted in step 2")
    assert (one.folder / "runs").read_text() == "run\n"


def alive(process):
    """Whether it is there and not just waiting to be reaped."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
