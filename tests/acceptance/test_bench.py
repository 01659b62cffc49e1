import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from outfitter_fleet.load import updaters
from outfitter_fleet.stage.processes import Processes

PROGRAMS = Path(sys.executable).parent

# Stands for MiniStack: speaks as it does when it is ready, at the port and with the key that it has.
RIVAL = """#!/bin/sh
export OUTFITTER_ROOT_ACCESS_KEY_ID=test OUTFITTER_ROOT_SECRET_ACCESS_KEY=test-test
{program} serve --data "$(mktemp -d)" --http 127.0.0.1:"$GATEWAY_PORT" | sed -u 's/^ready/Running on/'
"""


def measured(tmp_path, module, *options, **environment):
    (tmp_path / "made").mkdir()
    done = subprocess.run(
        [sys.executable, "-m", module, "--json", *options],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path / "made"), "LANG": "C.UTF-8", **environment},
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["figures"]


def test_the_benchmark_measures_everything_and_leaves_nothing_behind(tmp_path):
    size = [
        "--connections",
        "3",
        "--members",
        "1500",
        "--rounds",
        "1",
        "--round-seconds",
        "0.3",
        "--jobs",
        "40",
    ]
    told = measured(tmp_path, "outfitter_fleet.load", *size)
    for wire in ("plain", "tls"):
        for kind in ("update", "echo", "finish"):
            assert told[f"{kind}_{wire}"]["rate"] > 0
        assert told[f"finish_{wire}"]["asides"] >= told[f"finish_{wire}"]["answers"]
    assert 0 < told["rollout"]["seconds"] < 60
    assert told["rollout"]["things"] == 1500
    assert {"get", "update", "describe", "all"} >= set(told["rollout"]["idle"])
    assert told["functions"]["warm_p50_ms"] > 0
    assert told["functions"]["cold_p50_ms"] > 0
    assert list((tmp_path / "made").iterdir()) == []


def test_growth_is_measured_and_drawn(tmp_path):
    docs = tmp_path / "docs"
    (docs / "images").mkdir(parents=True)
    (docs / "reference").mkdir()
    page = docs / "reference/performance.md"
    page.write_text("<!-- begin growth -->\n<!-- end growth -->\n")
    size = ["--connections", "2", "--stored", "10", "40", "--rounds", "1", "--round-seconds", "0.3"]
    told = measured(
        tmp_path,
        "outfitter_fleet.load.growth",
        *size,
        *("--past-connections", "2", "--past", "3", "--root", str(tmp_path)),
    )
    for kind, keys in (("hot", {"10", "40"}), ("even", {"10", "40"}), ("past", {"1", "3"})):
        assert set(told[kind]) == keys
        assert all(found["rate"] > 0 for found in told[kind].values())
    assert "| 40 |" in page.read_text("utf-8")
    assert (docs / "images/growth.svg").read_text("utf-8").startswith("<svg")


def test_a_large_job_memory_and_starts_are_measured(tmp_path):
    size = ["--things", "3000", "--connections", "2", "--load-seconds", "0.3"]
    told = measured(tmp_path, "outfitter_fleet.load.million", *size)
    assert told["rollout"]["things"] == 3000
    assert 0 < told["ready_seconds"] < 30
    assert all(20 < size < 1_000 for size in told["memory_mb"].values())


def test_the_agent_is_measured(tmp_path):
    page = tmp_path / "docs/reference/agent-performance.md"
    page.parent.mkdir(parents=True)
    page.write_text("<!-- begin agent -->\n<!-- end agent -->", "utf-8")
    size = ["--sizes", "2", "5", "--idle-seconds", "0.1", "--root", str(tmp_path)]
    told = measured(tmp_path, "outfitter_fleet.load.agent", *size)
    assert 0 < told["connected_seconds"] < 20
    assert 10 < told["idle_mb"] < 200
    assert [each["image_mb"] for each in told["installs"]] == [2, 5]
    assert all(each["seconds"] > 0 and each["peak_mb"] >= told["idle_mb"] / 2 for each in told["installs"])
    assert "| installing an image of 5 MB |" in page.read_text("utf-8")
    assert list((tmp_path / "made").iterdir()) == []


def test_rauc_installs_the_same(tmp_path):
    """Needs root, for RAUC mounts."""
    (tmp_path / "data").write_bytes(b"noise" * 100_000)
    with Processes(tmp_path) as processes:
        told = updaters.rauc(processes, tmp_path / "rauc", tmp_path / "data")
    assert told.name.startswith("RAUC 1.")
    assert told.seconds > 0
    assert told.peak_mb > 1


@pytest.fixture
def rival(tmp_path):
    program = tmp_path / "rival"
    program.write_text(RIVAL.format(program=PROGRAMS / "outfitterd"))
    program.chmod(0o700)
    return program


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def test_rivals_are_asked_the_same(tmp_path, rival, free_port):
    told = measured(
        tmp_path,
        "outfitter_fleet.load.rivals",
        *("--ministack", str(rival), "--sizes", "5", "12", "--seconds", "5", "--port", str(free_port)),
        OUTFITTER_BENCH_ALONE="1",
    )
    for side in ("ours", "theirs"):
        for size, one in told[side].items():
            assert one["cycles"]["count"] == int(size)
            assert one["create_seconds"] > 0


def test_the_gateway_is_measured_beside_mosquitto(tmp_path):
    size = ["--connections", "3", "--pairs", "2", "--subscribers", "5", "--rounds", "1"]
    size += ["--round-seconds", "0.3", "--warm-up-seconds", "0.1"]
    told = measured(tmp_path, "outfitter_fleet.load.gateway", *size)
    assert set(told["beside"]) == {
        "get, TLS",
        "get",
        *(f"one to {many}, QoS {qos}" for many in ("one", "5") for qos in (0, 1)),
    }
    for one in told["beside"].values():
        assert one["ours"]["rate"] > 0
        assert one["theirs"]["rate"] > 0


def test_idle_connections_are_weighed_and_come_back(tmp_path):
    told = measured(tmp_path, "outfitter_fleet.load.idle", "--connections", "12", "--settle-seconds", "0.1")
    for wire in ("plain", "tls"):
        one = told["wires"][wire]
        assert 0 < one["joined_seconds"] < 60
        for how in ("SIGTERM", "kill -9"):
            assert 0 < one["returns"][how]["informed_seconds"] < 60
