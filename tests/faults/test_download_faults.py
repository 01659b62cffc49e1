"""Faults between an agent and its store and gateway: a real agent behind a proxy; docs/reference/download-faults.md has a row for each."""

import datetime as dt
import hashlib
import ipaddress
import itertools
import json
import os
import random
import re
import resource
import socket
import ssl
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from faulty_proxy import Proxy, Store, Tunnel
from outfitter_agent.hands.mqtt import Connection
from outfitter_agent.main.link import link_of
from outfitter_agent.main.settings import load_settings
from signed_images import image, member

TABLE = Path(__file__).parents[2] / "docs" / "reference" / "download-faults.md"
SETTINGS = """
system_ca = "store-ca.pem"
download_attempts_max = 3
download_stall_seconds = 1
download_stall_bytes = 100000
download_connect_timeout_seconds = 5
settle_seconds = 0
"""
DISK_BYTES = 150_000
SLOW_BYTES = 20_000_000
"""More than the kernel keeps of a connection whose other side is gone."""
SLOWLY = f"""
download_bytes_per_second_max = {SLOW_BYTES // 4}
download_bytes_max_per_job = {SLOW_BYTES * 5 // 4}
download_attempts_max = 100
download_backoff_max_seconds = 1
"""
BUCKET = "images-behind-faults"
ROLE = "arn:aws:iam::000000000000:role/updates"


class Certificates:
    """An authority that devices trust for downloads, and what it has signed."""

    def __init__(self, folder):
        self._folder, self._key = folder, ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "store authority")])
        self.pem = self._signed(self._name, self._key, -4000, 4000, authority=True)

    def context(self, name, host, first_day, last_day):
        """A server's TLS with a certificate for a host, valid between two days counted from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        file = self._folder / f"{name}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        file.write_bytes(private + self._signed(subject, key, first_day, last_day, host=host))
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(file)
        return made

    def _signed(self, subject, key, first_day, last_day, *, authority=False, host=""):
        now = dt.datetime.now(dt.UTC)
        names = [x509.IPAddress(ipaddress.ip_address(host))] if host[:1].isdigit() else [x509.DNSName(host)]
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days=first_day))
            .not_valid_after(now + dt.timedelta(days=last_day))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if not authority:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        made = builder.sign(self._key, hashes.SHA256())
        return made.public_bytes(serialization.Encoding.PEM)


class Ground:
    """A device that reaches its store and its gateway through proxies."""

    def __init__(self, server, folder):
        self.tools = sys.modules[type(server).__module__]
        self.server = server
        self.numbers = itertools.count(1)
        self.certificates = Certificates(folder)
        self.store = Store()
        self.proxy = Proxy(self.store.port)
        self.tunnel = Tunnel(server.port("mqtts"))
        self.device = self.tools.AgentDevice(
            server, folder / "device", f"faulty-{os.getpid()}", "--type", "p1", settings=SETTINGS
        )
        at = self.device.folder
        (at / "store-ca.pem").write_bytes(self.certificates.pem)
        own = re.search(r'^ca\s*=\s*"(.*)"', (at / "agent.toml").read_text(), re.MULTILINE)[1]
        (at / "both.pem").write_bytes((at / own).read_bytes() + self.certificates.pem)
        settings = f'port = {self.tunnel.port}\nca = "both.pem"\n'
        (at / "agent.toml.d" / "30-proxy.toml").write_text(settings)
        self.device.start()

    def content(self):
        """The version of a new image, and the image: it does not compress."""
        version = f"1.{next(self.numbers)}.0"
        return version, image(version, member("filling", random.Random(version).randbytes(300_000)))

    def begin(self, scheme="http", presigned=None, **changes):
        """A job for a new image that lies in the store; a change to None leaves the member out."""
        version, content = self.content()
        path = self.store.put(content)
        url = f"{scheme}://127.0.0.1:{self.proxy.port}{path}"
        digest = hashlib.sha256(content).hexdigest()
        members = {"url": url, "version": version, "sha256": digest, "size": len(content)} | changes
        iot = self.server.client("iot")
        job_id = f"{self.device.name}-{next(self.numbers)}"
        iot.create_job(
            jobId=job_id,
            targets=[iot.describe_thing(thingName=self.device.name)["thingArn"]],
            document=json.dumps(
                {"operation": "install"} | {name: told for name, told in members.items() if told is not None}
            ),
            **({} if presigned is None else {"presignedUrlConfig": presigned}),
        )
        return job_id, members

    def running(self):
        """The record of the slot that runs."""
        software = self.device.folder / "software"
        return json.loads((software / f"{(software / 'current').readlink()}.json").read_bytes())

    def close(self):
        code = self.device.stop()
        for each in (self.proxy, self.tunnel, self.store):
            each.close()
        assert code == 0, self.device.log()


@pytest.fixture(scope="module")
def ground(server, tmp_path_factory):
    """Its agent has installed an image through both proxies."""
    made = Ground(server, tmp_path_factory.mktemp("faulty"))
    try:
        job_id, _ = made.begin()
        assert made.device.ends(job_id)[0] == "SUCCEEDED", made.device.log()
        yield made
    finally:
        made.close()


@pytest.fixture(autouse=True)
def _well(ground):
    yield
    ground.proxy.faults, ground.proxy.always, ground.proxy.context = [], None, None
    ground.tunnel.let_in()


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What the proxy does to one answer after the other, and how the job ends."""

    faults: tuple = ()
    always: str | int | None = None
    ends: str = "SUCCEEDED"
    reason: str = ""
    requests: int | None = None


FAULTS = {
    "truncated": Fault(faults=("truncate", "truncate"), requests=3),
    "stalled": Fault(faults=("stall",), requests=2),
    "changed in the store half way": Fault(faults=("other etag",), requests=2),
    "a corrupt byte": Fault(faults=("corrupt",), ends="FAILED", reason="corrupt: its SHA-256", requests=1),
    "a corrupt byte in the first of two parts": Fault(faults=("corrupt and truncate",), requests=3),
    "403 once": Fault(faults=("truncate", 403), requests=3),
    "403 always": Fault(always=403, ends="FAILED", reason="HTTP 403 from the store, also with a fresh URL"),
    "404": Fault(faults=(404,), ends="FAILED", reason="HTTP 404 from the store", requests=1),
    "416": Fault(faults=("truncate", 416), requests=3),
    "500 twice": Fault(faults=(500, 500), requests=3),
    "503 always": Fault(
        always=503, ends="FAILED", reason="HTTP 503 from the store; gave up after 3", requests=3
    ),
    "a length that is too long": Fault(
        faults=("longer",), ends="FAILED", reason="bytes or more instead of", requests=1
    ),
    "a length that is too short": Fault(
        faults=("shorter",), ends="FAILED", reason="bytes instead of", requests=1
    ),
    "a redirect loop": Fault(always="redirect", ends="FAILED", reason="gave up after 3 attempts in a row"),
    "the connection is closed at once": Fault(
        always="close", ends="FAILED", reason="gave up after 3 attempts in a row", requests=3
    ),
    "a refusal without an end": Fault(
        faults=("endless 404",), ends="FAILED", reason="HTTP 404 from the store", requests=1
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_store(name, ground):
    fault, before = FAULTS[name], ground.running()
    ground.proxy.faults, ground.proxy.always, ground.proxy.requests = list(fault.faults), fault.always, []
    job_id, members = ground.begin()
    status, details = ground.device.ends(job_id)
    assert (status, fault.reason in details.get("reason", "")) == (fault.ends, True), details
    if fault.ends == "SUCCEEDED":
        assert ground.running()["sha256"] == members["sha256"] == details["sha256"]
    else:
        assert ground.running() == before
    if fault.requests is not None:
        assert len(ground.proxy.requests) == fault.requests, ground.proxy.requests
    assert not list((ground.device.folder / "state/download").glob("image.*")), "nothing is left over"


CERTIFICATES = {
    "the store's certificate has expired": ("127.0.0.1", -800, -400),
    "the device's clock is a year behind": ("127.0.0.1", 365, 800),
    "the store's certificate is for another name": ("store.example", -1, 1),
}


@pytest.mark.parametrize("name", CERTIFICATES)
def test_certificates(name, ground):
    before = ground.running()
    ground.proxy.context = ground.certificates.context(f"store-{len(name)}", *CERTIFICATES[name])
    status, details = ground.device.ends(ground.begin("https")[0])
    assert status == "FAILED"
    assert re.search("certificate|subject name", details["reason"]), details
    assert ground.running() == before
    ground.proxy.context = ground.certificates.context(f"good-{len(name)}", "127.0.0.1", -1, 1)
    status, details = ground.device.ends(ground.begin("https")[0])
    assert status == "SUCCEEDED", details


def disk_becomes_full(ground):
    """A limit on the size of files, which fails as a full disk does."""
    process = ground.device.process.pid
    before = resource.prlimit(process, resource.RLIMIT_FSIZE, (DISK_BYTES, resource.RLIM_INFINITY))
    try:
        status, details = ground.device.ends(ground.begin()[0])
    finally:
        resource.prlimit(process, resource.RLIMIT_FSIZE, before)
    assert status == "FAILED"
    assert "the disk is full: no room after" in details["reason"], details


def others_fill_the_disk(ground):
    """A disk of its own for the agent's state, which is full indeed once the download has begun."""
    small = ground.device.folder / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", small], check=True)
    try:
        restarted(ground, 'state = "small/state"\ndownload_bytes_per_second_max = 150000\n')
        job_id, _ = ground.begin()
        part = small / "state/download/image.part"
        ground.tools.eventually(lambda: part.exists() and part.stat().st_size)
        with pytest.raises(OSError, match="No space left"):
            (small / "filler").write_bytes(bytes(8 << 20))
        status, details = ground.device.ends(job_id)
        assert (status, "the disk is full: no room after" in details["reason"]) == ("FAILED", True), details
        (small / "filler").unlink()
        assert ground.device.ends(ground.begin()[0])[0] == "SUCCEEDED"
    finally:
        ground.device.stop()
        subprocess.run(["umount", small], check=True)
        restarted(ground, "")


def budget_is_too_small(ground):
    restarted(ground, "download_bytes_max_per_job = 100000")
    status, details = ground.device.ends(ground.begin()[0])
    restarted(ground, "")
    assert status == "FAILED"
    assert "would cost more than a job may fetch" in details["reason"], details


def killed_half_way(ground):
    ground.proxy.faults, ground.proxy.requests = ["stall"], []
    job_id, members = ground.begin()
    part = ground.device.folder / "state/download/image.part"
    ground.tools.eventually(lambda: part.exists() and part.stat().st_size)
    ground.device.kill()
    ground.device.start()
    status, details = ground.device.ends(job_id)
    assert (status, details["sha256"]) == ("SUCCEEDED", members["sha256"]), details
    assert ground.proxy.requests[-1].startswith("bytes="), ground.proxy.requests


def restarted(ground, settings):
    ground.device.stop()
    (ground.device.folder / "agent.toml.d" / "40-more.toml").write_text(settings)
    starts = ground.device.log().count("agent of ")
    ground.device.start()
    ground.tools.eventually(lambda: ground.device.log().count("agent of ") > starts)


DEVICE = {
    "the disk becomes full": disk_becomes_full,
    "others fill the disk half way": others_fill_the_disk,
    "the budget is too small": budget_is_too_small,
    "killed half way": killed_half_way,
}


@pytest.mark.parametrize("name", DEVICE)
def test_device(name, ground):
    DEVICE[name](ground)
    status, details = ground.device.ends(ground.begin()[0])
    assert status == "SUCCEEDED", details


def gone_for_the_download(ground):
    ground.proxy.faults = ["stall"]
    job_id, members = ground.begin()
    part = ground.device.folder / "state/download/image.part"
    ground.tools.eventually(lambda: part.exists() and part.stat().st_size)
    ground.tunnel.shut()
    ground.tools.eventually(lambda: ground.running()["sha256"] == members["sha256"])
    journal = ground.device.folder / "state/journal.json"
    ground.tools.eventually(lambda: json.loads(journal.read_bytes())["final"])
    assert ground.device.execution(job_id)[0] == "IN_PROGRESS"
    ground.tunnel.let_in()
    status, details = ground.device.ends(job_id)
    assert (status, details["sha256"]) == ("SUCCEEDED", members["sha256"])


def fresh_url_is_refused(ground):
    """The device may not ask for the document of its job, and loses its connection whenever it does."""
    iot, thing = ground.server.client("iot"), ground.device.name
    policy = f"{thing}-{next(ground.numbers)}"
    resource = f"arn:aws:iot:*:*:topic/$aws/things/{thing}/jobs/*/get"
    statement = {"Effect": "Deny", "Action": "iot:Publish", "Resource": resource}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iot.create_policy(policyName=policy, policyDocument=document)
    (certificate,) = iot.list_thing_principals(thingName=thing)["principals"]
    iot.attach_policy(policyName=policy, target=certificate)
    restarted(ground, "")
    ground.proxy.faults = ["truncate", 403]
    status, details = ground.device.ends(ground.begin()[0])
    iot.detach_policy(policyName=policy, target=certificate)
    restarted(ground, "")
    assert status == "FAILED", details
    assert "the image is not accessible: there is no fresh URL: no answer to" in details["reason"], details
    assert "gave up after 3 attempts in a row" in details["reason"], details


def gone_for_the_fresh_url(ground):
    restarted(ground, "download_seconds_max = 10")
    ground.proxy.faults = ["stall", 403]
    job_id, _ = ground.begin()
    part = ground.device.folder / "state/download/image.part"
    ground.tools.eventually(lambda: part.exists() and part.stat().st_size)
    ground.tunnel.shut()
    journal = ground.device.folder / "state/journal.json"
    ground.tools.eventually(lambda: json.loads(journal.read_bytes())["final"])
    ground.tunnel.let_in()
    status, details = ground.device.ends(job_id)
    restarted(ground, "")
    assert status == "FAILED", details
    assert "there is no fresh URL: no connection, and download_seconds_max is over" in details["reason"]


def certificate_has_expired(ground):
    refused = ground.tunnel.shut(ground.certificates.context("gateway", "localhost", -800, -400))
    job_id, _ = ground.begin()
    for _ in range(2):
        refused.acquire(timeout=20)
    assert ground.device.execution(job_id)[0] == "QUEUED"
    assert ground.device.process.poll() is None
    ground.tunnel.let_in()
    assert ground.device.ends(job_id)[0] == "SUCCEEDED"


class Hours(threading.Event):
    """What the agent waits on between two attempts to connect; an hour takes no time."""

    def __init__(self, after_an_hour):
        super().__init__()
        self.waits, self._after_an_hour = [], after_an_hour

    def wait(self, timeout=None):
        if sum(self.waits) < 3600 <= sum(self.waits) + timeout:
            self._after_an_hour()
        self.waits.append(timeout)
        return self.is_set()


def gone_for_an_hour(ground):
    """The agent's own connection, with a clock that is put forward by what it waits."""
    link = link_of(load_settings(ground.device.folder / "agent.toml", {}))
    ground.device.stop()
    job_id, _ = ground.begin()
    up = threading.Event()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        connection = Connection(
            replace(link, port=nobody.getsockname()[1], reconnect_max_seconds=60.0),
            on_up=up.set,
            on_down=lambda: None,
            on_message=lambda *_: None,
        )
        connection._closed = hours = Hours(lambda: setattr(connection, "_link", link))
        connection.start()
        back = up.wait(30)
        connection.close()
    ground.device.start()
    assert back, "without anybody's help"
    assert sum(hours.waits) >= 3600
    assert max(hours.waits) <= 60
    assert 60 <= len(hours.waits) <= 300, "neither never nor all the time"
    assert ground.device.ends(job_id)[0] == "SUCCEEDED", "the job has waited, too"


def another_time(**settings):
    """What is started in it has another clock, by libfaketime."""
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")
    return patch.dict(os.environ, LD_PRELOAD=str(library), FAKETIME_DONT_FAKE_MONOTONIC="1", **settings)


def start_with_a_clock(ground, offset):
    """The file of the agent's clock, which may be set while the agent runs, as a time service would do it."""
    clock = ground.device.folder / "clock"
    clock.write_text(offset)
    ground.device.stop()
    with another_time(FAKETIME_TIMESTAMP_FILE=str(clock), FAKETIME_NO_CACHE="1"):
        ground.device.start()
    return clock


def signed_url(server, content, seconds):
    """The members of a job that has an image of the server's own store: its document's and its own."""
    s3, key = server.client("s3"), hashlib.sha256(content).hexdigest()
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key=key, Body=content)
    url = f"${{aws:iot:s3-presigned-url:https://s3.us-east-1.amazonaws.com/{BUCKET}/{key}}}"
    return {"url": url, "sha256": key}, {"roleArn": ROLE, "expiresInSec": seconds}


def clock_is_a_year_ahead(ground):
    """The gateway's certificate lasts a little longer than a year; then for two, which is beyond it."""
    clock = start_with_a_clock(ground, "+1y")
    document, signed = signed_url(ground.server, ground.content()[1], 60)
    job_id, _ = ground.begin(presigned=signed, **document, version=None, size=None)
    status, details = ground.device.ends(job_id)
    assert (status, details["sha256"]) == ("SUCCEEDED", document["sha256"]), (
        "the store's clock judges its URLs"
    )
    ground.proxy.context = ground.certificates.context("store-of-today", "127.0.0.1", -1, 1)
    status, details = ground.device.ends(ground.begin("https")[0])
    assert (status, "certificate" in details["reason"]) == ("FAILED", True), details
    ground.proxy.context = None
    clock.write_text("+2y")
    before = ground.device.log().count("certificate has expired")
    job_id, members = ground.begin()
    ground.tunnel.end_connections()
    ground.tools.eventually(lambda: ground.device.log().count("certificate has expired") >= before + 2)
    assert ground.device.execution(job_id)[0] in ("QUEUED", "IN_PROGRESS")
    clock.write_text("+0")
    status, details = ground.device.ends(job_id)
    assert (status, details["sha256"]) == ("SUCCEEDED", members["sha256"])
    restarted(ground, "")


def clock_is_a_year_behind(ground):
    clock = start_with_a_clock(ground, "-1y")
    before = ground.device.log().count("not yet valid")
    job_id, members = ground.begin()
    ground.tools.eventually(lambda: ground.device.log().count("not yet valid") >= before + 2)
    assert ground.device.execution(job_id)[0] == "QUEUED"
    assert ground.device.process.poll() is None
    clock.write_text("+0")
    status, details = ground.device.ends(job_id)
    assert (status, details["sha256"]) == ("SUCCEEDED", members["sha256"])
    restarted(ground, "")
    assert ground.device.ends(ground.begin()[0])[0] == "SUCCEEDED"


GATEWAY = {
    "the gateway is gone for the download": gone_for_the_download,
    "a fresh URL is refused": fresh_url_is_refused,
    "the gateway is gone when a fresh URL is wanted": gone_for_the_fresh_url,
    "the gateway is gone for an hour": gone_for_an_hour,
    "the gateway's certificate has expired": certificate_has_expired,
    "the clock is a year behind, and set right later": clock_is_a_year_behind,
    "the clock is a year ahead, and set right later": clock_is_a_year_ahead,
}


@pytest.mark.parametrize("name", GATEWAY)
def test_gateway(name, ground):
    GATEWAY[name](ground)


def test_a_url_expires_while_the_server_is_gone_for_an_hour(own_server, agents, eventually):
    version, content = "1.0.0", image("1.0.0", member("filling", random.Random(1).randbytes(SLOW_BYTES)))
    device = agents(own_server, "--type", "p1", name="patient", settings=SLOWLY).start()
    document, signed = signed_url(own_server, content, 60)
    iot = own_server.client("iot")
    iot.create_job(
        jobId="patience",
        targets=[iot.describe_thing(thingName="patient")["thingArn"]],
        document=json.dumps({"operation": "install", "version": version, **document}),
        presignedUrlConfig=signed,
    )
    part = device.folder / "state/download/image.part"
    eventually(lambda: part.exists() and part.stat().st_size)
    own_server.kill()
    with another_time(FAKETIME="+1h"):
        own_server.start()
    journal = device.folder / "state/journal.json"
    installed = device.folder / "software/current"
    eventually(lambda: installed.exists() and not json.loads(journal.read_bytes())["final"], 60)
    assert own_server.stop() == 0
    own_server.start()
    status, details = device.ends("patience")
    assert (status, details["sha256"]) == ("SUCCEEDED", document["sha256"]), "within a budget for one image"
    assert device.log().count("step downloading") == 2, "once with the first URL, once with the fresh one"


def test_the_table_names_each():
    rows = re.findall(r"^\| ([^|]+?) \|", TABLE.read_text("utf-8"), re.MULTILINE)
    assert [row for row in rows if row not in ("fault", "---")] == [
        *FAULTS,
        *CERTIFICATES,
        *DEVICE,
        *GATEWAY,
        "a URL expires while the server is gone for an hour",
    ]
