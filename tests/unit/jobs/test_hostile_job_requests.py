"""What nobody sends by accident: each is refused in words, and nothing of it reaches the store."""

import base64

import pytest
from outfitter_contract.topics import JobsRequest, Verb
from outfitter_server.base.installation import Installation
from outfitter_server.base.pages import decode_token
from outfitter_server.base.refusals import InvalidRequest, Unavailable
from outfitter_server.gateway import jobs_wire
from outfitter_server.jobs.details import details_problem
from outfitter_server.jobs.documents import compact, placeholders
from outfitter_server.jobs.targets import parse_targets
from outfitter_server.services.delivery import ObjectsEndpoint, check_placeholders

UPDATE = JobsRequest("t", Verb.UPDATE, "j")
OBJECT = "https://s3.us-east-1.amazonaws.com/bucket/key"


@pytest.mark.parametrize("member", ["expectedVersion", "executionNumber"])
@pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 2**200])
@pytest.mark.parametrize("written", ["{}", '"{}"'])
def test_numbers_beyond_64_bits_are_refused_at_the_door(member, number, written):
    payload = f'{{"status":"SUCCEEDED","{member}":{written.format(number)},"clientToken":"a"}}'
    refusal, token = jobs_wire.decode(UPDATE, payload.encode())
    assert isinstance(refusal, InvalidRequest)
    assert token == "a"


def test_the_largest_numbers_reach_the_engine():
    request, _ = jobs_wire.decode(UPDATE, b'{"status":"SUCCEEDED","executionNumber":"9223372036854775807"}')
    assert request.number == 2**63 - 1


def test_a_full_disk_is_a_fault_that_devices_retry():
    suffix, payload = jobs_wire.answer(UPDATE, Unavailable("the disk is full"), "a", 0, None)
    assert suffix == "/rejected"
    assert b'"code":"InternalError"' in payload


@pytest.mark.parametrize("value", ["\u200b", "\u00ad", "\ue000", "\ud800", "a\x85"])
def test_status_details_take_no_invisible_characters_through_any_door(value):
    assert "control characters" in details_problem({"key": value})


def test_status_details_take_every_visible_character():
    assert details_problem({"key": "Größe 5\u202f% \u3000 \U0001f600"}) is None


@pytest.mark.parametrize("text", ['{"a":"\\ud800"}', '{"\\udfff":1}', '{"a":"\ud800"}'])
def test_documents_with_half_characters_are_refused(text):
    with pytest.raises(InvalidRequest, match="document"):
        compact(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":"${aws:iot:s3-presigned-url}"}',
        '{"a":"${aws:iot:s3-presigned-url:' + OBJECT + '{1}}"}',
        '{"a":"${aws:iot:s3-presigned-url:' + OBJECT + '","b":"}"}',
        '{"a":"${aws:iot:S3-presigned-url:' + OBJECT + '}"}',
    ],
)
def test_a_placeholder_that_is_not_one_is_refused_rather_than_delivered(text):
    with pytest.raises(InvalidRequest, match="placeholder"):
        placeholders(compact(text))


def test_a_placeholder_may_be_written_with_escapes():
    text = '{"a":"\\u0024{aws:iot:s3-presigned-url:' + OBJECT.replace("/", "\\/") + '\\"}"}'
    (found,) = placeholders(compact(text))
    assert found.argument == OBJECT + '"'


def test_upload_keywords_are_refused_when_unknown():
    text = '{"a":"${aws:iot:s3-presigned-url-upload:' + OBJECT + '/${deviceName}}"}'
    with pytest.raises(InvalidRequest, match="deviceName"):
        check_placeholders(compact(text), thing="t", job="j", role_arn="arn")


@pytest.mark.parametrize(
    "key", ["[9223372036854775808]", "[-9223372036854775809]", '["\\ud800"]', "[" * 9000]
)
def test_page_tokens_that_no_listing_gave_out_are_refused(key):
    token = base64.urlsafe_b64encode(key.encode()).decode()
    for kind in (int, str):
        with pytest.raises(InvalidRequest, match="nextToken"):
            decode_token(token, kind)


def test_one_target_by_two_arns_is_one_target():
    arns = [f"arn:aws:iot:{region}:000000000000:thing/t" for region in ("us-east-1", "eu-central-1")]
    assert [target.name for target in parse_targets(arns, Installation())] == ["t"]


@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_urls_write_an_address_of_version_6_in_one_pair_of_brackets(host):
    endpoint = ObjectsEndpoint(scheme="http", port=4566)
    assert endpoint.authority(host, None) == "[::1]:4566"
