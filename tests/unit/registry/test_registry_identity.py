import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID
from outfitter_server.access.policy import Verdicts
from outfitter_server.base.refusals import (
    AlreadyExists,
    CertificateState,
    DeleteConflict,
    InvalidRequest,
    LimitExceeded,
    MalformedPolicy,
    NotFound,
    VersionsLimitExceeded,
)

OPEN = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
)
SHUT = OPEN.replace("Allow", "Deny")
CONNECT = ("iot:Connect", "arn:aws:iot:us-east-1:000000000000:client/t")


async def device(registry, thing="t"):
    await registry("CreateThing", thingName=thing)
    made = await registry("CreateKeysAndCertificate", setAsActive=True)
    await registry("AttachThingPrincipal", thingName=thing, principal=made["certificateArn"])
    registry.effects()
    return made


def may_connect(registry, made):
    identity = registry.devices.identify_id(made["certificateId"])
    return Verdicts(identity.documents, registry.devices.variables(identity, "t")).allows(*CONNECT)


async def test_a_new_certificate_is_whole(registry):
    made = await registry("CreateKeysAndCertificate", setAsActive=True)
    certificate = x509.load_pem_x509_certificate(made["certificatePem"].encode())
    key = load_pem_private_key(made["keyPair"]["PrivateKey"].encode(), password=None)
    assert key.public_key() == certificate.public_key()
    assert certificate.fingerprint(hashes.SHA256()).hex() == made["certificateId"]
    certificate.verify_directly_issued_by(
        x509.load_pem_x509_certificate(registry.authority.ca_pem().encode())
    )
    shown = (await registry("DescribeCertificate", certificateId=made["certificateId"].upper()))[
        "certificateDescription"
    ]
    assert shown["status"] == "ACTIVE"
    assert shown["validity"]["notAfter"] == certificate.not_valid_after_utc.timestamp()
    assert (
        shown["caCertificateId"] == (await registry("ListCACertificates"))["certificates"][0]["certificateId"]
    )
    assert (await registry("CreateKeysAndCertificate"))["certificateId"] != made["certificateId"]


async def test_a_signing_request_keeps_its_subject_and_key(registry):
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "mine"), x509.NameAttribute(NameOID.COUNTRY_NAME, "IT")]
    )
    request = x509.CertificateSigningRequestBuilder(name).sign(key, hashes.SHA256())
    pem = request.public_bytes(Encoding.PEM).decode()
    made = await registry("CreateCertificateFromCsr", certificateSigningRequest=pem)
    certificate = x509.load_pem_x509_certificate(made["certificatePem"].encode())
    assert (certificate.subject, certificate.public_key()) == (name, key.public_key())
    shown = (await registry("DescribeCertificate", certificateId=made["certificateId"]))[
        "certificateDescription"
    ]
    assert shown["status"] == "INACTIVE"
    identity = registry.devices.identify(certificate.public_bytes(Encoding.DER))
    assert identity.subject["iot:Certificate.Subject.CommonName"] == "mine"
    assert identity.subject["iot:Certificate.Subject.Country"] == "IT"
    assert not identity.active


async def test_bad_signing_requests(registry):
    name = x509.Name([])
    weak = x509.CertificateSigningRequestBuilder(name).sign(
        rsa.generate_private_key(65537, 1024), hashes.SHA256()
    )
    good = x509.CertificateSigningRequestBuilder(name).sign(
        ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()
    )
    der = bytearray(good.public_bytes(Encoding.DER))
    der[-1] ^= 1
    forged = x509.load_der_x509_csr(bytes(der)).public_bytes(Encoding.PEM).decode()
    for pem in (
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----",
        weak.public_bytes(Encoding.PEM).decode(),
        forged,
    ):
        with pytest.raises(InvalidRequest):
            await registry("CreateCertificateFromCsr", certificateSigningRequest=pem)
    assert (await registry("ListCertificates"))["certificates"] == []


async def test_certificates_are_listed_by_age(registry):
    made = []
    for _ in range(5):
        made.append((await registry("CreateKeysAndCertificate"))["certificateId"])
        registry.clock[0] += 1
    for ascending, order in ((False, made[::-1]), (True, made)):
        pages = registry.pages(
            "ListCertificates",
            "certificates",
            token="marker",
            answer="nextMarker",
            pageSize=2,
            ascendingOrder=ascending,
        )
        assert [line["certificateId"] async for page in pages for line in page] == order


async def test_the_status_decides_and_is_told(registry):
    made = await device(registry)
    for status in ("INACTIVE", "INACTIVE", "REVOKED", "ACTIVE"):
        await registry("UpdateCertificate", certificateId=made["certificateId"], newStatus=status)
        assert registry.devices.identify_id(made["certificateId"]).status == status
    assert registry.effects() == [made["certificateId"]] * 3
    for status in ("PENDING_TRANSFER", "PENDING_ACTIVATION", "REGISTER_INACTIVE"):
        with pytest.raises(InvalidRequest):
            await registry("UpdateCertificate", certificateId=made["certificateId"], newStatus=status)
    with pytest.raises(NotFound):
        await registry("UpdateCertificate", certificateId="0" * 64, newStatus="ACTIVE")


async def test_deletion_looks_at_status_then_things_then_policies(registry):
    made = await device(registry)
    await registry("CreatePolicy", policyName="open", policyDocument=OPEN)
    await registry("AttachPolicy", policyName="open", target=made["certificateArn"])
    given = {"certificateId": made["certificateId"]}
    with pytest.raises(CertificateState):
        await registry("DeleteCertificate", **given, forceDelete=True)
    await registry("UpdateCertificate", **given, newStatus="INACTIVE")
    with pytest.raises(DeleteConflict, match="things"):
        await registry("DeleteCertificate", **given, forceDelete=True)
    await registry("DetachThingPrincipal", thingName="t", principal=made["certificateArn"])
    with pytest.raises(DeleteConflict, match="policies"):
        await registry("DeleteCertificate", **given)
    await registry("DeleteCertificate", **given, forceDelete=True)
    assert registry.devices.identify_id(made["certificateId"]) is None
    await registry("DeletePolicy", policyName="open")
    with pytest.raises(NotFound):
        await registry("DeleteCertificate", **given)


async def test_the_authority_is_listed(registry):
    (line,) = (await registry("ListCACertificates"))["certificates"]
    shown = (await registry("DescribeCACertificate", certificateId=line["certificateId"]))[
        "certificateDescription"
    ]
    assert shown["certificatePem"] == registry.devices.trust_pem()
    with pytest.raises(NotFound):
        await registry("DescribeCACertificate", certificateId="0" * 64)


async def test_things_and_their_certificates(registry):
    made = await device(registry)
    await registry("CreateThing", thingName="u")
    await registry("AttachThingPrincipal", thingName="u", principal=made["certificateArn"])
    await registry("AttachThingPrincipal", thingName="u", principal=made["certificateArn"])
    assert registry.effects() == [made["certificateId"]]
    pages = registry.pages("ListPrincipalThings", "things", principal=made["certificateArn"], maxResults=1)
    assert [thing async for page in pages for thing in page] == ["t", "u"]
    listed = await registry("ListThingPrincipals", thingName="u")
    assert listed["principals"] == [made["certificateArn"]]
    assert registry.devices.identify_id(made["certificateId"]).things == {"t", "u"}
    with pytest.raises(InvalidRequest, match="exclusive"):
        await registry(
            "AttachThingPrincipal",
            thingName="u",
            principal=made["certificateArn"],
            thingPrincipalType="EXCLUSIVE_THING",
        )
    await registry("DetachThingPrincipal", thingName="t", principal=made["certificateArn"])
    await registry(
        "AttachThingPrincipal",
        thingName="u",
        principal=made["certificateArn"],
        thingPrincipalType="EXCLUSIVE_THING",
    )
    listed = await registry("ListThingPrincipalsV2", thingName="u", thingPrincipalType="EXCLUSIVE_THING")
    assert len(listed["thingPrincipalObjects"]) == 1
    listed = await registry("ListPrincipalThingsV2", principal=made["certificateArn"])
    assert listed["principalThingObjects"] == [{"thingName": "u", "thingPrincipalType": "EXCLUSIVE_THING"}]
    with pytest.raises(InvalidRequest, match="one thing only"):
        await registry("AttachThingPrincipal", thingName="t", principal=made["certificateArn"])


async def test_attachments_need_both_ends(registry):
    made = await device(registry)
    unknown = made["certificateArn"].replace(made["certificateId"], "0" * 64)
    for operation in ("AttachThingPrincipal", "DetachThingPrincipal"):
        for thing, principal in (("nobody", made["certificateArn"]), ("t", unknown)):
            with pytest.raises(NotFound):
                await registry(operation, thingName=thing, principal=principal)
        with pytest.raises(InvalidRequest):
            await registry(
                operation, thingName="t", principal="us-east-1:11111111-2222-3333-4444-555555555555"
            )


async def test_policies_decide_from_certificate_groups_and_those_above(registry):
    made = await device(registry)
    await registry("CreateThingGroup", thingGroupName="plant")
    await registry("CreateThingGroup", thingGroupName="hall", parentGroupName="plant")
    await registry("CreatePolicy", policyName="open", policyDocument=OPEN)
    await registry("CreatePolicy", policyName="shut", policyDocument=SHUT)
    plant = "arn:aws:iot:us-east-1:000000000000:thinggroup/plant"
    await registry("AttachPolicy", policyName="open", target=plant)
    assert registry.effects() == [None]
    assert not may_connect(registry, made)
    await registry("AddThingToThingGroup", thingName="t", thingGroupName="hall")
    assert registry.effects() == [made["certificateId"]]
    assert may_connect(registry, made)
    await registry("AttachPolicy", policyName="shut", target=made["certificateArn"])
    assert registry.effects() == [made["certificateId"]]
    assert not may_connect(registry, made)
    await registry("DetachPolicy", policyName="shut", target=made["certificateArn"])
    await registry("RemoveThingFromThingGroup", thingName="t", thingGroupName="hall")
    assert registry.effects() == [made["certificateId"]] * 2
    assert not may_connect(registry, made)
    await registry("AddThingToThingGroup", thingName="t", thingGroupName="hall")
    await registry("DeleteThingGroup", thingGroupName="hall")
    assert registry.effects() == [made["certificateId"], None]
    assert not may_connect(registry, made)


async def test_the_default_version_decides(registry):
    made = await device(registry)
    await registry("CreatePolicy", policyName="p", policyDocument=SHUT)
    await registry("AttachPolicy", policyName="p", target=made["certificateArn"])
    registry.effects()
    created = await registry("CreatePolicyVersion", policyName="p", policyDocument=OPEN)
    assert (created["policyVersionId"], created["isDefaultVersion"]) == ("2", False)
    assert registry.effects() == []
    assert not may_connect(registry, made)
    await registry("SetDefaultPolicyVersion", policyName="p", policyVersionId="2")
    assert registry.effects() == [made["certificateId"]]
    assert may_connect(registry, made)
    await registry("CreatePolicyVersion", policyName="p", policyDocument=SHUT, setAsDefault=True)
    assert registry.effects() == [made["certificateId"]]
    assert not may_connect(registry, made)
    assert (await registry("GetPolicy", policyName="p"))["defaultVersionId"] == "3"


async def test_versions_of_a_policy(registry):
    await registry("CreatePolicy", policyName="p", policyDocument=OPEN)
    for _ in range(4):
        await registry("CreatePolicyVersion", policyName="p", policyDocument=SHUT)
    with pytest.raises(VersionsLimitExceeded):
        await registry("CreatePolicyVersion", policyName="p", policyDocument=SHUT)
    with pytest.raises(DeleteConflict, match="default"):
        await registry("DeletePolicyVersion", policyName="p", policyVersionId="1")
    await registry("DeletePolicyVersion", policyName="p", policyVersionId="5")
    assert (await registry("CreatePolicyVersion", policyName="p", policyDocument=SHUT))[
        "policyVersionId"
    ] == "6"
    versions = (await registry("ListPolicyVersions", policyName="p"))["policyVersions"]
    assert [version["versionId"] for version in versions] == ["6", "4", "3", "2", "1"]
    assert (await registry("GetPolicyVersion", policyName="p", policyVersionId="4"))["policyDocument"] == SHUT
    for version in ("5", "9" * 30):
        with pytest.raises(NotFound):
            await registry("GetPolicyVersion", policyName="p", policyVersionId=version)


async def test_a_policy_goes_without_versions_and_targets(registry):
    made = await device(registry)
    await registry("CreatePolicy", policyName="p", policyDocument=OPEN)
    with pytest.raises(AlreadyExists):
        await registry("CreatePolicy", policyName="p", policyDocument=OPEN)
    await registry("CreatePolicyVersion", policyName="p", policyDocument=SHUT)
    await registry("AttachPolicy", policyName="p", target=made["certificateArn"])
    with pytest.raises(DeleteConflict, match="version"):
        await registry("DeletePolicy", policyName="p")
    await registry("DeletePolicyVersion", policyName="p", policyVersionId="2")
    with pytest.raises(DeleteConflict, match="attached"):
        await registry("DeletePolicy", policyName="p")
    await registry("DetachPrincipalPolicy", policyName="p", principal=made["certificateArn"])
    await registry("DeletePolicy", policyName="p")
    for operation in ("GetPolicy", "DeletePolicy", "ListPolicyVersions", "ListTargetsForPolicy"):
        with pytest.raises(NotFound):
            await registry(operation, policyName="p")


async def test_a_malformed_policy_is_not_kept(registry):
    with pytest.raises(MalformedPolicy):
        await registry("CreatePolicy", policyName="p", policyDocument="{}")
    assert (await registry("ListPolicies"))["policies"] == []


async def test_what_policies_are_attached_to(registry):
    made = await device(registry)
    group = "arn:aws:iot:us-east-1:000000000000:thinggroup/"
    await registry("CreateThingGroup", thingGroupName="plant")
    await registry("CreateThingGroup", thingGroupName="hall", parentGroupName="plant")
    for number in range(11):
        await registry("CreatePolicy", policyName=f"p{number:02}", policyDocument=OPEN)
        registry.clock[0] += 1
    for number in range(10):
        await registry("AttachPrincipalPolicy", policyName=f"p{number:02}", principal=made["certificateArn"])
    with pytest.raises(LimitExceeded):
        await registry("AttachPolicy", policyName="p10", target=made["certificateArn"])
    pages = registry.pages(
        "ListAttachedPolicies",
        "policies",
        token="marker",
        answer="nextMarker",
        target=made["certificateArn"],
        pageSize=4,
    )
    assert [len(page) async for page in pages] == [4, 4, 2]
    newest = await registry("ListPrincipalPolicies", principal=made["certificateArn"], pageSize=1)
    assert newest["policies"][0]["policyName"] == "p09"
    await registry("AttachPolicy", policyName="p00", target=group + "plant")
    await registry("AttachPolicy", policyName="p01", target=group + "hall")
    for recursive, count in ((False, 1), (True, 2)):
        found = await registry("ListAttachedPolicies", target=group + "hall", recursive=recursive)
        assert len(found["policies"]) == count
    pages = registry.pages(
        "ListTargetsForPolicy", "targets", token="marker", answer="nextMarker", policyName="p00", pageSize=1
    )
    assert [target async for page in pages for target in page] == [made["certificateArn"], group + "plant"]
    pages = registry.pages("ListPolicies", "policies", token="marker", answer="nextMarker", pageSize=5)
    assert [policy["policyName"] async for page in pages for policy in page][:2] == ["p10", "p09"]


async def test_attaching_needs_both_ends_and_detaching_neither(registry):
    made = await device(registry)
    await registry("CreatePolicy", policyName="p", policyDocument=OPEN)
    unknown = made["certificateArn"].replace(made["certificateId"], "0" * 64)
    with pytest.raises(NotFound):
        await registry("AttachPolicy", policyName="q", target=made["certificateArn"])
    with pytest.raises(NotFound):
        await registry("AttachPolicy", policyName="p", target=unknown)
    with pytest.raises(InvalidRequest):
        await registry(
            "AttachPolicy", policyName="p", target=made["certificateArn"].replace("cert/", "thing/")
        )
    await registry("DetachPolicy", policyName="q", target=made["certificateArn"])
    await registry("DetachPolicy", policyName="p", target=unknown)


async def test_variables_of_a_thing_need_its_certificate(registry):
    made = await device(registry)
    await registry("CreateThingType", thingTypeName="pump")
    await registry(
        "UpdateThing", thingName="t", thingTypeName="pump", attributePayload={"attributes": {"site": "north"}}
    )
    assert registry.effects() == [made["certificateId"]]
    await registry("CreateThing", thingName="foreign")
    identity = registry.devices.identify_id(made["certificateId"])
    known = registry.devices.variables(identity, "t")
    assert known["iot:Connection.Thing.ThingName"] == known["iot:ClientId"] == "t"
    assert known["iot:Connection.Thing.ThingTypeName"] == "pump"
    assert known["iot:Connection.Thing.Attributes[site]"] == "north"
    assert known["iot:CertificateId"] == made["certificateId"]
    unknown = registry.devices.variables(identity, "foreign")
    assert unknown["iot:Connection.Thing.IsAttached"] == "false"
    assert "iot:Connection.Thing.ThingName" not in unknown
