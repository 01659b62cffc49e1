"""The registry and the software catalogue, as boto3 sees them."""

import json

import pytest
from botocore.exceptions import ClientError

ROLE_POLICY = {"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}


@pytest.fixture
def iot(server, tls):
    return server.client("iot", tls=tls)


def refused(call, **given):
    """Code and HTTP status of the refusal."""
    with pytest.raises(ClientError) as caught:
        call(**given)
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def walked(iot, operation, member, **given):
    """Everything that a paginator finds, two at a time."""
    pages = iot.get_paginator(operation).paginate(PaginationConfig={"PageSize": 2}, **given)
    return [entry for page in pages for entry in page[member]]


def test_the_life_of_a_thing(fleet, iot):
    name, kind = fleet.name("thing") + ":1", fleet.name("type")
    iot.create_thing_type(thingTypeName=kind, thingTypeProperties={"searchableAttributes": ["site"]})
    given = {"thingName": name, "thingTypeName": kind, "attributePayload": {"attributes": {"site": "north"}}}
    made = iot.create_thing(**given)
    assert iot.create_thing(**given)["thingId"] == made["thingId"]
    other = given | {"attributePayload": {"attributes": {"site": "south"}}}
    assert refused(iot.create_thing, **other) == ("ResourceAlreadyExistsException", 409)
    described = iot.describe_thing(thingName=name)
    assert (described["thingTypeName"], described["attributes"], described["version"]) == (
        kind,
        {"site": "north"},
        1,
    )
    iot.update_thing(
        thingName=name, attributePayload={"attributes": {"floor": "2"}, "merge": True}, expectedVersion=1
    )
    assert iot.describe_thing(thingName=name)["attributes"] == {"site": "north", "floor": "2"}
    assert refused(iot.update_thing, thingName=name, removeThingType=True, expectedVersion=1) == (
        "VersionConflictException",
        409,
    )
    assert [entry["thingName"] for entry in walked(iot, "list_things", "things", thingTypeName=kind)] == [
        name
    ]
    iot.delete_thing(thingName=name)
    iot.delete_thing(thingName=name)
    assert refused(iot.describe_thing, thingName=name) == ("ResourceNotFoundException", 404)
    iot.deprecate_thing_type(thingTypeName=kind)
    assert refused(iot.create_thing, **given)[0] == "InvalidRequestException"


def test_groups_hold_things_and_groups(fleet, iot):
    parent, child = fleet.name("group"), fleet.name("group")
    iot.create_thing_group(thingGroupName=parent)
    iot.create_thing_group(thingGroupName=child, parentGroupName=parent)
    things = sorted(fleet.thing() for _ in range(5))
    for thing in things:
        iot.add_thing_to_thing_group(thingGroupName=child, thingName=thing)
    assert walked(iot, "list_things_in_thing_group", "things", thingGroupName=parent) == []
    found = walked(iot, "list_things_in_thing_group", "things", thingGroupName=parent, recursive=True)
    assert sorted(found) == things
    groups = walked(iot, "list_thing_groups_for_thing", "thingGroups", thingName=things[0])
    assert [group["groupName"] for group in groups] == [child]
    assert refused(iot.delete_thing_group, thingGroupName=parent)[0] == "InvalidRequestException"
    iot.remove_thing_from_thing_group(thingGroupName=child, thingName=things[0])
    assert len(walked(iot, "list_things_in_thing_group", "things", thingGroupName=child)) == 4
    iot.delete_thing_group(thingGroupName=child)
    iot.delete_thing_group(thingGroupName=parent)
    assert refused(iot.describe_thing_group, thingGroupName=parent) == ("ResourceNotFoundException", 404)


def test_a_job_on_a_parent_group_reaches_the_things_of_its_children(fleet, iot):
    parent, child = fleet.name("group"), fleet.name("group")
    iot.create_thing_group(thingGroupName=parent)
    iot.create_thing_group(thingGroupName=child, parentGroupName=parent)
    thing, late = fleet.thing(), fleet.thing()
    iot.add_thing_to_thing_group(thingGroupName=child, thingName=thing)
    job = fleet.job(parent, targetSelection="CONTINUOUS")
    assert fleet.execution(thing, job)["status"] == "QUEUED"
    iot.add_thing_to_thing_group(thingGroupName=child, thingName=late)
    assert fleet.counts(job) == {"Queued": 2}


def test_certificates_policies_and_what_hangs_on_them(fleet, iot):
    thing = fleet.thing()
    made = iot.create_keys_and_certificate(setAsActive=True)
    certificate, arn = made["certificateId"], made["certificateArn"]
    assert len(certificate) == 64
    assert made["keyPair"]["PrivateKey"].startswith("-----BEGIN ")
    policy = fleet.policy(ROLE_POLICY)
    iot.attach_policy(policyName=policy, target=arn)
    iot.attach_thing_principal(thingName=thing, principal=arn)
    assert iot.list_thing_principals(thingName=thing)["principals"] == [arn]
    assert iot.list_principal_things(principal=arn)["things"] == [thing]
    assert [entry["policyName"] for entry in iot.list_attached_policies(target=arn)["policies"]] == [policy]
    assert refused(iot.delete_policy, policyName=policy) == ("DeleteConflictException", 409)
    assert refused(iot.delete_thing, thingName=thing)[0] == "InvalidRequestException"
    assert refused(iot.delete_certificate, certificateId=certificate) == ("CertificateStateException", 406)
    iot.update_certificate(certificateId=certificate, newStatus="INACTIVE")
    assert refused(iot.delete_certificate, certificateId=certificate) == ("DeleteConflictException", 409)
    iot.detach_thing_principal(thingName=thing, principal=arn)
    iot.detach_policy(policyName=policy, target=arn)
    iot.delete_certificate(certificateId=certificate)
    iot.delete_policy(policyName=policy)
    assert refused(iot.describe_certificate, certificateId=certificate) == ("ResourceNotFoundException", 404)
    broken = {"policyName": fleet.name("policy"), "policyDocument": '{"Version": '}
    assert refused(iot.create_policy, **broken) == ("MalformedPolicyException", 400)


def test_the_installations_own_authority_is_listed(server, iot):
    ca = iot.list_ca_certificates()["certificates"][0]  # before those that were registered
    pem = iot.describe_ca_certificate(certificateId=ca["certificateId"])["certificateDescription"][
        "certificatePem"
    ]
    assert pem.strip() in server.ca.read_text()


def test_software_is_a_package_whose_versions_are_published(server, fleet, iot):
    bucket = f"software-{fleet.name()}"
    s3 = server.client("s3")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="pump.tar.gz", Body=b"image")
    package = fleet.name("package")
    iot.create_package(packageName=package, description="the pump")
    iot.create_package_version(
        packageName=package,
        versionName="1.0.0",
        attributes={"device_types": "pump"},
        artifact={"s3Location": {"bucket": bucket, "key": "pump.tar.gz"}},
    )
    found = iot.get_package_version(packageName=package, versionName="1.0.0")
    assert (found["status"], found["attributes"]) == ("DRAFT", {"device_types": "pump"})
    iot.update_package_version(packageName=package, versionName="1.0.0", action="PUBLISH")
    changed = {"packageName": package, "versionName": "1.0.0", "attributes": {"device_types": "lamp"}}
    assert refused(iot.update_package_version, **changed)[0] in {"ConflictException", "ValidationException"}
    iot.update_package(packageName=package, defaultVersionName="1.0.0")
    assert iot.get_package(packageName=package)["defaultVersionName"] == "1.0.0"
    versions = walked(iot, "list_package_versions", "packageVersionSummaries", packageName=package)
    assert [(entry["versionName"], entry["status"]) for entry in versions] == [("1.0.0", "PUBLISHED")]
    assert package in {entry["packageName"] for entry in walked(iot, "list_packages", "packageSummaries")}
    missing = {"packageName": package, "versionName": "2.0.0"}
    absent = {"s3Location": {"bucket": bucket, "key": "absent"}}
    assert refused(iot.create_package_version, **missing, artifact=absent)[1] in (400, 404)
    assert refused(iot.get_package_version, **missing) == ("ResourceNotFoundException", 404)


def test_a_thing_whose_name_has_a_colon_works_on_every_plane(fleet, iot, link):
    thing = iot.create_thing(thingName=fleet.name("thing") + ":colon_1")["thingName"]
    job = fleet.job(thing)
    device = fleet.device(thing, link)
    device.subscribe("notify-next")
    assert device.ask("start-next")["execution"]["jobId"] == job
    summaries = iot.list_job_executions_for_thing(thingName=thing)["executionSummaries"]
    assert [entry["jobId"] for entry in summaries] == [job]
    iot.cancel_job_execution(thingName=thing, jobId=job, force=True, statusDetails={"by": "test"})
    assert "execution" not in device.take_named("notify-next")
    assert json.loads(iot.get_job_document(jobId=job)["document"]) == {"operation": "test"}
