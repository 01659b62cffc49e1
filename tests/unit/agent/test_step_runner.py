"""Steps as real processes: handlers and commands, users, output, time, and what may not be run."""

import os
import pwd
import shutil
import stat
import tempfile
import threading
from pathlib import Path

import pytest
from outfitter_agent.hands import processes
from outfitter_agent.hands.signals import Signals
from outfitter_agent.hands.steps import OWN, StepRunner
from outfitter_agent.plans.steps import Command, Handler, Step
from outfitter_agent.plans.troubles import Abandoned, Refusal, Trouble

NOBODY = "nobody"


@pytest.fixture
def handlers(tmp_path):
    folder = tmp_path / "handlers"
    folder.mkdir(mode=0o755)
    return folder


@pytest.fixture
def signals():
    return Signals()


@pytest.fixture
def runner(tmp_path, handlers, signals):
    def make(*users, seconds=20.0, handlers=handlers):
        return StepRunner(
            handlers=handlers,
            users=users,
            timeout_seconds=seconds,
            folder=tmp_path,
            environment={"OUTFITTER_THING_NAME": "lamp"},
            signals=signals,
        )

    return make


def command(*words, **more):
    given = {"name": "one", "user": None, "stderr_lines_max": None, "ignore_failure": False, **more}
    return Step(act=Command(words=words), **given)


def handler(name, *arguments, folder=None, user=None):
    act = Handler(name=name, arguments=arguments, folder=folder)
    return Step(act=act, name="one", user=user, stderr_lines_max=None, ignore_failure=False)


def script(folder, name, text, mode=0o755):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


def test_a_command_and_what_it_writes(runner):
    outcome = runner().run(command("sh", "-c", "echo $OUTFITTER_THING_NAME; echo no >&2"))
    assert (outcome.failure, outcome.stdout, outcome.stderr) == ("", "lamp\n", "no\n")


def test_no_shell_reads_a_command(runner):
    assert runner().run(command("echo", "$HOME; true")).stdout == "$HOME; true\n"


@pytest.mark.parametrize(
    ("text", "most", "failure"),
    [
        ("exit 3", None, "ended with exit code 3"),
        ("kill -9 $$", None, "was ended by signal SIGKILL"),
        ("echo a >&2; echo b >&2", 1, "wrote 2 lines to stderr, more than allowStdErr = 1"),
        ("printf a >&2", 0, "wrote 1 lines to stderr, more than allowStdErr = 0"),
        ("echo a >&2; echo b >&2", 2, ""),
        ("echo a >&2", None, ""),
    ],
)
def test_what_counts_as_failed(runner, text, most, failure):
    assert runner().run(command("sh", "-c", text, stderr_lines_max=most)).failure == failure


def test_output_is_kept_to_its_end(runner):
    outcome = runner().run(command("sh", "-c", "head -c 3000000 /dev/zero; echo end"))
    assert len(outcome.stdout) <= 4096
    assert outcome.stdout.endswith("end\n")


def test_too_slow_is_ended_with_its_children(runner, tmp_path):
    outcome = runner(seconds=0.5).run(command("sh", "-c", f"sleep 60 & echo $! > {tmp_path}/child; wait"))
    assert outcome.failure == "took longer than 0.5 s"
    assert gone(int((tmp_path / "child").read_text()))


def test_what_a_step_leaves_behind_ends_with_it(runner):
    outcome = runner().run(command("sh", "-c", "sleep 60 & echo $!"))
    assert outcome.failure == ""
    assert gone(int(outcome.stdout))


def test_a_job_that_ends_elsewhere_ends_the_step(runner, signals, tmp_path):
    os.mkfifo(tmp_path / "begun")
    step = command("sh", "-c", f"echo $$ > {tmp_path}/begun; sleep 60")
    begun = []

    def abandon():
        begun.append(int((tmp_path / "begun").read_text()))
        signals.abandon()

    other = threading.Thread(target=abandon)
    other.start()
    with pytest.raises(Abandoned):
        runner().run(step)
    other.join()
    assert gone(begun[0])


def test_the_owners_handler_is_told_the_user_and_comes_before_the_agents(runner, handlers):
    script(handlers, "stop-services.sh", 'echo "$#:$1:$2:$3"')
    outcome = runner(NOBODY).run(handler("stop-services.sh", "a b", "c", user=NOBODY))
    assert outcome.stdout == "3:nobody:a b:c\n"
    assert runner().run(handler("stop-services.sh", folder=str(handlers))).stdout == "1:::\n"


@pytest.mark.parametrize(
    ("step", "kind", "reason"),
    [
        (handler("x.sh", folder="/tmp"), Refusal, "/tmp is not the device's device_client_handlers"),
        (handler("x.sh"), Trouble, "there is no handler x.sh"),
        (handler("open.sh"), Refusal, "chmod go-w"),
        (handler("plain.sh"), Trouble, "is not executable"),
        (command("true", user="daemon"), Refusal, "daemon is not among device_client_users"),
        (command("true", user="no such user"), Trouble, "no user no such user"),
        (command("/no/such/program"), Trouble, "/no/such/program could not be started"),
    ],
)
def test_what_cannot_be_run(runner, handlers, step, kind, reason):
    script(handlers, "open.sh", "true", mode=0o777)
    script(handlers, "plain.sh", "true", mode=0o644)
    with pytest.raises(kind, match=reason):
        runner(NOBODY, "no such user").run(step)


def test_handlers_in_a_folder_that_others_may_change_are_refused(runner, handlers):
    script(handlers, "mine.sh", "true")
    handlers.chmod(0o777)
    with pytest.raises(Refusal, match="may be changed by others"):
        runner().check(handler("mine.sh"))


def test_a_command_as_another_user(runner):
    outcome = runner(NOBODY).run(command("sh", "-c", "id -un; echo $USER", user=NOBODY))
    assert outcome.stdout == "nobody\nnobody\n"


def test_the_agents_own_user_is_always_allowed(runner):
    me = pwd.getpwuid(os.geteuid()).pw_name
    assert runner().run(command("id", "-un", user=me)).stdout == f"{me}\n"


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Programs of the system that say how they were called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("apt-get", "systemctl"):
        script(folder, name, f'echo "{name} $*"')
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.mark.parametrize(
    ("name", "given", "called"),
    [
        ("install-packages.sh", "nginx tree", "apt-get install --yes -- nginx tree"),
        ("remove-packages.sh", "nginx", "apt-get remove --yes -- nginx"),
        ("start-services.sh", "a b", "systemctl start -- a b"),
        ("stop-services.sh", "a", "systemctl stop -- a"),
        ("restart-services.sh", "a", "systemctl restart -- a"),
    ],
)
@pytest.mark.usefixtures("stand_ins")
def test_the_agents_own_handlers(runner, name, given, called):
    outcome = runner(handlers=None).run(handler(name, given))
    assert (outcome.failure, outcome.stdout) == ("", f"{called}\n")


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("install-packages.sh", ["-o=x"], "is an option"),
        ("install-packages.sh", [" "], "no package is named"),
        ("stop-services.sh", [" "], "no service is named"),
        ("download-file.sh", ["file:///etc/passwd", "/tmp/x"], "neither http nor https"),
        ("download-file.sh", ["https://a/b", "x"], "must begin with /"),
        ("download-file.sh", ["https://a/b"], "path of the file is missing"),
    ],
)
@pytest.mark.usefixtures("stand_ins")
def test_what_the_agents_own_handlers_refuse(runner, name, given, said):
    outcome = runner().run(handler(name, *given))
    assert outcome.failure
    assert said in outcome.stderr


def test_the_agents_own_handlers_are_those_of_the_managed_templates():
    managed = {"download-file.sh", "install-packages.sh", "remove-packages.sh"}
    managed |= {f"{verb}-services.sh" for verb in ("start", "stop", "restart")}
    assert {path.name for path in OWN.iterdir()} == managed
    assert not any(path.stat().st_mode & stat.S_IWOTH for path in OWN.iterdir())


@pytest.fixture
def becoming_root():
    """The words of a command that runs another one as root, whoever starts it."""
    with tempfile.TemporaryDirectory() as folder:  # a place that others reach
        Path(folder).chmod(0o755)
        shutil.copy(shutil.which("setpriv"), f"{folder}/setpriv")
        Path(folder, "setpriv").chmod(0o4755)
        yield f"{folder}/setpriv", "--reuid", "0"


def as_nobody(act):
    """What ``act`` returns, in a process that is not root."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setresuid(*[pwd.getpwnam(NOBODY).pw_uid] * 3)
            told = act()
        except BaseException as error:  # noqa: BLE001 - told to the test
            told = repr(error)
        os.write(writing, told.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        content = told.read()
    os.waitpid(child, 0)
    return content


def test_a_step_that_becomes_root_and_succeeds(runner, becoming_root):
    """Its process may not be signalled any more, not even when it has ended."""

    def act():
        outcome = runner().run(command(*becoming_root, "id", "-u"))
        try:
            os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return f"{outcome.failure}{outcome.stdout}reaped"

    assert as_nobody(act) == "0\nreaped"


def test_a_step_that_becomes_root_and_does_not_end(runner, becoming_root, monkeypatch):
    monkeypatch.setattr(processes, "ENDING_SECONDS", 0.2)

    def act():
        return runner(seconds=0.5).run(command(*becoming_root, "sh", "-c", "echo $$; exec sleep 60"))

    told = as_nobody(lambda: (outcome := act()).stdout + outcome.failure)
    process, failure = told.splitlines()
    os.kill(int(process), 9)
    assert failure == "took longer than 0.5 s, and cannot be ended: it has become another user's process"


def gone(process):
    """Whether it has ended, or does so soon."""
    pause = threading.Event()
    for _ in range(200):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":
            return True
        pause.wait(0.05)
    return False
