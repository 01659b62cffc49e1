"""Pages of other origins: they may ask the APIs, and read what these answer; objects follow their bucket's rules."""

import asyncio
import urllib.error
import urllib.request

import pytest

PAGE = "https://page.example"


async def ask(url, method="GET", **headers):
    """Status and headers of an answer; underscores in names stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(url, method=method, headers={"Origin": PAGE, **named})

    def go():
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.headers
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers

    return await asyncio.to_thread(go)


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/things"), ("PUT", "/jobs/j/cancel"), ("POST", "/"), ("GET", "/things/t/jobs/$next")],
)
async def test_a_preflight_of_an_api_call_passes(house, method, path):
    status, headers = await ask(
        house.url + path,
        "OPTIONS",
        Access_Control_Request_Method=method,
        Access_Control_Request_Headers="authorization,x-amz-date",
    )
    assert status == 200
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert headers["Access-Control-Allow-Methods"] == method
    assert headers["Access-Control-Allow-Headers"] == "authorization,x-amz-date"
    assert headers["Access-Control-Allow-Credentials"] is None
    assert house.objects.seen == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/bucket/key"), ("PUT", "/things"), ("DELETE", "/")])
async def test_a_preflight_about_objects_is_their_doors(house, method, path):
    await ask(house.url + path, "OPTIONS", Access_Control_Request_Method=method)
    assert [seen[0] for seen in house.objects.seen] == ["OPTIONS"]


async def test_what_is_no_preflight_is_no_api_call(house):
    await ask(house.url + "/things", "OPTIONS")
    assert [seen[0] for seen in house.objects.seen] == ["OPTIONS"]


def scope(service):
    signed = "SignedHeaders=host;x-amz-date, Signature=" + "0" * 64
    return f"AWS4-HMAC-SHA256 Credential=AKIANOBODY/20260101/us-east-1/{service}/aws4_request, {signed}"


@pytest.mark.parametrize("service", ["iot", "iot-jobs-data", "sts"])
async def test_a_page_reads_why_it_was_refused(house, service):
    status, headers = await ask(
        house.url + "/things/t", Authorization=scope(service), X_Amz_Date="20260101T000000Z"
    )
    assert status == 403
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "x-amzn-errortype" in headers["Access-Control-Expose-Headers"]
    assert "date" in headers["Access-Control-Expose-Headers"]


async def test_a_refused_signature_for_an_object_is_readable_where_the_bucket_allows_it(house):
    asked = {"Authorization": scope("s3"), "X_Amz_Date": "20260101T000000Z"}
    assert (await ask(house.url + "/b/k", **asked))[1]["Access-Control-Allow-Origin"] is None
    house.door._s3_grant = lambda request: {"Access-Control-Allow-Origin": request.headers["Origin"]}
    status, headers = await ask(house.url + "/b/k", **asked)
    assert (status, headers["Access-Control-Allow-Origin"]) == (403, PAGE)


async def test_who_names_no_origin_hears_nothing_of_it(house):
    url = house.url + "/things/t"
    request = urllib.request.Request(url, headers={"Authorization": scope("iot")})
    with pytest.raises(urllib.error.HTTPError) as refused:
        await asyncio.to_thread(urllib.request.urlopen, request, timeout=5)
    with refused.value as answer:
        assert answer.headers["Access-Control-Allow-Origin"] is None
