import subprocess
import sys
from contextlib import contextmanager

import pytest
from outfitter_fleet.demo import images
from outfitter_fleet.demo.cases import CASES, DEVICES
from outfitter_fleet.demo.device import SILENT, Device
from outfitter_fleet.stage.processes import Processes
from outfitter_updates.cli.image_file import pack_folder, read_image


@pytest.fixture
def device(tmp_path):
    """A device's folder, as deep as a slot lies in it."""
    folder = tmp_path / "lamp-1"
    folder.mkdir()
    (folder / "agent.toml").write_text("")
    with Processes(tmp_path) as processes:
        yield Device("lamp-1", folder, processes)


def slot_of(device, build):
    slot = device.folder / "software" / build.version
    images.write_folder(build, slot)
    return slot


@contextmanager
def lit(slot):
    lamp = subprocess.Popen([sys.executable, "lamp.py"], cwd=slot, stdout=subprocess.PIPE, text=True)
    try:
        with lamp.stdout:
            yield lamp.stdout.readline()
    finally:
        lamp.terminate()
        lamp.wait(10)


@pytest.mark.parametrize("build", images.BUILDS, ids=lambda build: build.version)
def test_each_build_is_an_image(tmp_path, build):
    images.write_folder(build, tmp_path / "folder")
    pack_folder(tmp_path / "folder", tmp_path / "image.tar.gz")
    image = read_image(tmp_path / "image.tar.gz")
    assert (image.name, image.version, image.device_types) == (
        images.SOFTWARE,
        build.version,
        (images.DEVICE_TYPE,),
    )


def test_the_lamp_itself_answers_its_version(device):
    slot = slot_of(device, images.BUILDS[1])
    health = [sys.executable, "health.py"]
    assert device.answer() == SILENT
    assert subprocess.run(health, cwd=slot, check=False, capture_output=True).returncode == 1
    with lit(slot) as said:
        assert said == "lamp 2.0.0 shines white\n"
        assert device.answer() == "2.0.0"
        assert subprocess.run(health, cwd=slot, check=False, capture_output=True).returncode == 0
    assert device.answer() == SILENT


def test_the_health_of_one_version_is_not_that_of_another(device):
    old, new = slot_of(device, images.BUILDS[0]), slot_of(device, images.BUILDS[1])
    with lit(old):
        done = subprocess.run(
            [sys.executable, "health.py"], cwd=new, check=False, capture_output=True, text=True
        )
    assert (done.returncode, done.stdout) == (1, "the lamp answers 1.0.0\n")


def test_the_crashing_build_crashes_and_says_why(device):
    slot = slot_of(device, images.BUILDS[-1])
    done = subprocess.run(
        [sys.executable, "lamp.py"], cwd=slot, check=False, capture_output=True, text=True, timeout=10
    )
    assert done.returncode == 1
    assert "light.json" in done.stderr


def test_cases_of_one_wave_share_no_device():
    for wave in {case.wave for case in CASES}:
        used = [name for case in CASES if case.wave == wave for name in case.devices]
        assert len(used) == len(set(used))
        assert set(used) <= set(DEVICES)


def test_job_ids_are_job_ids_and_differ():
    ids = [case.job_id for case in CASES]
    assert len(set(ids)) == len(CASES)
    assert all(job_id.replace("-", "").isalnum() and len(job_id) <= 64 for job_id in ids)
