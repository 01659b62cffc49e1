"""Configuration: fetched from one device, brought to others, refused by one of them."""

import json
from typing import Any, Final

from outfitter_fleet.demo.display import Row
from outfitter_fleet.demo.site import Site, settled

GIVER: Final = "lamp-1"
TAKERS: Final = ("lamp-2", "lamp-3")
WEAK: Final = "lamp-5"
SQUARE: Final = "square"
EVENING: Final = {"brightness": 70, "switch_on": "18:30"}
BEARS: Final = 50
BEFORE: Final = "30"
_PULLED: Final = "demo-configuration-pulled"
_PROPAGATED: Final = "demo-configuration-propagated"


def play(site: Site) -> list[Row]:
    """The function makes both jobs, as for the page."""
    site.display.say(f"configuration: pulled from {GIVER}, propagated to {', '.join((*TAKERS, WEAK))}")
    site.outfitter("group", "create", SQUARE)
    site.outfitter("group", "add", SQUARE, *TAKERS, WEAK)
    site.ask_function(operation="config-upload", target={"thing": GIVER}, jobId=_PULLED)
    site.wait([(_PULLED, GIVER)], "configuration")
    rows = [_pulled(site)]
    site.ask_function(
        operation="config-download",
        target={"group": SQUARE},
        source={"thing": GIVER, "jobId": _PULLED},
        jobId=_PROPAGATED,
    )
    site.wait([(_PROPAGATED, name) for name in (*TAKERS, WEAK)], "configuration")
    rows += [_judge(site, "configuration propagated", name, "SUCCEEDED", "70", "") for name in TAKERS]
    rows.append(_judge(site, "reload fails", WEAK, "FAILED", BEFORE, f"bears {BEARS} %"))
    return rows


def _pulled(site: Site) -> Row:
    """What the store holds, beside what the device has."""
    seen, stored = site.look(_PULLED, GIVER), _stored(site)
    return Row(
        scenario="configuration pulled",
        device=GIVER,
        expected=f"SUCCEEDED, stored {_brief(EVENING)}",
        seen=f"{seen.status}, stored {_brief(stored)}" + (f": {seen.reason}" if seen.reason else ""),
        good=seen.status == "SUCCEEDED" and stored == EVENING,
    )


def _stored(site: Site) -> Any:
    s3 = site.server.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        found = s3.list_objects_v2(Bucket=bucket["Name"], Prefix="configurations/").get("Contents", ())
        for each in found:
            if each["Key"].endswith(f"{GIVER}/{_PULLED}.json"):
                return json.load(s3.get_object(Bucket=bucket["Name"], Key=each["Key"])["Body"])
    return None


def _judge(site: Site, scenario: str, name: str, status: str, shines: str, reason: str) -> Row:
    """How the job ended, and how bright the lamp itself says that it shines."""
    seen = site.look(_PROPAGATED, name)
    brightness = settled(site.devices[name].brightness, shines)
    why = seen.reason + (f"; {seen.log}" if seen.log else "")
    told = f": {why}" if why else ""
    good = seen.status == status and brightness == shines and (reason in why if reason else not why)
    return Row(
        scenario=scenario,
        device=name,
        expected=f"{status}, shines with {shines} %" + (f": {reason}" if reason else ""),
        seen=f"{seen.status}, shines with {brightness} %{told}",
        good=good,
    )


def _brief(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
