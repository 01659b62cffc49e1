"""The device's own checks: a command, units of systemd, an HTTP server; how long a trial may last."""

import os
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import CLOCK_BOOTTIME, clock_gettime

import pytest
from outfitter_agent.hands import checks, health
from outfitter_agent.hands.health import HealthRules
from outfitter_agent.hands.reboot import RebootMachine, RestartAgent, seconds_since_boot

QUICK = {"settle_seconds": 0.1, "timeout_seconds": 0.3, "interval_seconds": 0.02}


def watch(seconds_left=None, **rules):
    pause = threading.Event()
    return health.watch(
        None,
        HealthRules(**QUICK | rules),
        settle=True,
        sleep=lambda seconds: pause.wait(seconds) and None,
        seconds_left=seconds_left,
    )


@contextmanager
def serving(*answers):
    """An HTTP server that gives one status after the other, the last one for ever; None: it says nothing."""
    left, released = list(answers), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            status = left.pop(0) if len(left) > 1 else left[0]
            if status is None:
                released.wait(30)
                return
            self.send_response(status)
            self.send_header("Location", "/")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/healthy"
        finally:
            released.set()
            server.shutdown()
            thread.join()


@pytest.fixture
def systemctl(tmp_path, monkeypatch):
    """A systemctl that knows units by files of their states, and answers as systemd's does."""
    program = tmp_path / "systemctl"
    program.write_text(
        f"""#!/bin/sh
[ "$1 $2" = "is-active --" ] || {{ echo "what is $*" >&2; exit 1; }}
shift 2
for unit in "$@"; do cat "{tmp_path}/$unit" 2>/dev/null || echo inactive; done
exit 3
"""
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def test_machine_without_a_check():
    """Where the machine is the software, an agent that has come up is a sign of life."""
    assert watch().reason.startswith("no check, running for 0.")


def test_command_of_the_device(tmp_path):
    (tmp_path / "healthy").touch()
    assert watch(command=("test", "-e", "healthy"), folder=tmp_path).reason.startswith("passed for")
    (tmp_path / "healthy").unlink()
    verdict = watch(command=("test", "-e", "healthy"), folder=tmp_path)
    assert verdict.reason == "the health check fails: the device's health command ended with 1"


def test_server_of_the_device():
    with serving(200) as url:
        assert watch(url=url).reason.startswith("passed for")
    with serving(503, 302, 204) as url:
        assert watch(url=url, url_status=204).healthy, "it may come up"
    with serving(302) as url:
        assert watch(url=url).reason == f"the health check fails: {url} answers 302 instead of 200"
    assert f"{url} does not answer: " in watch(url=url).reason, "it is gone now"


def test_server_that_hangs():
    with serving(None) as url:
        told = checks.ask(url, status=200, timeout_seconds=0.1)
    assert told.startswith(f"{url} does not answer: Operation timed out")


def test_units(systemctl, monkeypatch):
    (systemctl / "pump.service").write_text("active\n")
    (systemctl / "valve.service").write_text("activating\n")
    assert watch(units=("pump.service",)).reason.startswith("passed for")
    verdict = watch(units=("pump.service", "valve.service", "lamp.service"))
    assert verdict.reason == "the health check fails: valve.service is activating, lamp.service is inactive"
    (systemctl / "systemctl").write_text("#!/bin/sh\necho no bus >&2; exit 1\n")
    assert watch(units=("pump.service",)).reason.endswith("the states of pump.service: no bus")
    monkeypatch.setenv("PATH", "/nowhere")
    assert "systemctl could not be started" in watch(units=("pump.service",)).reason


@pytest.mark.parametrize("units", [("-H elsewhere",), ("--help",)])
def test_unit_is_no_option(systemctl, units):
    assert watch(units=units).reason == f"the health check fails: {units[0]} is inactive"


def test_trial_that_lasts_too_long():
    reason = "not proven within trial_timeout_seconds of the boot: "
    verdict = watch(0.1, command=("false",), timeout_seconds=20)
    assert verdict.reason == f"{reason}the device's health command ended with 1"
    verdict = watch(-5.0, settle_seconds=20)
    assert verdict.reason == f"{reason}healthy, but not for the settle time", (
        "the boot took all the time there was"
    )
    assert watch(20.0).healthy


def test_age_of_a_boot():
    machine = RebootMachine(["true"], stopping=lambda seconds: True)
    assert seconds_since_boot(machine) == pytest.approx(clock_gettime(CLOCK_BOOTTIME), abs=5)
    assert seconds_since_boot(RestartAgent([], before=lambda: None, check=lambda: None)) < 5
