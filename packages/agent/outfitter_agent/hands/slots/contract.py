"""What slots must keep to, as tests: for ours, and for those that another package brings.

    class TestPartitions(SlotContract):
        @pytest.fixture
        def bench(self, tmp_path):
            return MyBench(tmp_path)

Each ``test_`` is one rule; a rule that is broken raises AssertionError with the rule in words. Nothing here needs pytest.
"""

import os
import signal
from pathlib import Path
from typing import Final, Protocol

from outfitter_agent.hands.slots.port import Slots
from outfitter_agent.plans.transaction import Installed
from outfitter_agent.plans.troubles import Trouble

DIGEST: Final = "ab" * 32
CALLS_TO_DIE_AT: Final = (1, 2, 4)
"""Calls of ``check`` in which the agent is killed, one after the other."""


class Bench(Protocol):
    """A device to try slots on, without software or with some that the agent has not installed."""

    def slots(self) -> Slots:
        """The slots, made anew as by an agent that has just started."""

    def image(self, version: str) -> Path:
        """A good image of that version, large enough that unpacking it calls ``check``."""

    def broken(self) -> Path:
        """An image that ``manifest`` or ``unpack`` refuses."""

    def boot(self) -> None:
        """The power goes, and comes back."""

    def content(self, slot: str) -> bytes:
        """All that lies in a slot, or a digest of it."""


class _EndedError(Exception):
    """What ``check`` raises here."""


class SlotContract:
    """The rules, one a method."""

    def test_slots_are_named(self, bench: Bench) -> None:
        """There are two or more; the one to write next is not the one that runs, for each who asks."""
        slots = bench.slots()
        names, current, other = slots.names(), slots.current(), slots.other()
        _must(len(set(names)) == len(names) > 1, "there are two slots or more, each with a name of its own")
        _must(current is None or current in names, "the slot that runs is one of the names")
        _must(other in names and other != current, "the slot to write is another one of the names")
        again = bench.slots()
        _must(
            (again.current(), again.other()) == (current, other), "an agent that starts anew is told the same"
        )
        _must(again.installed(None) is None, "no slot holds nothing")
        _must(again.fault() is None, "sound slots have no fault")

    def test_manifest_is_read_before_anything_is_written(self, bench: Bench) -> None:
        """It tells the version, and nothing has changed."""
        slots = bench.slots()
        before = [bench.content(slot) for slot in slots.names()]
        image = bench.image("1.4.0")
        manifest = slots.manifest(image, _nothing)
        _must(manifest.version == "1.4.0", "the manifest tells the version of the image")
        _must(bool(manifest.name and manifest.device_types), "the manifest tells a name and device types")
        _must(slots.unpacking_needs(image.parent, 1 << 20) >= 0, "unpacking never needs less than nothing")
        _must([bench.content(slot) for slot in slots.names()] == before, "reading writes nothing")

    def test_unpacking_switches_nothing(self, bench: Bench) -> None:
        """The other slot is filled and remembered; what runs stays as it is, after a power loss too."""
        running = _running(bench)
        before = bench.content(running)
        target = _unpack(bench, "2.0.0")
        for _ in range(2):
            slots = bench.slots()
            _must(slots.installed(target.slot) == target, "what was unpacked is remembered")
            _must(slots.current() == running, "unpacking switches nothing")
            _must(bench.content(running) == before, "unpacking leaves the slot that runs alone")
            bench.boot()

    def test_switch_and_back(self, bench: Bench) -> None:
        """Each is there after a boot at the latest, and does no harm when it is said twice."""
        before = _running(bench)
        content = bench.content(before)
        target = _unpack(bench, "2.0.0")
        for slot in (target.slot, before):
            slots = bench.slots()
            slots.switch(slot)
            slots.switch(slot)
            bench.boot()
            _must(bench.slots().current() == slot, "the slot that was switched to runs after the next boot")
            _must(bench.slots().other() != slot, "the slot that runs is not written")
        _must(bench.slots().installed(target.slot) == target, "switching forgets nothing")
        _must(bench.content(before) == content, "the slot before is as it was")

    def test_slot_that_runs_is_never_written(self, bench: Bench) -> None:
        """It is refused in words."""
        running = _running(bench)
        before = bench.content(running)
        target = _installed(bench, running, "2.0.0")
        try:
            bench.slots().unpack(bench.image("2.0.0"), target, _nothing)
        except Trouble:
            pass
        else:
            raise AssertionError("unpacking into the slot that runs is Trouble")
        _must(bench.content(running) == before, "the slot that runs is not written")

    def test_broken_image_is_refused(self, bench: Bench) -> None:
        """With Trouble; the slot counts as empty, and what runs runs on."""
        running = _running(bench)
        slots = bench.slots()
        target = _installed(bench, slots.other(), "2.0.0")
        image = bench.broken()
        try:
            slots.manifest(image, _nothing)
            slots.unpack(image, target, _nothing)
        except Trouble:
            pass
        else:
            raise AssertionError("a broken image is Trouble")
        bench.boot()
        _must(
            bench.slots().installed(target.slot) != target, "what did not come to its end is not remembered"
        )
        _must(bench.slots().current() == running, "a broken image changes nothing of what runs")

    def test_check_ends_the_work(self, bench: Bench) -> None:
        """What it raises is passed on, the slot counts as empty, and can be filled again."""
        running = _running(bench)
        target = _installed(bench, bench.slots().other(), "2.0.0")

        def ends() -> None:
            raise _EndedError

        try:
            bench.slots().unpack(bench.image("2.0.0"), target, ends)
        except _EndedError:
            pass
        else:
            raise AssertionError("unpacking calls check, and passes on what it raises")
        _must(bench.slots().installed(target.slot) is None, "what did not come to its end is not remembered")
        _must(bench.slots().current() == running, "what ends early switches nothing")
        _must(_unpack(bench, "2.0.0") == target, "the slot can be filled again")

    def test_slot_is_filled_again(self, bench: Bench) -> None:
        """What it held before is forgotten."""
        _running(bench)
        first = _unpack(bench, "2.0.0")
        content = bench.content(first.slot)
        second = _unpack(bench, "3.0.0")
        _must(
            second.slot == first.slot, "the slot that does not run is the same as long as nothing is switched"
        )
        _must(bench.content(second.slot) != content, "the slot holds the newer image")

    def test_death_while_it_unpacks(self, bench: Bench) -> None:
        """The agent is killed and the power goes: the slot counts as empty, what runs runs on, and all is well again."""
        running = _running(bench)
        _unpack(bench, "2.0.0")
        before = bench.content(running)
        target = _installed(bench, bench.slots().other(), "3.0.0")
        image = bench.image("3.0.0")
        for call in CALLS_TO_DIE_AT:
            died = _dies_at(call, bench, image, target)
            bench.boot()
            slots = bench.slots()
            _must(
                not died or slots.installed(target.slot) is None,
                "what did not come to its end is not remembered",
            )
            _must(slots.current() == running, "a power loss while unpacking switches nothing")
            _must(bench.content(running) == before, "a power loss while unpacking harms nothing of what runs")
        _must(_unpack(bench, "3.0.0") == target, "the slot can be filled again")

    def test_marks_do_no_harm(self, bench: Bench) -> None:
        """Saying twice that the slot that runs is good and the other one bad leaves the one that runs."""
        running = _running(bench)
        slots = bench.slots()
        for _ in range(2):
            slots.mark_good(running)
            slots.mark_bad(slots.other())
        bench.boot()
        _must(bench.slots().current() == running, "a slot that is good runs on")
        target = _unpack(bench, "2.0.0")
        bench.slots().switch(target.slot)
        bench.boot()
        _must(bench.slots().current() == target.slot, "a slot that was bad can be filled and run")

    def test_program_lies_in_its_folder(self, bench: Bench) -> None:
        """Where the agent starts programs, the folder is there; else the machine runs what the slot holds."""
        _running(bench)
        target = _unpack(bench, "2.0.0")
        folder = bench.slots().path(target.slot)
        _must(folder is None or folder.is_dir(), "the folder that a program is started in is there")


def _must(holds: bool, rule: str) -> None:
    if not holds:
        raise AssertionError(rule)


def _nothing() -> None:
    """Nothing ends the work."""


def _installed(bench: Bench, slot: str, version: str) -> Installed:
    manifest = bench.slots().manifest(bench.image(version), _nothing)
    return Installed(
        slot=slot,
        name=manifest.name,
        version=version,
        sha256=DIGEST,
        start=manifest.start,
        health=manifest.health,
    )


def _unpack(bench: Bench, version: str) -> Installed:
    slots = bench.slots()
    target = _installed(bench, slots.other(), version)
    slots.unpack(bench.image(version), target, _nothing)
    _must(bench.slots().installed(target.slot) == target, "what was unpacked is remembered")
    return target


def _running(bench: Bench) -> str:
    """The slot that runs, with something in it."""
    current = bench.slots().current()
    if current is not None:
        return current
    first = _unpack(bench, "1.0.0")
    bench.slots().switch(first.slot)
    bench.boot()
    current = bench.slots().current()
    _must(current == first.slot, "the slot that was switched to runs after the next boot")
    return first.slot


def _dies_at(call: int, bench: Bench, image: Path, target: Installed) -> bool:
    """Unpack in a process of its own that is killed in that call of ``check``; whether there was one."""
    child = os.fork()
    if child == 0:
        left = [call]

        def dies() -> None:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            bench.slots().unpack(image, target, dies)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
