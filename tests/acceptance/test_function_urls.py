"""Function URLs with signatures and without, as browsers, scripts and SDKs call them, over http and https."""

import io
import itertools
import json
import ssl
import urllib.error
import urllib.request
import zipfile

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

ROLE = "arn:aws:iam::000000000000:role/worker"
ECHO = "def handler(event, context): return event"
PAGE = "https://page.example"
numbers = itertools.count(1)


def archive(source):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("app.py", source)
    return made.getvalue()


class Address:
    """A function with a URL."""

    def __init__(self, server, tls, source, **config):
        self.server = server
        self.client = server.client("lambda", tls=tls)
        self.name = f"url-{next(numbers)}"
        self.client.create_function(
            FunctionName=self.name,
            Runtime="python3.11",
            Handler="app.handler",
            Role=ROLE,
            Code={"ZipFile": archive(source)},
        )
        made = self.client.create_function_url_config(
            FunctionName=self.name, **({"AuthType": "AWS_IAM"} | config)
        )
        self.url = made["FunctionUrl"]
        self.context = ssl.create_default_context(cafile=str(server.ca)) if tls else None

    def open_to_all(self):
        self.client.add_permission(
            FunctionName=self.name,
            StatementId="everybody",
            Action="lambda:InvokeFunctionUrl",
            Principal="*",
            FunctionUrlAuthType="NONE",
        )
        return self

    def call(self, rest="", *, method="GET", headers=(), data=None):
        """Status, headers and body of an unsigned request."""
        request = urllib.request.Request(self.url + rest, method=method, headers=dict(headers), data=data)
        try:
            with urllib.request.urlopen(request, context=self.context) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers, error.read()

    def signed(
        self, rest="", *, method="GET", headers=(), data=None, service="lambda", keys=None, shift=None
    ):
        """The same, signed by botocore."""
        request = AWSRequest(method=method, url=self.url + rest, headers=dict(headers), data=data)
        credentials = keys or Credentials(self.server.access_key, self.server.secret_key)
        SigV4Auth(credentials, service, "us-east-1").add_auth(request)
        return self.call(rest, method=method, headers={**request.headers, **(shift or {})}, data=data)


@pytest.fixture
def address(server, tls):
    made = []

    def make(source=ECHO, **config):
        made.append(Address(server, tls, source, **config))
        return made[-1]

    yield make
    for each in made:
        each.client.delete_function(FunctionName=each.name)


def test_a_signed_request_is_an_event(address, server):
    url = address()
    status, headers, body = url.signed(
        "devices/a%20b?x=1&x=2&y=%C3%BC",
        method="POST",
        headers={"Content-Type": "application/json", "Cookie": "a=1; b=2"},
        data=b'{"n": 1}',
    )
    assert status == 200
    assert headers["content-type"] == "application/json"
    event = json.loads(body)
    assert event["version"] == "2.0"
    assert event["rawPath"] == "/devices/a%20b"
    assert event["rawQueryString"] == "x=1&x=2&y=%C3%BC"
    assert event["queryStringParameters"] == {"x": "1,2", "y": "ü"}
    assert event["cookies"] == ["a=1", "b=2"]
    assert (event["body"], event["isBase64Encoded"]) == ('{"n": 1}', False)
    context = event["requestContext"]
    assert context["http"]["method"] == "POST"
    assert context["accountId"] == "000000000000"
    assert context["authorizer"]["iam"]["accessKey"] == server.access_key
    assert url.url.endswith(f"/_url/{context['apiId']}/")


def test_who_is_not_let_in(address):
    url = address("def handler(event, context): return 'in'", Cors={"AllowOrigins": [PAGE]})
    assert url.signed()[2] == b'"in"'
    origin = {"Origin": PAGE}
    cases = {
        "unsigned": url.call(headers=origin),
        "wrong secret": url.signed(headers=origin, keys=Credentials("AKIAACCEPTANCETESTS0", "wrong")),
        "unknown key": url.signed(headers=origin, keys=Credentials("AKIANOBODY", "wrong")),
        "another service": url.signed(headers=origin, service="s3"),
        "other body": url.signed(
            method="POST", headers=origin, data=b"1", shift={"X-Amz-Date": "20200101T000000Z"}
        ),
    }
    for what, (status, headers, body) in cases.items():
        assert status == 403, what
        assert json.loads(body)["Message"], what
        # So that a page can read why.
        assert headers["Access-Control-Allow-Origin"] == PAGE, what


def test_open_urls_need_a_permission(address):
    url = address(AuthType="NONE")
    status, _, body = url.call()
    assert status == 403
    assert "lambda:InvokeFunctionUrl" in json.loads(body)["Message"]
    url.open_to_all()
    status, _, body = url.call("x", method="PUT", data=b"\xff\x00", headers={"Content-Type": "image/png"})
    event = json.loads(body)
    assert (status, event["body"], event["isBase64Encoded"]) == (200, "/wA=", True)
    assert event["requestContext"]["accountId"] == "anonymous"
    assert "authorizer" not in event["requestContext"]
    url.client.update_function_url_config(FunctionName=url.name, AuthType="AWS_IAM")
    assert url.call()[0] == 403


def test_answers_with_status_headers_and_cookies(address):
    source = """
def handler(event, context):
    return {
        "statusCode": 201, "headers": {"Content-Type": "text/html", "X-Own": "1", "Content-Length": "999"},
        "cookies": ["a=1; HttpOnly", "b=2"], "body": "PGI+", "isBase64Encoded": True,
    }
"""
    status, headers, body = address(source).signed()
    assert (status, body) == (201, b"<b>")
    assert headers["content-type"] == "text/html"
    assert headers["x-own"] == "1"
    assert headers.get_all("set-cookie") == ["a=1; HttpOnly", "b=2"]
    # A function's page lies on the console's origin and must not act as part of it.
    assert headers["content-security-policy"].startswith("sandbox")


@pytest.mark.parametrize(
    "body", ["raise ValueError", "return {'statusCode': 9000}", "raise SystemExit", "return {1}"]
)
def test_functions_that_fail_are_bad_gateways(address, body):
    status, _, answer = address(f"def handler(event, context): {body}").signed()
    assert status == 502
    assert json.loads(answer)["Message"].startswith("Internal Server Error")


def test_browsers_are_answered_for_the_function(address):
    url = address(
        "def handler(event, context): return {'statusCode': 200, 'headers': {'Access-Control-Allow-Origin': '*'}}",
        Cors={
            "AllowOrigins": [PAGE],
            "AllowMethods": ["POST"],
            "AllowHeaders": ["authorization", "content-type", "x-amz-date"],
            "ExposeHeaders": ["x-own"],
            "MaxAge": 300,
        },
    )
    asked = {
        "Origin": PAGE,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    status, headers, _ = url.call(method="OPTIONS", headers=asked)
    assert status == 200
    assert headers["access-control-allow-origin"] == PAGE
    assert headers["access-control-allow-methods"] == "POST"
    assert headers["access-control-allow-headers"] == "authorization,content-type,x-amz-date"
    assert headers["access-control-max-age"] == "300"
    status, headers, _ = url.call(method="OPTIONS", headers=asked | {"Origin": "https://other.example"})
    assert (status, headers["access-control-allow-origin"]) == (200, None)
    _, headers, _ = url.signed(method="POST", headers={"Origin": PAGE}, data=b"1")
    assert headers.get_all("access-control-allow-origin") == [PAGE]
    assert headers["access-control-expose-headers"] == "x-own"
    # The function says that it is for everybody; its URL's configuration knows better.
    _, headers, _ = url.signed(method="POST", headers={"Origin": "https://other.example"}, data=b"1")
    assert headers["access-control-allow-origin"] is None
    url.client.update_function_url_config(FunctionName=url.name, Cors={})
    assert "Cors" not in url.client.get_function_url_config(FunctionName=url.name)


def test_a_body_that_is_too_large(address):
    status, _, body = address().signed(method="POST", data=b"x" * ((6 << 20) + 1))
    assert status == 413
    assert "6291456" in json.loads(body)["Message"]


def test_the_configuration_of_a_url(address):
    url = address()
    client, name = url.client, url.name
    found = client.get_function_url_config(FunctionName=name)
    assert (found["FunctionUrl"], found["AuthType"], found["InvokeMode"]) == (url.url, "AWS_IAM", "BUFFERED")
    assert (
        client.list_function_url_configs(FunctionName=name)["FunctionUrlConfigs"][0]["FunctionUrl"] == url.url
    )
    for members, code in (
        ({"AuthType": "AWS_IAM"}, "ResourceConflictException"),
        ({"AuthType": "AWS_IAM", "InvokeMode": "RESPONSE_STREAM"}, "InvalidParameterValueException"),
    ):
        with pytest.raises(ClientError) as caught:
            client.create_function_url_config(FunctionName=name, **members)
        assert caught.value.response["Error"]["Code"] == code
    with pytest.raises(ClientError, match="AllowCredentials"):
        client.update_function_url_config(
            FunctionName=name, Cors={"AllowOrigins": ["*"], "AllowCredentials": True}
        )
    client.delete_function_url_config(FunctionName=name)
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_function_url_config(FunctionName=name)
    status, _, body = url.signed()
    assert status == 403
    assert "no function at this URL" in json.loads(body)["Message"]


def test_signed_links(address, server):
    from botocore.auth import SigV4QueryAuth

    url = address("def handler(event, context): return event['rawPath']")
    request = AWSRequest(method="GET", url=url.url + "linked?x=1")
    SigV4QueryAuth(Credentials(server.access_key, server.secret_key), "lambda", "us-east-1", 60).add_auth(
        request
    )
    assert url.call(request.url.removeprefix(url.url))[2] == b'"/linked"'
