import os
import subprocess
import sys

import pytest


@pytest.mark.timeout(300)
def test_the_demonstration_ends_as_expected_and_leaves_nothing_behind(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "outfitter_fleet.demo"],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "LANG": "C.UTF-8"},
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "All 22 rows are as expected." in done.stdout
    assert list(tmp_path.iterdir()) == []
