"""Delta images from two versions on disk to a device: made, published, named by the update, applied, proven."""

import json
import os
import random

import pytest
from signed_images import RUNS

NAME = f"delta-{os.getpid()}"
FILLING_BYTES = 3_000_000
BUDGET_BYTES = 100_000


@pytest.fixture
def shell(server, make_shell):
    made = make_shell(server)
    made.run("software", "keygen", "--out", "release.key")
    return made


@pytest.fixture
def publish(shell):
    """Packs, signs and uploads a version; its file, and what was said of it."""

    def make(version, name):
        folder = shell.folder / f"{name}-{version}"
        folder.mkdir()
        manifest = {"name": name, "version": version, "device_types": ["p1"], "start": ["python3", "main.py"]}
        (folder / "outfitter.json").write_text(json.dumps(manifest))
        (folder / "main.py").write_text(f"{RUNS}# {version}\n")
        (folder / "model.bin").write_bytes(random.Random(name).randbytes(FILLING_BYTES) + version.encode())
        file = f"{name}-{version}.tar.gz"
        shell.run("software", "pack", folder.name, "--out", file)
        shell.run("software", "sign", file, "--key", "release.key")
        return file, shell.told("software", "upload", file)

    return make


@pytest.fixture
def device(server, shell, agents):
    """A device that trusts the key, and can pay for much less than an image in one job once it has its first one."""

    def make(name):
        made = agents(server, "--type", "p1", name=name, settings='trusted_keys = "release.pub"\n')
        (made.folder / "release.pub").write_bytes((shell.folder / "release.pub").read_bytes())
        return made.start()

    return make


def restart(device, **settings):
    lines = "".join(f"{key} = {value}\n" for key, value in settings.items())
    assert device.stop() == 0
    (device.folder / "agent.toml.d" / "40-metered.toml").write_text(lines)
    device.start()


def test_a_delta_from_the_command_to_the_device(shell, publish, device):
    """The budget of the job proves the bytes: libcurl's own count, refusals and repetitions included."""
    name = f"{NAME}-way"
    made = device(name)

    def update(version, *more):
        return made.ends(shell.told("update", f"thing:{name}", name, version, *more)["job_id"])

    first, told = publish("1.0.0", name)
    assert told["size"] > FILLING_BYTES
    assert update("1.0.0")[0] == "SUCCEEDED"
    second, image = publish("2.0.0", name)
    assert "no delta" in shell.run("update", name, name, "2.0.0", "--delta", "fail", expect=1).stderr
    delta = shell.told("software", "delta", first, second, "--out", "delta", "--publish")
    assert delta["image_size"] == image["size"]
    assert (shell.folder / "delta").stat().st_size == delta["size"] < BUDGET_BYTES

    restart(made, download_bytes_max_per_job=BUDGET_BYTES)
    status, told = update("2.0.0", "--delta", "off")
    assert (status, told["step"]) == ("FAILED", "refused"), "the whole image costs too much"
    status, told = update("2.0.0")
    assert (status, told["version"], told["sha256"]) == ("SUCCEEDED", "2.0.0", image["sha256"]), told
    said = f"from 1.0.0: {delta['size']} bytes fetched instead of {image['size']}"
    assert told["delta"] == said

    # what was installed by a delta is a base for the next one
    third, image = publish("3.0.0", name)
    shell.run("software", "delta", second, third, "--publish")
    status, told = update("3.0.0", "--delta", "fail")
    assert (status, told["sha256"]) == ("SUCCEEDED", image["sha256"]), told
    assert not list((made.folder / "state" / "download").iterdir())


def test_a_delta_for_another_base(shell, publish, device):
    """``fail`` fails before a byte is fetched, ``full`` fetches the whole image; both say why."""
    name = f"{NAME}-other"
    made = device(name)
    _, (second, _), (third, image) = (publish(each, name) for each in ("1.0.0", "2.0.0", "3.0.0"))

    def update(version, *more):
        return made.ends(shell.told("update", f"thing:{name}", name, version, *more)["job_id"])

    assert update("1.0.0")[0] == "SUCCEEDED"
    shell.run("software", "delta", second, third, "--publish")
    status, told = update("3.0.0", "--delta", "fail")
    assert (status, told["step"]) == ("FAILED", "refused"), told
    assert "none of the job's deltas is for 1.0.0, which runs here" in told["reason"]

    status, told = update("3.0.0")
    assert (status, told["sha256"]) == ("SUCCEEDED", image["sha256"]), told
    assert told["delta"].startswith("not used: none of the job's deltas is for 1.0.0")


def test_software_that_was_changed_on_the_device(shell, publish, device):
    """What the delta makes of it is not the image: its digest says so."""
    name = f"{NAME}-changed"
    made = device(name)
    (first, _), (second, image) = publish("1.0.0", name), publish("2.0.0", name)

    def update(version, *more):
        return made.ends(shell.told("update", f"thing:{name}", name, version, *more)["job_id"])

    assert update("1.0.0")[0] == "SUCCEEDED"
    shell.run("software", "delta", first, second, "--publish")
    model = made.folder / "software" / "current" / "model.bin"
    model.write_bytes(bytes(model.stat().st_size))
    status, told = update("2.0.0", "--delta", "fail")
    assert (status, told["step"], "is not the image" in told["reason"]) == ("FAILED", "refused", True), told
    status, told = update("2.0.0")
    assert (status, told["sha256"]) == ("SUCCEEDED", image["sha256"]), told
    assert "is not the image" in told["delta"]
