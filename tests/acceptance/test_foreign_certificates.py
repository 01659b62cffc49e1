"""Devices with certificates of other authorities: registered with their CA, alone, or when they first come."""

import datetime as dt
import json
import queue
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from paho.mqtt import client as paho

SECONDS = 15
ANYTHING = {"Effect": "Allow", "Action": "iot:*", "Resource": "*"}
ROLE = "arn:aws:iam::000000000000:role/provisioning"


class Authority:
    """A CA of somebody's own."""

    def __init__(self, name, *, is_ca=True):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self.name, self.key).add_extension(
            x509.BasicConstraints(ca=is_ca, path_length=None), critical=True
        )
        self.certificate = builder.sign(self.key, hashes.SHA256())
        self.pem = self.certificate.public_bytes(Encoding.PEM).decode()

    def sign(self, common_name, **names):
        """A certificate and its key, PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        attributes = [
            (NameOID.COMMON_NAME, common_name),
            *((getattr(NameOID, k), v) for k, v in names.items()),
        ]
        name = x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])
        certificate = self._builder(name, key).sign(self.key, hashes.SHA256())
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return certificate.public_bytes(Encoding.PEM).decode(), private.decode()

    def _builder(self, subject, key):
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder(self.name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=10))
        )


class Caller:
    """paho: how a connection ended up."""

    def __init__(self, server, folder, pem, key, client_id, version=paho.MQTTv5):
        certificate, private = folder / f"{client_id}.pem", folder / f"{client_id}.key"
        certificate.write_text(pem)
        private.write_text(key)
        context = ssl.create_default_context(cafile=str(server.ca))
        context.load_cert_chain(certificate, private)
        self.answer, self.ended = queue.SimpleQueue(), threading.Event()
        self.messages, self.granted = queue.SimpleQueue(), threading.Event()
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, client_id, protocol=version, reconnect_on_failure=False
        )
        self.client.tls_set_context(context)
        self.client.on_connect = lambda *given: self.answer.put(given[3])
        self.client.on_disconnect = lambda *_: (self.answer.put("closed"), self.ended.set())
        self.client.on_message = lambda _client, _data, message: self.messages.put(message)
        self.client.on_subscribe = lambda *_: self.granted.set()
        self.client.connect("127.0.0.1", server.port("mqtts"))
        self.client.loop_start()
        self.outcome = self.answer.get(timeout=SECONDS)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def call(server, fleet, tmp_path):
    made = []

    def make(pem, key, client_id=None, **more):
        made.append(Caller(server, tmp_path, pem, key, client_id or fleet.name("caller"), **more))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture
def policy(fleet):
    return fleet.policy(ANYTHING)


@pytest.fixture
def registered(fleet):
    """Registers an authority in DEFAULT mode."""

    def make(name=None, **more):
        authority = Authority(name or fleet.name("ca"))
        code = fleet.iot.get_registration_code()["registrationCode"]
        verification, _ = authority.sign(code)
        given = {"setAsActive": True, **more}
        made = fleet.iot.register_ca_certificate(
            caCertificate=authority.pem, verificationCertificate=verification, **given
        )
        authority.id = made["certificateId"]
        assert made["certificateArn"].endswith(f":cacert/{authority.id}")
        return authority

    return make


def status_of(fleet, identifier):
    return fleet.iot.describe_certificate(certificateId=identifier)["certificateDescription"]["status"]


def fingerprint(pem):
    return x509.load_pem_x509_certificate(pem.encode()).fingerprint(hashes.SHA256()).hex()


def test_a_certificate_of_a_registered_ca_connects(fleet, registered, call, policy):
    authority = registered()
    pem, key = authority.sign("lamp")
    assert call(*Authority("stranger").sign("lamp")).outcome == "closed"  # not even by TLS
    assert call(pem, key).outcome == 0x87  # known authority, unknown certificate
    made = fleet.iot.register_certificate(certificatePem=pem, status="ACTIVE")
    fleet.iot.attach_policy(policyName=policy, target=made["certificateArn"])
    described = fleet.iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert (described["status"], described["caCertificateId"]) == ("ACTIVE", authority.id)
    assert call(pem, key).outcome == 0
    fleet.iot.update_certificate(certificateId=made["certificateId"], newStatus="REVOKED")
    assert call(pem, key).outcome == 0x87
    with pytest.raises(fleet.iot.exceptions.ResourceAlreadyExistsException) as caught:
        fleet.iot.register_certificate(certificatePem=pem, caCertificatePem=authority.pem)
    assert caught.value.response["resourceId"] == made["certificateId"]
    listed = fleet.iot.list_certificates_by_ca(caCertificateId=authority.id)["certificates"]
    assert [each["certificateId"] for each in listed] == [made["certificateId"]]


def test_only_the_certificates_own_status_decides(fleet, registered, call, policy):
    authority = registered()
    pem, key = authority.sign("lamp")
    made = fleet.iot.register_certificate(certificatePem=pem, caCertificatePem=authority.pem, status="ACTIVE")
    fleet.iot.attach_policy(policyName=policy, target=made["certificateArn"])
    with pytest.raises(fleet.iot.exceptions.CertificateStateException):
        fleet.iot.delete_ca_certificate(certificateId=authority.id)
    fleet.iot.update_ca_certificate(certificateId=authority.id, newStatus="INACTIVE")
    assert call(pem, key).outcome == 0
    other, _ = authority.sign("another")
    with pytest.raises(fleet.iot.exceptions.CertificateStateException):
        fleet.iot.register_certificate(certificatePem=other)
    fleet.iot.delete_ca_certificate(certificateId=authority.id)
    assert call(pem, key).outcome == 0
    assert call(*authority.sign("late")).outcome == "closed"
    with pytest.raises(fleet.iot.exceptions.ResourceNotFoundException):
        fleet.iot.describe_ca_certificate(certificateId=authority.id)


def test_a_certificate_registered_alone_connects(fleet, call, policy):
    pem, key = Authority("nobody").sign("alone")
    made = fleet.iot.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")
    fleet.iot.attach_policy(policyName=policy, target=made["certificateArn"])
    described = fleet.iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert (described["certificateMode"], described.get("caCertificateId")) == ("SNI_ONLY", None)
    caller = call(pem, key)
    assert caller.outcome == 0
    fleet.iot.update_certificate(certificateId=made["certificateId"], newStatus="INACTIVE")
    assert caller.ended.wait(SECONDS)
    fleet.iot.detach_policy(policyName=policy, target=made["certificateArn"])
    fleet.iot.delete_certificate(certificateId=made["certificateId"])
    assert call(pem, key).outcome == "closed"


def test_what_an_authority_must_prove(fleet):
    iot, authority = fleet.iot, Authority(fleet.name("ca"))
    code = iot.get_registration_code()["registrationCode"]
    assert len(code) == 64
    assert iot.get_registration_code()["registrationCode"] == code
    good, _ = authority.sign(code)
    wrong, _ = authority.sign("0" * 64)
    foreign, _ = Authority("other").sign(code)
    errors = iot.exceptions

    def register(**given):
        return iot.register_ca_certificate(caCertificate=authority.pem, **given)

    with pytest.raises(errors.RegistrationCodeValidationException):
        register(verificationCertificate=wrong)
    with pytest.raises(errors.CertificateValidationException):
        register(verificationCertificate=foreign)
    with pytest.raises(errors.InvalidRequestException):
        register()
    with pytest.raises(errors.InvalidRequestException):
        register(verificationCertificate=good, certificateMode="SNI_ONLY")
    leaf, _ = authority.sign("no authority")
    with pytest.raises(errors.CertificateValidationException):
        iot.register_ca_certificate(caCertificate=leaf, certificateMode="SNI_ONLY")
    with pytest.raises(errors.CertificateValidationException):
        iot.register_ca_certificate(caCertificate="nothing", certificateMode="SNI_ONLY")
    made = register(verificationCertificate=good)
    with pytest.raises(errors.ResourceAlreadyExistsException):
        register(certificateMode="SNI_ONLY")
    described = iot.describe_ca_certificate(certificateId=made["certificateId"])
    shown = described["certificateDescription"]
    assert (shown["status"], shown["autoRegistrationStatus"], shown["certificateMode"]) == (
        "INACTIVE",
        "DISABLE",
        "DEFAULT",
    )
    assert "registrationConfig" not in described
    other = Authority(fleet.name("ca"))
    alone = iot.register_ca_certificate(caCertificate=other.pem, certificateMode="SNI_ONLY", setAsActive=True)
    pages, token = [], {}
    while True:
        page = iot.list_ca_certificates(pageSize=1, **token)
        pages.append([each["certificateId"] for each in page["certificates"]])
        if "nextMarker" not in page:
            break
        token = {"marker": page["nextMarker"]}
    listed = [identifier for page in pages for identifier in page]
    assert listed[0] == fingerprint(fleet.server.ca.read_text())
    assert listed.index(alone["certificateId"]) < listed.index(made["certificateId"])
    assert all(len(page) == 1 for page in pages)
    with pytest.raises(errors.InvalidRequestException):
        iot.delete_ca_certificate(certificateId=listed[0])
    iot.delete_registration_code()
    assert iot.get_registration_code()["registrationCode"] != code


def test_who_really_signed_is_found_by_the_signature(fleet, registered):
    name = fleet.name("ca")
    first, second = registered(name), registered(name)
    pem, _ = second.sign("lamp")
    with pytest.raises(fleet.iot.exceptions.CertificateValidationException):
        fleet.iot.register_certificate(certificatePem=pem, caCertificatePem=first.pem)
    made = fleet.iot.register_certificate(certificatePem=pem)
    described = fleet.iot.describe_certificate(certificateId=made["certificateId"])["certificateDescription"]
    assert (described["caCertificateId"], described["status"]) == (second.id, "INACTIVE")
    stranger, _ = Authority(name).sign("lamp")
    with pytest.raises(fleet.iot.exceptions.CertificateValidationException):
        fleet.iot.register_certificate(certificatePem=stranger)


@pytest.fixture
def listener(fleet, call, policy):
    """Hears of devices that come for the first time."""
    made = fleet.iot.create_keys_and_certificate(setAsActive=True)
    fleet.iot.attach_policy(policyName=policy, target=made["certificateArn"])
    caller = call(made["certificatePem"], made["keyPair"]["PrivateKey"])
    caller.client.subscribe("$aws/events/certificates/registered/#", 1)
    assert caller.granted.wait(SECONDS)
    return caller


@pytest.mark.parametrize("version", [paho.MQTTv311, paho.MQTTv5], ids=["3.1.1", "5"])
def test_a_device_that_comes_for_the_first_time_is_registered(
    fleet, registered, call, policy, listener, version
):
    authority = registered(allowAutoRegistration=True)
    pem, key = authority.sign("newcomer")
    identifier = fingerprint(pem)
    for _ in range(2):  # a repeat publishes again
        assert call(pem, key, version=version).outcome == "closed"  # no CONNACK
        message = listener.messages.get(timeout=SECONDS)
        assert message.topic == f"$aws/events/certificates/registered/{authority.id}"
        event = json.loads(message.payload)
        assert event["certificateId"] == identifier
        assert event["caCertificateId"] == authority.id
        assert (event["certificateStatus"], event["awsAccountId"]) == ("PENDING_ACTIVATION", "000000000000")
        assert status_of(fleet, identifier) == "PENDING_ACTIVATION"
    fleet.iot.update_certificate(certificateId=identifier, newStatus="ACTIVE")
    arn = f"arn:aws:iot:us-east-1:000000000000:cert/{identifier}"
    fleet.iot.attach_policy(policyName=policy, target=arn)
    assert call(pem, key, version=version).outcome == 0
    fleet.iot.update_certificate(certificateId=identifier, newStatus="INACTIVE")
    assert call(pem, key).outcome == 0x87
    fleet.iot.update_ca_certificate(certificateId=authority.id, newAutoRegistrationStatus="DISABLE")
    assert call(*authority.sign("too late")).outcome == 0x87


def test_a_template_of_the_ca_provisions_whoever_comes(fleet, registered, call, eventually):
    body = {
        "Resources": {
            "thing": {
                "Type": "AWS::IoT::Thing",
                "Properties": {
                    "ThingName": {"Ref": "AWS::IoT::Certificate::CommonName"},
                    "AttributePayload": {"serial": {"Ref": "AWS::IoT::Certificate::SerialNumber"}},
                },
            },
            "certificate": {
                "Type": "AWS::IoT::Certificate",
                "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
            },
            "policy": {
                "Type": "AWS::IoT::Policy",
                "Properties": {
                    "PolicyDocument": json.dumps({"Version": "2012-10-17", "Statement": ANYTHING})
                },
            },
        }
    }
    template = fleet.name("template")
    fleet.iot.create_provisioning_template(
        templateName=template,
        templateBody=json.dumps(body),
        provisioningRoleArn=ROLE,
        type="JITP",
        enabled=True,
    )
    config = {"templateName": template, "roleArn": ROLE}
    authority = registered(allowAutoRegistration=True, registrationConfig=config)
    described = fleet.iot.describe_ca_certificate(certificateId=authority.id)
    assert described["registrationConfig"] == config
    listed = fleet.iot.list_ca_certificates(templateName=template)["certificates"]
    assert [each["certificateId"] for each in listed] == [authority.id]
    thing = fleet.name("lamp")
    pem, key = authority.sign(thing, SERIAL_NUMBER="4711")
    assert call(pem, key, thing).outcome == "closed"

    def connects():
        return call(pem, key, thing).outcome == 0

    assert eventually(connects)
    assert fleet.iot.describe_thing(thingName=thing)["attributes"] == {"serial": "4711"}
    assert fleet.iot.list_thing_principals(thingName=thing)["principals"][0].endswith(fingerprint(pem))


def test_registrations_outlive_the_server(own_server, make_fleet, tmp_path):
    fleet = make_fleet(own_server, tmp_path)
    pem, key = Authority("nobody").sign("alone")
    made = fleet.iot.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")
    fleet.iot.attach_policy(policyName=fleet.policy(ANYTHING), target=made["certificateArn"])
    authority = Authority("somebody")
    fleet.iot.register_ca_certificate(
        caCertificate=authority.pem, certificateMode="SNI_ONLY", setAsActive=True, allowAutoRegistration=True
    )
    own_server.stop()
    own_server.start()
    for given, expected in (((pem, key), 0), (authority.sign("new"), "closed")):
        caller = Caller(own_server, tmp_path, *given, client_id="again")
        assert caller.outcome == expected
        caller.close()


def test_devices_trust_the_servers_own_authority_and_no_other(server, registered, agents):
    registered()
    device = agents(server, name="trusting")
    assert (device.folder / "ca.pem").read_text() == server.ca.read_text()
