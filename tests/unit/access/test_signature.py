import datetime as dt
import hashlib
from unittest.mock import patch
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.access.signature import (
    EMPTY_SHA256,
    UNSIGNED_PAYLOAD,
    Credentials,
    SignatureRefused,
    SignedRequest,
    chunk_signature,
    declared_payload_hash,
    presign_url,
    read_claim,
    trailer_signature,
    verify,
)

NOW = 1_700_000_000_000
ROOT = Credentials(access_key_id="AKIDEXAMPLE", secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
TEMPORARY = Credentials(access_key_id="ASIA1", secret_access_key="s3cr3t/+", session_token="tok/en+==")

characters = st.characters(exclude_categories=("Cs", "Cc"))
segments = st.lists(st.text(characters, min_size=1, max_size=12), max_size=4)
queries = st.dictionaries(
    st.text(characters, min_size=1, max_size=8).filter(lambda name: not name.startswith("X-Amz-")),
    st.text(characters, max_size=12),
    max_size=4,
)
header_values = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=20).map(str.strip)
extra_headers = st.dictionaries(
    st.from_regex(r"x-amz-meta-[a-z0-9]{1,6}", fullmatch=True), header_values, max_size=3
)


def frozen_clock(milliseconds=NOW):
    moment = dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    return patch("botocore.auth.get_current_datetime", return_value=moment.replace(tzinfo=None))


def signed_by_botocore(auth, *, method="GET", path="/", query=None, body=b"", headers=None):
    request = AWSRequest(
        method=method,
        url="http://127.0.0.1:4566" + path,
        params=query or {},
        data=body,
        headers={"Host": "127.0.0.1:4566", **(headers or {})},
    )
    with frozen_clock():
        auth.add_auth(request)
    prepared = request.prepare()
    parts = urlsplit(prepared.url)
    names = {"Host": "127.0.0.1:4566", **prepared.headers}
    lowered = {
        name.lower(): value.decode() if isinstance(value, bytes) else value for name, value in names.items()
    }
    return SignedRequest(
        method=method,
        raw_path=parts.path,
        raw_query=parts.query,
        headers=tuple(lowered.items()),
        payload_hash=hashlib.sha256(body).hexdigest(),
    )


def boto(credentials):
    return BotoCredentials(
        credentials.access_key_id, credentials.secret_access_key, credentials.session_token
    )


def check(request, credentials=ROOT, now=NOW):
    claim = read_claim(request.method, request.raw_path, request.raw_query, request.headers)
    assert claim is not None
    assert claim.access_key_id == credentials.access_key_id
    if claim.service == "s3":
        request = replace_hash(request, declared_payload_hash(claim, dict(request.headers)))
    return claim, verify(request, claim, credentials, now)


def replace_hash(request, payload_hash):
    return SignedRequest(
        method=request.method,
        raw_path=request.raw_path,
        raw_query=request.raw_query,
        headers=request.headers,
        payload_hash=payload_hash,
    )


def refusal(request, credentials=ROOT, now=NOW):
    with pytest.raises(SignatureRefused) as caught:
        check(request, credentials, now)
    return caught.value.code


@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH"]),
    names=segments,
    query=queries,
    body=st.binary(max_size=64),
    headers=extra_headers,
    service=st.sampled_from(["iot", "iot-jobs-data", "sts"]),
    region=st.sampled_from(["us-east-1", "eu-north-1", "anywhere"]),
    credentials=st.sampled_from([ROOT, TEMPORARY]),
)
def test_what_botocore_signs_is_accepted(method, names, query, body, headers, service, region, credentials):
    path = "/" + "/".join(quote(name, safe="-._~") for name in names)
    request = signed_by_botocore(
        SigV4Auth(boto(credentials), service, region),
        method=method,
        path=path,
        query=query,
        body=body,
        headers=headers,
    )
    claim, context = check(request, credentials)
    assert (claim.service, claim.region, claim.presigned) == (service, region, False)
    assert context.seed_signature == claim.signature


@given(names=segments, query=queries, headers=extra_headers, credentials=st.sampled_from([ROOT, TEMPORARY]))
def test_what_botocore_signs_for_s3_is_accepted(names, query, headers, credentials):
    path = "/" + "/".join(quote(name, safe="-._~") for name in names)
    request = signed_by_botocore(
        S3SigV4Auth(boto(credentials), "s3", "us-east-1"),
        method="PUT",
        path=path,
        query=query,
        headers=headers,
    )
    check(request, credentials)


@given(names=segments, query=queries, credentials=st.sampled_from([ROOT, TEMPORARY]), s3=st.booleans())
def test_what_botocore_presigns_is_accepted(names, query, credentials, s3):
    path = "/" + "/".join(quote(name, safe="-._~") for name in names)
    auth = (S3SigV4QueryAuth if s3 else SigV4QueryAuth)(
        boto(credentials), "s3" if s3 else "iot", "us-east-1", expires=60
    )
    request = signed_by_botocore(auth, path=path, query=query)
    claim, _ = check(request, credentials)
    assert claim.presigned
    assert claim.expires_seconds == 60


@given(
    method=st.sampled_from(["GET", "PUT"]),
    names=segments,
    query=queries,
    credentials=st.sampled_from([ROOT, TEMPORARY]),
    service=st.sampled_from(["s3", "iot"]),
)
def test_what_we_presign_is_what_botocore_would_and_verifies(method, names, query, credentials, service):
    path = "/" + "/".join(quote(name, safe="-._~") for name in names)
    url = presign_url(
        method=method,
        scheme="http",
        host="127.0.0.1:4566",
        raw_path=path,
        query=query,
        region="us-east-1",
        service=service,
        credentials=credentials,
        expires_seconds=60,
        now=NOW,
    )
    parts = urlsplit(url)
    auth = (S3SigV4QueryAuth if service == "s3" else SigV4QueryAuth)(
        boto(credentials), service, "us-east-1", expires=60
    )
    theirs = signed_by_botocore(auth, method=method, path=path, query=query)
    assert sorted(parts.query.split("&")) == sorted(theirs.raw_query.split("&"))
    check(
        SignedRequest(
            method=method,
            raw_path=parts.path,
            raw_query=parts.query,
            headers=(("host", "127.0.0.1:4566"),),
            payload_hash=EMPTY_SHA256,
        ),
        credentials,
    )


@pytest.mark.parametrize("path", ["/a//b", "/a/./b/", "/a/../../b", "/a/b/..", "//"])
def test_dot_segments_are_signed_removed_except_for_s3(path):
    check(signed_by_botocore(SigV4Auth(boto(ROOT), "iot", "us-east-1"), path=path))
    check(signed_by_botocore(S3SigV4Auth(boto(ROOT), "s3", "us-east-1"), path=path))


def test_s3_keys_with_bare_legal_characters_may_be_signed_encoded():
    request = signed_by_botocore(S3SigV4Auth(boto(ROOT), "s3", "us-east-1"), path="/b/a%281%29%2Bb.txt")
    bare = SignedRequest(
        method="GET",
        raw_path="/b/a(1)+b.txt",
        raw_query="",
        headers=request.headers,
        payload_hash=EMPTY_SHA256,
    )
    check(bare)


def iot_request(**options):
    return signed_by_botocore(SigV4Auth(boto(ROOT), "iot", "us-east-1"), **options)


def changed(request, **changes):
    fields = {name: getattr(request, name) for name in SignedRequest.__slots__}
    return SignedRequest(**{**fields, **changes})


@pytest.mark.parametrize(
    "change",
    [
        {"method": "DELETE"},
        {"raw_path": "/things/other"},
        {"raw_query": "force=true"},
        {"payload_hash": hashlib.sha256(b"other").hexdigest()},
    ],
)
def test_any_change_to_what_was_signed_is_refused(change):
    request = iot_request(method="PUT", path="/things/t", body=b"{}")
    assert refusal(changed(request, **change)) == "SignatureDoesNotMatch"


def test_a_changed_host_is_refused():
    request = iot_request()
    headers = tuple((name, "evil.example" if name == "host" else value) for name, value in request.headers)
    assert refusal(changed(request, headers=headers)) == "SignatureDoesNotMatch"


def test_another_secret_is_refused():
    other = Credentials(access_key_id=ROOT.access_key_id, secret_access_key="other")
    assert refusal(iot_request(), other) == "SignatureDoesNotMatch"


@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_clock_more_than_fifteen_minutes_off_is_refused(minutes):
    assert refusal(iot_request(), now=NOW + minutes * 60_000) == "RequestTimeTooSkewed"


@pytest.mark.parametrize("minutes", [-15, 15])
def test_a_clock_fifteen_minutes_off_is_accepted(minutes):
    check(iot_request(), now=NOW + minutes * 60_000)


def test_a_presigned_request_dies_with_its_time():
    request = signed_by_botocore(S3SigV4QueryAuth(boto(ROOT), "s3", "us-east-1", expires=60), path="/b/k")
    check(request, now=NOW + 60_000)
    assert refusal(request, now=NOW + 60_001) == "AccessDenied"
    assert refusal(request, now=NOW - 16 * 60_000) == "AccessDenied"


def test_a_session_token_must_be_the_keys_own():
    request = signed_by_botocore(SigV4Auth(boto(TEMPORARY), "iot", "us-east-1"))
    without = Credentials(access_key_id="ASIA1", secret_access_key=TEMPORARY.secret_access_key)
    assert refusal(request, without) == "InvalidToken"
    bare = signed_by_botocore(SigV4Auth(boto(without), "iot", "us-east-1"))
    assert refusal(bare, TEMPORARY) == "InvalidToken"


def test_s3_refuses_amazon_headers_that_were_not_signed():
    request = signed_by_botocore(S3SigV4QueryAuth(boto(ROOT), "s3", "us-east-1", expires=60), path="/b/k")
    added = changed(request, headers=(*request.headers, ("x-amz-copy-source", "/b/secret")))
    assert refusal(added) == "AccessDenied"


def test_unsigned_requests_have_no_claim():
    assert read_claim("GET", "/b/k", "versionId=1", (("host", "h"),)) is None


SCOPE = "AK/20231114/us-east-1/s3/aws4_request"
SIGNATURE = "0" * 64


@pytest.mark.parametrize(
    ("authorization", "code"),
    [
        ("AWS AK:sig", "InvalidRequest"),
        ("Bearer x", "InvalidRequest"),
        ("AWS4-HMAC-SHA256", "AuthorizationHeaderMalformed"),
        (f"AWS4-HMAC-SHA256 Credential={SCOPE}, Signature={SIGNATURE}", "AuthorizationHeaderMalformed"),
        (
            f"AWS4-HMAC-SHA256 Credential=AK/x, SignedHeaders=host, Signature={SIGNATURE}",
            "AuthorizationHeaderMalformed",
        ),
        (
            f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=x-amz-date, Signature={SIGNATURE}",
            "AuthorizationHeaderMalformed",
        ),
        (
            f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host;host, Signature={SIGNATURE}",
            "AuthorizationHeaderMalformed",
        ),
        (f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature=xyz", "SignatureDoesNotMatch"),
        (
            f"AWS4-HMAC-SHA256 Credential=AK/20231113/r/s3/aws4_request, SignedHeaders=host, Signature={SIGNATURE}",
            "SignatureDoesNotMatch",
        ),
    ],
)
def test_malformed_claims_are_told_what_is_wrong(authorization, code):
    headers = (("host", "h"), ("x-amz-date", "20231114T221320Z"), ("authorization", authorization))
    with pytest.raises(SignatureRefused) as caught:
        read_claim("GET", "/", "", headers)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "date", ["", "yesterday", "20231314T221320Z", "20231114T996199Z", "00001114T221320Z"]
)
def test_a_date_that_is_none_is_refused(date):
    authorization = f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host, Signature={SIGNATURE}"
    with pytest.raises(SignatureRefused, match="requires a valid Date"):
        read_claim("GET", "/", "", (("x-amz-date", date), ("authorization", authorization)))


def test_the_date_header_serves_when_there_is_no_amazon_date():
    authorization = f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=date;host, Signature={SIGNATURE}"
    headers = (("date", "Tue, 14 Nov 2023 22:13:20 GMT"), ("authorization", authorization))
    claim = read_claim("GET", "/", "", headers)
    assert claim is not None
    assert claim.timestamp == NOW


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Signature=0",
        "X-Amz-Algorithm=AWS4-HMAC-SHA256",
        (
            f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={SCOPE}&X-Amz-Date=20231114T221320Z&X-Amz-Expires=604801"
            f"&X-Amz-SignedHeaders=host&X-Amz-Signature={SIGNATURE}"
        ),
        f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Algorithm=x&X-Amz-Signature={SIGNATURE}",
        (
            f"X-Amz-Algorithm=other&X-Amz-Credential={SCOPE}&X-Amz-Date=20231114T221320Z&X-Amz-Expires=6"
            f"&X-Amz-SignedHeaders=host&X-Amz-Signature={SIGNATURE}"
        ),
    ],
)
def test_malformed_presigned_claims_are_told_what_is_wrong(query):
    with pytest.raises(SignatureRefused) as caught:
        read_claim("GET", "/b/k", query, (("host", "h"),))
    assert caught.value.code == "AuthorizationQueryParametersError"


def test_a_header_and_a_query_signature_together_are_refused():
    with pytest.raises(SignatureRefused, match="Only one"):
        read_claim("GET", "/", f"X-Amz-Signature={SIGNATURE}", (("authorization", "AWS4-HMAC-SHA256 x"),))


@given(st.text(max_size=200), st.text(max_size=200))
def test_reading_claims_of_any_text_refuses_or_reads(authorization, query):
    try:
        read_claim("GET", "/", query, (("x-amz-date", "20231114T221320Z"), ("authorization", authorization)))
        read_claim("GET", "/", "X-Amz-Signature=&" + query, ())
    except SignatureRefused:
        pass


def test_chunks_are_signed_as_in_awss_worked_example():
    credentials = Credentials(
        access_key_id="AKIAIOSFODNN7EXAMPLE", secret_access_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    )
    headers = (
        ("host", "s3.amazonaws.com"),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"),
        ("x-amz-decoded-content-length", "66560"),
        ("content-length", "66824"),
        (
            "authorization",
            (
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
                "SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;"
                "x-amz-decoded-content-length;x-amz-storage-class,"
                "Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
            ),
        ),
    )
    request = SignedRequest(
        method="PUT",
        raw_path="/examplebucket/chunkObject.txt",
        raw_query="",
        headers=headers,
        payload_hash="",
    )
    _, context = check(request, credentials, now=1_369_353_600_000)
    first = chunk_signature(context, context.seed_signature, hashlib.sha256(b"a" * 65536).hexdigest())
    second = chunk_signature(context, first, hashlib.sha256(b"a" * 1024).hexdigest())
    last = chunk_signature(context, second, EMPTY_SHA256)
    assert [first, second, last] == [
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ]


def test_trailers_are_signed_as_in_awss_worked_example():
    credentials = Credentials(
        access_key_id="AKIAIOSFODNN7EXAMPLE", secret_access_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
    )
    headers = (
        ("host", "s3.amazonaws.com"),
        ("x-amz-date", "20130524T000000Z"),
        ("x-amz-storage-class", "REDUCED_REDUNDANCY"),
        ("content-encoding", "aws-chunked"),
        ("x-amz-content-sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"),
        ("x-amz-decoded-content-length", "66560"),
        ("x-amz-trailer", "x-amz-checksum-crc32c"),
        (
            "authorization",
            (
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
                "SignedHeaders=content-encoding;host;x-amz-content-sha256;x-amz-date;"
                "x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer,"
                "Signature=106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e"
            ),
        ),
    )
    request = SignedRequest(
        method="PUT",
        raw_path="/examplebucket/chunkObject.txt",
        raw_query="",
        headers=headers,
        payload_hash="",
    )
    _, context = check(request, credentials, now=1_369_353_600_000)
    first = chunk_signature(context, context.seed_signature, hashlib.sha256(b"a" * 65536).hexdigest())
    second = chunk_signature(context, first, hashlib.sha256(b"a" * 1024).hexdigest())
    last = chunk_signature(context, second, EMPTY_SHA256)
    assert last == "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"
    trailer = trailer_signature(context, last, [("x-amz-checksum-crc32c", "sOO8/Q==")])
    assert trailer == "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"


def test_presigned_lives_are_bounded():
    with pytest.raises(ValueError, match="lives 1 to"):
        presign_url(
            method="GET",
            scheme="http",
            host="h",
            raw_path="/",
            query={},
            region="r",
            service="s3",
            credentials=ROOT,
            expires_seconds=604_801,
            now=NOW,
        )


def test_the_declared_hash_of_a_presigned_request_is_unsigned():
    request = signed_by_botocore(S3SigV4QueryAuth(boto(ROOT), "s3", "us-east-1", expires=60), path="/b/k")
    claim, _ = check(request)
    assert declared_payload_hash(claim, {"x-amz-content-sha256": "abc"}) == UNSIGNED_PAYLOAD


def test_secrets_do_not_show_in_text():
    assert "s3cr3t" not in repr(TEMPORARY)
    assert "tok" not in repr(TEMPORARY)
