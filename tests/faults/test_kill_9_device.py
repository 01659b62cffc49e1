"""kill -9 of a real agent at moments of chance: while its configuration is changed, and while it asks for its identity."""

import hashlib
import json
import os
import random
import ssl
import subprocess
import threading
import time
import tomllib
from contextlib import suppress
from pathlib import Path

import pytest
from outfitter_fleet.stage.processes import program

# What the services were told: the file as the reload command has seen it, whole or not at all.
RELOAD = """
cp "$OUTFITTER_CONFIGURATION" seen && mv seen told
if grep -q poison told; then echo "no such lamp" >&2; exit 3; fi
"""
SETTINGS = """
configuration_reload = ["sh", "reload.sh"]
trial_boots_max = 20
attempts_max = 50
"""
BUCKET = "configurations-under-kills"
ROUNDS = ("good", "poison", "good", "poison")
KILLS = 3
KILLED_SECONDS_MAX = 0.4
"""About what a job takes."""
CONNECTED = " connected to "
SERIALS = range(1, 4)
POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
TEMPLATE = {
    "Parameters": {"SerialNumber": {"Type": "String"}, "AWS::IoT::Certificate::Id": {"Type": "String"}},
    "Resources": {
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {"ThingName": {"Fn::Join": ["-", ["killed", {"Ref": "SerialNumber"}]]}},
        },
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
        },
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyDocument": json.dumps(POLICY)}},
    },
}


@pytest.fixture
def device(server, agents):
    made = agents(server, name="configured-under-kills", settings=SETTINGS).configured(word="first")
    (made.folder / "reload.sh").write_text(RELOAD)
    (made.folder / "log").touch()
    return made


def start(device, eventually):
    """Until it is connected: from then on there is something to interrupt."""
    before = device.log().count(CONNECTED)
    device.start()
    eventually(lambda: device.log().count(CONNECTED) > before)


def configure(device, number, content):
    """A job for a configuration; its id."""
    iot, s3, key = device.server.client("iot"), device.server.client("s3"), f"{number}.json"
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key=key, Body=content)
    url = f"${{aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/{BUCKET}/{key}}}"
    return iot.create_job(
        jobId=f"killed-{number}",
        targets=[iot.describe_thing(thingName=device.name)["thingArn"]],
        document=json.dumps(
            {"operation": "config-download", "url": url, "sha256": hashlib.sha256(content).hexdigest()}
        ),
        presignedUrlConfig={"roleArn": "arn:aws:iam::000000000000:role/updates", "expiresInSec": 300},
    )["jobId"]


def test_a_configuration_is_the_new_one_or_the_one_before(device, eventually):
    start(device, eventually)
    chance, held = random.Random(9), device.configuration.read_bytes()
    for number, kind in enumerate(ROUNDS):
        wanted = json.dumps({"word": f"{kind} {number}"}).encode()
        job = configure(device, number, wanted)
        for _ in range(KILLS):
            threading.Event().wait(chance.uniform(0, KILLED_SECONDS_MAX))
            device.kill()
            assert device.configuration.read_bytes() in (held, wanted), "never a part of one"
            start(device, eventually)
        status, details = device.ends(job)
        assert status == ("SUCCEEDED" if kind == "good" else "FAILED"), (details, device.log())
        if kind == "good":
            held = wanted
            assert details["sha256"] == hashlib.sha256(held).hexdigest()
        else:
            assert "exit code 3" in details["reason"]
        assert device.configuration.read_bytes() == held
        assert (device.folder / "told").read_bytes() == held, "the services know what is in force"


@pytest.fixture
def claim(server, tmp_path):
    """The folder of a claim for a template."""
    iot, folder = server.client("iot"), tmp_path / "claim"
    role = "arn:aws:iam::000000000000:role/provisioning"
    iot.create_provisioning_template(
        templateName="killed", templateBody=json.dumps(TEMPLATE), enabled=True, provisioningRoleArn=role
    )
    made = iot.create_provisioning_claim(templateName="killed")
    folder.mkdir()
    (folder / "certificate.pem").write_text(made["certificatePem"])
    (folder / "private.key").write_text(made["keyPair"]["PrivateKey"])
    (folder / "ca.pem").write_bytes(Path(server.ca).read_bytes())
    return folder


def keys_others_may_read(folder):
    """Files with a private key in them, whatever they are called, that are not their owner's alone."""
    return [
        path.name
        for path in folder.rglob("*")
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes() and path.stat().st_mode & 0o077
    ]


def test_an_identity_is_whole_and_of_one_thing(server, claim, tmp_path):
    chance, iot = random.Random(9), server.client("iot")

    def begin(serial, out):
        command = [program("outfitter-agent"), "provision", "--claim", claim, "--out", out, "--type", "lamp"]
        command += ["--endpoint", f"localhost:{server.port('mqtts')}", "--template", "killed"]
        return subprocess.Popen([*command, "--parameter", f"SerialNumber={serial}"], umask=0)

    began = time.monotonic()
    with begin(0, tmp_path / "uncut") as agent:
        assert agent.wait(20) == 0
    whole = time.monotonic() - began
    for serial in SERIALS:
        out, begun = tmp_path / str(serial), 0
        while not (out / "agent.toml").exists():
            begun += 1
            with begin(serial, out) as agent:
                with suppress(subprocess.TimeoutExpired):
                    agent.wait(chance.uniform(0.2, 1) * whole if begun <= KILLS else 20)
                agent.kill()
            assert keys_others_may_read(out) == []
        settings = tomllib.loads((out / "agent.toml").read_text())
        assert (settings["thing_name"], settings["private_key"]) == (f"killed-{serial}", "private.key")
        pair = [out / settings["certificate"], out / settings["private_key"]]
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(*pair)  # refuses those of two pairs
        certificate = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pair[0].read_text())).hexdigest()
        principals = iot.list_thing_principals(thingName=settings["thing_name"])["principals"]
        assert certificate in [each.rpartition("/")[2] for each in principals]
        assert len(principals) <= begun, "one for each time that it was registered, and none beside"
        assert (
            iot.describe_certificate(certificateId=certificate)["certificateDescription"]["status"]
            == "ACTIVE"
        )
        check = [program("outfitter-agent"), "check", "--config", out / "agent.toml"]
        given = {**os.environ, "OUTFITTER_AGENT_STATE": str(out / "state"), "OUTFITTER_AGENT_SLOTS": str(out)}
        done = subprocess.run(check, check=False, env=given, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    things = {each["thingName"] for each in iot.list_things()["things"]}
    assert {each for each in things if each.startswith("killed-")} == {
        f"killed-{each}" for each in (0, *SERIALS)
    }
