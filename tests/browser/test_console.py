"""What people do on the page: update a group, look why it failed, cancel, carry a configuration from device to device."""

import re

import pytest
from playwright.sync_api import expect

LONG = 45_000


def start(console, **fields):
    """Fills in the form for a new job and sends it; the job's id."""
    page = console.page
    for label, value in fields.items():
        page.get_by_label(label.replace("_", " "), exact=True).select_option(value)
    page.get_by_role("button", name="Start").click()
    expect(page).to_have_url(re.compile(r"#/jobs/"), timeout=LONG)
    return page.url.rpartition("/")[2]


def update_group(console, version, *, forced=False):
    console.go("Groups")
    console.row("lamps").get_by_role("link", name="Update").click()
    expect(console.page.get_by_label("Version").locator("option")).to_have_count(4)
    if forced:
        console.page.get_by_label("although it is not newer").check()
    return start(console, Version=version)


def test_a_group_is_updated_and_watched_to_its_end(console, width):
    console.sign_in()
    expect(console.page.get_by_role("heading", name="Devices")).to_be_visible()
    version = {1280: "1.9.0", 390: "1.10.0"}[width]
    update_group(console, version)
    page = console.page
    page.get_by_text("in progress").first.wait_for()
    console.picture("job")
    expect(page.get_by_text("3 of 3 devices done")).to_be_visible(timeout=LONG)
    expect(page.get_by_role("definition").filter(has_text="completed")).to_be_visible()
    expect(page.get_by_role("button", name="3 succeeded")).to_be_visible()
    console.row("lamp-1").get_by_role("button", name="Proof").click()
    expect(console.row("lamp-1")).to_contain_text(f"version {version}, slot ")
    assert console.fits()
    console.go("Devices")
    for name in ("lamp-1", "lamp-2", "lamp-3"):
        expect(console.row(name)).to_contain_text(f"lamp {version}")
    assert console.fits()
    console.picture("devices")


def test_who_is_connected_is_shown(console, lamps):
    lamps.server.client("iot").create_thing(thingName="lamp-dark")
    console.sign_in()
    expect(console.row("lamp-1")).to_contain_text("online")
    expect(console.row("lamp-dark")).to_contain_text("offline")
    console.page.get_by_role("link", name="lamp-1", exact=True).click()
    expect(console.page.get_by_role("definition").filter(has_text="online")).to_be_visible()


def test_versions_are_offered_from_new_to_old(console):
    console.sign_in()
    console.go("Software")
    rows = console.page.get_by_role("rowheader")
    expect(rows.first).to_have_text("2.0.0")
    assert rows.all_text_contents() == ["2.0.0", "1.10.0", "1.9.0", "1.0.0"]
    console.picture("software")
    assert console.fits()


def test_a_failure_tells_its_reason(console):
    console.sign_in()
    update_group(console, "2.0.0", forced=True)
    page = console.page
    expect(page.get_by_text("3 of 3 devices done")).to_be_visible(timeout=LONG)
    expect(console.row("lamp-1")).to_contain_text("rolled-back")
    expect(console.row("lamp-1")).to_contain_text("exit code 3")
    page.get_by_role("button", name="3 failed").click()
    expect(page.get_by_role("button", name="3 failed")).to_have_attribute("aria-pressed", "true")
    expect(page.get_by_role("rowheader")).to_have_count(3)
    assert console.fits()
    console.picture("failure")
    console.row("lamp-1").get_by_text("exit code 3").click()
    log = console.row("lamp-1").locator("pre")
    expect(log).to_be_visible()
    expect(log).to_have_text("no lamp")
    assert console.fits()
    page.get_by_role("link", name="lamp-1").click()
    expect(page.get_by_role("heading", name="lamp-1")).to_be_visible()
    expect(page.get_by_role("definition").filter(has_text="lamp 1.")).to_be_visible()
    expect(page.get_by_role("table")).to_contain_text("exit code 3")


def test_what_the_function_refuses_is_said_in_the_form(console):
    console.sign_in()
    console.go("New job")
    console.page.get_by_label("Name", exact=True).first.fill("nobody")
    expect(console.page.get_by_label("Version").locator("option")).to_have_count(4)
    console.page.get_by_role("button", name="Start").click()
    expect(
        console.page.get_by_role("alert").filter(has_text="There is no group named 'nobody'")
    ).to_be_visible()
    expect(console.page.get_by_role("button", name="Start")).to_be_enabled()
    assert [said for said in console.complaints if "404" not in said] == []
    console.complaints.clear()


def test_a_job_is_cancelled(console, lamps, width):
    thing = f"away-{width}"
    iot = lamps.server.client("iot")
    iot.create_thing(thingName=thing)
    console.sign_in()
    page = console.page
    console.go("New job")
    page.get_by_label("For a").select_option("device")
    page.get_by_label("Name", exact=True).first.fill(thing)
    expect(page.get_by_label("Version").locator("option")).to_have_count(4)
    job = start(console, Version="1.10.0")
    expect(console.row(thing)).to_contain_text("queued")
    device = page.get_by_role("link", name=thing).last
    device.focus()
    lamps.server.client("iot-jobs-data").start_next_pending_job_execution(thingName=thing)
    expect(console.row(thing)).to_contain_text("in progress", timeout=LONG)
    expect(device).to_be_focused()
    page.get_by_role("button", name="Cancel this job").click()
    page.get_by_label("Also stop devices").check()
    page.get_by_label("Why, for those who look later").fill("the wrong hall")
    console.picture("cancel")
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.get_by_role("definition").filter(has_text="the wrong hall")).to_be_visible()
    expect(console.row(thing)).to_contain_text("canceled")
    expect(page.get_by_role("button", name="Cancel this job")).to_be_hidden()
    told = iot.describe_job(jobId=job)["job"]
    assert (told["status"], told["comment"]) == ("CANCELED", "the wrong hall")


@pytest.mark.parametrize("width", [1280], indirect=True)
def test_a_configuration_goes_from_one_device_to_the_others(console, lamps):
    file = lamps.folder / "lamp-1" / "configuration.json"
    file.write_text('{"colour": "amber", "number": 7}')
    console.sign_in()
    page = console.page
    page.get_by_role("link", name="lamp-1", exact=True).click()
    page.get_by_role("link", name="Fetch configuration").click()
    start(console)
    console.row("lamp-1").get_by_role("link", name="Apply to others").click(timeout=LONG)
    page.get_by_label("Name", exact=True).first.fill("lamps")
    start(console)
    expect(page.get_by_text("3 of 3 devices done")).to_be_visible(timeout=LONG)
    expect(page.get_by_role("button", name="3 succeeded")).to_be_visible()
    for name in lamps.names:
        assert lamps.configuration(name) == {"colour": "amber", "number": 7}


@pytest.mark.parametrize("width", [1280], indirect=True)
def test_the_keyboard_is_enough(console):
    console.open()
    keyboard = console.page.keyboard
    expect(console.page.get_by_label("Access key ID")).to_be_focused()
    keyboard.type(console.server.access_key)
    keyboard.press("Tab")
    keyboard.type(console.server.secret_key)
    keyboard.press("Enter")
    expect(console.page.get_by_role("heading", name="Devices")).to_be_visible()
    expect(console.page.get_by_role("main")).to_be_focused()
    expect(console.page).to_have_title("Devices - Outfitter")
    keyboard.press("Tab")
    expect(console.page.get_by_role("searchbox", name="Find")).to_be_focused()
    keyboard.type("lamp-2")
    expect(console.page.get_by_role("rowheader")).to_have_count(1)


def test_the_key_is_kept_nowhere(console):
    console.sign_in()
    console.page.get_by_role("heading", name="Devices").wait_for()
    kept = "() => JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href])"
    assert console.server.secret_key not in console.page.evaluate(kept)
    assert console.page.evaluate("() => localStorage.length + sessionStorage.length") == 0
    console.page.reload()
    expect(console.page.get_by_role("heading", name="Sign in")).to_be_visible()
    console.sign_in()
    console.page.get_by_role("button", name="Sign out").click()
    expect(console.page.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(console.page.get_by_label("Secret access key")).to_have_value("")


def test_the_page_works_by_every_name_of_the_server(browser, lamps, opened):
    server = lamps.server
    with opened(browser, server, 1280, ignore_https_errors=True) as console:
        console.url = console.url.replace(server.http, f"https://localhost:{server.port('https')}")
        console.sign_in()
        expect(console.row("lamp-1")).to_be_visible()
        console.go("New job")
        page = console.page
        page.get_by_label("What").select_option("config-upload")
        page.get_by_label("For a").select_option("device")
        page.get_by_label("Name", exact=True).first.fill("lamp-2")
        start(console)
        expect(page.get_by_text("1 of 1 devices done")).to_be_visible(timeout=LONG)
