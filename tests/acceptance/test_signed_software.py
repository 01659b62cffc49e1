"""Signed software from a key on disk to a device that trusts it, by commands alone: keys, signatures, refusals, new keys."""

import json
import os

import pytest
from signed_images import RUNS

NAME = f"signed-{os.getpid()}"
ROLE = "arn:aws:iam::000000000000:role/signer"


@pytest.fixture
def shell(server, make_shell):
    return make_shell(server)


@pytest.fixture
def pack(shell):
    """Makes an image of a version."""

    def make(version, name=NAME):
        folder = shell.folder / f"{name}-{version}"
        folder.mkdir()
        manifest = {"name": name, "version": version, "device_types": ["p1"], "start": ["python3", "main.py"]}
        (folder / "outfitter.json").write_text(json.dumps(manifest))
        (folder / "main.py").write_text(RUNS)
        shell.run("software", "pack", folder.name, "--out", f"{name}-{version}.tar.gz")
        return f"{name}-{version}.tar.gz"

    return make


@pytest.fixture
def device(server, shell, agents):
    """A device that trusts the key ``release``, with its agent."""
    shell.run("software", "keygen", "--out", "release.key")
    made = agents(server, "--type", "p1", name=f"{NAME}-device", settings='trusted_keys = "release.pub"\n')
    (made.folder / "release.pub").write_bytes((shell.folder / "release.pub").read_bytes())
    return made.start()


def test_software_from_its_signature_to_the_device(server, shell, pack, device):
    def update(version, *more, name=NAME):
        told = shell.told("update", f"thing:{device.name}", name, version, *more)
        return device.ends(told["job_id"])

    first, second, third = pack("1.0.0"), pack("2.0.0"), pack("3.0.0")
    shell.run("software", "upload", first)
    status, told = update("1.0.0")
    assert (status, told["step"]) == ("FAILED", "refused")
    assert "not signed" in told["reason"]

    # a published version takes no signature any more, but an update may bring one along
    shell.run("software", "sign", first, "--key", "release.key")
    assert "update --signed" in shell.run("software", "upload", first, expect=1).stderr
    status, told = update("1.0.0", "--signed", f"{first}.signed")
    assert (status, told["version"]) == ("SUCCEEDED", "1.0.0"), told

    # a draft takes it late; the catalogue hands it to every update from then on
    shell.run("software", "upload", second, "--no-publish")
    shell.run("software", "sign", second, "--key", "release.key", "--minimum", "1.5")
    stored = shell.told("software", "upload", second)
    assert stored["signed"] == (shell.folder / f"{second}.signed").read_text().strip()
    assert update("2.0.0")[0] == "SUCCEEDED"
    status, told = update("1.0.0", "--signed", f"{first}.signed", "--forced")
    assert (status, told["step"]) == ("FAILED", "refused")
    assert "below 1.5" in told["reason"]

    # another key takes over
    shell.run("software", "keygen", "--out", "next.key")
    key_id = shell.told("software", "verify", second, "--key", "release.pub")["signed_by"][0]
    change = ("--add", "next.pub", "--revoke", key_id, "--out", "keys.signed")
    shell.run("software", "rotate", "--key", "release.key", *change)
    shell.run("software", "sign", third, "--key", "release.key")
    shell.run("software", "upload", third)
    shell.run("software", "trust", f"thing:{device.name}", "keys.signed", "--wait")
    status, told = update("3.0.0")
    assert (status, told["step"]) == ("FAILED", "refused")
    assert f"{key_id} (revoked)" in told["reason"]
    shell.run("software", "sign", third, "--key", "next.key")
    assert update("3.0.0", "--signed", f"{third}.signed")[0] == "SUCCEEDED"


def test_a_document_takes_the_signature_from_the_catalogue(server, shell, pack, device):
    """As one writes it on AWS: the attribute of the package version becomes a member of the document."""
    name = f"{NAME}-attribute"
    image = pack("1.0.0", name)
    shell.run("software", "sign", image, "--key", "release.key")
    stored = shell.told("software", "upload", image)
    iot = server.client("iot")
    thing = iot.describe_thing(thingName=device.name)["thingArn"]
    version = f"{thing.rpartition(':')[0]}:package/{name}/version/1.0.0"
    document = {
        "operation": "install",
        "url": f"${{aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/{stored['bucket']}/{stored['key']}}}",
        "signed": f"${{aws:iot:package:{name}:version:1.0.0:attributes:signed}}",
    }
    iot.create_job(
        jobId=name,
        targets=[thing],
        document=json.dumps(document),
        presignedUrlConfig={"roleArn": ROLE, "expiresInSec": 300},
        destinationPackageVersions=[version],
    )
    status, told = device.ends(name)
    assert (status, told["version"]) == ("SUCCEEDED", "1.0.0"), told


def test_a_signature_of_another_image_is_not_uploaded(shell, pack):
    name = f"{NAME}-other"
    shell.run("software", "keygen", "--out", "release.key")
    first, second = pack("1.0.0", name), pack("2.0.0", name)
    shell.run("software", "sign", first, "--key", "release.key", "--out", f"{second}.signed")
    assert "for another image" in shell.run("software", "upload", second, expect=1).stderr


def test_a_device_without_trusted_keys_goes_on_as_before(server, shell, pack, agents):
    name = f"{NAME}-plain"
    image = pack("1.0.0", name)
    shell.run("software", "keygen", "--out", "release.key")
    shell.run("software", "sign", image, "--key", "release.key")
    shell.run("software", "upload", image)
    shell.run(
        "software", "rotate", "--key", "release.key", "--minimum", f"{name}=2.0", "--out", "keys.signed"
    )
    device = agents(server, "--type", "p1", name=name).start()
    job = shell.told("software", "trust", f"thing:{name}", "keys.signed")["job_id"]
    status, told = device.ends(job)
    assert (status, told["step"]) == ("REJECTED", "refused")
    assert "trusts no keys" in told["reason"]
    job = shell.told("update", f"thing:{name}", name, "1.0.0")["job_id"]
    assert device.ends(job)[0] == "SUCCEEDED"
