"""A wrong key, a wrong clock, a lost server, an empty one, and a large fleet: the page says what is the matter."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import expect

USABLE_SECONDS = 1.0
DEVICES, JOBS = 1_000, 10


@pytest.fixture(scope="module")
def lone_server(make_server, tmp_path_factory, browser):
    """A server with a page and nothing else."""
    made = make_server(tmp_path_factory.mktemp("lone") / "data")
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def deployed(lone_server, deploy):
    deploy(lone_server)
    return lone_server


@pytest.fixture
def lone(browser, deployed, opened, width):
    with opened(browser, deployed, width) as made:
        yield made


def refused(console, text):
    """The sign-in says so; the browser's own note of a refused request is no complaint."""
    expect(console.page.get_by_role("alert").filter(has_text=text)).to_be_visible()
    expect(console.page.get_by_role("button", name="Sign in")).to_be_enabled()
    assert all("403" in said for said in console.complaints)
    console.complaints.clear()


def test_an_unknown_key_is_told_from_a_wrong_secret(lone):
    lone.sign_in(key="AKIANOBODY")
    refused(lone, "This access key is not known there")
    lone.sign_in(secret="guess")
    refused(lone, "The secret does not belong to this access key")
    lone.picture("wrong-key")
    assert lone.fits()
    lone.sign_in()
    expect(lone.page.get_by_role("heading", name="Devices")).to_be_visible()


@pytest.mark.parametrize(("shift", "words"), [(3_600_000, "60 min ahead of"), (-259_200_000, "3 d behind")])
@pytest.mark.parametrize("width", [1280], indirect=True)
def test_a_wrong_clock_is_told_with_the_servers_time(lone, shift, words):
    lone.page.add_init_script(f"const now = Date.now; const D = Date; globalThis.Date = class extends D {{"
                              f" constructor(...given) {{ given.length ? super(...given) : super(now() + {shift}); }}"
                              f" static now() {{ return now() + {shift}; }} }};")  # fmt: skip
    lone.sign_in()
    refused(lone, f"This computer's clock is {words} the server's")
    expect(lone.page.get_by_role("alert").filter(has_text="UTC")).to_be_visible()


def test_an_empty_server_says_how_to_begin(lone):
    lone.sign_in()
    expect(lone.page.get_by_text("No devices yet.")).to_be_visible()
    for view, words in (
        ("Groups", "No groups yet."),
        ("Software", "No software yet."),
        ("Jobs", "No jobs yet."),
    ):
        lone.go(view)
        expect(lone.page.get_by_text(words)).to_be_visible()
        assert lone.fits()


def test_what_is_not_there_is_said(lone):
    lone.sign_in()
    lone.page.get_by_role("heading", name="Devices").wait_for()
    lone.page.evaluate("() => { location.hash = '#/devices/nobody'; }")
    expect(lone.page.get_by_role("alert").filter(has_text="nobody")).to_be_visible()
    assert all("404" in said for said in lone.complaints)
    lone.complaints.clear()


@pytest.mark.parametrize("width", [390], indirect=True)
def test_a_lost_server_is_found_again(lone, deployed):
    lone.sign_in()
    lone.page.get_by_role("heading", name="Devices").wait_for()
    deployed.kill()
    lone.page.get_by_role("navigation").get_by_role("link", name="Groups").click()
    banner = lone.page.get_by_role("alert").filter(has_text="No answer from")
    expect(banner).to_be_visible()
    lone.picture("lost")
    lone.page.get_by_role("navigation").get_by_role("link", name="Software").click()
    expect(lone.page).to_have_title("Software - Outfitter")
    expect(banner).to_be_visible()
    deployed.start()
    expect(banner).to_be_hidden(timeout=20_000)
    expect(lone.page.get_by_text("No software yet.")).to_be_visible()
    lone.complaints.clear()


@pytest.fixture
def large(deployed):
    """A thousand devices with ten jobs each."""
    iot, data = deployed.client("iot", max_pool_connections=8), deployed.client("iot-jobs-data")
    names = [f"pump-{number:04}" for number in range(DEVICES)]
    group = iot.create_thing_group(thingGroupName="pumps")["thingGroupArn"]

    def make(name):
        iot.create_thing(thingName=name)
        iot.add_thing_to_thing_group(thingGroupName="pumps", thingName=name)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, names))
        document = json.dumps({"operation": "install", "url": "https://x", "name": "pump", "version": "1.0"})
        for number in range(JOBS):
            iot.create_job(jobId=f"update-{number}", targets=[group], document=document)

        def finish(name):
            job = data.start_next_pending_job_execution(thingName=name)["execution"]["jobId"]
            data.update_job_execution(thingName=name, jobId=job, status="SUCCEEDED")

        list(pool.map(finish, names[:50]))
    return deployed


@pytest.mark.parametrize("width", [1280], indirect=True)
def test_a_large_fleet_is_usable_within_a_second(lone, large, eventually):
    def queued():
        details = large.client("iot").describe_job(jobId="update-9")["job"]["jobProcessDetails"]
        return details["numberOfQueuedThings"] == DEVICES

    eventually(queued)
    asked = []
    lone.page.on("request", lambda request: asked.append(request.url))
    page = lone.page
    lone.open()
    page.get_by_label("Access key ID").fill(large.access_key)
    page.get_by_label("Secret access key").fill(large.secret_key)
    began = time.monotonic()
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="pump-0099").wait_for()
    spent = {"devices": time.monotonic() - began}
    began = time.monotonic()
    page.get_by_role("navigation").get_by_role("link", name="Jobs").click()
    lone.row("update-9").wait_for()
    spent["jobs"] = time.monotonic() - began
    began = time.monotonic()
    lone.row("update-9").get_by_role("link", name="update-9").click()
    page.get_by_role("button", name="1000 queued").wait_for()
    page.get_by_role("rowheader").nth(99).wait_for()
    spent["job"] = time.monotonic() - began
    assert all(seconds < USABLE_SECONDS for seconds in spent.values()), spent
    lone.go("Devices")
    expect(lone.row("pump-0000")).to_contain_text("pump 1.0")
    assert len(asked) < 150, "a call for each row"
