import json
import subprocess
import sys


def test_the_benchmark_measures_everything_and_leaves_nothing_behind(tmp_path):
    size = ["--connections", "3", "--members", "30", "--rounds", "1", "--round-seconds", "0.3"]
    done = subprocess.run(
        [sys.executable, "-m", "outfitter_fleet.load", "--json", *size],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path), "LANG": "C.UTF-8"},
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for load in ("update_plain", "echo_plain", "update_tls", "echo_tls"):
        assert told["figures"][load]["rate"] > 0
    assert 0 < told["figures"]["rollout_seconds"] < 60
    assert told["figures"]["functions"]["warm_p50_ms"] > 0
    assert told["figures"]["functions"]["cold_p50_ms"] > 0
    assert list(tmp_path.iterdir()) == []
