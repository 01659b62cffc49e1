"""Hooks: the owner's programs, each run when parameters that it is named after have other values than it was told.

What each was told last is kept durably, so that after a power loss, and when the configuration before is put back, those
are run that do not know the values in force, and no others. One that was under way is run again.
"""

import json
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from outfitter_contract.configuration import (
    ConfigurationError,
    Parameters,
    build_configuration,
    parse_configuration,
)

from outfitter_agent.hands.durable import make_folder, write_durably
from outfitter_agent.hands.reload import Reload
from outfitter_agent.plans.effects import Verdict

NONE_RAN: Final = Verdict(healthy=True, reason="")


class Hooks:
    """The folder ``configuration_hooks``: ``10-wifi`` is told of ``wifi``, ``20-alarm*`` of all that begin so."""

    def __init__(
        self, hooks: Path | None, folder: Path, command: Callable[[Path, Mapping[str, str]], Reload]
    ) -> None:
        """``folder`` is the agent's own; ``command`` makes what runs a program with names in its environment."""
        make_folder(folder)
        self._hooks = hooks
        self._old, self._new = folder / "hook-old.json", folder / "hook-new.json"
        self._ledger = folder / "hooks.json"
        self._command = command

    def begin(self, content: bytes | None) -> None:
        """A change begins: all hooks know what is in force, ``content``."""
        if self._hooks is not None:
            self._keep({hook.name: _entry(_of(hook, content), known=True) for hook in self._found()})

    def run(self, content: bytes | None, software_process: int | None) -> Verdict:
        """Run, in order, those that do not know the values in ``content``; the first that fails is the last."""
        if self._hooks is None or not self._ledger.exists():
            return NONE_RAN
        ledger = json.loads(self._ledger.read_bytes())
        passed = []
        for hook in self._found():
            told, values = ledger.get(hook.name), _of(hook, content)
            if told is None or told == _entry(values, known=True):
                continue
            ledger[hook.name] = _entry(values, known=False)
            write_durably(self._old, build_configuration(told["values"]))
            write_durably(self._new, build_configuration(values))
            self._keep(ledger)
            verdict = self._command(
                hook, {"OUTFITTER_OLD": str(self._old), "OUTFITTER_NEW": str(self._new)}
            ).run(software_process)
            if not verdict.healthy:
                return verdict
            ledger[hook.name] = _entry(values, known=True)
            self._keep(ledger)
            passed.append(hook.name)
        return Verdict(healthy=True, reason=f"hooks that passed: {', '.join(passed)}") if passed else NONE_RAN

    def _found(self) -> list[Path]:
        if self._hooks is None or not self._hooks.is_dir():
            return []
        return sorted(
            path
            for path in self._hooks.iterdir()
            if path.name[0] != "." and "-" in path.name and path.is_file()
        )

    def _keep(self, ledger: Mapping[str, Any]) -> None:
        write_durably(self._ledger, json.dumps(ledger).encode())


def _entry(values: Parameters, *, known: bool) -> dict[str, Any]:
    return {"values": values, "known": known}


def _of(hook: Path, content: bytes | None) -> Parameters:
    """The parameters that the hook is named after; none in a file that is no configuration."""
    pattern = hook.name.partition("-")[2]
    try:
        parameters = {} if content is None else parse_configuration(content)
    except ConfigurationError:
        return {}
    return {name: value for name, value in parameters.items() if fnmatchcase(name, pattern)}
