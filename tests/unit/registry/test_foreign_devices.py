"""Authorities of others under bad intent, and what changes while one of their devices is met."""

import asyncio
import datetime as dt
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from outfitter_server.access.authorities import RegistrationCodeInvalid
from outfitter_server.access.certificates import Status
from outfitter_server.base.refusals import InvalidRequest, NotFound
from outfitter_server.main import provisioning
from outfitter_server.services import authorities

TEMPLATE = {
    "Parameters": {"AWS::IoT::Certificate::Id": {"Type": "String"}},
    "Resources": {
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}, "Status": "ACTIVE"},
            "OverrideSettings": {"Status": "REPLACE"},
        }
    },
}


class Authority:
    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
        ca = x509.BasicConstraints(ca=True, path_length=None)
        self.certificate = self._sign(self.name, self.key, ca)
        self.pem = self.certificate.public_bytes(Encoding.PEM).decode()

    def sign(self, common_name):
        attribute = x509.NameAttribute(NameOID.COMMON_NAME, common_name, _validate=False)
        key = ec.generate_private_key(ec.SECP256R1())
        return self._sign(x509.Name([attribute]), key, x509.BasicConstraints(ca=False, path_length=None))

    def _sign(self, subject, key, constraints):
        now = dt.datetime.now(dt.UTC)
        return (
            x509.CertificateBuilder(self.name, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(days=10))
            .add_extension(constraints, critical=True)
            .sign(self.key, hashes.SHA256())
        )


@pytest.fixture
def authority():
    return Authority()


@pytest.fixture
async def registered(registry, authority):
    """The id of the CA, which registers its devices by the template."""
    code = (await registry("GetRegistrationCode"))["registrationCode"]
    answer = await registry(
        "RegisterCACertificate",
        caCertificate=authority.pem,
        verificationCertificate=authority.sign(code).public_bytes(Encoding.PEM).decode(),
        setAsActive=True,
        allowAutoRegistration=True,
        registrationConfig={
            "templateBody": json.dumps(TEMPLATE),
            "roleArn": "arn:aws:iam::000000000000:role/r",
        },
    )
    return answer["certificateId"]


@pytest.mark.filterwarnings("ignore:Attribute's length")  # of the empty name, which cryptography minds
async def test_without_a_registration_code_nothing_proves_that_a_key_is_held(registry, authority):
    nameless = authority.sign("").public_bytes(Encoding.PEM).decode()
    with pytest.raises(RegistrationCodeInvalid):
        await registry("RegisterCACertificate", caCertificate=authority.pem, verificationCertificate=nameless)


async def meet(registry, device):
    """What a device makes of the registry when it comes, and whatever was asked for before."""
    der = device.public_bytes(Encoding.DER)
    met = registry.provisioning.desk.meet(der)
    await asyncio.gather(*registry.provisioning.desk._foreign._tasks)
    return met, registry.devices.identify(der)


async def test_a_device_of_the_authority_is_registered(registry, authority, registered):
    met, identity = await meet(registry, authority.sign("press-7"))
    assert met
    assert identity.active


async def test_a_certificate_that_is_revoked_while_its_device_is_met_stays_revoked(
    registry, authority, registered
):
    device = authority.sign("press-7")
    answer = await registry(
        "RegisterCertificate",
        certificatePem=device.public_bytes(Encoding.PEM).decode(),
        status="PENDING_ACTIVATION",
    )
    revoked = asyncio.create_task(
        registry("UpdateCertificate", certificateId=answer["certificateId"], newStatus="REVOKED")
    )
    met, identity = await meet(registry, device)
    await revoked
    assert met
    assert identity.status is Status.REVOKED


@pytest.mark.parametrize("change", [{"newStatus": "INACTIVE"}, {"newAutoRegistrationStatus": "DISABLE"}])
async def test_an_authority_that_is_switched_off_meanwhile_registers_nobody(
    registry, authority, registered, change
):
    device = authority.sign("press-7")
    changed = asyncio.create_task(registry("UpdateCACertificate", certificateId=registered, **change))
    _, identity = await meet(registry, device)
    await changed
    assert identity is None
    with pytest.raises(NotFound):
        await registry("DescribeCertificate", certificateId=device.fingerprint(hashes.SHA256()).hex())


async def test_an_authority_whose_devices_are_too_many_to_be_trusted_alone_is_kept(
    registry, authority, registered, monkeypatch
):
    monkeypatch.setattr(authorities, "ANCHORED_MAX", 2)
    devices = [authority.sign(f"press-{number}") for number in range(3)]
    for device in devices:
        assert (await meet(registry, device))[0]
    await registry("UpdateCACertificate", certificateId=registered, newStatus="INACTIVE")
    trust = registry.devices.trust_pem()
    with pytest.raises(InvalidRequest, match="keep it INACTIVE"):
        await registry("DeleteCACertificate", certificateId=registered)
    assert registry.devices.trust_pem() == trust
    gone = devices.pop().fingerprint(hashes.SHA256()).hex()
    await registry("UpdateCertificate", certificateId=gone, newStatus="REVOKED")
    await registry("DeleteCertificate", certificateId=gone)
    await registry("DeleteCACertificate", certificateId=registered)
    assert registry.devices.trust_pem().count("BEGIN CERTIFICATE") == 1 + len(devices)


async def test_the_sweeper_goes_on_after_any_trouble(registry, monkeypatch, caplog):
    swept = asyncio.Event()

    def fails_once(batch):
        if "sweep" not in caplog.text:
            raise RuntimeError("sweep")
        swept.set()
        return 0

    monkeypatch.setattr(provisioning, "SWEEP_SECONDS", 0)
    monkeypatch.setattr(registry.provisioning._fleet, "sweep_in", fails_once)
    registry.provisioning.start()
    await asyncio.wait_for(swept.wait(), 10)
    await registry.provisioning.close()
