"""Rates of calls at all three doors: the shapes of AWS's throttles, shared buckets, and none without being asked for."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

OPTIONS = [
    "--rate=CreateThing=3",
    "--rate=CreateJob=2",
    "--rate=DescribeJobExecution=2",
    "--rate=device-writes=4",
    "--rate=device-reads=4",
]


@pytest.fixture
def slow_server(server, tmp_path):
    """A server of the test's own, with full buckets and rates that a test reaches."""
    made = type(server)(tmp_path / "data", options=OPTIONS)
    made.start()
    yield made
    made.close_clients()
    assert made.stop() == 0, made.log()


@pytest.fixture
def fleet(slow_server, make_fleet, tmp_path):
    made = make_fleet(slow_server, tmp_path)
    yield made
    made.close()


@pytest.fixture
def once(slow_server, server):
    """Makes clients that ask once: the SDK's retries would hide what is shown here."""
    made = []

    def make(service, attempts=1):
        made.append(
            boto3.client(
                service,
                region_name="us-east-1",
                endpoint_url=slow_server.http,
                aws_access_key_id=server.access_key,
                aws_secret_access_key=server.secret_key,
                config=Config(retries={"mode": "standard", "total_max_attempts": attempts}),
            )
        )
        return made[-1]

    yield make
    for client in made:
        client.close()


def refused(call, *, tries=60):
    """The first refusal of a call that is repeated; what it said, as a pair of code and HTTP status, and how many passed."""
    for passed in range(tries):
        try:
            call()
        except ClientError as error:
            answer = error.response
            assert "Rate exceeded" in answer["Error"]["Message"]
            return (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]), passed
    raise AssertionError(f"{tries} calls were let through")


def test_the_control_plane_answers_400(fleet, once):
    iot = once("iot")
    things = (fleet.name("thing") for _ in range(60))
    shape, passed = refused(lambda: iot.create_thing(thingName=next(things)))
    assert shape == ("ThrottlingException", 400)
    assert passed >= 3
    for _ in range(20):
        iot.list_things()  # has no rate here


def test_operations_of_one_name_on_two_planes_have_two_rates(fleet, once):
    iot, data = once("iot"), once("iot-jobs-data")
    thing = fleet.thing()
    job = fleet.job(thing)
    shape, passed = refused(lambda: iot.describe_job_execution(thingName=thing, jobId=job))
    assert shape == ("ThrottlingException", 400)
    assert passed >= 2
    assert data.describe_job_execution(thingName=thing, jobId=job)["execution"]["status"] == "QUEUED"


def test_the_device_plane_over_https_answers_429_and_changes_nothing(fleet, once):
    data = once("iot-jobs-data")
    thing = fleet.thing()
    job = fleet.job(thing)
    versions = []

    def report():
        state = data.update_job_execution(
            thingName=thing, jobId=job, status="IN_PROGRESS", includeJobExecutionState=True
        )
        versions.append(state["executionState"]["versionNumber"])

    shape, passed = refused(report)
    assert shape == ("ThrottlingException", 429)
    assert passed >= 4
    assert fleet.execution(thing, job)["versionNumber"] == versions[-1]
    shape, _ = refused(lambda: data.start_next_pending_job_execution(thingName=thing))
    assert shape == ("ThrottlingException", 429)


@pytest.mark.parametrize(
    ("name", "body", "other"),
    [
        ("start-next", {}, "get"),
        ("get", {}, "start-next"),
        ("$next/get", {}, "start-next"),
    ],
)
def test_mqtt_says_request_throttled(fleet, make_link, name, body, other):
    thing = fleet.thing()
    device = fleet.device(thing, make_link(5, True))
    for number in range(60):
        device.publish(name, {**body, "clientToken": f"t{number}"})
    answers = [device.take() for _ in range(60)]
    assert [answer.body["clientToken"] for answer in answers] == [f"t{number}" for number in range(60)]
    rejected = [answer for answer in answers if answer.topic.endswith("/rejected")]
    assert 0 < len(rejected) <= 56
    for answer in rejected:
        assert answer.topic == device.topic(f"{name}/rejected")
        assert answer.body["code"] == "RequestThrottled"
        assert "executionState" not in answer.body
    device.publish(other, {"clientToken": "other"})  # the other pair's bucket is not this one's
    assert device.take().topic == device.topic(f"{other}/accepted")


def test_both_doors_draw_from_one_bucket(fleet, once, make_link):
    data = once("iot-jobs-data")
    thing = fleet.thing()
    device = fleet.device(thing, make_link(4, False))
    for _ in range(20):
        device.publish("get")
    codes = [device.take().body.get("code") for _ in range(20)]
    assert codes[:4] == [None] * 4
    assert codes[-1] == "RequestThrottled"
    shape, passed = refused(lambda: data.get_pending_job_executions(thingName=thing))
    assert shape == ("ThrottlingException", 429)
    assert passed < 4  # a bucket of its own would be full


def test_the_sdk_waits_and_comes_through(fleet, once):
    iot = once("iot", attempts=8)
    arn = fleet.arn(fleet.thing())
    before = [fleet.name("job") for _ in range(5)]
    waits = []
    iot.meta.events.register(
        "needs-retry.iot.CreateJob", lambda response, **_: waits.append(response[0].status_code)
    )
    for job in before:
        iot.create_job(jobId=job, targets=[arn], document="{}")
    assert waits.count(200) == 5
    assert waits.count(400) >= 1


def test_without_being_asked_nothing_is_throttled(server, make_fleet, tmp_path):
    fleet = make_fleet(server, tmp_path)
    thing = fleet.thing()
    for _ in range(40):
        fleet.iot.describe_thing(thingName=thing)
        fleet.job(thing)
        fleet.data.get_pending_job_executions(thingName=thing)


def attempt(iot, thing):
    try:
        iot.create_thing(thingName=thing)
    except ClientError as error:
        return error.response["Error"]["Code"]
    return "made"


def test_as_often_as_on_aws(server, tmp_path):
    """``--rates aws``, in AWS's own figures: 15 CreateThing a second, 10 CreateJob."""
    made = type(server)(tmp_path / "data", options=["--rates", "aws", "--rate", "CreateJob=off"])
    made.start()
    try:
        iot = boto3.client(
            "iot",
            region_name="us-east-1",
            endpoint_url=made.http,
            aws_access_key_id=server.access_key,
            aws_secret_access_key=server.secret_key,
            config=Config(retries={"total_max_attempts": 1}),
        )
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda number: attempt(iot, f"t{number}"), range(60)))
        assert set(answers) == {"made", "ThrottlingException"}
        assert 15 <= answers.count("made") < 60
        target = f"arn:aws:iot:us-east-1:000000000000:thing/t{answers.index('made')}"
        for number in range(30):
            iot.create_job(jobId=f"j{number}", targets=[target], document=json.dumps({}))
        iot.close()
    finally:
        assert made.stop() == 0, made.log()


def test_a_rate_that_is_none_is_refused_at_once(tmp_path):
    command = [sys.executable, "-c", "from outfitter_server.main.command import main; main()", "serve"]
    done = subprocess.run(
        [*command, "--data", tmp_path / "data", "--rate", "CreateJobs=3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--rate CreateJobs=3: 'CreateJobs' has no rate; did you mean CreateJob?" in done.stderr
    assert not (tmp_path / "data").exists()
