"""Joins plans to the hands that fetch, keep, change and send the configuration."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from outfitter_agent.hands.configuration import ConfigurationFile
from outfitter_agent.hands.fetch import Fetcher
from outfitter_agent.hands.hooks import Hooks
from outfitter_agent.hands.put import Uploader
from outfitter_agent.hands.reload import Reload, tell
from outfitter_agent.plans import effects
from outfitter_agent.plans.effects import Downloaded, Effect, UrlExpired, Verdict

FetchReporting = Callable[
    [Fetcher, effects.Download | effects.DownloadConfiguration], Downloaded | UrlExpired
]


class Configurator:
    """Carries out the effects that concern the configuration."""

    def __init__(
        self,
        *,
        file: ConfigurationFile,
        fetcher: Fetcher,
        uploader: Uploader,
        hooks: Hooks,
        services: Sequence[Reload],
        software_process: Callable[[], int | None],
    ) -> None:
        """Take the hands; ``services`` are told in this order, behind the hooks.

        ``software_process`` tells the process id of the running software.
        """
        self._file = file
        self._fetcher = fetcher
        self._uploader = uploader
        self._hooks = hooks
        self._services = services
        self._software_process = software_process

    def perform(self, effect: Effect[Any], fetch: FetchReporting) -> Any:
        """The effect's result; ``fetch`` downloads and reports how far it is. TypeError: it is no effect of these."""
        match effect:
            case effects.ReadConfiguration():
                return self._file.read(leaving=effect.leaving)
            case effects.UploadConfiguration():
                return self._uploader.put(effect.url, effect.content)
            case effects.DownloadConfiguration():
                return fetch(self._fetcher, effect)
            case effects.PrepareConfiguration():
                prepared = self._file.prepare(self._fetcher.path, merge=effect.merge)
                self._hooks.begin(self._in_force())
                return prepared
            case effects.ApplyConfiguration():
                self._file.apply()
            case effects.RestoreConfiguration():
                self._file.restore(existed=effect.existed)
            case effects.ReloadServices():
                return self._tell_services()
            case _:
                raise TypeError(f"no hand for {effect!r}")
        return None

    def _tell_services(self) -> Verdict:
        """The hooks, then the services; the first that fails is the last."""
        process = self._software_process()
        hooks = self._hooks.run(self._in_force(), process)
        if not hooks.healthy:
            return hooks
        verdict = tell(self._services, process)
        return replace(verdict, reason=f"{hooks.reason}; {verdict.reason}") if hooks.reason else verdict

    def _in_force(self) -> bytes | None:
        configuration = self._file.read(leaving=False)
        return None if configuration is None else configuration.content

    @property
    def seconds_left(self) -> float:
        """How long the download under way may still take; all of it when there is none."""
        return self._fetcher.seconds_left

    def discard(self) -> None:
        """Remove what remains of a download."""
        self._fetcher.discard()
