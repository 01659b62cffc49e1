"""The state table, the topic grammar and the placeholders, against tables written down here by hand.

The same tables in docs/reference are read back: what is documented is what is tested.
"""

import re
from pathlib import Path

import pytest
from outfitter_contract import topics
from outfitter_contract.execution import DEVICE_MAY_SET, PENDING, TERMINAL, Actor, Status, may_move
from outfitter_contract.topics import JobsRequest, Verb
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.jobs import documents
from outfitter_server.jobs.documents import Placeholder, PlaceholderKind
from outfitter_server.services.delivery import check_placeholders, placeholder_address

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference"

# AWS IoT developer guide, "Jobs and job execution states"; d: the device may, s: the service may, b: both.
#               QUEUED  IN_PROGRESS  SUCCEEDED  FAILED  REJECTED  TIMED_OUT  REMOVED  CANCELED
STATES = """
QUEUED            -         d            d        d        d          -         s        s
IN_PROGRESS       -         d            d        d        d          s         -        s
SUCCEEDED         -         -            -        -        -          -         -        -
FAILED            -         -            -        -        -          -         -        -
REJECTED          -         -            -        -        -          -         -        -
TIMED_OUT         -         -            -        -        -          -         -        -
REMOVED           -         -            -        -        -          -         -        -
CANCELED          -         -            -        -        -          -         -        -
"""
MOVES = [
    (Status(line.split()[0]), target, mark)
    for line in STATES.strip().splitlines()
    for target, mark in zip(Status, line.split()[1:], strict=True)
]


@pytest.mark.parametrize(("current", "target", "mark"), MOVES)
def test_who_may_move_an_execution_where(current, target, mark):
    assert may_move(current, target, Actor.DEVICE) is (mark in "db")
    assert may_move(current, target, Actor.SERVICE) is (mark in "sb")


def test_the_states_fall_into_pending_and_ended():
    assert {"QUEUED", "IN_PROGRESS"} == PENDING
    assert {"SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "REMOVED", "CANCELED"} == TERMINAL
    assert {"IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED"} == DEVICE_MAY_SET


def rows(document, block):
    """The cells of a generated table, without its head."""
    text = (REFERENCE / document).read_text("utf-8")
    found = re.search(rf"<!-- begin {block} -->\n(.*?)\n<!-- end {block} -->", text, re.DOTALL)
    return [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in found[1].splitlines()[2:]]


def test_the_documented_states_are_the_tested_ones():
    assert [row[0].strip("`") for row in rows("execution-states.md", "statuses")] == [*Status]
    documented = {
        (current.strip("`"), target.strip("`"), actor)
        for current, by_device, by_service in rows("execution-states.md", "transitions")
        for actor, targets in (("d", by_device), ("s", by_service))
        for target in targets.split(", ")
    }
    assert documented == {(current, target, mark) for current, target, mark in MOVES if mark != "-"}


LONGEST_THING, LONGEST_JOB = "t" * 128, "j" * 64
REQUESTS = [
    ("$aws/things/T/jobs/get", JobsRequest("T", Verb.GET_PENDING)),
    ("$aws/things/T/jobs/start-next", JobsRequest("T", Verb.START_NEXT)),
    ("$aws/things/T/jobs/$next/get", JobsRequest("T", Verb.DESCRIBE, "$next")),
    ("$aws/things/T/jobs/j-1_A/get", JobsRequest("T", Verb.DESCRIBE, "j-1_A")),
    ("$aws/things/T/jobs/j-1_A/update", JobsRequest("T", Verb.UPDATE, "j-1_A")),
    ("$aws/things/a:b_c-D/jobs/get", JobsRequest("a:b_c-D", Verb.GET_PENDING)),
    (f"$aws/things/{LONGEST_THING}/jobs/get", JobsRequest(LONGEST_THING, Verb.GET_PENDING)),
    (f"$aws/things/T/jobs/{LONGEST_JOB}/get", JobsRequest("T", Verb.DESCRIBE, LONGEST_JOB)),
    # Jobs whose id is a word of the grammar hide nothing.
    ("$aws/things/T/jobs/get/get", JobsRequest("T", Verb.DESCRIBE, "get")),
    ("$aws/things/T/jobs/start-next/update", JobsRequest("T", Verb.UPDATE, "start-next")),
    ("$aws/things/T/jobs/update/update", JobsRequest("T", Verb.UPDATE, "update")),
    ("$aws/things/jobs/jobs/notify/get", JobsRequest("jobs", Verb.DESCRIBE, "notify")),
]
NO_REQUESTS = [
    "",
    "$aws",
    "$aws/things/T/jobs",
    "$aws/things/T/jobs/",
    "$aws/things/T/jobs/update",
    "$aws/things/T/jobs/notify",
    "$aws/things/T/jobs/notify-next",
    "$aws/things/T/jobs/get/accepted",
    "$aws/things/T/jobs/start-next/rejected",
    "$aws/things/T/jobs/j/get/accepted",
    "$aws/things/T/jobs/j/update/rejected",
    "$aws/things/T/jobs/$next/update",
    "$aws/things/T/jobs/j/get/",
    "$aws/things/T/jobs//get",
    "$aws/things//jobs/get",
    "$aws/things/T/jobs/a.b/get",
    "$aws/things/T/jobs/get\n",
    "$aws/things/ä/jobs/get",
    "$aws/things/T/shadow/get",
    "aws/things/T/jobs/get",
    "$AWS/things/T/jobs/get",
    "/$aws/things/T/jobs/get",
    f"$aws/things/{LONGEST_THING}t/jobs/get",
    f"$aws/things/T/jobs/{LONGEST_JOB}j/update",
]


@pytest.mark.parametrize(("topic", "request_"), REQUESTS)
def test_topics_that_are_requests(topic, request_):
    assert topics.parse_request(topic) == request_
    assert topics.is_jobs_topic(topic)


@pytest.mark.parametrize("topic", NO_REQUESTS)
def test_topics_that_are_no_requests(topic):
    assert topics.parse_request(topic) is None


def test_the_documented_topics_are_requests_and_cover_every_verb():
    found = []
    for _operation, words, answers in rows("topics.md", "requests"):
        word = words.strip("`")
        assert answers == f"`{word}/accepted`, `{word}/rejected`"
        found.append(topics.parse_request(topics.jobs_prefix("T") + word.replace("{jobId}", "j")).verb)
    assert sorted(found) == sorted(Verb)
    notices = [row[0].strip("`") for row in rows("topics.md", "notifications")]
    assert [topics.jobs_prefix("T") + word for word in notices] == [
        topics.notify("T"),
        topics.notify_next("T"),
    ]


URL = "https://s3.us-east-1.amazonaws.com/images/a/b.tar.gz"
PLACEHOLDERS = [
    (f"${{aws:iot:s3-presigned-url:{URL}}}", "s3-presigned-url", ("images", "a/b.tar.gz")),
    (f"${{aws:iot:s3-presigned-url-v1:{URL}}}", "s3-presigned-url-v1", ("images", "a/b.tar.gz")),
    (f"${{aws:iot:s3-presigned-url-v2:{URL}}}", "s3-presigned-url-v2", ("images", "a/b.tar.gz")),
    (f"${{aws:iot:s3-presigned-url-upload:{URL}}}", "s3-presigned-url-upload", ("images", "a/b.tar.gz")),
    (
        "${aws:iot:s3-presigned-url:https://s3.amazonaws.com/images/my file}",
        "s3-presigned-url",
        ("images", "my file"),
    ),
    (
        "${aws:iot:s3-presigned-url:https://s3.amazonaws.com/images/50%20+1?versionId=x#y}",
        "s3-presigned-url",
        ("images", "50%20+1?versionId=x#y"),
    ),
    (
        "${aws:iot:s3-presigned-url-v2:https://images.s3.eu-west-1.amazonaws.com/my%20file}",
        "s3-presigned-url-v2",
        ("images", "my file"),
    ),
    (
        "${aws:iot:s3-presigned-url-v2:https://images.s3.amazonaws.com/a%3FversionId%3Dnull}",
        "s3-presigned-url-v2",
        ("images", "a", "null"),
    ),
    (
        "${aws:iot:s3-presigned-url-upload:https://s3.amazonaws.com/logs/${thingName}/${jobId}-${executionNumber}}",
        "s3-presigned-url-upload",
        ("logs", "${thingName}/${jobId}-${executionNumber}"),
    ),
]
REFUSED = [
    "${aws:iot:s3-presigned-url-v3:https://s3.amazonaws.com/b/k}",
    "${aws:iot:parameter:name}",
    "${aws:iot:package:p:version:1:attributes:a}",
    "${aws:iot:s3-presigned-url:https://example.com/bucket/k}",
    "${aws:iot:s3-presigned-url:https://s3.amazonaws.com/bucket}",
    "${aws:iot:s3-presigned-url:text}",
    "${aws:iot:s3-presigned-url-upload:https://s3.amazonaws.com/bucket/${other}}",
    "${aws:iot:s3-presigned-url-upload:https://s3.amazonaws.com/bucket/" + "${jobId}" * 3 + "}",
]
PLAIN = ["", "${}", "$aws:iot:", "${other:thing}", "text ${aws:iot", "${thingName}"]


@pytest.mark.parametrize(("text", "kind", "address"), PLACEHOLDERS)
def test_placeholders_that_are_filled_in(text, kind, address):
    delivered = documents.compact(f'{{"url": "{text}"}}')
    (found,) = documents.placeholders(delivered)
    assert found.kind is PlaceholderKind(kind)
    place = placeholder_address(found)
    assert (place.bucket, place.key, place.version_id) == (*address, None)[:3]
    check_placeholders(delivered, thing="t", job="j", role_arn="arn:aws:iam::000000000000:role/r")
    filled = documents.substituted(delivered, lambda given: f"[{given.kind}]")
    assert filled == f'{{"url":"[{kind}]"}}'


@pytest.mark.parametrize("text", [text for text, _, _ in PLACEHOLDERS])
def test_placeholders_need_a_role(text):
    with pytest.raises(InvalidRequest, match="roleArn"):
        check_placeholders(f'{{"url":"{text}"}}', thing="t", job="j", role_arn=None)


@pytest.mark.parametrize("text", REFUSED)
def test_placeholders_that_refuse_the_job(text):
    with pytest.raises(InvalidRequest):
        check_placeholders(f'{{"url":"{text}"}}', thing="t", job="j", role_arn="arn:aws:iam::0:role/r")


@pytest.mark.parametrize("text", PLAIN)
def test_text_that_is_no_placeholder_stays(text):
    delivered = f'{{"url":"{text}"}}'
    assert documents.placeholders(delivered) == []
    assert documents.substituted(delivered, lambda _: "filled") == delivered


def test_ten_placeholders_are_allowed_and_an_eleventh_is_not():
    one = f'"${{aws:iot:s3-presigned-url:{URL}}}"'
    assert len(documents.placeholders(f"[{','.join([one] * 10)}]")) == 10
    with pytest.raises(InvalidRequest):
        documents.placeholders(f"[{','.join([one] * 11)}]")


def test_an_argument_is_read_as_the_json_string_that_it_stands_in():
    delivered = documents.compact(
        '{"url": "${aws:iot:s3-presigned-url:https://s3.amazonaws.com/b/a\\"b\\\\c}"}'
    )
    assert documents.placeholders(delivered) == [
        Placeholder(PlaceholderKind.DOWNLOAD, 'https://s3.amazonaws.com/b/a"b\\c')
    ]
    assert documents.substituted(delivered, lambda _: 'x"y') == '{"url":"x\\"y"}'


def test_the_documented_placeholders_are_the_tested_ones():
    documented = [
        (row[0].strip("`"), row[1], row[2].partition(";")[0])
        for row in rows("placeholders.md", "placeholders")
    ]
    kinds = [re.fullmatch(r"\$\{aws:iot:([\w-]+):URL\}", text)[1] for text, _, _ in documented]
    assert kinds == [*PlaceholderKind]
    assert {kind for _, kind, _ in PLACEHOLDERS} == set(kinds)
    assert [method for _, method, _ in documented] == ["GET", "GET", "GET", "PUT"]
