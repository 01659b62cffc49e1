"""Factory lines: devices that join later get software and configuration by themselves, in order, and each once."""

import hashlib
import json

import pytest

RUNS = "import time\nprint('up', flush=True)\nwhile True:\n    time.sleep(1)\n"
RELOAD = 'configuration_reload = ["sh", "-c", "echo reload >> reloads"]\n'


@pytest.fixture
def kind(request):
    """A device type that no other test uses."""
    return f"kind-{hashlib.sha256(request.node.name.encode()).hexdigest()[:8]}"


@pytest.fixture
def shell(server, make_shell):
    return make_shell(server)


@pytest.fixture
def software(shell, kind):
    """Uploads versions of the type's software."""

    def upload(version, device_types=()):
        source = shell.folder / f"{kind}-{version}"
        source.mkdir()
        manifest = {
            "name": kind,
            "version": version,
            "device_types": device_types or [kind],
            "start": ["python3", "main.py"],
        }
        (source / "outfitter.json").write_text(json.dumps(manifest))
        (source / "main.py").write_text(RUNS)
        shell.run("software", "pack", str(source), "--out", f"{kind}-{version}.tar.gz")
        return shell.told("software", "upload", f"{kind}-{version}.tar.gz")

    return upload


@pytest.fixture
def config(shell):
    def write(**parameters):
        path = shell.folder / f"config-{len(list(shell.folder.glob('config-*')))}.json"
        path.write_text(json.dumps(parameters))
        return str(path)

    return write


@pytest.fixture
def device(server, agents, kind):
    def make(number, *added):
        return agents(server, *added, name=f"{kind}-{number}", settings=RELOAD)

    return make


def line(shell, kind, version, *more):
    return shell.told("line", "create", kind, "--software", kind, version, *more)


def settled(shell, kind, eventually, version):
    """The line when its devices are done, all of them well."""

    def look():
        shown = shell.told("line", "show", kind)
        found = [shown[name] for name in ("software", "configuration") if shown[name]]
        done = all(sum(each["counts"].values()) == each["counts"]["SUCCEEDED"] > 0 for each in found)
        return done and shown["software"]["version"] == version and shown

    return eventually(look, 40)


def order_of(device):
    """What the device was sent, in the order in which it began."""
    return [
        line.split("job ")[1].split(",")[0] for line in device.log().splitlines() if ", execution " in line
    ]


def reloads(device):
    path = device.folder / "reloads"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_line_from_its_making_to_a_newer_version(shell, kind, software, config, device, eventually, server):
    software("1.0.0")
    made = line(shell, kind, "1.0.0", "--config", config(interval=5))
    assert made["created"][0].startswith(f"line-{kind}-{kind}-1-0-0")
    assert len(made["created"]) == 2
    assert made["group"] == f"line-{kind}"

    # a device that is made on the line, and one that joins it later
    first = device(1, "--line", kind).start()
    second = device(2, "--type", kind).start()
    server.client("iot").add_thing_to_thing_group(thingGroupName=f"line-{kind}", thingName=second.name)
    settled(shell, kind, eventually, "1.0.0")
    for each in (first, second):
        assert order_of(each) == made["created"], "software first, then configuration"
        assert (each.holds(), reloads(each)) == ({"interval": 5}, 1)

    # the same again changes nothing
    again = line(shell, kind, "1.0.0")
    assert (again["created"], again["canceled"]) == ([], [])

    # a newer version takes the place of the older one, and the configuration stays behind it in the order
    software("1.1.0")
    newer = line(shell, kind, "1.1.0")
    assert newer["canceled"] == made["created"]
    assert len(newer["created"]) == 2
    settled(shell, kind, eventually, "1.1.0")
    assert reloads(first) == 1, "the configuration that is in force is not told again"
    for job in made["created"]:
        assert shell.told("job", "show", job)["status"] == "CANCELED"
        assert shell.told("job", "show", job)["counts"]["SUCCEEDED"] == 2

    # a late joiner gets the newer ones alone
    late = device(3, "--line", kind).start()
    settled(shell, kind, eventually, "1.1.0")
    assert order_of(late) == newer["created"]
    assert shell.told("device", "show", late.name)["type"] == kind
    assert late.holds() == {"interval": 5}

    # another configuration alone
    third = line(shell, kind, "1.1.0", "--config", config(interval=6))
    assert third["canceled"] == [newer["created"][1]]
    assert len(third["created"]) == 1
    settled(shell, kind, eventually, "1.1.0")
    assert [each.holds() for each in (first, second, late)] == [{"interval": 6}] * 3
    shown = shell.run("line", "show").stdout
    assert f"{kind} 1.1.0" in shown
    assert "3 of 3 done: 3 SUCCEEDED" in shown


def test_device_that_has_it_already_installs_nothing(shell, kind, software, config, device, eventually):
    software("1.0.0")
    one = device(1, "--type", kind).start()
    shell.run("update", one.name, kind, "1.0.0", "--wait")
    wanted = config(interval=5)
    shell.run("config", "push", wanted, one.name, "--wait")
    made = line(shell, kind, "1.0.0", "--config", wanted)
    shell.run("group", "add", f"line-{kind}", one.name)
    settled(shell, kind, eventually, "1.0.0")
    assert "already running" in one.execution(made["created"][0])[1]["health"]
    assert one.execution(made["created"][1])[1]["health"] == "in force already"
    assert reloads(one) == 1


def test_devices_in_the_middle_of_the_older_job_finish_it(shell, kind, software, server):
    """QUEUED ones of the older job go, IN_PROGRESS ones go on; the newer job waits for every device."""
    for version in ("1.0.0", "1.1.0"):
        software(version)
    old = line(shell, kind, "1.0.0")["created"][0]
    for number in (1, 2):
        shell.run("device", "add", f"{kind}-{number}", "--line", kind, "--out", f"out-{number}")
    server.client("iot-jobs-data").start_next_pending_job_execution(thingName=f"{kind}-1")
    new = line(shell, kind, "1.1.0")["created"][0]
    counts = shell.told("job", "show", old)["counts"]
    assert (counts["IN_PROGRESS"], counts["CANCELED"], counts["QUEUED"]) == (1, 1, 0)
    assert shell.told("job", "show", new)["counts"]["QUEUED"] == 2


def test_interrupted_change_is_completed_by_the_same_command(shell, kind, software, config, server):
    """The newer job was created and the older one not yet canceled."""
    software("1.0.0")
    software("1.1.0")
    made = line(shell, kind, "1.0.0", "--config", config(interval=5))
    iot = server.client("iot")
    group = iot.describe_thing_group(thingGroupName=f"line-{kind}")["thingGroupArn"]
    document = json.loads(iot.get_job_document(jobId=made["created"][0])["document"])
    newer = shell.told("software", "list", kind)[1]
    iot.create_job(
        jobId=f"{kind}-halfway",
        targets=[group],
        targetSelection="CONTINUOUS",
        presignedUrlConfig={"roleArn": "arn:aws:iam::000000000000:role/updates"},
        document=json.dumps(
            document | {"version": "1.1.0", "sha256": newer["sha256"], "size": newer["size"]}
        ),
    )
    done = line(shell, kind, "1.1.0")
    assert done["software"]["job_id"] == f"{kind}-halfway"
    assert done["canceled"] == made["created"]
    assert len(done["created"]) == 1, "the configuration comes after the software again"
    again = line(shell, kind, "1.1.0")
    assert (again["created"], again["canceled"]) == ([], [])


def test_jobs_that_are_not_the_lines_are_left_alone(shell, kind, software, server):
    software("1.0.0")
    line(shell, kind, "1.0.0")
    shell.run("group", "create", f"{kind}-others")
    iot = server.client("iot")
    arns = [
        iot.describe_thing_group(thingGroupName=name)["thingGroupArn"]
        for name in (f"line-{kind}", f"{kind}-others")
    ]
    for job, document in (("both", '{"operation": "install", "url": "https://x"}'), ("own", '{"steps": []}')):
        iot.create_job(
            jobId=f"{kind}-{job}",
            targets=arns if job == "both" else arns[:1],
            targetSelection="CONTINUOUS",
            document=document,
        )
    software("1.1.0")
    assert len(line(shell, kind, "1.1.0")["canceled"]) == 1
    assert shell.told("job", "show", f"{kind}-both")["status"] == "IN_PROGRESS"
    assert shell.told("job", "show", f"{kind}-own")["status"] == "IN_PROGRESS"


def test_what_cannot_be_is_told(shell, kind, software):
    software("1.0.0", ["another-type"])
    create = ("line", "create", kind, "--software", kind)
    assert "is made for another-type" in shell.run(*create, "1.0.0", expect=1).stderr
    assert "has no version '9'" in shell.run(*create, "9", expect=1).stderr
    (shell.folder / "bad.json").write_text("pump: 7")
    assert "is not JSON" in shell.run(*create, "1.0.0", "--config", "bad.json", expect=1).stderr
    wrong = ("line", "create", "no/type", "--software", kind, "1.0.0")
    assert "can be no device type" in shell.run(*wrong, expect=2).stderr
    unknown = f"unknown-{kind}"
    assert "There is no line for" in shell.run("line", "show", unknown, expect=1).stderr
    add = ("device", "add", unknown, "--out", "out")
    assert "There is no line for" in shell.run(*add, "--line", unknown, expect=1).stderr
    assert "leave out --type" in shell.run(*add, "--line", kind, "--type", "x", expect=2).stderr
    assert not (shell.folder / "out").exists()


def test_a_claim_is_made_for_the_line_as_often_as_one_likes(server, shell, software, kind):
    software("1.0.0")
    shell.run("line", "claim", kind, "--out", "none", expect=1)  # there is no line yet
    shell.run("line", "create", kind, "--software", kind, "1.0.0")
    first = shell.told("line", "claim", kind, "--out", "first")
    assert sorted(path.name for path in (shell.folder / "first").iterdir()) == [
        "ca.pem",
        "certificate.pem",
        "private.key",
    ]
    assert (shell.folder / "first" / "private.key").stat().st_mode & 0o077 == 0
    second = shell.told("line", "claim", kind, "--out", "second")
    assert first["template"] == second["template"] == f"line-{kind}"
    assert first["certificate_id"] != second["certificate_id"]
    shell.run("line", "claim", kind, "--out", "first", expect=1)  # a claim is not overwritten
    iot = server.client("iot")
    document = json.loads(iot.describe_provisioning_template(templateName=f"line-{kind}")["templateBody"])
    del document["Resources"]["policy"]
    made = iot.create_provisioning_template_version(
        templateName=f"line-{kind}", templateBody=json.dumps(document), setAsDefault=True
    )
    assert made["versionId"] == 2
    certificates = len(iot.list_certificates(pageSize=250)["certificates"])
    done = shell.run("line", "claim", kind, "--out", "third", expect=1)
    assert "says something else" in done.stderr
    assert len(iot.list_certificates(pageSize=250)["certificates"]) == certificates
    assert not (shell.folder / "third").exists()
