"""Names as long as they may be, and more of everything than one page of a listing."""

from contextlib import suppress

import pytest
from playwright.sync_api import expect

TWO_LINES = 56


@pytest.fixture(scope="module")
def server_of_many(make_server, tmp_path_factory, browser, deploy):
    """A server with a page, and what the tests put into it."""
    made = make_server(tmp_path_factory.mktemp("many") / "data")
    made.start()
    deploy(made)
    yield made
    made.close_clients()
    made.stop()


@pytest.fixture
def page_of(browser, server_of_many, opened, width):
    with opened(browser, server_of_many, width) as made:
        yield made


def test_names_of_any_length_stay_within_the_page(page_of, server_of_many):
    long = "x" * 120
    iot = server_of_many.client("iot")
    iot.create_thing(thingName=long, attributePayload={"attributes": {"y" * 120: "z" * 500}})
    iot.create_thing_group(thingGroupName=long)
    iot.add_thing_to_thing_group(thingGroupName=long, thingName=long)
    with suppress(iot.exceptions.ConflictException):
        iot.create_package(packageName=long)
    page_of.sign_in()
    page_of.page.get_by_role("heading", name="Devices").wait_for()
    for view in ("devices", f"devices/{long}", "groups", f"groups/{long}", "software"):
        page_of.page.evaluate(f"() => {{ location.hash = '#/{view}'; }}")
        page_of.page.get_by_text(long).first.wait_for()
        assert page_of.fits(), view
        for button in page_of.page.get_by_role("link", name="Update").all():
            assert button.bounding_box()["height"] < TWO_LINES, view


@pytest.mark.parametrize("width", [1280], indirect=True)
def test_what_is_beyond_the_first_page_is_found(page_of, server_of_many):
    iot = server_of_many.client("iot")
    for number in range(101):
        iot.create_package(packageName=f"soft-{number:03}")
        iot.create_package_version(packageName="soft-000", versionName=f"1.{number}.0")
    iot.create_thing(thingName="busy")
    for number in range(51):
        arn = "arn:aws:iot:us-east-1:000000000000:thing/busy"
        iot.create_job(jobId=f"busy-{number:02}", targets=[arn], document="{}")
    page_of.sign_in()
    page_of.page.get_by_role("heading", name="Devices").wait_for()
    page_of.go("Software")
    expect(page_of.page.get_by_text("soft-100", exact=True)).to_be_attached()
    page_of.page.get_by_text("soft-000", exact=True).click()
    expect(page_of.row("1.99.0")).to_be_visible()
    expect(page_of.row("1.100.0")).to_be_visible()
    page_of.page.evaluate("() => { location.hash = '#/devices/busy'; }")
    expect(page_of.row("busy-50")).to_be_visible()
    page_of.page.get_by_role("button", name="Show more").click()
    expect(page_of.row("busy-00")).to_be_visible()
