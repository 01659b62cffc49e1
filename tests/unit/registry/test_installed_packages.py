"""What a job installs, and the record of what runs where."""

import json

import pytest
from outfitter_server.aws.dispatch import Call
from outfitter_server.aws.operations.shadows import ShadowOperations
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest, NotFound, Validation
from outfitter_server.services.callers import Caller
from outfitter_server.services.destinations import DESTINATIONS_MAX, Destinations
from outfitter_server.services.installed import Installed, forget, record

ROLE = "arn:aws:iam::000000000000:role/records"
ARN = "arn:aws:iot:us-east-1:000000000000:package/"
LOCATION = {"s3Location": {"bucket": "images", "key": "pump/1.4.0 (a).tar.gz"}}


async def version(registry, package, name, *, action="PUBLISH", default=False, **content):
    if not any(
        line["packageName"] == package for line in (await registry("ListPackages"))["packageSummaries"]
    ):
        await registry("CreatePackage", packageName=package)
    await registry("CreatePackageVersion", packageName=package, versionName=name, **content)
    if action:
        await registry("UpdatePackageVersion", packageName=package, versionName=name, action=action)
    if default:
        await registry("UpdatePackage", packageName=package, defaultVersionName=name)


@pytest.fixture
async def catalogue(registry):
    """pump 1.4.0 (the default, with an artifact), 1.3.0 deprecated, 2.0.0 a draft; valve 1."""
    registry.objects.add(("images", "pump/1.4.0 (a).tar.gz"))
    await version(
        registry, "pump", "1.4.0", default=True, attributes={"note": 'a "b"\\', "n": "1"}, artifact=LOCATION
    )
    await version(registry, "pump", "1.3.0", attributes={"note": "old"})
    await registry("UpdatePackageVersion", packageName="pump", versionName="1.3.0", action="DEPRECATE")
    await version(registry, "pump", "2.0.0", action=None)
    await version(registry, "valve", "1")
    return registry


def resolve(registry, document, *names, role_arn=ROLE):
    text = document if isinstance(document, str) else json.dumps(document)
    destinations = Destinations(Installation())
    return registry.committer.read(
        lambda tx: destinations.resolve(
            tx, document=text, arns=[ARN + name for name in names], role_arn=role_arn
        )
    )


def placeholder(rest):
    return "${aws:iot:package:" + rest + "}"


async def test_everything_that_a_document_may_say_of_its_packages(catalogue):
    document = {
        "one": "<" + placeholder("pump:version:1.4.0:attributes:note") + ">",
        "default": placeholder("pump:version:$default:attributes:n"),
        "short": placeholder("pump:version::attributes:n"),
        "all": placeholder("pump:version:1.4.0:attributes"),
        "file": placeholder("pump:version:1.4.0:artifact:s3-presigned-url"),
        "gone": None,
    }
    made = resolve(catalogue, document, "pump/version/$default", "valve/version/1")
    assert made.arns == (ARN + "pump/version/1.4.0", ARN + "valve/version/1")
    assert made.installs == (("pump", "1.4.0"), ("valve", "1"))
    shown = json.loads(made.document)
    assert shown == {
        "one": '<a "b"\\>',
        "default": "1",
        "short": "1",
        "all": {"note": 'a "b"\\', "n": "1"},
        "file": "${aws:iot:s3-presigned-url-v2:https://s3.us-east-1.amazonaws.com/images/pump/1.4.0%20%28a%29.tar.gz}",
        "gone": None,
    }
    del shown["gone"]
    assert made.delivered == json.dumps(shown, separators=(",", ":"))


async def test_one_destination_need_not_be_named_in_the_document(catalogue):
    document = {
        "all": placeholder(":version::attributes"),
        "n": placeholder(":version:1.3.0:attributes:note"),
    }
    made = resolve(catalogue, document, "pump/version/1.3.0")
    assert json.loads(made.document) == {"all": {"note": "old"}, "n": "old"}


async def test_a_document_without_packages_stays_as_it_is(catalogue):
    text = '{ "a" : [1.0, "\\u0024x"] }'
    made = resolve(catalogue, text)
    assert (made.document, made.arns, made.installs) == (text, (), ())


@pytest.mark.parametrize(
    ("document", "names", "why"),
    [
        ({}, ["pump/version/2.0.0"], "draft: publish it"),
        ({}, ["pump/version/9"], "no version 9"),
        ({}, ["none/version/1"], "no version 1"),
        ({}, ["valve/version/$default"], "no default version"),
        ({}, ["none/version/$default"], "no default version"),
        ({}, ["pump/version/1.4.0", "pump/version/1.3.0"], "a device runs one"),
        ({}, ["pump"], "package/NAME/version/VERSION"),
        ({}, ["pump/version/1/2"], "package/NAME/version/VERSION"),
        ({}, ["pump/version/1.4.0"] * (DESTINATIONS_MAX + 1), "at most 25"),
        ({"a": placeholder("pump:version:1.4.0:attributes:note")}, [], "not among"),
        ({"a": placeholder("pump:version:1.4.0:attributes:note")}, ["valve/version/1"], "not among"),
        ({"a": placeholder("pump:version:1.4.0:attributes:note")}, ["pump/version/1.3.0"], "not 1.4.0"),
        ({"a": placeholder("pump:version:$default:attributes:note")}, ["pump/version/1.3.0"], "not 1.4.0"),
        ({"a": placeholder(":version::attributes:note")}, [], "takes exactly one"),
        (
            {"a": placeholder(":version::attributes")},
            ["pump/version/1.4.0", "valve/version/1"],
            "exactly one",
        ),
        ({"a": placeholder("pump:version::attributes:other")}, ["pump/version/1.4.0"], "it has n, note"),
        ({"a": placeholder(":version::artifact:s3-presigned-url")}, ["valve/version/1"], "no artifact"),
    ],
)
async def test_what_a_job_cannot_install(catalogue, document, names, why):
    with pytest.raises((InvalidRequest, NotFound), match=why):
        resolve(catalogue, document, *names)


async def test_an_artifact_needs_a_role_to_sign_it(catalogue):
    document = {"a": placeholder(":version::artifact:s3-presigned-url")}
    with pytest.raises(InvalidRequest, match="roleArn"):
        resolve(catalogue, document, "pump/version/1.4.0", role_arn=None)


async def test_an_upload_needs_a_bucket(catalogue, store):
    with pytest.raises(InvalidRequest, match="bucket outfitter-uploads-000000000000-us-east-1"):
        resolve(catalogue, {"to": "${aws:iot:s3-presigned-url-upload}"})
    with store.write() as tx:
        tx.run("bucket_insert", name="outfitter-uploads-000000000000-us-east-1", created_at=0)
    for form in ("", ":", ":https://s3.us-east-1.amazonaws.com/"):
        resolve(catalogue, {"to": "${aws:iot:s3-presigned-url-upload" + form + "}"})


async def test_a_retry_of_an_update_that_published_is_nothing_to_do(registry):
    await version(registry, "pump", "1", action=None)
    update = {"attributes": {"a": "b"}, "action": "PUBLISH", "clientToken": "t" * 36}
    for _ in range(2):
        await registry("UpdatePackageVersion", packageName="pump", versionName="1", **update)
    with pytest.raises(Exception, match="fixed once published"):
        await registry(
            "UpdatePackageVersion", packageName="pump", versionName="1", **{**update, "clientToken": "u" * 36}
        )


async def test_a_version_of_an_object_that_the_store_does_not_keep_is_no_artifact(registry):
    registry.objects.add(("images", "pump"))
    await registry("CreatePackage", packageName="pump")
    location = {"bucket": "images", "key": "pump"}
    with pytest.raises(Validation, match="one version"):
        await registry(
            "CreatePackageVersion",
            packageName="pump",
            versionName="1",
            artifact={"s3Location": {**location, "version": "3HL4kqtJlcpXroDTDmJ"}},
        )
    await registry(
        "CreatePackageVersion",
        packageName="pump",
        versionName="1",
        artifact={"s3Location": {**location, "version": "null"}},
    )


async def configured(registry, **members):
    await registry("UpdatePackageConfiguration", versionUpdateByJobsConfig=members)


async def test_the_record_is_off_until_it_is_turned_on(registry):
    told = await registry("GetPackageConfiguration")
    assert told == {"versionUpdateByJobsConfig": {"enabled": False, "roleArn": None}}
    with pytest.raises(Validation, match="needs roleArn"):
        await configured(registry, enabled=True)
    with pytest.raises(Validation, match="role/NAME"):
        await configured(registry, enabled=True, roleArn="arn:aws:iam::0:user/somebody")
    await configured(registry, roleArn=ROLE)
    await configured(registry, enabled=True)
    told = await registry("GetPackageConfiguration")
    assert told == {"versionUpdateByJobsConfig": {"enabled": True, "roleArn": ROLE}}
    await registry("UpdatePackageConfiguration")
    await configured(registry, enabled=False)
    assert not (await registry("GetPackageConfiguration"))["versionUpdateByJobsConfig"]["enabled"]


async def succeed(registry, thing, *installs):
    return await registry.committer.change(lambda batch: record(batch, thing, installs))


async def test_what_runs_where(catalogue):
    installed = Installed(catalogue.committer)
    assert not await succeed(catalogue, "t1", ("pump", "1.3.0"))
    assert installed.shadow("t1") is None
    await configured(catalogue, enabled=True, roleArn=ROLE)
    assert await succeed(catalogue, "t1", ("pump", "1.3.0"), ("valve", "1"))
    assert await succeed(catalogue, "t2", ("pump", "1.3.0"))
    catalogue.clock[0] += 5_000
    assert await succeed(catalogue, "t1", ("pump", "1.4.0"))
    assert not await succeed(catalogue, "t1", ("pump", "1.4.0"))
    shadow = installed.shadow("t1")
    assert [(p.package, p.version, p.updated_at) for p in shadow.packages] == [
        ("pump", "1.4.0", catalogue.clock[0]),
        ("valve", "1", catalogue.clock[0] - 5_000),
    ]
    assert (shadow.version, shadow.updated_at) == (2, catalogue.clock[0])
    assert installed.things("pump", "1.3.0", limit=10).items == ["t2"]
    await succeed(catalogue, "t3", ("pump", "1.4.0"))
    first = installed.things("pump", "1.4.0", limit=1)
    rest = installed.things("pump", "1.4.0", token=first.next_token, limit=1)
    assert (first.items, rest.items, rest.next_token) == (["t1"], ["t3"], None)
    await catalogue.committer.change(lambda batch: forget(batch, "t1"))
    assert installed.shadow("t1") is None
    assert installed.things("pump", "1.4.0", limit=10).items == ["t3"]


async def test_the_shadow_as_aws_prints_it(catalogue):
    get = ShadowOperations(Installed(catalogue.committer)).handlers()["GetThingShadow"]

    async def shadow(**given):
        caller = Caller(account="000000000000", access_key_id="AKIA", arn="arn:aws:iam::000000000000:root")
        call = Call(
            service="iotdata",
            operation="GetThingShadow",
            parameters=given,
            caller=caller,
            host="here.example",
            secure=True,
        )
        return json.loads((await get(call))["payload"])

    await configured(catalogue, enabled=True, roleArn=ROLE)
    await succeed(catalogue, "t1", ("pump", "1.3.0"))
    seconds = catalogue.clock[0] // 1000
    assert await shadow(thingName="t1", shadowName="$package") == {
        "state": {"reported": {"pump": {"version": "1.3.0", "attributes": {"note": "old"}}}},
        "metadata": {
            "reported": {
                "pump": {"version": {"timestamp": seconds}, "attributes": {"note": {"timestamp": seconds}}}
            }
        },
        "version": 1,
        "timestamp": seconds,
    }
    await catalogue("DeletePackageVersion", packageName="pump", versionName="1.3.0")
    kept = await shadow(thingName="t1", shadowName="$package")
    assert kept["state"]["reported"] == {"pump": {"version": "1.3.0", "attributes": {}}}
    for thing, name, quoted in (
        ("t1", None, "'t1'"),
        ("t1", "other", "'t1~other'"),
        ("t2", "$package", r"'t2~\$package'"),
    ):
        given = {"thingName": thing} if name is None else {"thingName": thing, "shadowName": name}
        with pytest.raises(NotFound, match=f"No shadow exists with name: {quoted}"):
            await shadow(**given)
