"""Devices that come with a claim leave with an identity: boto3 makes the templates, paho and AWS's SDK are the devices."""

import io
import json
import queue
import ssl
import threading
import zipfile
from dataclasses import dataclass
from typing import Any

import awsiot
import cbor2
import pytest
from awscrt import mqtt_request_response
from awsiot import iotidentity, mqtt5_client_builder, mqtt_connection_builder
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from paho.mqtt import client as paho

SECONDS = 15
ROLE = "arn:aws:iam::000000000000:role/provisioning"
ARN = "arn:aws:iot:us-east-1:000000000000"
CREATE = "$aws/certificates/create/json"
DEVICE_POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}],
}


def template(group=None, **thing):
    """A template's body: the serial number makes the name."""
    properties = {
        "ThingName": {"Fn::Join": ["", ["device-", {"Ref": "SerialNumber"}]]},
        "AttributePayload": {"serial": {"Ref": "SerialNumber"}, "site": {"Ref": "Site"}},
    }
    if group is not None:
        properties["ThingGroups"] = [group]
    body = {
        "Parameters": {
            "SerialNumber": {"Type": "String"},
            "Site": {"Type": "String", "Default": "Bremen"},
            "AWS::IoT::Certificate::Id": {"Type": "String"},
        },
        "Mappings": {
            "Hosts": {"Bremen": {"url": "https://bremen.example"}, "Kiel": {"url": "https://kiel.example"}}
        },
        "Resources": {
            "thing": {"Type": "AWS::IoT::Thing", "Properties": properties, **thing},
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "Active"},
            },
            "policy": {
                "Type": "AWS::IoT::Policy",
                "Properties": {"PolicyDocument": json.dumps(DEVICE_POLICY)},
            },
        },
        "DeviceConfiguration": {"url": {"Fn::FindInMap": ["Hosts", {"Ref": "Site"}, "url"]}},
    }
    return json.dumps(body)


@dataclass(frozen=True)
class Format:
    name: str
    dumps: Any
    loads: Any


FORMATS = {
    "json": Format("json", lambda value: json.dumps(value).encode(), json.loads),
    "cbor": Format("cbor", cbor2.dumps, cbor2.loads),
}


class Newcomer:
    """paho with a certificate; answers are waited for one at a time."""

    def __init__(self, server, folder, pem, key, client_id="newcomer", *, version=paho.MQTTv5):
        certificate, private = folder / f"{client_id}.pem", folder / f"{client_id}.key"
        certificate.write_text(pem)
        private.write_text(key)
        context = ssl.create_default_context(cafile=str(server.ca))
        context.load_cert_chain(certificate, private)
        self.messages, self.events = queue.SimpleQueue(), queue.SimpleQueue()
        self.acknowledged, self.ended = queue.SimpleQueue(), threading.Event()
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id, protocol=version, reconnect_on_failure=False
        )
        self.client.tls_set_context(context)
        self.client.on_connect = lambda *given: self.events.put(given[3])
        self.client.on_disconnect = lambda *_: (self.ended.set(), self.events.put("gone"))
        self.client.on_publish = lambda *given: self.acknowledged.put(given[3])
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)
        self.client.connect("127.0.0.1", server.port("mqtts"))
        self.client.loop_start()
        self.reason = self.events.get(timeout=SECONDS)

    def ask(self, topic, value=None, form=FORMATS["json"]):
        """The end of the answer's topic, and what it says."""
        self.client.publish(topic, b"" if value is None else form.dumps(value), qos=1)
        message = self.messages.get(timeout=SECONDS)
        assert message.topic.startswith(topic)
        return message.topic.removeprefix(topic + "/"), form.loads(message.payload)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def newcomers(server, tmp_path):
    made = []

    def make(pem, key, client_id="newcomer", **more):
        made.append(Newcomer(server, tmp_path, pem, key, client_id, **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def make_template(fleet):
    """Makes a template and tells its name."""

    def make(body=None, **more):
        name = fleet.name("template").replace(".", "-")
        given = {"enabled": True, "provisioningRoleArn": ROLE, **more}
        fleet.iot.create_provisioning_template(templateName=name, templateBody=body or template(), **given)
        return name

    return make


@pytest.fixture
def claimant(fleet, newcomers):
    """Connects with a claim for a template."""

    def make(name, client_id=None, **more):
        claim = fleet.iot.create_provisioning_claim(templateName=name)
        found = newcomers(
            claim["certificatePem"], claim["keyPair"]["PrivateKey"], client_id or fleet.name("claim"), **more
        )
        assert found.reason == 0
        return found

    return make


def provision(name, form="json"):
    return f"$aws/provisioning-templates/{name}/provision/{form}"


@pytest.mark.parametrize("form", FORMATS.values(), ids=FORMATS)
@pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5], ids=["3.1.1", "5"])
def test_a_claim_becomes_an_identity(fleet, make_template, claimant, newcomers, form, version):
    group, serial = fleet.group(), fleet.name("serial")
    name = make_template(template(group))
    device = claimant(name, version=version)
    ending, created = device.ask(f"$aws/certificates/create/{form.name}", {}, form)
    assert ending == "accepted"
    assert set(created) == {"certificateId", "certificatePem", "privateKey", "certificateOwnershipToken"}
    found = fleet.iot.describe_certificate(certificateId=created["certificateId"])["certificateDescription"]
    assert found["status"] == "PENDING_ACTIVATION"
    asked = {
        "certificateOwnershipToken": created["certificateOwnershipToken"],
        "parameters": {"SerialNumber": serial, "Site": "Kiel"},
    }
    ending, told = device.ask(provision(name, form.name), asked, form)
    thing = f"device-{serial}"
    assert (ending, told) == (
        "accepted",
        {"deviceConfiguration": {"url": "https://kiel.example"}, "thingName": thing},
    )
    described = fleet.iot.describe_thing(thingName=thing)
    assert described["attributes"] == {"serial": serial, "site": "Kiel"}
    assert fleet.iot.list_thing_groups_for_thing(thingName=thing)["thingGroups"][0]["groupName"] == group
    assert fleet.iot.list_thing_principals(thingName=thing)["principals"] == [found["certificateArn"]]
    own = newcomers(created["certificatePem"], created["privateKey"], thing)
    assert own.reason == 0
    ending, again = device.ask(provision(name, form.name), asked, form)
    assert (ending, again["errorCode"], again["statusCode"]) == (
        "rejected",
        "InvalidCertificateOwnershipToken",
        400,
    )


def test_a_device_keeps_its_key_to_itself(fleet, make_template, claimant, newcomers):
    name, serial = make_template(), fleet.name("serial")
    device, key = claimant(name), ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, serial)])
    csr = x509.CertificateSigningRequestBuilder(subject).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    topic = "$aws/certificates/create-from-csr/json"
    ending, created = device.ask(topic, {"certificateSigningRequest": csr.decode()})
    assert ending == "accepted"
    assert set(created) == {"certificateId", "certificatePem", "certificateOwnershipToken"}
    parameters = {"SerialNumber": serial}
    token = created["certificateOwnershipToken"]
    ending, told = device.ask(provision(name), {"certificateOwnershipToken": token, "parameters": parameters})
    assert told == {"deviceConfiguration": {"url": "https://bremen.example"}, "thingName": f"device-{serial}"}
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    assert newcomers(created["certificatePem"], private, f"device-{serial}").reason == 0
    ending, told = device.ask(topic, {"certificateSigningRequest": "none"})
    assert (ending, told["statusCode"], told["errorCode"]) == ("rejected", 400, "InvalidRequest")


def test_a_claim_reaches_its_template_and_nothing_else(fleet, make_template, claimant):
    name, other = make_template(), make_template()
    claim = claimant(name)
    listed = fleet.iot.list_certificates(pageSize=250)["certificates"]
    claim.client.publish("free/x", b"{}", qos=1)
    assert claim.acknowledged.get(timeout=SECONDS) == 0x87
    claim.client.publish(provision(other), b"{}", qos=1)
    assert claim.acknowledged.get(timeout=SECONDS) == 0x87
    granted = queue.SimpleQueue()
    claim.client.on_subscribe = lambda *given: granted.put([code.value for code in given[3]])
    claim.client.subscribe(
        [(f"{CREATE}/accepted", 1), (f"{provision(name)}/#", 1), (f"{provision(other)}/#", 1)]
    )
    assert granted.get(timeout=SECONDS) == [1, 1, 0x87]
    assert len(fleet.iot.list_certificates(pageSize=250)["certificates"]) == len(listed)
    claim.client.publish("$aws/certificates/create/yaml", b"{}", qos=1)
    assert claim.acknowledged.get(timeout=SECONDS) == 0x90


def test_a_claim_takes_nobodys_session(fleet, make_template, newcomers):
    name = make_template()
    made = fleet.iot.create_keys_and_certificate(setAsActive=True)
    policy = fleet.policy({"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"})
    fleet.iot.attach_policy(policyName=policy, target=made["certificateArn"])
    owner = newcomers(made["certificatePem"], made["keyPair"]["PrivateKey"], fleet.name("owner"))
    assert owner.reason == 0
    claim = fleet.iot.create_provisioning_claim(templateName=name)
    taker = newcomers(
        claim["certificatePem"], claim["keyPair"]["PrivateKey"], owner.client._client_id.decode()
    )
    assert taker.reason == 0x87
    assert not owner.ended.is_set()
    again = newcomers(claim["certificatePem"], claim["keyPair"]["PrivateKey"], fleet.name("claim"))
    assert again.reason == 0


def test_policies_decide_what_another_certificate_may_ask(fleet, make_template, newcomers):
    name = make_template()
    made = fleet.iot.create_keys_and_certificate(setAsActive=True)
    allowed = [f"{ARN}:topic/$aws/certificates/create/*", f"{ARN}:client/*"]
    policy = fleet.policy({"Effect": "Allow", "Action": ["iot:Connect", "iot:Publish"], "Resource": allowed})
    fleet.iot.attach_policy(policyName=policy, target=made["certificateArn"])
    device = newcomers(made["certificatePem"], made["keyPair"]["PrivateKey"], fleet.name("claim"))
    assert device.ask(CREATE)[0] == "accepted"
    device.client.publish(provision(name), b"{}", qos=1)
    device.acknowledged.get(timeout=SECONDS)
    assert device.acknowledged.get(timeout=SECONDS) == 0x87


def test_answers_reach_the_requester_only(fleet, make_template, claimant):
    name = make_template()
    asks, listens = claimant(name), claimant(name)
    granted = threading.Event()
    listens.client.on_subscribe = lambda *_: granted.set()
    listens.client.subscribe(f"{CREATE}/#", 1)
    assert granted.wait(SECONDS)
    assert asks.ask(CREATE)[0] == "accepted"
    # Its own answer is the first message that the other one gets.
    assert listens.ask(provision(name), {"parameters": {}})[0] == "rejected"


BAD_REQUESTS = {
    "no JSON": (b"{", "InvalidRequest", 400),
    "a list": (b"[]", "InvalidRequest", 400),
    "no token": (b'{"parameters":{"SerialNumber":"1"}}', "InvalidCertificateOwnershipToken", 400),
    "a foreign token": (b'{"certificateOwnershipToken":"x"}', "InvalidCertificateOwnershipToken", 400),
    "a number as parameter": (b'{"parameters":{"SerialNumber":1}}', "InvalidRequest", 400),
}


@pytest.mark.parametrize(("payload", "code", "status"), BAD_REQUESTS.values(), ids=BAD_REQUESTS)
def test_what_is_no_request_is_told(make_template, claimant, payload, code, status):
    name = make_template()
    device = claimant(name)
    device.client.publish(provision(name), payload, qos=0)
    message = device.messages.get(timeout=SECONDS)
    told = json.loads(message.payload)
    assert (message.topic, message.qos) == (f"{provision(name)}/rejected", 0)
    assert set(told) == {"statusCode", "errorCode", "errorMessage"}
    assert (told["errorCode"], told["statusCode"]) == (code, status)


def test_a_refusal_changes_nothing(fleet, make_template, claimant):
    serial = fleet.name("serial")
    unknown_group = make_template(template("there-is-no-such-group"))
    device = claimant(unknown_group)
    _, created = device.ask(CREATE)
    asked = {
        "certificateOwnershipToken": created["certificateOwnershipToken"],
        "parameters": {"SerialNumber": serial},
    }
    ending, told = device.ask(provision(unknown_group), asked)
    assert (ending, told["errorCode"], told["statusCode"]) == ("rejected", "ResourceNotFound", 404)
    with pytest.raises(fleet.iot.exceptions.ResourceNotFoundException):
        fleet.iot.describe_thing(thingName=f"device-{serial}")
    found = fleet.iot.describe_certificate(certificateId=created["certificateId"])["certificateDescription"]
    assert found["status"] == "PENDING_ACTIVATION"
    # The token is still good, by whichever template.
    good = make_template()
    assert claimant(good).ask(provision(good), asked)[0] == "accepted"


def test_an_existing_thing_that_differs_needs_leave(fleet, make_template, claimant):
    serial = fleet.name("serial")
    fleet.iot.create_thing(thingName=f"device-{serial}", attributePayload={"attributes": {"old": "yes"}})

    def outcome(body):
        name = make_template(body)
        device = claimant(name)
        token = device.ask(CREATE)[1]["certificateOwnershipToken"]
        asked = {"certificateOwnershipToken": token, "parameters": {"SerialNumber": serial}}
        ending, told = device.ask(provision(name), asked)
        return (
            ending,
            told.get("errorCode"),
            fleet.iot.describe_thing(thingName=f"device-{serial}")["attributes"],
        )

    ours = {"serial": serial, "site": "Bremen"}
    assert outcome(template()) == ("rejected", "ResourceRegistrationFailure", {"old": "yes"})
    for leave, expected in (
        ("DO_NOTHING", {"old": "yes"}),
        ("MERGE", ours | {"old": "yes"}),
        ("REPLACE", ours),
        ("FAIL", ours),
    ):
        body = template(OverrideSettings={"AttributePayload": leave})
        assert outcome(body) == ("accepted", None, expected), leave


HOOK = """
def handle(event, context):
    if event["parameters"].get("SerialNumber", "").endswith("slow"):
        import time
        time.sleep(8)
    allowed = not event["parameters"].get("SerialNumber", "").endswith("stolen")
    seen = "/".join([event["clientId"], event["templateArn"].rpartition("/")[2], event["certificateId"][:8]])
    return {"allowProvisioning": allowed, "parameterOverrides": {"Site": "Kiel", "Seen": seen.replace("/", "_")}}
"""


@pytest.fixture
def hook(fleet):
    """The ARN of a function that decides who is provisioned."""
    content, name = io.BytesIO(), fleet.name("hook")
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("app.py", HOOK)
    functions = fleet.server.client("lambda")
    made = functions.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=ROLE,
        Handler="app.handle",
        Code={"ZipFile": content.getvalue()},
        Timeout=20,
    )
    functions.get_waiter("function_active_v2").wait(FunctionName=name)
    yield made["FunctionArn"]
    functions.delete_function(FunctionName=name)


def test_a_hook_decides_and_its_overrides_win(fleet, make_template, claimant, hook):
    body = json.loads(template())
    body["Parameters"]["Seen"] = {"Type": "String", "Default": "not"}
    body["DeviceConfiguration"]["seen"] = {"Ref": "Seen"}
    name = make_template(json.dumps(body), preProvisioningHook={"targetArn": hook})
    client = fleet.name("client")
    device = claimant(name, client)

    def outcome(serial):
        created = device.ask(CREATE)[1]
        parameters = {"SerialNumber": serial, "Site": "Bremen"}
        asked = {"certificateOwnershipToken": created["certificateOwnershipToken"], "parameters": parameters}
        return created["certificateId"], *device.ask(provision(name), asked)

    good = fleet.name("serial")
    _, ending, told = outcome(good)
    assert (ending, told["errorCode"], told["statusCode"]) == ("rejected", "AccessDenied", 403)
    fleet.server.client("lambda").add_permission(
        FunctionName=hook,
        StatementId="hook",
        Action="lambda:InvokeFunction",
        Principal="iot.amazonaws.com",
        SourceArn=f"{ARN}:provisioningtemplate/{name}",
    )
    certificate, ending, told = outcome(good)
    assert ending == "accepted", told
    seen = f"{client}_{name}_{certificate[:8]}"
    assert told["deviceConfiguration"] == {"url": "https://kiel.example", "seen": seen}
    assert fleet.iot.describe_thing(thingName=f"device-{good}")["attributes"]["site"] == "Kiel"
    for refused in ("stolen", "slow"):
        _, ending, told = outcome(f"{good}-{refused}")
        assert (ending, told["errorCode"], told["statusCode"]) == ("rejected", "AccessDenied", 403)
        with pytest.raises(fleet.iot.exceptions.ResourceNotFoundException):
            fleet.iot.describe_thing(thingName=f"device-{good}-{refused}")


@pytest.fixture(params=["3.1.1", "5"])
def sdk(request, fleet, make_template, tmp_path):
    """AWS's client for identities, with a claim; and the template's name."""
    name = make_template()
    claim = fleet.iot.create_provisioning_claim(templateName=name)
    certificate, key = tmp_path / "claim.pem", tmp_path / "claim.key"
    certificate.write_text(claim["certificatePem"])
    key.write_text(claim["keyPair"]["PrivateKey"])
    where = {
        "endpoint": "127.0.0.1",
        "port": fleet.server.port("mqtts"),
        "cert_filepath": str(certificate),
        "pri_key_filepath": str(key),
        "ca_filepath": str(fleet.server.ca),
        "client_id": fleet.name("sdk"),
    }
    options = mqtt_request_response.ClientOptions(
        max_request_response_subscriptions=6,
        max_streaming_subscriptions=2,
        operation_timeout_in_seconds=SECONDS,
    )
    if request.param == "3.1.1":
        connection = mqtt_connection_builder.mtls_from_path(clean_session=True, **where)
        connection.connect().result(SECONDS)
        yield iotidentity.IotIdentityClientV2(connection, options), name
        connection.disconnect().result(SECONDS)
        return
    connected, stopped = threading.Event(), threading.Event()
    client = mqtt5_client_builder.mtls_from_path(
        on_lifecycle_connection_success=lambda _: connected.set(),
        on_lifecycle_stopped=lambda _: stopped.set(),
        **where,
    )
    client.start()
    assert connected.wait(SECONDS)
    yield iotidentity.IotIdentityClientV2(client, options), name
    client.stop()
    assert stopped.wait(SECONDS)


def test_awss_device_sdk_provisions(fleet, sdk):
    client, name = sdk
    serial = fleet.name("serial")
    created = client.create_keys_and_certificate(iotidentity.CreateKeysAndCertificateRequest()).result(
        SECONDS
    )
    registered = client.register_thing(
        iotidentity.RegisterThingRequest(
            template_name=name,
            certificate_ownership_token=created.certificate_ownership_token,
            parameters={"SerialNumber": serial},
        )
    ).result(SECONDS)
    assert registered.thing_name == f"device-{serial}"
    assert registered.device_configuration == {"url": "https://bremen.example"}
    with pytest.raises(awsiot.V2ServiceException) as caught:
        client.register_thing(
            iotidentity.RegisterThingRequest(
                template_name=name, certificate_ownership_token="used", parameters={}
            )
        ).result(SECONDS)
    assert caught.value.modeled_error.error_code == "InvalidCertificateOwnershipToken"


def test_a_claim_ends_after_five_minutes_and_so_do_certificates_that_nobody_used(
    timed_server, make_fleet, tmp_path, eventually
):
    fleet = make_fleet(timed_server, tmp_path)
    fleet.iot.create_provisioning_template(
        templateName="timed", templateBody=template(), enabled=True, provisioningRoleArn=ROLE
    )
    claim = fleet.iot.create_provisioning_claim(templateName="timed")
    device = Newcomer(timed_server, tmp_path, claim["certificatePem"], claim["keyPair"]["PrivateKey"])
    _, created = device.ask(CREATE)
    timed_server.advance(301)
    device.client.publish(CREATE, b"", qos=1)
    device.acknowledged.get(timeout=SECONDS)
    assert not device.acknowledged.get(timeout=SECONDS).is_failure
    assert device.ended.wait(SECONDS)
    assert device.messages.empty()
    device.close()
    timed_server.advance(3_300)

    def deleted():
        try:
            fleet.iot.describe_certificate(certificateId=created["certificateId"])
        except fleet.iot.exceptions.ResourceNotFoundException:
            return True
        return False

    assert eventually(deleted, 40)


def test_templates_have_five_versions_of_which_one_decides(fleet, make_template):
    iot, name = fleet.iot, make_template(description="for the line", tags=[{"Key": "line", "Value": "1"}])
    described = iot.describe_provisioning_template(templateName=name)
    assert described["templateArn"] == f"{ARN}:provisioningtemplate/{name}"
    assert (described["type"], described["enabled"], described["description"]) == (
        "FLEET_PROVISIONING",
        True,
        "for the line",
    )
    assert (described["defaultVersionId"], json.loads(described["templateBody"])) == (
        1,
        json.loads(template()),
    )
    again = {"templateBody": template(), "provisioningRoleArn": ROLE}
    with pytest.raises(iot.exceptions.ResourceAlreadyExistsException):
        iot.create_provisioning_template(templateName=name, **again)
    for version in range(2, 6):
        made = iot.create_provisioning_template_version(
            templateName=name, templateBody=template(f"group-{version}"), setAsDefault=version == 3
        )
        assert (made["versionId"], made["isDefaultVersion"]) == (version, version == 3)
    with pytest.raises(iot.exceptions.VersionsLimitExceededException):
        iot.create_provisioning_template_version(templateName=name, templateBody=template())
    with pytest.raises(iot.exceptions.DeleteConflictException):
        iot.delete_provisioning_template_version(templateName=name, versionId=3)
    with pytest.raises(iot.exceptions.DeleteConflictException):
        iot.delete_provisioning_template(templateName=name)
    iot.delete_provisioning_template_version(templateName=name, versionId=5)
    made = iot.create_provisioning_template_version(templateName=name, templateBody=template())
    assert made["versionId"] == 6
    versions, token = [], {}
    while True:
        page = iot.list_provisioning_template_versions(templateName=name, maxResults=2, **token)
        versions += [(each["versionId"], each["isDefaultVersion"]) for each in page["versions"]]
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}
    assert versions == [(1, False), (2, False), (3, True), (4, False), (6, False)]
    iot.update_provisioning_template(templateName=name, defaultVersionId=6, enabled=False, description="")
    described = iot.describe_provisioning_template(templateName=name)
    assert (described["defaultVersionId"], described["enabled"], described["description"]) == (6, False, "")
    body = iot.describe_provisioning_template_version(templateName=name, versionId=2)["templateBody"]
    assert json.loads(body)["Resources"]["thing"]["Properties"]["ThingGroups"] == ["group-2"]
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.update_provisioning_template(templateName=name, defaultVersionId=5)
    assert name in {each["templateName"] for each in iot.list_provisioning_templates()["templates"]}
    for version in (1, 2, 3, 4):
        iot.delete_provisioning_template_version(templateName=name, versionId=version)
    iot.delete_provisioning_template(templateName=name)
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.describe_provisioning_template(templateName=name)
    with pytest.raises(iot.exceptions.ResourceNotFoundException):
        iot.create_provisioning_claim(templateName=name)


def test_a_template_that_is_switched_off_provisions_nobody(fleet, make_template, claimant):
    name = make_template(enabled=False)
    device = claimant(name)
    token = device.ask(CREATE)[1]["certificateOwnershipToken"]
    asked = {"certificateOwnershipToken": token, "parameters": {"SerialNumber": fleet.name("serial")}}
    ending, told = device.ask(provision(name), asked)
    assert (ending, told["errorCode"]) == ("rejected", "InvalidRequest")
    fleet.iot.update_provisioning_template(templateName=name, enabled=True)
    assert device.ask(provision(name), asked)[0] == "accepted"


def test_people_register_things_by_template(fleet):
    serial, key = fleet.name("serial"), ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, serial)])
    csr = x509.CertificateSigningRequestBuilder(subject).sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
    body = json.loads(template())
    body["Parameters"]["Csr"] = {"Type": "String"}
    body["Resources"]["certificate"]["Properties"] = {"CertificateSigningRequest": {"Ref": "Csr"}}
    parameters = {"SerialNumber": serial, "Csr": csr.decode()}
    made = fleet.iot.register_thing(templateBody=json.dumps(body), parameters=parameters)
    assert set(made["resourceArns"]) == {"thing", "certificate", "policy"}
    assert made["resourceArns"]["thing"] == f"{ARN}:thing/device-{serial}"
    assert serial in x509.load_pem_x509_certificate(made["certificatePem"].encode()).subject.rfc4514_string()
    certificate = made["resourceArns"]["certificate"]
    assert fleet.iot.list_thing_principals(thingName=f"device-{serial}")["principals"] == [certificate]
    found = fleet.iot.describe_certificate(certificateId=certificate.rpartition("/")[2])[
        "certificateDescription"
    ]
    assert found["status"] == "ACTIVE"
    parameters["SerialNumber"] = "with spaces is no name"
    with pytest.raises(fleet.iot.exceptions.InvalidRequestException):
        fleet.iot.register_thing(templateBody=json.dumps(body), parameters=parameters)
