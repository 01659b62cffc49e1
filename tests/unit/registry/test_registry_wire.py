"""The registry as boto3 sees it: through the real door."""

import asyncio
import logging
import time

import boto3
import pytest
import pytest_asyncio
from botocore.config import Config
from outfitter_server.access.signature import Credentials
from outfitter_server.aws.dispatch import Dispatcher
from outfitter_server.base.installation import Installation
from outfitter_server.https.door import HttpsDoor
from outfitter_server.services.callers import Callers

ROOT = Credentials(access_key_id="AKIAROOT", secret_access_key="root-secret")


async def no_objects(request, claim, caller, context):
    raise AssertionError("the registry does not speak S3")


@pytest_asyncio.fixture
async def iot(registry):
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
    door = HttpsDoor(
        dispatcher=Dispatcher({"iot": registry.handlers}),
        callers=Callers(ROOT, Installation()),
        devices=registry.devices,
        s3=no_objects,
        bucket_of_host=lambda _host: None,
        clock=lambda: int(time.time() * 1000),
        installation=Installation(),
    )
    port = await door.start("127.0.0.1", 0)
    client = boto3.client(
        "iot",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="eu-north-1",
        aws_access_key_id=ROOT.access_key_id,
        aws_secret_access_key=ROOT.secret_access_key,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=10),
    )
    yield client
    client.close()
    await door.close()


def provision(iot):
    """What a person does for one device, and what the answers look like afterwards."""
    iot.create_thing_type(thingTypeName="pump")
    iot.create_thing(
        thingName="a:b", thingTypeName="pump", attributePayload={"attributes": {"site": "north"}}
    )
    iot.create_thing_group(thingGroupName="plant")
    iot.create_thing_group(thingGroupName="hall", parentGroupName="plant")
    iot.add_thing_to_thing_group(thingName="a:b", thingGroupName="hall")
    made = iot.create_keys_and_certificate(setAsActive=True)
    document = '{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}'
    iot.create_policy(policyName="open", policyDocument=document)
    iot.attach_policy(policyName="open", target=made["certificateArn"])
    iot.attach_thing_principal(thingName="a:b", principal=made["certificateArn"])
    assert iot.describe_thing(thingName="a:b")["attributes"] == {"site": "north"}
    assert iot.list_thing_principals(thingName="a:b")["principals"] == [made["certificateArn"]]
    assert iot.list_principal_things(principal=made["certificateArn"])["things"] == ["a:b"]
    assert iot.list_things_in_thing_group(thingGroupName="plant", recursive=True)["things"] == ["a:b"]
    assert iot.list_attached_policies(target=made["certificateArn"])["policies"][0]["policyName"] == "open"
    assert (
        iot.list_principal_policies(principal=made["certificateArn"])["policies"][0]["policyName"] == "open"
    )
    shown = iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert shown["creationDate"].timestamp() == 1.7e9
    assert shown["validity"]["notAfter"].year == 2049
    (authority,) = iot.list_ca_certificates()["certificates"]
    iot.describe_ca_certificate(certificateId=authority["certificateId"])
    assert iot.describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"] == "devices.example"


def refusals(iot):
    """Errors have the classes that boto3 makes from AWS's model."""
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_thing(thingName="nobody")
    with pytest.raises(iot.exceptions.MalformedPolicyException):
        iot.create_policy(policyName="p", policyDocument="{}")
    iot.create_thing(thingName="t")
    with pytest.raises(iot.exceptions.VersionConflictException):
        iot.update_thing(thingName="t", expectedVersion=4)
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as refused:
        iot.create_thing(thingName="t", attributePayload={"attributes": {"a": "1"}})
    assert refused.value.response["resourceArn"].endswith(":thing/t")
    made = iot.create_keys_and_certificate(setAsActive=True)
    with pytest.raises(iot.exceptions.CertificateStateException):
        iot.delete_certificate(certificateId=made["certificateId"])
    with pytest.raises(iot.exceptions.InvalidRequestException):
        iot.describe_endpoint(endpointType="iot:Jobs")
    iot.create_package(packageName="app")
    with pytest.raises(iot.exceptions.ConflictException):
        iot.create_package(packageName="app")
    with pytest.raises(iot.exceptions.ValidationException):
        iot.create_package_version(
            packageName="app", versionName="1", artifact={"s3Location": {"bucket": "b", "key": "k"}}
        )


def listings(iot):
    """boto3's own paginators walk every page."""
    for number in range(5):
        iot.create_thing(thingName=f"t{number}")
        iot.create_policy(
            policyName=f"p{number}+=,.@-_",
            policyDocument='{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}',
        )
        iot.create_keys_and_certificate()
    for operation, member, count in (
        ("list_things", "things", 5),
        ("list_policies", "policies", 5),
        ("list_certificates", "certificates", 5),
    ):
        pages = iot.get_paginator(operation).paginate(PaginationConfig={"PageSize": 2})
        assert sum(len(page[member]) for page in pages) == count


@pytest.mark.parametrize("story", [provision, refusals, listings])
async def test_boto3_tells_the(iot, story):
    await asyncio.to_thread(story, iot)
