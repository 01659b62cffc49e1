"""Debian's Chromium before a real server with real agents."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Error, Page, sync_playwright

WIDTHS = {1280: 800, 390: 844}
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
QUICK = """
settle_seconds = 0.3
health_interval_seconds = 0.1
health_timeout_seconds = 20
reconnect_max_seconds = 0.5
download_backoff_max_seconds = 0.1
answer_timeout_seconds = 3
stop_timeout_seconds = 2
"""
RUNS = "import time\nopen('up', 'w').close()\nwhile True:\n    time.sleep(1)\n"
CRASHES = "print('no lamp', flush=True)\nraise SystemExit(3)\n"
SCREENSHOTS = "OUTFITTER_SCREENSHOTS"
"""A folder for pictures of what the tests see; none are taken without it."""


def command(server: Any, name: str, *arguments: Any, folder: Path | None = None) -> str:
    """Runs one of our commands; its standard output."""
    done = subprocess.run(
        [Path(sys.executable).parent / name, *map(str, arguments)],
        env=server.environment(),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def deploy(server: Any) -> str:
    """`outfitter deploy`; the page's address."""
    return command(server, "outfitter", "deploy").strip()


@dataclass
class Lamps:
    """Devices of the type lamp in one group, each with its agent, and software for them."""

    server: Any
    folder: Path
    names: list[str] = field(default_factory=list)
    agents: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def add(self, name: str, parameters: dict[str, Any]) -> None:
        """One more device, running."""
        out = self.folder / name
        address = f"localhost:{self.server.port('mqtts')}"
        command(
            self.server,
            "outfitter",
            *("device", "add", name, "--type", "lamp", "--group", "lamps", "--mqtt", address, "--out", out),
        )
        (out / "agent.toml.d").mkdir()
        (out / "agent.toml.d" / "quick.toml").write_text(QUICK)
        (out / "configuration.json").write_text(json.dumps(parameters))
        with (out / "log").open("wb") as log:
            program = [Path(sys.executable).parent / "outfitter-agent", "run", "--config", out / "agent.toml"]
            self.agents.append(subprocess.Popen(program, stderr=log, stdout=log))
        self.names.append(name)

    def software(self, version: str, program: str = RUNS) -> None:
        """One more version in the catalogue."""
        source = self.folder / f"lamp-{version}"
        source.mkdir()
        manifest = {
            "name": "lamp",
            "version": version,
            "device_types": ["lamp"],
            "start": ["python3", "main.py"],
            "health": ["test", "-e", "up"],
        }
        (source / "outfitter.json").write_text(json.dumps(manifest))
        (source / "main.py").write_text(program)
        file = self.folder / f"lamp-{version}.tar.gz"
        command(self.server, "outfitter", "software", "pack", source, "--out", file)
        command(self.server, "outfitter", "software", "upload", file)

    def configuration(self, name: str) -> Any:
        return json.loads((self.folder / name / "configuration.json").read_text())

    def stop(self) -> None:
        for agent in self.agents:
            agent.send_signal(signal.SIGTERM)
        for agent in self.agents:
            agent.wait(20)


@dataclass
class Console:
    """The page in a browser's tab, as a person sees it."""

    page: Page
    url: str
    server: Any
    complaints: list[str] = field(default_factory=list)

    def open(self) -> "Console":
        self.page.goto(self.url)
        return self

    def sign_in(self, key: str | None = None, secret: str | None = None) -> "Console":
        self.open()
        self.page.get_by_label("Access key ID").fill(key or self.server.access_key)
        self.page.get_by_label("Secret access key").fill(secret or self.server.secret_key)
        self.page.get_by_role("button", name="Sign in").click()
        return self

    def go(self, view: str) -> None:
        self.page.get_by_role("navigation").get_by_role("link", name=view).click()
        self.page.get_by_role("heading", name=view, level=1).wait_for()

    def row(self, name: str) -> Any:
        return self.page.get_by_role("row").filter(
            has=self.page.get_by_role("rowheader", name=name, exact=True)
        )

    def picture(self, name: str) -> None:
        folder = os.environ.get(SCREENSHOTS)
        if folder:
            width = self.page.viewport_size["width"]
            self.page.screenshot(path=Path(folder) / f"{name}-{width}.png")

    def fits(self) -> bool:
        """Whether nothing sticks out at the side."""
        return self.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For a module only: Playwright keeps an event loop open, in which asynchronous tests could not run."""
    program = shutil.which("chromium")
    if program is None:
        pytest.fail("There is no chromium. Install it: apt-get install -y --no-install-recommends chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        with suppress(Error):
            started.close()


@pytest.fixture(scope="module")
def lamps(make_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lamps]:
    folder = tmp_path_factory.mktemp("lamps")
    server = make_server(folder / "data")
    server.start()
    made = Lamps(server, folder)
    try:
        deploy(server)
        command(server, "outfitter", "group", "create", "lamps")
        for number in (1, 2, 3):
            made.add(f"lamp-{number}", {"colour": "white", "number": number})
        for version in ("1.0.0", "1.9.0", "1.10.0"):
            made.software(version)
        made.software("2.0.0", CRASHES)
        yield made
    finally:
        made.stop()
        server.stop()


@pytest.fixture(scope="module")
def make_server(server: Any) -> Any:
    """The class of the shared tools."""
    return type(server)


@contextmanager
def opened(browser: Browser, server: Any, width: int, **options: Any) -> Iterator[Console]:
    """A tab; fails when the browser complained about anything."""
    context = browser.new_context(viewport={"width": width, "height": WIDTHS[width]}, **options)
    page = context.new_page()
    url = f"{server.http}/outfitter-console-000000000000-us-east-1/index.html"
    console = Console(page, url, server)
    page.on(
        "console",
        lambda said: console.complaints.append(said.text) if said.type in {"error", "warning"} else None,
    )
    page.on("pageerror", lambda error: console.complaints.append(str(error)))
    yield console
    assert not console.complaints
    context.close()


@pytest.fixture(params=list(WIDTHS))
def width(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def console(browser: Browser, lamps: Lamps, width: int) -> Iterator[Console]:
    """The page over the lamps, at both widths."""
    with opened(browser, lamps.server, width) as made:
        yield made


@pytest.fixture(name="opened", scope="session")
def opened_fixture() -> Any:
    return opened


@pytest.fixture(name="deploy", scope="session")
def deploy_fixture() -> Any:
    return deploy
