import pytest
from outfitter_server.gateway.routes import Destination, Interest, Route, interest

T = "$aws/things/T/jobs"


@pytest.mark.parametrize(
    ("topic", "destination"),
    [
        ("free", Destination.FREE),
        ("a/b c/ü", Destination.FREE),
        ("a/+", Destination.INVALID),
        ("", Destination.INVALID),
        (f"{T}/get", Destination.JOBS),
        (f"{T}/start-next", Destination.JOBS),
        (f"{T}/$next/get", Destination.JOBS),
        (f"{T}/get/get", Destination.JOBS),
        (f"{T}/j/update", Destination.JOBS),
        (f"{T}/$next/update", Destination.UNKNOWN_JOBS),
        (f"{T}/j/delete", Destination.UNKNOWN_JOBS),
        (f"{T}/", Destination.UNKNOWN_JOBS),
        (f"{T}/j/update/accepted", Destination.RESERVED),
        (f"{T}/get/rejected", Destination.RESERVED),
        (f"{T}/notify", Destination.RESERVED),
        (f"{T}/notify-next", Destination.RESERVED),
        ("$aws/things/T/shadow/update", Destination.RESERVED),
        ("$aws/events/x", Destination.RESERVED),
        ("$aws/rules/r/a", Destination.INGEST),
        ("$SYS/x", Destination.RESERVED),
    ],
)
def test_where_a_topic_leads(topic, destination):
    assert Route(topic).destination is destination


@pytest.mark.parametrize(
    ("topic_filter", "wish", "thing"),
    [
        ("a/+/#", Interest.FREE, ""),
        ("#", Interest.FREE, ""),
        (f"{T}/notify", Interest.NOTICE, "T"),
        (f"{T}/notify-next", Interest.NOTICE, "T"),
        (f"{T}/#", Interest.NOTICES, "T"),
        (f"{T}/+", Interest.NOTICES, "T"),
        ("$aws/things/+/jobs/notify", Interest.NOTICES, "+"),
        ("$aws/things/#", Interest.NOTICES, "+"),
        ("$aws/things/T/#", Interest.NOTICES, "T"),
        (f"{T}/get/+", Interest.SILENT, "T"),
        (f"{T}/+/update/accepted", Interest.SILENT, "T"),
        ("$aws/events/job/#", Interest.FREE, ""),
        ("$aws/#", Interest.RESERVED, ""),
        ("$SYS/#", Interest.RESERVED, ""),
        ("$share/g/a", Interest.SHARED, ""),
        ("a/#/b", Interest.INVALID, ""),
    ],
)
def test_what_a_filter_asks_for(topic_filter, wish, thing):
    found, of = interest(topic_filter)
    assert found is wish
    assert of == thing or wish is Interest.SILENT
