"""What jobs install, what their documents say of it, and what runs where, as boto3 and a device see it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::000000000000:role/signer"
ARN = "arn:aws:iot:us-east-1:000000000000:package/"
IMAGE = bytes(range(256)) * 64
NOTE = 'a "b"\\ \u00fc ${thingName}'
QUERY = "shadow.name.$package.reported.{}.version:{}"


class Catalogue:
    """Packages of one test."""

    def __init__(self, server, fleet):
        self.iot, self.s3 = server.client("iot"), server.client("s3")
        self._fleet = fleet
        self.bucket = f"images-{fleet.name()}"
        self.s3.create_bucket(Bucket=self.bucket)

    def package(self, *versions, default=None, **content):
        name = self._fleet.name("package")
        self.iot.create_package(packageName=name)
        for version in versions:
            self.iot.create_package_version(packageName=name, versionName=version, **content)
            self.iot.update_package_version(packageName=name, versionName=version, action="PUBLISH")
        if default:
            self.iot.update_package(packageName=name, defaultVersionName=default)
        return name

    def image(self, key="pump 1.4.0.tar.gz"):
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=IMAGE)
        return {"s3Location": {"bucket": self.bucket, "key": key}}


@pytest.fixture
def catalogue(server, fleet):
    return Catalogue(server, fleet)


def fetch(url, server):
    """What curl without any credentials makes of a URL: status and body."""
    command = ["curl", "-sS", "--cacert", server.ca, "-w", "\n%{http_code}", url]
    output = subprocess.run(command, check=True, capture_output=True, timeout=20).stdout
    body, _, status = output.rpartition(b"\n")
    return int(status), body


def refusal(call, **given):
    with pytest.raises(ClientError) as caught:
        call(**given)
    error = caught.value.response
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Message"]


def placeholder(rest):
    return f"${{aws:iot:package:{rest}}}"


def sent(fleet, thing):
    """The document as the device gets it."""
    told = fleet.data.start_next_pending_job_execution(thingName=thing)["execution"]
    return json.loads(told["jobDocument"])


def test_a_job_says_what_the_catalogue_says(server, fleet, catalogue):
    iot = catalogue.iot
    pump = catalogue.package(
        "1.3.0", "1.4.0", default="1.4.0", attributes={"note": NOTE, "n": "1"}, artifact=catalogue.image()
    )
    thing = fleet.thing()
    document = {
        "note": f"<{placeholder(f'{pump}:version:$default:attributes:note')}>",
        "all": placeholder(f"{pump}:version:1.4.0:attributes"),
        "url": placeholder(f"{pump}:version::artifact:s3-presigned-url"),
        "none": None,
    }
    given = [f"{ARN}{pump}/version/$default"]
    job = fleet.job(
        thing,
        document=document,
        destinationPackageVersions=given,
        presignedUrlConfig={"roleArn": ROLE, "expiresInSec": 60},
    )
    url = f"https://s3.us-east-1.amazonaws.com/{catalogue.bucket}/pump%201.4.0.tar.gz"
    shown = {
        "note": f"<{NOTE}>",
        "all": {"note": NOTE, "n": "1"},
        "url": f"${{aws:iot:s3-presigned-url-v2:{url}}}",
        "none": None,
    }
    assert json.loads(iot.get_job_document(jobId=job)["document"]) == shown
    raw = iot.get_job_document(jobId=job, beforeSubstitution=True)["document"]
    assert raw == json.dumps(document)

    iot.update_package(packageName=pump, defaultVersionName="1.3.0")
    described = iot.describe_job(jobId=job)["job"]
    assert described["destinationPackageVersions"] == [f"{ARN}{pump}/version/1.4.0"]
    described = iot.describe_job(jobId=job, beforeSubstitution=True)["job"]
    assert described["destinationPackageVersions"] == given

    told = sent(fleet, thing)
    assert (told["note"], told["all"]) == (shown["note"], shown["all"])
    assert "none" not in told
    assert "X-Amz-Expires=60" in told["url"]
    assert fetch(told["url"], server) == (200, IMAGE)


def test_a_job_that_installs_one_package_need_not_name_it(fleet, catalogue):
    pump = catalogue.package("1", attributes={"n": "1"})
    document = {"n": placeholder(":version::attributes:n"), "all": placeholder(":version::attributes")}
    job = fleet.job(fleet.thing(), document=document, destinationPackageVersions=[f"{ARN}{pump}/version/1"])
    assert json.loads(catalogue.iot.get_job_document(jobId=job)["document"]) == {"n": "1", "all": {"n": "1"}}


def test_a_document_without_packages_has_one_form(fleet, catalogue):
    pump = catalogue.package("1")
    job = fleet.job(fleet.thing(), destinationPackageVersions=[f"{ARN}{pump}/version/1"])
    one, other = (
        catalogue.iot.get_job_document(jobId=job, beforeSubstitution=before)["document"]
        for before in (False, True)
    )
    assert one == other == '{"operation": "test"}'


@pytest.mark.parametrize(
    ("destinations", "document", "code", "why"),
    [
        (["{pump}/version/2"], {}, "InvalidRequestException", "draft"),
        (["{pump}/version/9"], {}, "ResourceNotFoundException", "no version 9"),
        (["{pump}/version/$default"], {}, "InvalidRequestException", "no default version"),
        (["{pump}/version/1", "{pump}/version/3"], {}, "InvalidRequestException", "a device runs one"),
        (["{pump}"], {}, "InvalidRequestException", "package/NAME/version/VERSION"),
        (["{pump}/version/1"] * 26, {}, "InvalidRequestException", "destinationPackageVersions"),
        ([], {"a": "{pump}:version:1:attributes:n"}, "InvalidRequestException", "not among"),
        (["{pump}/version/1"], {"a": "{pump}:version:3:attributes:n"}, "InvalidRequestException", "not 3"),
        (["{pump}/version/1"], {"a": "{pump}:version:1:attributes:x"}, "InvalidRequestException", "no such"),
        (["{pump}/version/1"], {"a": ":version::artifact:s3-presigned-url"}, "InvalidRequestException", "no artifact"),
        (["{pump}/version/1"], {"a": ":version::attributes:evil"}, "InvalidRequestException", "holds a placeholder"),
        (["{pump}/version/1"], {str(n): ":version::attributes:n" for n in range(11)}, "InvalidRequestException", "11 placeholders"),
    ],
)  # fmt: skip
def test_what_a_job_cannot_install(fleet, catalogue, destinations, document, code, why):
    evil = "${aws:iot:s3-presigned-url:https://s3.amazonaws.com/private/file}"
    pump = catalogue.package("1", "3", attributes={"n": "1", "evil": evil})
    catalogue.iot.create_package_version(packageName=pump, versionName="2")
    job = fleet.name("job")
    found, _, message = refusal(
        fleet.iot.create_job,
        jobId=job,
        targets=[fleet.arn(fleet.thing())],
        document=json.dumps({key: placeholder(text.format(pump=pump)) for key, text in document.items()}),
        destinationPackageVersions=[ARN + text.format(pump=pump) for text in destinations],
        presignedUrlConfig={"roleArn": ROLE},
    )
    assert (found, why in message) == (code, True), message
    assert refusal(fleet.iot.describe_job, jobId=job)[0] == "ResourceNotFoundException"


def test_a_job_goes_on_when_its_version_is_deprecated_and_deleted(fleet, catalogue):
    pump = catalogue.package("1", attributes={"n": "1"})
    thing = fleet.thing()
    destination = [f"{ARN}{pump}/version/1"]
    first = fleet.job(
        thing, document={"n": placeholder(":version::attributes:n")}, destinationPackageVersions=destination
    )
    catalogue.iot.update_package_version(packageName=pump, versionName="1", action="DEPRECATE")
    fleet.job(fleet.thing(), destinationPackageVersions=destination)
    catalogue.iot.delete_package_version(packageName=pump, versionName="1")
    assert sent(fleet, thing) == {"n": "1"}
    described = catalogue.iot.describe_job(jobId=first)["job"]
    assert described["destinationPackageVersions"] == destination


def test_a_template_installs_what_is_the_default_when_its_job_is_made(fleet, catalogue):
    iot, pump = catalogue.iot, catalogue.package("1", "2", default="1", attributes={"n": "1"})
    document = json.dumps({"n": placeholder(":version::attributes:n"), "v": "x"})
    given = [f"{ARN}{pump}/version/$default"]
    template = fleet.name("template")
    made = iot.create_job_template(
        jobTemplateId=template, description="d", document=document, destinationPackageVersions=given
    )
    iot.update_package(packageName=pump, defaultVersionName="2")
    job = fleet.name("job")
    target = fleet.arn(fleet.thing())
    iot.create_job(jobId=job, targets=[target], jobTemplateArn=made["jobTemplateArn"])
    described = iot.describe_job(jobId=job)["job"]
    assert described["destinationPackageVersions"] == [f"{ARN}{pump}/version/2"]
    assert json.loads(iot.get_job_document(jobId=job)["document"]) == {"n": "1", "v": "x"}
    again = fleet.name("template")
    iot.create_job_template(jobTemplateId=again, description="d", jobArn=described["jobArn"])
    copied = iot.describe_job_template(jobTemplateId=again)
    assert (copied["document"], copied["destinationPackageVersions"]) == (document, given)


def test_the_parameters_of_a_managed_template_are_filled_in(fleet):
    iot = fleet.iot
    managed = iot.describe_managed_job_template(templateName="AWS-Reboot")
    job = fleet.name("job")
    given = {"runAsUser": 'a "user"'}
    iot.create_job(
        jobId=job,
        targets=[fleet.arn(fleet.thing())],
        jobTemplateArn=managed["templateArn"],
        documentParameters=given,
    )
    raw = iot.get_job_document(jobId=job, beforeSubstitution=True)["document"]
    shown = iot.get_job_document(jobId=job)["document"]
    assert raw == managed["document"]
    assert "${aws:iot:parameter:" in raw
    assert "${aws:iot:parameter:" not in shown
    assert json.dumps(given["runAsUser"]) in shown
    assert iot.describe_job(jobId=job)["job"]["documentParameters"] == given


def test_an_upload_without_a_key_has_one_of_its_own(server, fleet, catalogue):
    where = f"https://s3.us-east-1.amazonaws.com/{catalogue.bucket}"
    thing = fleet.thing()
    job = fleet.job(
        thing,
        document={"to": f"${{aws:iot:s3-presigned-url-upload:{where}}}"},
        presignedUrlConfig={"roleArn": ROLE},
    )
    assert f"/{catalogue.bucket}/{job}/{thing}/1?" in sent(fleet, thing)["to"]


@pytest.mark.parametrize("form", ["", ":", ":https://s3.us-east-1.amazonaws.com/"])
def test_an_upload_that_names_nothing_goes_to_the_bucket_of_uploads(own_server, make_fleet, tmp_path, form):
    fleet = make_fleet(own_server, tmp_path)
    thing = fleet.thing()
    wanted = {
        "jobId": "upload",
        "targets": [fleet.arn(thing)],
        "document": json.dumps({"to": f"${{aws:iot:s3-presigned-url-upload{form}}}"}),
        "presignedUrlConfig": {"roleArn": ROLE},
    }
    bucket = "outfitter-uploads-000000000000-us-east-1"
    code, _, message = refusal(fleet.iot.create_job, **wanted)
    assert (code, bucket in message) == ("InvalidRequestException", True)
    s3 = own_server.client("s3")
    s3.create_bucket(Bucket=bucket)
    fleet.iot.create_job(**wanted)
    url = sent(fleet, thing)["to"]
    command = ["curl", "-sSf", "--cacert", own_server.ca, "-X", "PUT", "--data-binary", "a log", url]
    subprocess.run(command, check=True, capture_output=True, timeout=20)
    assert s3.get_object(Bucket=bucket, Key=f"upload/{thing}/1")["Body"].read() == b"a log"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("${aws:iot:code-sign-signature:s3://us-east-1.bucket/key@version}", "sign the file yourself"),
        ("${aws:iot:parameter:name}", "jobTemplateArn"),
        ("${aws:iot:s3-presigned-url-upload:https://s3.us-east-1.amazonaws.com/no-such-bucket/k}", "create it first"),
    ],
)  # fmt: skip
def test_placeholders_that_are_refused_by_name(fleet, text, why):
    given = {
        "jobId": fleet.name("job"),
        "targets": [fleet.arn(fleet.thing())],
        "document": json.dumps({"a": text}),
    }
    code, _, message = refusal(fleet.iot.create_job, **given, presignedUrlConfig={"roleArn": ROLE})
    assert (code, why in message) == ("InvalidRequestException", True), message


def test_a_retry_of_the_sdk_finds_its_own_work(fleet, catalogue):
    pump = fleet.name("package")
    iot = catalogue.iot
    for _ in range(2):
        iot.create_package(packageName=pump, clientToken="a" * 36)
        iot.create_package_version(packageName=pump, versionName="1", clientToken="b" * 36)
    for _ in range(2):
        iot.update_package_version(
            packageName=pump, versionName="1", attributes={"a": "b"}, action="PUBLISH", clientToken="c" * 36
        )
    code, _, _ = refusal(iot.update_package_version, packageName=pump, versionName="1", attributes={"a": "c"})
    assert code == "ConflictException"


def shadow(server, thing, name="$package"):
    more = {} if name is None else {"shadowName": name}
    told = server.client("iot-data").get_thing_shadow(thingName=thing, **more)
    return json.loads(told["payload"].read())


def search(iot, query):
    return {each["thingName"]: each for each in iot.search_index(queryString=query)["things"]}


def test_the_record_of_what_runs_where(own_server, make_fleet, tmp_path):
    server, fleet = own_server, make_fleet(own_server, tmp_path)
    catalogue, iot = Catalogue(server, fleet), server.client("iot")
    pump = catalogue.package("1.3.0", "1.4.0", attributes={"note": NOTE})
    valve = catalogue.package("2")
    done, early, failing = fleet.thing(), fleet.thing(), fleet.thing()

    def install(thing, version, status="SUCCEEDED", packages=(pump,)):
        versions = [f"{ARN}{package}/version/{version if package == pump else 2}" for package in packages]
        job = fleet.job(thing, destinationPackageVersions=versions)
        fleet.data.update_job_execution(thingName=thing, jobId=job, status=status)

    assert iot.get_package_configuration()["versionUpdateByJobsConfig"] == {"enabled": False}
    install(early, "1.3.0")
    code, status, message = refusal(
        iot.update_package_configuration, versionUpdateByJobsConfig={"enabled": True}
    )
    assert (code, status, "roleArn" in message) == ("ValidationException", 400, True)
    iot.update_package_configuration(versionUpdateByJobsConfig={"enabled": True, "roleArn": ROLE})
    install(done, "1.3.0", packages=(pump, valve))
    install(done, "1.4.0")
    install(failing, "1.4.0", "FAILED")

    told = shadow(server, done)
    assert told["state"] == {
        "reported": {
            pump: {"version": "1.4.0", "attributes": {"note": NOTE}},
            valve: {"version": "2", "attributes": {}},
        }
    }
    assert told["version"] == 2
    for thing, name in ((early, "$package"), (failing, "$package"), (done, None), (done, "other")):
        code, status, _ = refusal(lambda thing=thing, name=name: shadow(server, thing, name))
        assert (code, status) == ("ResourceNotFoundException", 404)

    assert set(search(iot, QUERY.format(pump, "1.4.0"))) == {done}
    assert set(search(iot, QUERY.format(pump, "*"))) == {done}
    assert not search(iot, QUERY.format(pump, "1.3.0"))
    listed = json.loads(search(iot, QUERY.format(valve, "2"))[done]["shadow"])
    assert listed["name"]["$package"]["reported"][pump]["version"] == "1.4.0"

    server.kill()
    server.start()
    assert shadow(server, done)["version"] == 2
    iot.delete_thing(thingName=done)
    fleet.thing(done)
    assert refusal(lambda: shadow(server, done))[0] == "ResourceNotFoundException"
    assert not search(iot, QUERY.format(pump, "*"))


def test_a_dynamic_group_of_what_runs_a_version(own_server, make_fleet, tmp_path, eventually):
    fleet = make_fleet(own_server, tmp_path)
    catalogue, iot = Catalogue(own_server, fleet), own_server.client("iot")
    pump = catalogue.package("1", "2")
    iot.update_package_configuration(versionUpdateByJobsConfig={"enabled": True, "roleArn": ROLE})
    iot.create_dynamic_thing_group(thingGroupName="old", queryString=QUERY.format(pump, "1"))
    things = [fleet.thing() for _ in range(3)]

    def members():
        return set(iot.list_things_in_thing_group(thingGroupName="old")["things"])

    def install(version, *targets):
        job = fleet.job(*targets, destinationPackageVersions=[f"{ARN}{pump}/version/{version}"])
        for thing in targets:
            fleet.data.update_job_execution(thingName=thing, jobId=job, status="SUCCEEDED")

    install("1", *things)
    eventually(lambda: members() == set(things))
    follows = iot.create_job(
        jobId="follows",
        targets=["arn:aws:iot:us-east-1:000000000000:thinggroup/old"],
        document='{"operation": "test"}',
        targetSelection="CONTINUOUS",
        destinationPackageVersions=[f"{ARN}{pump}/version/2"],
    )["jobId"]
    fleet.data.update_job_execution(thingName=things[0], jobId=follows, status="SUCCEEDED")
    eventually(lambda: members() == set(things[1:]))
    assert shadow(own_server, things[0])["state"]["reported"][pump]["version"] == "2"
    assert fleet.counts(follows) == {"Succeeded": 1, "Queued": 2}


def outfitter(server, *arguments):
    done = subprocess.run(
        [Path(sys.executable).parent / "outfitter", *arguments],
        env=server.environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


def test_the_command_line_tells_which_device_runs_what(own_server, make_fleet, tmp_path):
    fleet = make_fleet(own_server, tmp_path)
    name = "pump"
    folder = tmp_path / "pump-1"
    folder.mkdir()
    manifest = {"name": name, "version": "1.10", "device_types": ["generic"], "start": ["./run"]}
    (folder / "outfitter.json").write_text(json.dumps(manifest))
    (folder / "run").write_text("#!/bin/sh\n")
    image = str(tmp_path / "pump.tar.gz")
    outfitter(own_server, "software", "pack", str(folder), "--out", image)
    outfitter(own_server, "software", "upload", image)
    assert "No record is kept" in outfitter(own_server, "software", "where", name).stderr
    state = json.loads(outfitter(own_server, "software", "record", "--on", "--json").stdout)
    assert state == {"kept": True, "indexed": True}
    thing = fleet.thing()
    job = json.loads(outfitter(own_server, "update", thing, name, "1.10", "--json").stdout)["job_id"]
    fleet.data.update_job_execution(thingName=thing, jobId=job, status="SUCCEEDED")
    found = json.loads(outfitter(own_server, "software", "where", name, "--json").stdout)
    assert [(each["thing"], each["version"]) for each in found] == [(thing, "1.10")]
    other = outfitter(own_server, "software", "where", name, "--version", "1.1")
    assert "No device is known to run pump 1.1." in other.stderr
