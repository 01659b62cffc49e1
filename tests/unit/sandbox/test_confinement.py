"""What a worker cannot reach: proved from inside, for each way of keeping it apart that this machine has."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from outfitter_server.base.refusals import Unavailable
from outfitter_server.keys.credentials import root_credentials
from outfitter_server.sandbox import launcher, users
from outfitter_server.sandbox.confinement import Confinement, find_confinement
from outfitter_server.sandbox.runtime_api import CONNECTIONS_MAX
from outfitter_server.sandbox.users import Users

READ = """
import os
def handler(event, context):
    found = {}
    for path in event:
        try:
            found[path] = os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(10).decode("latin-1")
        except OSError as error:
            found[path] = type(error).__name__
    return found
"""


def ways():
    """The confinements that can be tried here; the kernel's alone works for root as well."""
    found = find_confinement(unconfined=False)
    if found.users:
        yield Confinement(users=True, landlock=False, allowed=True)
    if found.landlock:
        yield Confinement(users=False, landlock=True, allowed=True)
    yield found


@pytest.fixture(params=list(ways()), ids=lambda way: f"users={way.users},landlock={way.landlock}")
async def confined(request, make_house):
    return make_house(confinement=request.param)


def test_this_machine_can_confine_workers():
    assert find_confinement(unconfined=False).allowed


async def test_the_keys_of_the_server_are_out_of_reach(confined, tmp_path):
    data = tmp_path / "data"
    root_credentials(data, {})
    (data / "ca").mkdir(mode=0o700)
    (data / "ca" / "ca.key").write_text("secret key")
    data.chmod(0o700)
    wanted = [data, data / "credentials", data / "ca", data / "ca" / "ca.key", Path("/etc/shadow")]
    found = await confined.result(READ, [str(path) for path in wanted])
    assert set(found.values()) <= {"PermissionError", "FileNotFoundError"}, found


async def test_processes_of_the_server_are_out_of_reach(confined):
    source = """
import os, signal
def handler(pid, context):
    found = []
    for attempt in (
        lambda: open(f"/proc/{pid}/environ", "rb").read(1),
        lambda: open(f"/proc/{pid}/mem", "rb").read(1),
        lambda: os.listdir(f"/proc/{pid}/fd"),
        lambda: os.kill(pid, signal.SIGSTOP),
    ):
        try:
            attempt()
            found.append("reached")
        except OSError as error:
            found.append(type(error).__name__)
    return found
"""
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", "input()", stdin=subprocess.PIPE)
    try:
        found = await confined.result(source, child.pid)
    finally:
        child.kill()
        await child.wait()
    signals_kept_apart = confined.pool._confinement.users or launcher.landlock_abi() >= 6
    assert "reached" not in (found if signals_kept_apart else found[:3]), found


async def test_other_workers_are_out_of_reach(confined):
    sleeper = confined.function(
        "import os\ndef handler(event, context): return os.environ['HOME'], os.getpid()", name="first"
    )
    home, pid = json.loads((await confined.call(sleeper)).payload)
    (Path(home) / "kept").write_text("of the first")
    reader = confined.function(READ, name="second")
    outcome = await confined.call(reader, [home, f"{home}/kept", f"/proc/{pid}/environ"])
    assert set(json.loads(outcome.payload).values()) == {"PermissionError"}


async def test_code_cannot_be_changed(confined):
    source = """
import os
def handler(event, context):
    try:
        open(os.path.join(os.environ["LAMBDA_TASK_ROOT"], "app.py"), "a").write("x")
    except OSError as error:
        return type(error).__name__
"""
    assert await confined.result(source) == "PermissionError"


async def test_a_worker_has_no_privileges(make_house):
    house = make_house()
    source = """
import os
def handler(event, context):
    return {line.split(":")[0]: line.split()[1] for line in open("/proc/self/status") if line.startswith(("Cap", "NoNew"))} | {"uid": os.getuid(), "sid": os.getsid(0) == os.getpid()}
"""
    found = await house.result(source)
    assert found["NoNewPrivs"] == "1"
    assert found["sid"]
    if house.pool._confinement.users:
        assert found["uid"] not in {0, os.getuid()}
        assert int(found["CapEff"], 16) == int(found["CapPrm"], 16) == 0


async def test_limits_of_resources(make_house):
    house = make_house()
    source = """
import resource
def handler(event, context):
    return {name: resource.getrlimit(getattr(resource, name)) for name in ("RLIMIT_AS", "RLIMIT_CORE", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_CPU")}
"""
    found = await house.result(source)
    assert found["RLIMIT_AS"] == [320 << 20, 320 << 20]
    assert found["RLIMIT_CORE"] == [0, 0]
    assert all(0 < hard < 2**40 for name, (_, hard) in found.items() if name != "RLIMIT_CORE")


async def test_nothing_runs_unconfined_unless_told(make_house):
    house = make_house(confinement=Confinement(users=False, landlock=False, allowed=False))
    with pytest.raises(Unavailable, match="--unconfined-functions"):
        await house.call(house.function("def handler(event, context): pass"))
    told = make_house(confinement=Confinement(users=False, landlock=False, allowed=True))
    assert await told.result("def handler(event, context): return 1") == 1


async def test_a_machine_that_cannot_confine_says_so(make_house, monkeypatch):
    house = make_house()
    monkeypatch.setattr(Users, "uid", lambda self, slot: 2**32)
    if not house.pool._confinement.users:
        return
    make_home = house.pool._make_home
    house.pool._make_home = lambda slot, uid: make_home(slot, None)
    error, log = await house.failure("def handler(event, context): return 1")
    assert error["errorType"] == "Runtime.Unknown"
    assert "does not let a worker be confined" in log
    monkeypatch.undo()


async def test_a_stranger_at_the_runtime_api_is_turned_away(make_house):
    house = make_house()
    source = """
import os
def handler(event, context): return os.environ["AWS_LAMBDA_RUNTIME_API"]
"""
    function = house.function(source)
    host, _, port = json.loads((await house.call(function)).payload).partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    assert json.loads((await house.call(function)).payload) == f"{host}:{port}"


async def test_a_function_cannot_fill_the_runtime_api(make_house):
    source = """
import os, socket
def handler(event, context):
    host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
    held = [socket.create_connection((host, int(port))) for _ in range(200)]
    ended = 0
    for each in held:
        each.settimeout(0.05)
        try:
            ended += each.recv(1) == b""
        except ConnectionResetError:
            ended += 1
        except TimeoutError:
            pass
    return ended
"""
    assert await make_house().result(source) >= 200 - CONNECTIONS_MAX


async def test_an_answer_that_comes_late_is_no_answer_to_the_next_event(make_house):
    house = make_house()
    source = """
import http.client, os, threading, time
def late(request_id, begun):
    client = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    client.putrequest("POST", f"/2018-06-01/runtime/invocation/{request_id}/response")
    client.putheader("Content-Length", "6")
    client.endheaders(b'"l')
    begun.set()
    time.sleep(0.3)
    client.send(b'ate"')
def handler(event, context):
    if event == "first":
        begun = threading.Event()
        threading.Thread(target=late, args=(context.aws_request_id, begun)).start()
        begun.wait()
        time.sleep(0.1)
    else:
        time.sleep(0.6)
    return event
"""
    function = house.function(source)
    assert json.loads((await house.call(function, "first", "1-1")).payload) == "first"
    assert json.loads((await house.call(function, "second", "2-2")).payload) == "second"


async def test_variables_of_a_function_do_nothing_before_its_worker_is_confined(confined, tmp_path):
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    tell = "import os\ndef handler(event, context): return os.environ['LD_DEBUG']"
    # The dynamic loader writes where it is told, as whoever the process is when it starts, and would load LD_PRELOAD.
    loader = {"LD_DEBUG": "files", "LD_DEBUG_OUTPUT": str(private / "reached")}
    assert await confined.result(tell, environment=loader) == "files"
    assert not list(private.iterdir())


def command_line(pid):
    return Path(f"/proc/{pid}/cmdline").read_bytes()


async def test_neighbours_see_nothing_of_a_worker_in_the_list_of_processes(confined):
    tell = "import os\ndef handler(event, context): return os.getpid()"
    function = confined.function(tell, environment={"TOPIC": "a secret"})
    pid = json.loads((await confined.call(function)).payload)
    line = command_line(pid)
    assert b"a secret" not in line
    assert function.code_sha256.encode() not in line


def test_users_are_shared_with_no_other_server():
    first, second = Users(), Users()
    taken = [first.uid(0), first.uid(1), second.uid(0), first.uid(0)]
    assert taken[0] == taken[3]
    assert len(set(taken)) == 3
    first.close()
    third = Users()
    assert third.uid(0) in taken[:2]
    second.close()
    third.close()


CHAIN = """
import os
def handler(event, context):
    if not os.fork():
        os.setsid()
        while True:
            if os.fork():
                os._exit(0)
    return os.getuid()
"""


def living(uid):
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if process.stat().st_uid == uid and b") Z" not in (process / "stat").read_bytes():
                found.append(process.name)
    return found


async def test_what_forks_on_and_on_ends_with_its_worker(make_house):
    house = make_house()
    uid = await house.result(CHAIN)
    house.pool.retire("tried")
    await asyncio.gather(*house.pool._endings)
    assert not living(uid) or uid == os.getuid()


def test_a_user_that_is_taken_has_no_processes_left(monkeypatch):
    ended = []
    monkeypatch.setattr(users, "end_user", ended.append)
    taken = Users()
    assert ended == [taken.uid(0)]
    taken.close()
