"""The journal: what is written comes back, and a death at any write leaves the old or the new."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_agent.hands.journal import (
    FolderInUseError,
    JournalFile,
    decode,
    encode,
    is_locked,
    lock_folder,
)
from outfitter_agent.plans.transaction import (
    Change,
    ChangeStage,
    FinalReport,
    Installed,
    JobRef,
    Journal,
    Stage,
    StepsRun,
    StepsStage,
    Update,
)
from outfitter_contract.execution import TERMINAL

texts = st.text(max_size=20)
numbers = st.integers(0, 1 << 60)
arguments = st.lists(texts, max_size=3).map(tuple)
refs = st.builds(JobRef, job_id=texts, execution_number=numbers)
software = st.none() | st.builds(
    Installed,
    slot=st.sampled_from("ab"),
    name=texts,
    version=texts,
    sha256=texts,
    start=arguments,
    health=st.none() | arguments,
)
updates = st.builds(
    Update,
    job=refs,
    stage=st.sampled_from(Stage),
    version_number=st.none() | numbers,
    attempts=numbers,
    boot_before=texts,
    restarts=numbers,
    boots=numbers,
    target=software,
    previous=software,
    previous_slot=st.none() | texts,
    switched=st.booleans(),
    reason=texts,
    log=texts,
    abandoned=st.booleans(),
)
changes = st.builds(
    Change,
    job=refs,
    stage=st.sampled_from(ChangeStage),
    version_number=st.none() | numbers,
    attempts=numbers,
    tries=numbers,
    sha256=texts,
    previous=st.none() | texts,
    reason=texts,
    log=texts,
    abandoned=st.booleans(),
)
runs = st.builds(
    StepsRun,
    job=refs,
    stage=st.sampled_from(StepsStage),
    version_number=st.none() | numbers,
    attempts=numbers,
    step=numbers,
    boot_before=texts,
    restarts=numbers,
    ignored=texts,
    reason=texts,
    stdout=texts,
    stderr=texts,
)
finals = st.builds(
    FinalReport,
    job=refs,
    version_number=st.none() | numbers,
    status=st.sampled_from(sorted(TERMINAL)),
    details=st.dictionaries(texts, texts, max_size=3),
)
journals = st.builds(
    Journal,
    update=st.none() | updates,
    change=st.none() | changes,
    steps=st.none() | runs,
    final=st.none() | finals,
)

JOB = JobRef(job_id="job", execution_number=1)
OLD = Journal(update=Update(job=JOB, stage=Stage.ACCEPTED))
NEW = Journal(update=Update(job=JOB, stage=Stage.TRIAL))


@given(journals)
def test_what_is_written_comes_back(journal):
    assert decode(encode(journal)) == journal


def test_journal_of_the_first_release():
    members = json.loads(encode(OLD))
    del members["change"], members["steps"]
    assert decode(json.dumps(members).encode()) == OLD


@given(journals)
def test_journal_of_a_newer_agent(journal):
    """The older agent in the slot before goes on with what it knows of."""
    members = json.loads(encode(journal))
    known = [
        members["update"],
        members["change"],
        members["steps"],
        members["final"],
        (members["update"] or {}).get("target"),
    ]
    for each in known:
        if each is not None:
            each["of_tomorrow"] = [1]
    assert decode(json.dumps(members).encode()) == journal


def test_journal_before_slots_had_a_choice():
    software = Installed(slot="b", name="pump", version="1", sha256="0", start=("run",))
    members = json.loads(encode(Journal(update=Update(job=JOB, stage=Stage.TRIAL, previous=software))))
    del members["update"]["previous_slot"], members["update"]["switched"]
    assert decode(json.dumps(members).encode()).update.previous_slot == "b"


def test_new_device(tmp_path):
    assert JournalFile(tmp_path).load() == Journal()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 9}', b'{"format": 1}', b"\xff"])
def test_broken_file_is_set_aside(tmp_path, content, caplog):
    (tmp_path / "journal.json").write_bytes(content)
    assert JournalFile(tmp_path).load() == Journal()
    assert (tmp_path / "journal.broken").read_bytes() == content
    assert "set aside" in caplog.text


class Dead(BaseException):
    """The process ended here."""


@pytest.mark.parametrize("call", ["open", "fsync", "rename"])
@pytest.mark.parametrize("number", [1, 2])
def test_death_at_each_write(call, number, tmp_path, monkeypatch):
    journal = JournalFile(tmp_path)
    journal.save(OLD)
    left = [number]
    original = getattr(os, call)

    def dies(*arguments, **options):
        left[0] -= 1
        if left[0] == 0:
            raise Dead
        return original(*arguments, **options)

    died = False
    with monkeypatch.context() as patch:
        patch.setattr(os, call, dies)
        try:
            journal.save(NEW)
        except Dead:
            died = True
    assert died == (call != "rename" or number == 1)
    assert JournalFile(tmp_path).load() in (OLD, NEW)
    journal.save(NEW)
    assert JournalFile(tmp_path).load() == NEW


def test_one_agent_for_a_folder(tmp_path):
    assert not is_locked(tmp_path)
    held = lock_folder(tmp_path)
    try:
        assert is_locked(tmp_path)
        with pytest.raises(FolderInUseError, match="another agent"):
            lock_folder(tmp_path)
    finally:
        os.close(held)
    assert not is_locked(tmp_path)


KILLED_WRITER = """
import os, signal, sys
from pathlib import Path
from outfitter_agent.hands.journal import JournalFile
from outfitter_agent.plans.transaction import JobRef, Journal, Stage, Update
journal = JournalFile(Path(sys.argv[1]))
for number in range(100000):
    journal.save(Journal(update=Update(job=JobRef(job_id="j" * 3000, execution_number=number), stage=Stage.TRIAL)))
    if number == 0:
        print("written", flush=True)
"""


def test_killed_while_it_writes(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", KILLED_WRITER, str(tmp_path)], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout.readline() == b"written\n"
        child.kill()
        child.wait()
    assert JournalFile(tmp_path).load().update.stage is Stage.TRIAL
