"""The demonstration itself: sets the stage and plays the scenes."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from outfitter_fleet.demo import images, line, message, settings
from outfitter_fleet.demo.cases import DEVICES, GROUP, GROUPS, ON_THE_STREET, STREET
from outfitter_fleet.demo.device import Device
from outfitter_fleet.demo.display import Display, Row
from outfitter_fleet.demo.installs import Installs
from outfitter_fleet.demo.site import Site
from outfitter_fleet.stage.processes import Processes


class Play:
    """One run in one folder."""

    def __init__(self, folder: Path, processes: Processes, display: Display) -> None:
        """Nothing is started yet."""
        self._folder = folder
        self._processes = processes
        self._display = display
        self.site: Site

    @property
    def devices(self) -> Iterable[Device]:
        """All devices, switched on or off."""
        return self.site.devices.values()

    def run(self) -> list[Row]:
        """Everything, from an empty folder to the verdict.

        Raises:
            DemoFailed, ProcessEnded: a step did not work at all.
        """
        self._display.say("starting outfitterd on an empty data folder")
        self.site = Site(self._folder, self._processes, self._display)
        self._display.say("deploying the page and its function")
        self.site.deploy()
        self._add_devices()
        self._upload_images()
        self._display.say(f"starting {len(self.site.devices)} agents over TLS")
        for device in self.devices:
            device.switch_on()
        rows = Installs(self.site).play()
        for scene in (settings, line, message):
            rows += scene.play(self.site)
        return rows

    def _add_devices(self) -> None:
        self._display.say(f"adding {len(DEVICES)} devices with certificates of their own, in two groups")
        for group in GROUPS:
            self.site.outfitter("group", "create", group)
        self.site.at_once([partial(self.site.add, name, "--group", GROUP) for name in DEVICES])
        self.site.outfitter("group", "add", STREET, *ON_THE_STREET)
        self.site.devices[settings.GIVER].configure(settings.EVENING)
        self.site.devices[settings.WEAK].bear_at_most(settings.BEARS)

    def _upload_images(self) -> None:
        self._display.say(
            f"packing and uploading {len(images.BUILDS)} versions of the software '{images.SOFTWARE}'"
        )
        self.site.at_once([partial(self._upload, build) for build in images.BUILDS])

    def _upload(self, build: images.Build) -> None:
        folder = self._folder / f"{images.SOFTWARE}-{build.version}"
        image = folder.with_name(f"{folder.name}.tar.gz")
        images.write_folder(build, folder)
        self.site.outfitter("software", "pack", str(folder), "--out", str(image))
        self.site.outfitter("software", "upload", str(image))
