"""How workers are kept: warm, bounded, ended, and none left behind."""

import asyncio
import io
import json
import os
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest
from outfitter_server.base.refusals import InvalidRequest, Throttled
from outfitter_server.functions.settings import TIMEOUT_SECONDS_MAX
from outfitter_server.sandbox import code
from outfitter_server.sandbox import pool as pool_module
from outfitter_server.sandbox.folders import RECORD, make_folder, remove_folder
from outfitter_server.sandbox.processes import MARK

PID = "import os\ndef handler(event, context): return os.getpid()"
SLOW = "import time, os\ndef handler(event, context):\n    time.sleep(event)\n    return os.getpid()"


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def pid_of(house, function, event=None):
    outcome = await house.call(function, event)
    assert outcome.error is None, outcome
    return json.loads(outcome.payload)


async def test_warm_workers_are_used_again(house):
    function = house.function(PID)
    assert len({await pid_of(house, function) for _ in range(5)}) == 1


async def test_events_at_once_get_workers_of_their_own(house):
    function = house.function(SLOW)
    pids = await asyncio.gather(*(pid_of(house, function, 0.3) for _ in range(3)))
    assert len(set(pids)) == 3


async def test_a_new_revision_gets_a_new_worker_and_the_old_one_ends(house):
    old = await pid_of(house, house.function(PID))
    house.pool.retire("tried")
    new = await pid_of(house, house.function(PID, revision="2"))
    assert new != old
    await asyncio.gather(*house.pool._endings)
    assert not alive(old)


async def test_a_busy_worker_ends_after_its_event_when_it_is_retired(house, until):
    running = asyncio.ensure_future(pid_of(house, house.function(SLOW), 0.3))
    await until(lambda: any(worker._began for worker in house.pool._workers))
    house.pool.retire("tried")
    pid = await running
    await asyncio.gather(*house.pool._endings)
    assert not alive(pid)


async def test_the_longest_idle_worker_makes_room(make_house):
    house = make_house(workers_max=1)
    first = await pid_of(house, house.function(PID, name="first"))
    second = await pid_of(house, house.function(PID, name="second"))
    assert first != second
    assert not alive(first)
    assert len(house.pool._workers) == 1


async def test_who_waits_too_long_is_told_to_try_again(make_house, monkeypatch, until):
    monkeypatch.setattr(pool_module, "WAIT_SECONDS_MAX", 0.2)
    house = make_house(workers_max=1)
    function = house.function(SLOW)
    running = asyncio.ensure_future(pid_of(house, function, 1))
    await until(lambda: house.pool._workers)
    with pytest.raises(Throttled, match="all workers are busy"):
        await house.call(function, 0)
    await running


async def test_who_waits_in_line_is_served(make_house):
    house = make_house(workers_max=1)
    function = house.function(SLOW)
    pids = await asyncio.gather(*(pid_of(house, function, 0.02) for _ in range(8)))
    assert len(set(pids)) == 1


async def test_idle_workers_end(house, monkeypatch, until):
    pid = await pid_of(house, house.function(PID))
    monkeypatch.setattr(pool_module, "IDLE_SECONDS_MAX", 0.0)
    monkeypatch.setattr(pool_module, "_KEEPER_SECONDS", 0.01)
    house.pool._keeper.cancel()
    house.pool.start()
    await until(lambda: not house.pool._workers)
    await asyncio.gather(*house.pool._endings)
    assert not alive(pid)


async def test_a_worker_that_never_idles_ends_before_its_key_does(house, monkeypatch):
    assert pool_module.KEY_LIFE_SECONDS >= pool_module.AGE_SECONDS_MAX + TIMEOUT_SECONDS_MAX + 3600
    first = await pid_of(house, house.function(PID))
    monkeypatch.setattr(pool_module, "AGE_SECONDS_MAX", 0.0)
    second = await pid_of(house, house.function(PID))
    assert second != first
    await asyncio.gather(*house.pool._endings)
    assert not house.pool._workers
    assert not alive(second)


async def test_a_caller_that_goes_away_ends_its_worker(house, until):
    running = asyncio.ensure_future(pid_of(house, house.function(SLOW), 30))
    await until(lambda: any(worker._began for worker in house.pool._workers))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.gather(*house.pool._endings)
    assert not house.pool._workers


async def test_closing_ends_everything(make_house):
    house = make_house()
    pids = [await pid_of(house, house.function(PID, name=name)) for name in ("a", "b")]
    await house.pool.close()
    assert not any(alive(pid) for pid in pids)
    assert not house.pool._workers_folder.exists()


async def test_an_archive_that_may_not_be_unpacked_leaves_nothing(house, archive):
    for members in ({"../../x": "y"}, {}, None):
        house.blobs["bad"] = b"no zip" if members is None else archive(members)
        with pytest.raises(InvalidRequest):
            await house.pool.prepare("bad", "bad")
    assert not list((house.pool._workers_folder / "code").iterdir())


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
async def test_a_zip_in_a_form_whose_reader_is_not_bounded(house, method):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", method) as file:
        file.writestr("app.py", "x" * 1000)
    place = made.getvalue().index(b"app.py") + 16
    house.blobs["odd"] = made.getvalue()[:place] + b"\xff" + made.getvalue()[place + 1 :]
    with pytest.raises(InvalidRequest, match="compressed"):
        await house.pool.prepare("odd", "odd")


async def test_code_that_never_runs_is_not_kept_for_ever(house, archive, monkeypatch):
    monkeypatch.setattr(code, "KEPT_MAX", 2)
    for number in range(5):
        house.blobs[str(number)] = archive({"app.py": str(number)})
        await house.pool.prepare(str(number), str(number))
    await asyncio.gather(*house.pool._endings)
    assert {path.name for path in (house.pool._workers_folder / "code").iterdir()} == {"3", "4"}


async def test_a_zip_that_lies_about_its_sizes(house, archive):
    data = archive({"app.py": "x" * 1000})
    for old, new in ((1000, 10), (1000, 5000)):
        house.blobs["liar"] = data.replace(old.to_bytes(4, "little"), new.to_bytes(4, "little"))
        with pytest.raises(InvalidRequest, match="Could not unzip"):
            await house.pool.prepare("liar", "liar")


def test_workers_of_a_server_that_was_killed(tmp_path):
    """Its processes end with it; what they left, and their folder, with the next start."""
    folder = make_folder(tmp_path / "functions")
    left = subprocess.Popen(
        [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"],
        env={**os.environ, MARK: str(folder)},
        stdout=subprocess.PIPE,
    )
    left.stdout.readline()
    fresh = make_folder(tmp_path / "functions")
    assert left.wait(10) == -9
    left.stdout.close()
    assert not folder.exists()
    assert (tmp_path / "functions" / RECORD).read_text() == str(fresh)
    assert fresh.stat().st_mode & 0o777 == 0o711
    remove_folder(fresh)


async def test_workers_end_when_their_server_is_killed(tmp_path, until):
    source = textwrap.dedent(
        """
        import asyncio, json, os, signal, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[1])
        from conftest import House
        async def main():
            house = House(Path(sys.argv[2]))
            function = house.function("import os\\ndef handler(event, context): return os.getpid()")
            print((await house.call(function)).payload.decode(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        asyncio.run(main())
        """
    )
    command = [sys.executable, "-c", source, str(Path(__file__).parent), str(tmp_path)]
    done = await asyncio.to_thread(subprocess.run, command, stdout=subprocess.PIPE, check=False)
    assert done.returncode == -9
    pid = int(done.stdout)
    await until(lambda: not alive(pid))
    remove_folder(make_folder(tmp_path / "functions"))
