"""The page is told what happens instead of asking, says when it is not, and finds its way back."""

import contextlib
import re
import time

import pytest
from outfitter_server.access.sessions import Session, make_session
from outfitter_server.access.signature import Credentials
from paho.mqtt import client as paho
from playwright.sync_api import expect

SOON = 8_000
BACK = 30_000
LIVE = "Live: what happens to jobs is shown as it happens."


@pytest.fixture(scope="module")
def telling_server(make_server, tmp_path_factory, browser, deploy):
    """A server with a page, two devices that nobody runs, and no events yet."""
    made = make_server(tmp_path_factory.mktemp("telling") / "data")
    made.start()
    deploy(made)
    for name in ("left", "right"):
        made.client("iot").create_thing(thingName=name)
    yield made
    made.close_clients()
    made.stop()


@pytest.fixture
def page_of(browser, telling_server, opened):
    with opened(browser, telling_server, 1280) as made:
        made.page.clock.install()
        yield made


def footer(console):
    return console.page.get_by_role("status").filter(has_text=re.compile("^(Not l|L)ive: "))


def publish_events(server, *, enabled):
    server.client("iot").update_event_configurations(
        eventConfigurations={"JOB": {"Enabled": enabled}, "JOB_EXECUTION": {"Enabled": enabled}}
    )


def make_job(server, job):
    arns = [f"arn:aws:iot:us-east-1:000000000000:thing/{name}" for name in ("left", "right")]
    server.client("iot").create_job(jobId=job, targets=arns, document='{"operation": "test"}')


def finish(server, thing, status="SUCCEEDED"):
    data = server.client("iot-jobs-data")
    job = data.start_next_pending_job_execution(thingName=thing)["execution"]["jobId"]
    data.update_job_execution(thingName=thing, jobId=job, status=status)


def finish_all(server, thing):
    data = server.client("iot-jobs-data")
    while waiting := data.get_pending_job_executions(thingName=thing)["queuedJobs"]:
        finish(server, thing)
        assert len(waiting) < 100


def asked_for(console, path):
    """The page's requests to a path from now on."""
    found = []
    console.page.on("request", lambda request: found.append(request) if request.url.endswith(path) else None)
    return found


def settled(console):
    """What the page had begun has reached the server and come back."""
    console.page.evaluate("() => fetch('config.json').then((answer) => answer.text())")


def open_job(console, job):
    console.page.evaluate(f"() => {{ location.hash = '#/jobs/{job}'; }}")
    expect(console.page.get_by_text("of 2 devices done")).to_be_visible()


def test_it_says_that_it_asks_and_offers_to_be_told(page_of, telling_server):
    publish_events(telling_server, enabled=False)
    page_of.sign_in()
    expect(footer(page_of)).to_contain_text("Not live: this account does not publish the events of jobs")
    make_job(telling_server, "asked")
    open_job(page_of, "asked")
    finish(telling_server, "left")
    expect(page_of.page.get_by_text("1 of 2 devices done")).to_be_visible(timeout=20_000)
    page_of.page.get_by_role("button", name="Publish them").click()
    expect(footer(page_of)).to_have_text(LIVE)
    told = telling_server.client("iot").describe_event_configurations()["eventConfigurations"]
    assert (told["JOB"], told["JOB_EXECUTION"]) == ({"Enabled": True}, {"Enabled": True})
    finish(telling_server, "right")
    expect(page_of.page.get_by_text("2 of 2 devices done")).to_be_visible(timeout=SOON)


def test_a_jobs_change_shows_at_once_and_without_asking(page_of, telling_server):
    publish_events(telling_server, enabled=True)
    page_of.sign_in()
    expect(footer(page_of)).to_have_text(LIVE)
    make_job(telling_server, "told")
    asked = asked_for(page_of, "/jobs/told")
    open_job(page_of, "told")
    expect(page_of.page.get_by_role("button", name="2 queued")).to_be_visible()
    settled(page_of)
    page_of.page.clock.fast_forward(4_000)
    settled(page_of)
    assert len(asked) == 2, "it polls: the view asks once to draw and once to begin"
    finish(telling_server, "left")
    expect(page_of.page.get_by_text("1 of 2 devices done")).to_be_visible(timeout=SOON)
    finish(telling_server, "right", "FAILED")
    expect(page_of.page.get_by_text("2 of 2 devices done")).to_be_visible(timeout=SOON)
    expect(page_of.page.get_by_role("definition").filter(has_text="completed")).to_be_visible()
    assert len(asked) <= 10


def test_the_list_of_jobs_follows(page_of, telling_server):
    publish_events(telling_server, enabled=True)
    make_job(telling_server, "listed")
    page_of.sign_in()
    expect(footer(page_of)).to_have_text(LIVE)
    page_of.go("Jobs")
    expect(page_of.row("listed")).to_contain_text("in progress")
    telling_server.client("iot").cancel_job(jobId="listed")
    expect(page_of.row("listed")).to_contain_text("canceled", timeout=SOON)


def test_who_comes_and_goes_shows_in_the_list_and_on_the_devices_page(page_of, telling_server):
    page_of.sign_in()
    expect(footer(page_of)).to_be_visible()
    expect(page_of.row("left")).to_contain_text("offline")
    device = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id="left")
    device.connect("127.0.0.1", telling_server.port("mqtt"))
    device.loop_start()
    expect(page_of.row("left")).to_contain_text("online", timeout=SOON)
    page_of.page.get_by_role("link", name="left", exact=True).click()
    expect(page_of.page.get_by_role("definition").filter(has_text="online")).to_be_visible()
    device.disconnect()
    device.loop_stop()
    expect(page_of.page.get_by_role("definition").filter(has_text="offline")).to_be_visible(timeout=SOON)


def time_passes_until(page_of, row, words):
    """On the page's own clock, which stands still otherwise: an event may come after it was moved."""
    for _ in range(8):
        page_of.page.clock.run_for(2_000)
        with contextlib.suppress(AssertionError):
            expect(page_of.row(row)).to_contain_text(words, timeout=1_000)
            return
    expect(page_of.row(row)).to_contain_text(words, timeout=SOON)


def test_a_devices_page_and_its_groups_follow_its_jobs(page_of, telling_server):
    publish_events(telling_server, enabled=True)
    iot = telling_server.client("iot")
    group = iot.create_thing_group(thingGroupName="sides")["thingGroupArn"]
    iot.add_thing_to_thing_group(thingGroupName="sides", thingName="right")
    document = '{"operation": "install", "url": "https://x", "name": "side", "version": "%s"}'
    page_of.sign_in()
    expect(footer(page_of)).to_have_text(LIVE)
    page_of.page.get_by_role("link", name="right", exact=True).click()
    expect(page_of.page.get_by_role("heading", name="right")).to_be_visible()
    iot.create_job(jobId="side-1", targets=[group], document=document % "1.0")
    time_passes_until(page_of, "side-1", "queued")
    finish_all(telling_server, "right")
    time_passes_until(page_of, "side-1", "succeeded")
    expect(page_of.page.get_by_role("definition").filter(has_text="side 1.0")).to_be_visible()
    page_of.page.evaluate("() => { location.hash = '#/groups/sides'; }")
    expect(page_of.row("right")).to_contain_text("side 1.0")
    iot.create_job(jobId="side-2", targets=[group], document=document % "2.0")
    finish_all(telling_server, "right")
    time_passes_until(page_of, "right", "side 2.0")


def test_a_view_that_asks_for_nothing_tells_of_a_lost_server(page_of, telling_server):
    page_of.sign_in()
    expect(footer(page_of)).to_be_visible()
    page_of.go("Groups")
    telling_server.kill()
    banner = page_of.page.get_by_role("alert").filter(has_text="What you see may be old")
    expect(banner).to_be_visible(timeout=SOON)
    telling_server.start()
    expect(banner).to_be_hidden(timeout=BACK)
    assert all("ERR_CONNECTION" in said or "WebSocket" in said for said in page_of.complaints)
    page_of.complaints.clear()


def test_a_server_that_was_killed_tells_again(page_of, telling_server):
    publish_events(telling_server, enabled=True)
    page_of.sign_in()
    expect(footer(page_of)).to_have_text(LIVE)
    make_job(telling_server, "interrupted")
    open_job(page_of, "interrupted")
    telling_server.kill()
    expect(footer(page_of)).to_contain_text("Not live", timeout=SOON)
    telling_server.start()
    expect(footer(page_of)).to_have_text(LIVE, timeout=BACK)
    expect(page_of.page.get_by_text("0 of 2 devices done")).to_be_visible(timeout=BACK)
    finish(telling_server, "left")
    expect(page_of.page.get_by_text("1 of 2 devices done")).to_be_visible(timeout=SOON)
    assert all("ERR_CONNECTION" in said or "WebSocket" in said for said in page_of.complaints)
    page_of.complaints.clear()


def test_a_temporary_key_hears_as_well(page_of, telling_server):
    publish_events(telling_server, enabled=True)
    root = Credentials(access_key_id=telling_server.access_key, secret_access_key=telling_server.secret_key)
    later = int(time.time() * 1000) + 600_000
    lent = make_session(
        root, Session(arn="arn:aws:sts::000000000000:assumed-role/r/s", expires_at=later), "n"
    )
    page_of.open()
    page_of.page.get_by_text("Session token").click()
    page_of.page.get_by_label("For temporary credentials").fill(lent.session_token)
    page_of.page.get_by_label("Access key ID").fill(lent.access_key_id)
    page_of.page.get_by_label("Secret access key").fill(lent.secret_access_key)
    page_of.page.get_by_role("button", name="Sign in").click()
    expect(footer(page_of)).to_have_text(LIVE)


def test_signing_out_ends_the_connection(page_of, telling_server):
    sockets = []
    page_of.page.on("websocket", lambda socket: sockets.append(socket))  # noqa: PLW0108 - a method takes no attributes
    page_of.sign_in()
    expect(footer(page_of)).to_be_visible()
    with sockets[-1].expect_event("close"):
        page_of.page.get_by_role("button", name="Sign out").click()
    expect(footer(page_of)).to_be_hidden()
