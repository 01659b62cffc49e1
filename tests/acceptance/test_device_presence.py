"""``outfitter device list`` and ``show`` tell who is connected, since when, and why not."""

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from outfitter_updates.cloud.presences import ASKED_MAX

OUTFITTER = Path(sys.executable).with_name("outfitter")


def outfitter(server, *arguments):
    done = subprocess.run(
        [OUTFITTER, *arguments],
        check=False,
        env=server.environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_device_shows_its_connection(fleet, make_link, server, eventually):
    thing = fleet.thing()

    def told():
        return json.loads(outfitter(server, "device", "show", thing, "--json"))["connection"]

    assert told() == {"connected": False, "since": None, "disconnect_reason": None}
    assert "not connected" in outfitter(server, "device", "show", thing)
    device = fleet.device(thing, make_link(5, True))
    now = told()
    assert (now["connected"], now["disconnect_reason"]) == (True, None)
    assert datetime.fromisoformat(now["since"]).tzinfo is not None
    assert "connected since 20" in outfitter(server, "device", "show", thing)
    device.drop()
    left = eventually(lambda: not (now := told())["connected"] and now)
    assert left["disconnect_reason"] == "CONNECTION_LOST"
    assert "(CONNECTION_LOST)" in outfitter(server, "device", "show", thing)


def test_lists_of_devices_tell_it_too_few_or_many(fleet, make_link, server, eventually):
    few = [fleet.thing() for _ in range(2)]
    many = [fleet.thing() for _ in range(ASKED_MAX + 1)]
    devices = [fleet.device(things[0], make_link(4, True)) for things in (few, many)]
    for things in (few, many):
        group = fleet.group(*things).rpartition("/")[2]
        listed = json.loads(outfitter(server, "device", "list", "--group", group, "--json"))
        assert {each["name"]: each["connection"]["connected"] for each in listed} == {
            name: name == things[0] for name in things
        }
        assert outfitter(server, "device", "list", "--group", group).count("connected since") == 1
    for device in devices:
        device.disconnect()
