"""Real functions in real workers: what they return, and every way in which they do not."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

from outfitter_server.sandbox import storage

REPORT = re.compile(
    r"REPORT RequestId: \S+\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB\t"
    r"Max Memory Used: [1-9]\d* MB(\tInit Duration: [\d.]+ ms)?\n\Z"
)


async def test_the_event_the_context_and_the_log(house):
    source = """
import os
print("imported")
def handler(event, context):
    print("called")
    return {
        "event": event, "id": context.aws_request_id, "arn": context.invoked_function_arn,
        "name": context.function_name, "version": context.function_version,
        "memory": context.memory_limit_in_mb, "left": context.get_remaining_time_in_millis(),
        "group": context.log_group_name,
    }
"""
    function = house.function(source)
    for cold in (True, False):
        outcome = await house.call(function, {"a": [1, None, "ü"]})
        assert outcome.error is None
        found = json.loads(outcome.payload)
        assert 15_000 < found.pop("left") <= 20_000
        assert found == {
            "event": {"a": [1, None, "ü"]},
            "id": "11111111-2222",
            "arn": "arn:aws:lambda:eu-west-1:000000000000:function:tried",
            "name": "tried",
            "version": "$LATEST",
            "memory": "128",
            "group": "/aws/lambda/tried",
        }
        log = outcome.log_tail.decode()
        assert log.startswith(
            "imported\nSTART" if cold else "START RequestId: 11111111-2222 Version: $LATEST\n"
        )
        assert "called\nEND RequestId: 11111111-2222\n" in log
        assert bool(REPORT.search(log)[1]) is cold
    assert house.log().count("called\n") == 2


async def test_its_environment_is_clean(house, monkeypatch):
    monkeypatch.setenv("OUTFITTER_ROOT_SECRET_ACCESS_KEY", "of the server")
    source = "import os\ndef handler(event, context): return dict(os.environ)"
    found = await house.result(source, environment={"TOPIC": "mine", "LANG": "de_DE"})
    assert found["TOPIC"] == "mine"
    assert found["LANG"] == "de_DE"
    assert found["AWS_ACCESS_KEY_ID"] == "ASIATEST"
    assert found["AWS_SESSION_TOKEN"] == "arn:aws:sts::000000000000:assumed-role/r/tried"
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == "eu-west-1"
    assert found["AWS_ENDPOINT_URL"] == "https://127.0.0.1:4567"
    assert found["_HANDLER"] == "app.handler"
    assert not [name for name in found if name.startswith("OUTFITTER_ROOT")]
    assert "of the server" not in found.values()


async def test_it_trusts_the_installation_and_writes_only_to_its_folder(house):
    source = """
import os, tempfile
def handler(event, context):
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(b"x")
    return open(os.environ["AWS_CA_BUNDLE"]).read(), file.name.startswith(os.environ["HOME"]), os.getcwd() == os.environ["LAMBDA_TASK_ROOT"]
"""
    assert await house.result(source) == ["CA", True, True]


async def test_descriptors_of_the_server_are_closed(house, tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    source = """
import os
def handler(event, context):
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink("/proc/self/fd/" + name))
        except OSError:
            pass
    return found
"""
    found = await house.result(source)
    os.close(descriptor)
    assert str(tmp_path) not in found
    assert not [name for name in found if name.endswith((".sqlite3", ".pem", ".log"))]


async def test_exceptions_carry_type_message_and_trace(house):
    error, log = await house.failure(
        'def handler(event, context):\n    raise ValueError("no " + event["what"])', {"what": "way"}
    )
    assert (error["errorType"], error["errorMessage"], error["requestId"]) == (
        "ValueError",
        "no way",
        "11111111-2222",
    )
    assert "line 2, in handler" in error["stackTrace"][0]
    assert "[ERROR] ValueError: no way" in log


async def test_what_is_not_json(house):
    error, _ = await house.failure("def handler(event, context): return {1, 2}")
    assert error["errorType"] == "Runtime.MarshalError"


async def test_time_is_limited_from_the_event_on(house):
    source = """
import time
time.sleep(1.2)
def handler(event, context):
    while True:
        pass
"""
    error, log = await house.failure(source, timeout_seconds=1)
    assert error == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "RequestId: 11111111-2222 Error: Task timed out after 1.00 seconds",
    }
    assert "11111111-2222 Task timed out after 1.00 seconds" in log
    assert REPORT.search(log)


async def test_memory_is_limited(house):
    source = """
def handler(event, context):
    kept = []
    while True:
        kept.append(bytearray(b"x") * (1 << 20))
"""
    error, log = await house.failure(source)
    assert error["errorType"] in {"Runtime.OutOfMemory", "MemoryError"}
    assert REPORT.search(log)


async def test_memory_of_child_processes_counts(house):
    source = """
import multiprocessing, time
def fill(_):
    kept = bytearray(b"x") * (30 << 20)
    time.sleep(event_seconds)
event_seconds = 10
def handler(event, context):
    children = [multiprocessing.Process(target=fill, args=(i,)) for i in range(8)]
    for child in children: child.start()
    for child in children: child.join()
"""
    error, _ = await house.failure(source)
    assert error["errorType"] == "Runtime.OutOfMemory"


async def test_memory_that_child_processes_share_counts_once(house):
    source = """
import os, time
kept = bytearray(b"x") * (40 << 20)
def handler(event, context):
    children = [os.fork() for _ in range(4)] if os.getpid() else []
    if 0 in children:
        time.sleep(0.3)
        os._exit(0)
    for child in children: os.waitpid(child, 0)
    return len(children)
"""
    assert await house.result(source) == 4


async def test_what_it_keeps_is_limited(house, monkeypatch):
    monkeypatch.setattr(storage, "BYTES_MAX", 10 << 20)
    source = """
import os, time
def handler(event, context):
    for number in range(event):
        with open(os.environ["HOME"] + f"/{number}", "wb") as file:
            file.write(b"x" * (1 << 20))
    time.sleep(1.5)
    return event
"""
    assert await house.result(source, 5) == 5
    error, log = await house.failure(source, 20)
    assert error["errorType"] == "Runtime.OutOfStorage"
    assert REPORT.search(log)
    await asyncio.gather(*house.pool._endings)


async def test_the_number_of_what_it_keeps_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(storage, "ENTRIES_MAX", 3)
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "out").symlink_to("/usr")
    assert not storage.holds_too_much(tmp_path)
    (tmp_path / "a" / "c").touch()
    assert storage.holds_too_much(tmp_path)


async def test_a_folder_that_it_closed_is_no_obstacle(make_house):
    house = make_house(workers_max=1)
    source = """
import os
def handler(event, context):
    os.makedirs("/".join([os.environ["HOME"], "closed", "in"]))
    os.chmod(os.environ["HOME"] + "/closed", 0)
    os._exit(3)
"""
    for _ in range(2):
        error, _ = await house.failure(source)
        assert error["errorType"] == "Runtime.ExitError"
    await asyncio.gather(*house.pool._endings)
    assert not list((house.pool._workers_folder / "homes").iterdir())


async def test_address_space_is_limited(house):
    error, _ = await house.failure("def handler(event, context): return len(bytearray(4 << 30))")
    assert error["errorType"] == "MemoryError"


async def test_exits_and_crashes(house):
    cases = {
        "sys.exit(3)": "Runtime exited with error: exit status 3",
        "sys.exit(0)": "Runtime exited without providing a reason",
        "os._exit(4)": "Runtime exited with error: exit status 4",
        "os.kill(os.getpid(), 9)": "Runtime exited with error: signal: killed",
        "ctypes.string_at(0)": "Runtime exited with error: signal: segmentation fault",
    }
    source = "import ctypes, os, sys\ndef handler(event, context): exec(event)"
    for code, words in cases.items():
        error, log = await house.failure(source, code)
        assert error == {
            "errorType": "Runtime.ExitError",
            "errorMessage": f"RequestId: 11111111-2222 Error: {words}",
        }
        assert f"11111111-2222 {words}" in log
    assert await house.result(source, "pass") is None


async def test_modules_that_cannot_be_imported(house):
    error, log = await house.failure("import no_such_module\ndef handler(event, context): pass")
    assert error["errorType"] == "Runtime.ImportModuleError"
    assert "No module named 'no_such_module'" in log
    error, _ = await house.failure("def handler(event, context) pass", revision="2")
    assert error["errorType"] == "Runtime.UserCodeSyntaxError"
    error, _ = await house.failure("def other(event, context): pass", revision="3")
    assert error["errorType"] == "Runtime.HandlerNotFound"
    error, _ = await house.failure("import sys\nsys.exit(5)", revision="4")
    assert error["errorMessage"].endswith("exit status 5")


async def test_a_megabyte_of_log_is_cut(house):
    source = """
def handler(event, context):
    for number in range(10_000):
        print(f"{number:09d}", "x" * 100)
    return "done"
"""
    outcome = await house.call(house.function(source))
    assert outcome.payload == b'"done"'
    assert len(outcome.log_tail) == 4096
    assert b"000009999 xxx" in outcome.log_tail
    log = house.log()
    assert len(log) < 300_000
    assert re.search(r"\n\.\.\. \d+ bytes left out\nEND RequestId", log)


async def test_a_result_that_is_too_large(house):
    error, _ = await house.failure('def handler(event, context): return "x" * (7 << 20)')
    assert error["errorType"] == "Function.ResponseSizeTooLarge"
    assert (
        len(await house.result('def handler(event, context): return "x" * (6_000_000)', revision="2"))
        == 6_000_000
    )


async def test_the_same_worker_serves_again_and_is_stopped_in_between(house):
    source = """
import os, threading, time
ticks = [0]
def tick():
    while True:
        ticks[0] += 1
        time.sleep(0.005)
threading.Thread(target=tick, daemon=True).start()
def handler(event, context):
    return os.getpid(), ticks[0]
"""
    function = house.function(source)
    first, before = json.loads((await house.call(function)).payload)
    await asyncio.sleep(0.5)
    second, after = json.loads((await house.call(function)).payload)
    assert first == second
    assert after - before < 50


async def test_what_a_function_leaves_running_ends_with_its_worker(house, until):
    source = """
import subprocess, sys
def handler(event, context):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    return child.pid
"""
    function = house.function(source)
    child = json.loads((await house.call(function)).payload)
    assert alive(child)
    house.pool.retire(function.name)
    await until(lambda: not alive(child))


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_it_is_the_interpreter_of_the_server_and_has_boto3(house):
    source = """
import sys, boto3
def handler(event, context): return sys.version, "outfitter_server" in sys.modules
"""
    assert await house.result(source) == [sys.version, False]
