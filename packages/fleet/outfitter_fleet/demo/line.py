"""The factory line: a device that joins late gets the software and the configuration of its type by itself, in order."""

import json
from typing import Any, Final

from outfitter_fleet.demo import images
from outfitter_fleet.demo.display import Row
from outfitter_fleet.demo.site import Site, settled

LATE: Final = "lamp-8"
VERSION: Final = "2.0.0"
NIGHT: Final = {"brightness": 10}
_ORDER: Final = ("install", "config-download")


def play(site: Site) -> list[Row]:
    """The line is there first; then the device is made, and switched on for the first time."""
    site.display.say(f"factory line of {images.DEVICE_TYPE}: {LATE} joins late")
    night = site.folder / "night.json"
    night.write_text(json.dumps(NIGHT))
    software = ("--software", images.SOFTWARE, VERSION)
    line = site.told("line", "create", images.DEVICE_TYPE, *software, "--config", str(night))
    device = site.add(LATE, "--line", images.DEVICE_TYPE)
    device.switch_on()
    for kind in ("software", "configuration"):
        site.wait([(line[kind]["job_id"], LATE)], f"{kind} of the line")
    came = [f"{operation} {status}" for operation, status in _history(site)]
    wanted = [f"{operation} SUCCEEDED" for operation in _ORDER]
    runs = settled(device.answer, VERSION)
    shines = settled(device.brightness, str(NIGHT["brightness"]))
    return [
        Row(
            scenario="late joiner",
            device=LATE,
            expected=f"{', then '.join(wanted)}; runs {VERSION}, shines with {NIGHT['brightness']} %",
            seen=f"{', then '.join(came)}; runs {runs}, shines with {shines} %",
            good=came == wanted and (runs, shines) == (VERSION, str(NIGHT["brightness"])),
        )
    ]


def _history(site: Site) -> list[tuple[str, str]]:
    """Operation and status of what the device was given, in the order in which it began."""
    found = site.iot.list_job_executions_for_thing(thingName=LATE)["executionSummaries"]
    found.sort(key=lambda each: str(each["jobExecutionSummary"].get("startedAt", "not yet")))
    return [(_operation(site, each["jobId"]), each["jobExecutionSummary"]["status"]) for each in found]


def _operation(site: Site, job_id: str) -> str:
    document: dict[str, Any] = json.loads(site.iot.get_job_document(jobId=job_id)["document"])
    return str(document["operation"])
