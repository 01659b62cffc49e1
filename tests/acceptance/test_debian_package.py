"""``make deb``: built twice the same, for both architectures; installed on a copy of this machine, it does a job; needs root.

The copy is an overlay in a mount namespace of its own: what is written there is gone with the test.
"""

import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import tomllib
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "packages/agent/debian/outfitter-agent.service"
COPY = """
mount -t tmpfs none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount --rbind /proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
echo ready
exec chroot "$1/root" cat
"""
FITS = {
    "amd64": re.compile(r"none-any|(cp311-cp311|abi3)-.*manylinux(2014|_2_(\d|1\d|2[0-8]))_x86_64"),
    "arm64": re.compile(r"none-any|(cp311-cp311|abi3)-.*manylinux(2014|_2_(\d|1\d|2[0-8]))_aarch64"),
}


MACHINES = {"amd64": 62, "arm64": 183}
"""As the head of an ELF file has them."""


def build(folder, umask, architecture="amd64"):
    command = ["sh", ROOT / "packages/agent/debian/build.sh", folder, architecture]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1790000000"}
    built = subprocess.run(
        command, env=environment, umask=umask, check=True, capture_output=True, text=True, cwd="/"
    )
    return Path(built.stdout.strip())


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return build(tmp_path_factory.mktemp("package"), 0o022)


@contextmanager
def copy_of_this_machine(folder):
    """What to put before a command so that it runs there."""
    folder.mkdir()
    command = ["unshare", "--mount", "sh", "-ec", COPY, "sh", folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "ready\n"
        path = "PATH=/usr/sbin:/usr/bin:/sbin:/bin"
        yield ["nsenter", f"--target={holder.pid}", "--mount", "--root", "--wd=/", "env", "-i", path]
        holder.stdin.close()


@pytest.fixture
def there(tmp_path):
    """Run a command on a copy of this machine; its output."""
    with copy_of_this_machine(tmp_path / "copy") as before:

        def run(*words):
            ran = subprocess.run([*before, *words], check=False, capture_output=True, text=True)
            assert ran.returncode == 0, ran.stdout + ran.stderr
            return ran.stdout

        run.before = before
        yield run


def test_built_twice_it_is_the_same(package, tmp_path):
    again = build(tmp_path, 0o077)
    assert again.name == package.name == "outfitter-agent_0.1.0_amd64.deb"
    assert again.read_bytes() == package.read_bytes()


@pytest.mark.parametrize("architecture", FITS)
def test_wheels_are_locked_for_it(architecture):
    """``build.sh`` compiles nothing."""
    locked = {each["name"]: each for each in tomllib.loads((ROOT / "uv.lock").read_text())["package"]}
    wanted, seen = ["outfitter-agent"], set()
    while wanted:
        one = locked[wanted.pop()]
        if one["name"] not in seen:
            seen.add(one["name"])
            wanted += [
                each["name"]
                for each in one.get("dependencies", [])
                if "win32" not in each.get("marker", "")
                and "PyPy" not in each.get("marker", "").split("!=")[0]
            ]
    registered = sorted(name for name in seen if not name.startswith("outfitter-"))
    assert "pycurl" in registered
    without = [
        name
        for name in registered
        if not any(FITS[architecture].search(wheel["url"]) for wheel in locked[name].get("wheels", []))
    ]
    assert without == []


@pytest.mark.parametrize("architecture", MACHINES)
def test_what_is_compiled_is_for_its_machine(architecture, tmp_path):
    made = build(tmp_path, 0o022, architecture)
    run = partial(subprocess.run, check=True, capture_output=True, text=True)
    assert run(["dpkg-deb", "--field", made, "Architecture"]).stdout == f"{architecture}\n"
    run(["dpkg-deb", "--extract", made, tmp_path / "root"])
    files = [path for path in (tmp_path / "root").rglob("*") if path.is_file() and not path.is_symlink()]
    heads = {path.name: path.read_bytes()[:20] for path in files}
    machines = {
        name: int.from_bytes(head[18:], "little") for name, head in heads.items() if head[:4] == b"\x7fELF"
    }
    assert set(machines.values()) == {MACHINES[architecture]}
    assert {name for name in heads if ".so" in name} <= set(machines)
    assert any(name.startswith("_pycurl.") for name in machines)


def test_installed_it_does_a_job_and_is_removed_again(package, there, server, agents, tmp_path):
    device = agents(server, "--type", "lamp", name="debian-lamp")
    there("dpkg", "--force-unsafe-io", "--install", str(package))
    assert there("outfitter-agent", "--version") == "outfitter-agent 0.1.0\n"
    there("cp", "--recursive", f"{device.folder}/.", "/etc/outfitter")
    start = re.search(r"^ExecStart=(.*)$", UNIT.read_text(), re.MULTILINE)[1].split()
    job = lamp_job(server, device.name)
    with (device.folder / "log").open("w") as log:
        device.process = subprocess.Popen([*there.before, *start], stderr=log)
    status, details = device.ends(job)
    assert (status, details["version"], details["slot"]) == ("SUCCEEDED", "1.0.0", "a")
    assert device.stop() == 0
    shown = json.loads(there("outfitter-agent", "status", "--config", "/etc/outfitter/agent.toml", "--json"))
    assert shown["version"] == "1.0.0"
    assert there("ls", "/var/lib/outfitter-agent").split() == ["software", "state"]
    assert there("dpkg", "--verify", "outfitter-agent") == "", "the agent writes nowhere else"

    edited = "/etc/outfitter/agent.toml.d/10-debian.toml"
    there("sh", "-c", f"echo settle_seconds = 20 >> {edited}")
    there("dpkg", "--force-unsafe-io", "--install", str(package))
    assert "settle_seconds" in there("cat", edited), "an upgrade keeps what was edited"
    there("dpkg", "--remove", "outfitter-agent")
    gone = there("sh", "-c", "ls -d /opt/outfitter-agent /usr/bin/outfitter-agent 2>&1 || true")
    assert gone.count("No such file") == 2
    assert "software" in there("ls", "/var/lib/outfitter-agent")
    there("dpkg", "--purge", "outfitter-agent")
    assert "outfitter-agent" not in there("ls", "/var/lib")
    assert "private.key" in there("ls", "/etc/outfitter"), "the identity did not come with the package"


def lamp_job(server, thing):
    """Create a job that installs the software lamp; its id."""
    manifest = {"name": "lamp", "version": "1.0.0", "device_types": ["lamp"], "start": ["sleep", "600"]}
    content, packed = json.dumps(manifest).encode(), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        info = tarfile.TarInfo("outfitter.json")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    s3, iot = server.client("s3"), server.client("iot")
    s3.create_bucket(Bucket="debian-images")
    s3.put_object(Bucket="debian-images", Key="lamp.tar.gz", Body=packed.getvalue())
    url = "https://s3.us-east-1.amazonaws.com/debian-images/lamp.tar.gz"
    document = {"operation": "install", "version": "1.0.0", "url": f"${{aws:iot:s3-presigned-url:{url}}}"}
    iot.create_job(
        jobId="debian-lamp",
        targets=[iot.describe_thing(thingName=thing)["thingArn"]],
        document=json.dumps(document | {"sha256": hashlib.sha256(packed.getvalue()).hexdigest()}),
        presignedUrlConfig={"roleArn": "arn:aws:iam::000000000000:role/updates", "expiresInSec": 300},
    )
    return "debian-lamp"
