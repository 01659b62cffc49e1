"""The rules of the file store, on their own."""

import base64
import json

import pytest
from awscrt import checksums as aws
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.objects.bucket_policy import Decision, decide, parse_bucket_policy
from outfitter_server.objects.checksums import Algorithm, ChecksumType, combine, encode, new_digest
from outfitter_server.objects.conditions import (
    ByteRange,
    Conditions,
    Verdict,
    judge_read,
    parse_range,
    range_applies,
)
from outfitter_server.objects.cors import CorsRule, match_rules
from outfitter_server.objects.listing import ListingRequest, list_keys, start_after
from outfitter_server.objects.names import is_bucket_name
from outfitter_server.objects.refusals import InvalidRange, MalformedBucketPolicy, NotSupported
from outfitter_server.objects.urls import ObjectAddress, parse_object_url


@pytest.mark.parametrize(
    "url",
    [
        "https://s3.amazonaws.com/buck/a/key%20b",
        "https://s3.eu-west-1.amazonaws.com/buck/a/key%20b",
        "https://s3-eu-west-1.amazonaws.com/buck/a/key%20b",
        "https://s3.dualstack.eu-west-1.amazonaws.com/buck/a/key%20b",
        "https://buck.s3.amazonaws.com/a/key%20b",
        "https://buck.s3.eu-west-1.amazonaws.com/a/key%20b",
        "https://buck.s3-eu-west-1.amazonaws.com/a/key%20b",
        "https://s3.store.test:4566/buck/a/key%20b",
        "s3://buck/a/key%20b",
    ],
)
def test_every_form_of_object_url(url):
    assert parse_object_url(url) == ObjectAddress(bucket="buck", key="a/key b")
    assert parse_object_url(url + "?versionId=7") == ObjectAddress(
        bucket="buck", key="a/key b", version_id="7"
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/buck/key",
        "https://s3.amazonaws.com/buck",
        "s3://B/key",
        "ftp://s3.x/b/k",
        "http://[x",
        "",
    ],
)
def test_other_urls_name_no_object(url):
    assert parse_object_url(url) is None


def test_dots_in_virtual_hosts_belong_to_the_bucket():
    address = parse_object_url("https://my.s3.bucket.s3.eu-west-1.amazonaws.com/k")
    assert address == ObjectAddress(bucket="my.s3.bucket", key="k")


@pytest.mark.parametrize(
    ("name", "valid"),
    [
        ("abc", True),
        ("a.b-c", True),
        ("ab", False),
        ("a" * 64, False),
        ("Abc", False),
        ("a..b", False),
        ("10.0.0.1", False),
        ("xn--abc", False),
        ("-abc", False),
    ],
)
def test_bucket_names(name, valid):
    assert is_bucket_name(name) is valid


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", ByteRange(start=0, length=1)),
        ("bytes=5-", ByteRange(start=5, length=5)),
        ("bytes=-3", ByteRange(start=7, length=3)),
        ("bytes=-30", ByteRange(start=0, length=10)),
        ("bytes=2-999", ByteRange(start=2, length=8)),
        ("bytes=5-4", None),
        ("bytes=0-1,3-4", None),
        ("items=0-1", None),
        ("bytes=-", None),
        (None, None),
    ],
)
def test_ranges(header, expected):
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0)])
def test_ranges_outside(header, size):
    with pytest.raises(InvalidRange):
        parse_range(header, size)


def test_conditions():
    date, later = "Mon, 23 Nov 2026 15:00:00 GMT", "Mon, 23 Nov 2026 15:00:01 GMT"
    at = 1_795_446_000_500
    for conditions, verdict in (
        (Conditions(if_match='"e"'), Verdict.PROCEED),
        (
            Conditions(if_match='"x", "e"', if_unmodified_since="Mon, 23 Nov 2020 15:00:00 GMT"),
            Verdict.PROCEED,
        ),
        (Conditions(if_match='"x"'), Verdict.FAILED),
        (Conditions(if_none_match="*"), Verdict.NOT_MODIFIED),
        (Conditions(if_none_match='W/"e"'), Verdict.NOT_MODIFIED),
        (Conditions(if_none_match='"x"', if_modified_since=later), Verdict.PROCEED),
        (Conditions(if_modified_since=date), Verdict.NOT_MODIFIED),
        (Conditions(if_modified_since="gibberish"), Verdict.PROCEED),
        (Conditions(if_unmodified_since=date), Verdict.PROCEED),
    ):
        assert judge_read(conditions, "e", at) is verdict, conditions
    assert range_applies('"e"', "e", at)
    assert not range_applies('"x"', "e", at)
    assert range_applies(date, "e", at)
    assert not range_applies(later, "e", at)


class Row:
    def __init__(self, key):
        self.key = key


def page(keys, request, tell=lambda limit: None):
    walk = list_keys(request)
    seek = next(walk)
    while True:
        tell(seek.limit)
        rows = [Row(key) for key in keys if key >= seek.start][: seek.limit]
        try:
            seek = walk.send(rows)
        except StopIteration as done:
            return done.value


KEYS = st.lists(st.text(alphabet="ab/\U0010ffff", min_size=1, max_size=6), unique=True, max_size=25)


@given(
    KEYS,
    st.sampled_from(["", "a", "a/", "/"]),
    st.sampled_from(["", "/", "ab"]),
    st.integers(1, 5),
    st.booleans(),
)
def test_pages_add_up_to_the_whole_listing(keys, prefix, delimiter, size, by_marker):
    keys = sorted(keys)
    expected = []
    for key in keys:
        if key.startswith(prefix):
            at = key.find(delimiter, len(prefix)) if delimiter else -1
            entry = key if at < 0 else key[: at + len(delimiter)]
            if entry not in expected:
                expected.append(entry)
    seen, start = [], prefix
    while start is not None:
        found = page(keys, ListingRequest(prefix=prefix, delimiter=delimiter, start=start, keys_max=size))
        entries = sorted([*(row.key for row in found.rows), *found.common_prefixes])
        assert len(entries) <= size
        seen += entries
        if found.next_start is None:
            break
        start = start_after(found.last, prefix, delimiter) if by_marker else found.next_start
    assert seen == sorted(expected)


def test_a_page_of_full_folders_reads_few_of_their_keys():
    keys = [f"{folder:03}/{name:03}" for folder in range(60) for name in range(100)]
    limits = []
    found = page(keys, ListingRequest(delimiter="/", keys_max=50), limits.append)
    assert len(found.common_prefixes) == 50
    assert sum(limits) < 50 * 10


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_crcs_are_those_of_aws_and_combine(first, second):
    theirs = {Algorithm.CRC32: aws.crc32, Algorithm.CRC32C: aws.crc32c, Algorithm.CRC64NVME: aws.crc64nvme}
    for algorithm, reference in theirs.items():
        digest = new_digest(algorithm)
        digest.update(first)
        digest.update(second)
        assert int.from_bytes(digest.digest(), "big") == reference(first + second)
        parts = []
        for piece in (first, second):
            digest = new_digest(algorithm)
            digest.update(piece)
            parts.append((encode(digest.digest()), len(piece)))
        whole = combine(algorithm, ChecksumType.FULL_OBJECT, parts)
        assert int.from_bytes(base64.b64decode(whole.value), "big") == reference(first + second)


def policy(**changed):
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:Get*",
        "Resource": "arn:aws:s3:::buck/*",
    } | changed
    return parse_bucket_policy(json.dumps({"Version": "2012-10-17", "Statement": statement}), "buck")


def test_policies_decide():
    arn = "arn:aws:s3:::buck/k"
    allow, deny = policy(), policy(Effect="Deny", Resource="arn:aws:s3:::buck/secret?")
    assert decide(allow, [], "s3:GetObject", arn) is Decision.ALLOW
    assert decide(allow, [], "s3:PutObject", arn) is Decision.SILENT
    assert decide(allow, [], "s3:GetObject", "arn:aws:s3:::buck") is Decision.SILENT
    assert decide(allow + deny, [], "s3:GetObject", "arn:aws:s3:::buck/secret1") is Decision.DENY
    named = policy(Principal={"AWS": ["arn:aws:iam::000000000000:root"]})
    assert decide(named, [], "s3:GetObject", arn) is Decision.SILENT
    assert decide(named, ["arn:aws:iam::000000000000:root"], "s3:GetObject", arn) is Decision.ALLOW


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"Effect": "Maybe"}, MalformedBucketPolicy),
        ({"Resource": "arn:aws:s3:::other/*"}, MalformedBucketPolicy),
        ({"Action": "iot:Connect"}, MalformedBucketPolicy),
        ({"Principal": None}, MalformedBucketPolicy),
        ({"Whatever": 1}, MalformedBucketPolicy),
        ({"Condition": {"Bool": {"aws:SecureTransport": "true"}}}, NotSupported),
    ],
)
def test_policies_that_cannot_be_kept_are_refused(changed, error):
    with pytest.raises(error):
        policy(**changed)


def test_cors_takes_the_first_rule_that_fits():
    rules = [
        CorsRule(origins=("https://a.test",), methods=("PUT",), headers=("x-*",)),
        CorsRule(origins=("*",), methods=("GET",)),
    ]
    assert match_rules(rules, "https://a.test", "PUT", ["X-Any"]).with_credentials
    assert match_rules(rules, "https://a.test", "PUT", ["other"]) is None
    assert match_rules(rules, "https://b.test", "GET").origin == "*"
    assert match_rules(rules, "https://b.test", "DELETE") is None
