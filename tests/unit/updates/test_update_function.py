"""The update function, called as Lambda calls it, before a scripted AWS."""

import base64
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest
from outfitter_updates.cloud.bundle import code_digest, function_zip
from outfitter_updates.function import handler

ARN = "arn:aws:iot:us-east-1:000000000000"
CONTEXT = SimpleNamespace(
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:outfitter-updates"
)
INSTALL = {"operation": "install", "target": {"group": "pumps"}, "software": "pump", "version": "1.4.0"}
VERSION = {
    "packageName": "pump",
    "versionName": "1.4.0",
    "status": "PUBLISHED",
    "attributes": {"sha256": "a" * 64, "size": "123"},
    "artifact": {"s3Location": {"bucket": "store", "key": "software/pump.tar.gz"}},
}


@pytest.fixture
def call(script, monkeypatch):
    """Calls the function through its URL; the status and the body of the answer."""
    script.answers |= {
        "GET /thing-groups/pumps": {"thingGroupName": "pumps", "thingGroupArn": f"{ARN}:thinggroup/pumps"},
        "GET /things/pump-1": {"thingName": "pump-1", "thingArn": f"{ARN}:thing/pump-1"},
        "GET /packages/pump/versions/1.4.0": VERSION,
        "PUT /jobs/.*": {"jobId": "the-job", "jobArn": f"{ARN}:job/the-job"},
    }
    for name, value in {
        "AWS_ENDPOINT_URL": script.url,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("OUTFITTER_ROLE_ARN", raising=False)
    monkeypatch.delenv("OUTFITTER_BUCKET", raising=False)
    monkeypatch.setattr(handler, "_services", [])

    def go(request, method="POST", *, encode=False):
        body = request if isinstance(request, str) else json.dumps(request)
        event = {
            "version": "2.0",
            "requestContext": {"http": {"method": method}},
            "body": base64.b64encode(body.encode()).decode() if encode else body,
            "isBase64Encoded": encode,
        }
        answer = handler.handle(event, CONTEXT)
        assert answer["headers"]["content-type"] == "application/json"
        return answer["statusCode"], json.loads(answer["body"])

    return go


def created(script):
    """What CreateJob was sent."""
    ((request, body),) = [
        (key, value) for key, value in script.bodies.items() if key.startswith("PUT /jobs/")
    ]
    return request.removeprefix("PUT /jobs/"), body


@pytest.mark.parametrize("encode", [False, True])
def test_an_installation_becomes_a_job(call, script, encode):
    assert call(INSTALL, encode=encode) == (200, {"jobId": "the-job", "jobArn": f"{ARN}:job/the-job"})
    job_id, sent = created(script)
    assert job_id.startswith("update-pump-1-4-0-")
    assert sent["targets"] == [f"{ARN}:thinggroup/pumps"]
    assert sent["targetSelection"] == "SNAPSHOT"
    assert sent["presignedUrlConfig"]["roleArn"] == "arn:aws:iam::000000000000:role/outfitter-updates"
    document = json.loads(sent["document"])
    assert document["operation"] == "install"
    assert document["forced"] is False
    assert document["version"] == "1.4.0"
    assert "s3.us-east-1.amazonaws.com/store/software/pump.tar.gz" in document["url"]


def test_what_was_asked_for_is_passed_on(call, script, monkeypatch):
    monkeypatch.setenv("OUTFITTER_ROLE_ARN", "arn:aws:iam::000000000000:role/mine")
    assert call({**INSTALL, "forced": True, "continuous": True, "jobId": "mine"})[0] == 200
    job_id, sent = created(script)
    assert job_id == "mine"
    assert sent["targetSelection"] == "CONTINUOUS"
    assert sent["presignedUrlConfig"]["roleArn"].endswith("role/mine")
    assert json.loads(sent["document"])["forced"] is True


def test_a_configuration_is_fetched_from_a_device(call, script):
    assert call({"operation": "config-upload", "target": {"thing": "pump-1"}})[0] == 200
    job_id, sent = created(script)
    assert job_id.startswith("config-upload-pump-1-")
    document = json.loads(sent["document"])
    assert document["operation"] == "config-upload"
    assert "outfitter-software-000000000000-us-east-1/configurations/" in document["url"]


def test_a_configuration_goes_on_to_others(call, script):
    script.answers["GET /outfitter-software-000000000000-us-east-1/configurations/pump-1/fetched.json"] = (
        '{"speed": 3}'
    )
    source = {"thing": "pump-1", "jobId": "fetched"}
    request = {"operation": "config-download", "target": {"group": "pumps"}, "source": source}
    assert call(request)[0] == 200
    document = json.loads(created(script)[1]["document"])
    assert document["operation"] == "config-download"
    assert document["size"] == len('{"speed": 3}')
    assert "configurations/pump-1/fetched.json" in document["url"]


def test_what_is_no_configuration_goes_nowhere(call, script):
    script.answers["GET /outfitter-software-.*/configurations/pump-1/fetched.json"] = "<html>"
    source = {"thing": "pump-1", "jobId": "fetched"}
    request = {"operation": "config-download", "target": {"group": "pumps"}, "source": source}
    status, body = call(request)
    assert status == 400
    assert "pump-1 handed over in fetched" in body["message"]


@pytest.mark.parametrize(
    ("request_", "status", "words"),
    [
        ("{", 400, "not JSON"),
        ("[]", 400, "not a JSON object"),
        ("x" * 20_000, 400, "at most"),
        ({**INSTALL, "operation": "format-disk"}, 400, "none of install"),
        ({**INSTALL, "target": "pumps"}, 400, "neither"),
        ({**INSTALL, "target": {"group": "a b"}}, 400, "neither"),
        ({**INSTALL, "target": {"group": "pumps", "thing": "pump-1"}}, 400, "neither"),
        ({**INSTALL, "force": True}, 400, "no member 'force'"),
        ({**INSTALL, "forced": "yes"}, 400, "'forced' is neither"),
        ({**INSTALL, "software": 7}, 400, "'software' is missing"),
        ({**INSTALL, "jobId": "a b"}, 400, "no job id"),
        ({**INSTALL, "target": {"thing": "pump-1"}, "continuous": True}, 400, "group"),
        ({"operation": "config-download", "target": {"thing": "pump-1"}}, 400, "'source'"),
        ({**INSTALL, "target": {"group": "nobody"}}, 404, "no group named 'nobody'"),
        ({**INSTALL, "target": {"thing": "nobody"}}, 404, "no thing named 'nobody'"),
        ({**INSTALL, "version": "9"}, 404, "no version '9' of software 'pump'"),
    ],
)
def test_bad_requests_are_refused_with_a_reason(call, script, request_, status, words):
    told, body = call(request_)
    assert (told, words in body["message"]) == (status, True), body
    assert not [asked for asked in script.asked if asked.startswith("PUT")]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ((403, "AccessDeniedException"), 403),
        ((429, "ThrottlingException"), 429),
        ((409, "ResourceAlreadyExistsException"), 409),
        ((500, "InternalFailure"), 502),
    ],
)
def test_refusals_of_the_service_reach_the_page(call, script, answer, status):
    script.answers = {"PUT /jobs/.*": answer} | {
        key: value for key, value in script.answers.items() if not key.startswith("PUT")
    }
    told, body = call(INSTALL)
    assert told == status
    assert answer[1] in body["message"]


def test_a_draft_is_a_conflict(call, script):
    script.answers["GET /packages/pump/versions/1.4.0"] = {**VERSION, "status": "DRAFT"}
    assert call(INSTALL)[0] == 409


def test_only_post_makes_jobs(call, script):
    assert call(INSTALL, "GET")[0] == 405
    assert script.asked == []


def test_invoked_directly_it_takes_the_request_itself(call, script):
    assert handler.handle(INSTALL, CONTEXT) == {"jobId": "the-job", "jobArn": f"{ARN}:job/the-job"}
    refused = handler.handle({**INSTALL, "version": "9"}, CONTEXT)
    assert refused["statusCode"] == 404
    assert "no version" in refused["message"]


def test_the_zip_holds_all_that_the_function_needs(tmp_path):
    content = function_zip()
    assert function_zip() == content
    assert code_digest(content) == code_digest(function_zip())
    archive = tmp_path / "function.zip"
    archive.write_bytes(content)
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from outfitter_updates.function import handler\n"
        "ours = [m.__file__ for n, m in sys.modules.items() if n.startswith('outfitter_') and m.__file__]\n"
        "assert ours and all(path.startswith(sys.argv[1]) for path in ours), ours\n"
        "assert not {'click', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, str(archive)], check=True, cwd=tmp_path)
    assert len(content) < 100_000
