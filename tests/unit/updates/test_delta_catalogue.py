"""Which deltas a job names, and what it says when the store does not tell of any."""

import json

from outfitter_contract.document import DELTAS_MAX, DeltaPolicy, parse_document
from outfitter_updates.catalogue.deltas import delta_at, delta_location, worth_sending
from outfitter_updates.catalogue.software import Image, Location, Publication, SoftwareVersion
from outfitter_updates.operations.update import job_document

PUMP = SoftwareVersion(
    image=Image(name="pump", version="1.4.0", device_types=("pc",), sha256="a" * 64, size_bytes=1000),
    publication=Publication.PUBLISHED,
    location=Location(bucket="b", key="software/pump/1.4.0/pump-1.4.0.tar.gz"),
)


def digest(number):
    return f"{number:064x}"


def stored(base, size=10, own=0):
    return delta_at(delta_location(PUMP, digest(base), digest(own)), size)


def test_the_name_in_the_store_tells_what_it_is():
    found = stored(1, 10, 2)
    assert found.location.key == f"software/pump/1.4.0/pump-1.4.0.tar.gz.deltas/{digest(1)}.{digest(2)}"
    assert (found.base, found.sha256, found.size_bytes) == (digest(1), digest(2), 10)
    assert delta_at(Location(bucket="b", key="software/pump/notes.txt"), 10) is None


def test_a_job_names_the_smallest_of_each_base_and_not_too_many():
    assert worth_sending([stored(1, 1000)], PUMP) == (), "as large as the image"
    assert worth_sending([stored(1, 20, 1), stored(1, 10, 2), stored(1, 30, 3)], PUMP) == (stored(1, 10, 2),)
    newest_first = [stored(base) for base in range(DELTAS_MAX + 3)]
    assert worth_sending(newest_first, PUMP) == tuple(newest_first[:DELTAS_MAX])


def test_the_document_is_what_devices_read():
    told = job_document(
        PUMP, forced=False, region="us-east-1", deltas=(stored(1, 10, 2),), delta_policy=DeltaPolicy.FAIL
    )
    document = parse_document(json.loads(json.dumps(told)))
    (delta,) = document.deltas
    assert (delta.base, delta.sha256, delta.size) == (digest(1), digest(2), 10)
    assert delta.url.startswith(
        "${aws:iot:s3-presigned-url-v2:https://s3.us-east-1.amazonaws.com/b/software/"
    )
    assert document.delta_policy is DeltaPolicy.FAIL
    assert "delta_policy" not in job_document(PUMP, forced=False, region="us-east-1")
