"""Running one step of a device client's document: a handler or a command, as a user that the settings allow."""

import os
import pwd
import stat
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from outfitter_agent.hands.processes import MARK, die_with_parent, end, ending
from outfitter_agent.hands.signals import Signals
from outfitter_agent.hands.supervisor import INHERITED
from outfitter_agent.plans.effects import StepOutcome
from outfitter_agent.plans.steps import Handler, Step
from outfitter_agent.plans.troubles import Refusal, Trouble

OWN: Final = Path(__file__).parent / "handlers"
"""What AWS's managed templates call, done by the agent."""
TAIL_BYTES: Final = 4096
READ_BYTES: Final = 16 * 1024
DRAIN_SECONDS: Final = 1.0
"""How long output is waited for after the end: what left the process group may hold on to it."""


@dataclass(slots=True)
class _Tail:
    """The end of a stream, and how many lines it had."""

    content: bytes = b""
    lines: int = 0
    open_line: bool = False

    def copy_from(self, stream: IO[bytes]) -> None:
        with stream:
            while block := os.read(stream.fileno(), READ_BYTES):
                self.lines += block.count(b"\n")
                self.open_line = not block.endswith(b"\n")
                self.content = (self.content + block)[-TAIL_BYTES:]

    def text(self) -> str:
        return self.content.decode(errors="replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Call:
    words: Sequence[str]
    user: pwd.struct_passwd | None
    """Whom the agent becomes for it; None: it stays itself."""


class StepRunner:
    """Runs steps, one at a time."""

    def __init__(
        self,
        *,
        handlers: Path | None,
        users: Sequence[str],
        timeout_seconds: float,
        folder: Path,
        environment: Mapping[str, str],
        signals: Signals,
    ) -> None:
        """``handlers``: the owner's folder, looked at before the agent's own; ``folder`` is the agent's state folder."""
        self._handlers = handlers
        self._users = frozenset(users)
        self._timeout_seconds = timeout_seconds
        self._folder = folder
        self._environment = environment
        self._signals = signals

    def check(self, step: Step) -> None:
        """Raise Trouble or Refusal if it could not be run."""
        self._call(step)

    def run(self, step: Step) -> StepOutcome:
        """Run it to its end, or to that of its time; raises Trouble, Stopping, Abandoned, and nothing of it runs on then."""
        child = self._spawn(self._call(step))
        written = _Tail(), _Tail()
        streams: tuple[Any, Any] = child.stdout, child.stderr
        readers = [
            threading.Thread(target=tail.copy_from, args=(stream,), name="step-output", daemon=True)
            for tail, stream in zip(written, streams, strict=True)
        ]
        for reader in readers:
            reader.start()
        ended = threading.Event()
        threading.Thread(target=self._await, args=(child, ended), name="step-end", daemon=True).start()
        try:
            in_time = self._signals.wait_until(ended.is_set, self._timeout_seconds)
        finally:
            code = end(child)
        for reader in readers:
            reader.join(DRAIN_SECONDS)
        stdout, stderr = written
        failure = f"took longer than {self._timeout_seconds:g} s"
        if code is None:
            failure += ", and cannot be ended: it has become another user's process"
        elif in_time:
            failure = self._failure(step, code, stderr)
        return StepOutcome(failure=failure, stdout=stdout.text(), stderr=stderr.text())

    def _await(self, child: subprocess.Popen[bytes], ended: threading.Event) -> None:
        with suppress(ChildProcessError):  # ended, and reaped by who did it
            os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        ended.set()
        self._signals.tell()

    def _failure(self, step: Step, code: int, stderr: _Tail) -> str:
        if code != 0:
            return ending(code)
        lines = stderr.lines + stderr.open_line
        if step.stderr_lines_max is not None and lines > step.stderr_lines_max:
            return f"wrote {lines} lines to stderr, more than allowStdErr = {step.stderr_lines_max}"
        return ""

    def _call(self, step: Step) -> _Call:
        user = self._user(step)
        if not isinstance(step.act, Handler):
            return _Call(words=step.act.words, user=user)
        theirs = self._file(step.act)
        if (
            theirs is not None
        ):  # as AWS's client does it: the handler is told the user, and becomes it by itself
            return _Call(words=[str(theirs), step.user or "", *step.act.arguments], user=None)
        script = OWN / step.act.name
        if not script.is_file() or script.suffix != ".sh":
            known = ", ".join(sorted(path.name for path in OWN.glob("*.sh")))
            raise Trouble(
                f"step {step.name}: there is no handler {step.act.name} in device_client_handlers"
                f" ({self._handlers or 'not set'}), and none of the agent's own: reboot.sh, {known}"
            )
        return _Call(words=["/bin/sh", str(script), *step.act.arguments], user=user)

    def _file(self, handler: Handler) -> Path | None:
        """The owner's handler of this name, None if there is none; raises Refusal when it may not be run."""
        if handler.folder is not None and Path(handler.folder) != self._handlers:
            raise Refusal(
                f"the handler's path {handler.folder[:200]} is not the device's device_client_handlers"
                f" ({self._handlers or 'not set'})"
            )
        if self._handlers is None or not (self._handlers / handler.name).is_file():
            return None
        for path in (self._handlers, self._handlers / handler.name):
            found = path.stat()
            if found.st_uid not in {0, os.geteuid()} or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise Refusal(
                    f"{path} may be changed by others than root and the agent's user; run: chmod go-w {path}"
                )
        if not os.access(self._handlers / handler.name, os.X_OK):
            raise Trouble(f"{self._handlers / handler.name} is not executable")
        return self._handlers / handler.name

    def _user(self, step: Step) -> pwd.struct_passwd | None:
        if step.user is None:
            return None
        try:
            user = pwd.getpwnam(step.user)
        except KeyError:
            user = None
        if user is not None and user.pw_uid == os.geteuid():
            return None
        if step.user not in self._users:
            raise Refusal(f"step {step.name}: {step.user[:200]} is not among device_client_users")
        if user is None:
            raise Trouble(f"step {step.name}: there is no user {step.user[:200]} on this device")
        if os.geteuid() != 0:
            raise Trouble(f"step {step.name}: the agent is not root, and cannot become {step.user}")
        return user

    def _spawn(self, call: _Call) -> subprocess.Popen[bytes]:
        user = call.user
        become: dict[str, Any] = {}
        environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
        environment |= {**self._environment, MARK: str(self._folder)}
        if user is not None:
            groups = os.getgrouplist(user.pw_name, user.pw_gid)
            become = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": groups}
            environment |= {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
        try:
            return subprocess.Popen(  # noqa: S603 - what the settings allow the server to have run
                call.words,
                cwd="/",
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509 - one prepared system call, no Python state is touched
                **become,
            )
        except OSError as error:
            raise Trouble(f"{call.words[0]} could not be started: {error.strerror}") from error
