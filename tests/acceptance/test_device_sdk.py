"""AWS's device SDK for Python, with the device's own certificate: MQTT 3.1.1 and 5 over TLS."""

import datetime as dt
import queue
import threading

import awsiot
import pytest
from awscrt import mqtt, mqtt5, mqtt_request_response
from awsiot import iotjobs, mqtt5_client_builder, mqtt_connection_builder

SECONDS = 20


@pytest.fixture
def thing(fleet):
    return fleet.thing()


@pytest.fixture(params=["3.1.1", "5"])
def jobs(request, server, fleet, thing):
    """A connected IotJobsClientV2 of the thing."""
    identity = fleet.identity(thing)
    where = {
        "endpoint": "127.0.0.1",
        "port": server.port("mqtts"),
        "cert_filepath": str(identity.certificate),
        "pri_key_filepath": str(identity.key),
        "ca_filepath": str(server.ca),
        "client_id": thing,
    }
    options = mqtt_request_response.ClientOptions(
        max_request_response_subscriptions=6,
        max_streaming_subscriptions=4,
        operation_timeout_in_seconds=SECONDS,
    )
    if request.param == "3.1.1":
        connection = mqtt_connection_builder.mtls_from_path(clean_session=True, keep_alive_secs=60, **where)
        connection.connect().result(SECONDS)
        yield iotjobs.IotJobsClientV2(connection, options)
        connection.disconnect().result(SECONDS)
    else:
        connected, stopped = threading.Event(), threading.Event()
        client = mqtt5_client_builder.mtls_from_path(
            on_lifecycle_connection_success=lambda _: connected.set(),
            on_lifecycle_stopped=lambda _: stopped.set(),
            **where,
        )
        client.start()
        assert connected.wait(SECONDS)
        yield iotjobs.IotJobsClientV2(client, options)
        client.stop()
        assert stopped.wait(SECONDS)


def streamed(create, request):
    """The events of a stream, once it is subscribed."""
    events, subscribed = queue.SimpleQueue(), threading.Event()

    def changed(event):
        if event.type == mqtt_request_response.SubscriptionStatusEventType.SUBSCRIPTION_ESTABLISHED:
            subscribed.set()

    stream = create(
        request,
        awsiot.ServiceStreamOptions(
            incoming_event_listener=events.put,
            subscription_status_listener=changed,
            deserialization_failure_listener=events.put,
        ),
    )
    stream.open()
    assert subscribed.wait(SECONDS)
    return stream, events


def near_now(time):
    return abs((dt.datetime.now(dt.UTC) - time.astimezone(dt.UTC)).total_seconds()) < 60


def test_a_job_from_its_announcement_to_its_end(fleet, jobs, thing):
    following, next_events = streamed(
        jobs.create_next_job_execution_changed_stream,
        iotjobs.NextJobExecutionChangedSubscriptionRequest(thing_name=thing),
    )
    changes, list_events = streamed(
        jobs.create_job_executions_changed_stream,
        iotjobs.JobExecutionsChangedSubscriptionRequest(thing_name=thing),
    )
    job = fleet.job(thing, document={"operation": "test", "list": [1, 2]})
    announced = next_events.get(timeout=SECONDS)
    assert (announced.execution.job_id, announced.execution.status) == (job, iotjobs.JobStatus.QUEUED)
    assert announced.execution.job_document == {"operation": "test", "list": [1, 2]}
    assert near_now(announced.timestamp)
    assert near_now(announced.execution.queued_at)
    assert [entry.job_id for entry in list_events.get(timeout=SECONDS).jobs["QUEUED"]] == [job]

    asked = iotjobs.GetPendingJobExecutionsRequest(thing_name=thing)
    pending = jobs.get_pending_job_executions(asked).result(SECONDS)
    assert pending.in_progress_jobs == []
    assert [entry.job_id for entry in pending.queued_jobs] == [job]

    started = jobs.start_next_pending_job_execution(
        iotjobs.StartNextPendingJobExecutionRequest(thing_name=thing, status_details={"step": "begun"})
    ).result(SECONDS)
    assert started.execution.status == iotjobs.JobStatus.IN_PROGRESS
    assert near_now(started.execution.started_at)

    described = jobs.describe_job_execution(
        iotjobs.DescribeJobExecutionRequest(thing_name=thing, job_id=job)
    ).result(SECONDS)
    assert described.execution.status_details == {"step": "begun"}
    assert described.execution.version_number == 2
    assert described.execution.job_document == {"operation": "test", "list": [1, 2]}

    updated = jobs.update_job_execution(
        iotjobs.UpdateJobExecutionRequest(
            thing_name=thing,
            job_id=job,
            status=iotjobs.JobStatus.SUCCEEDED,
            expected_version=2,
            include_job_execution_state=True,
        )
    ).result(SECONDS)
    assert updated.execution_state.status == iotjobs.JobStatus.SUCCEEDED
    assert updated.execution_state.version_number == 3
    assert near_now(updated.timestamp)

    assert next_events.get(timeout=SECONDS).execution is None
    assert list_events.get(timeout=SECONDS).jobs == {}
    assert (fleet.status(job), fleet.counts(job)) == ("COMPLETED", {"Succeeded": 1})
    del following, changes


def test_a_refusal_reaches_the_caller_with_its_code_and_state(fleet, jobs, thing):
    job = fleet.job(thing)
    request = iotjobs.UpdateJobExecutionRequest(
        thing_name=thing, job_id=job, status=iotjobs.JobStatus.IN_PROGRESS, expected_version=7
    )
    with pytest.raises(awsiot.V2ServiceException) as caught:
        jobs.update_job_execution(request).result(SECONDS)
    modeled = caught.value.modeled_error
    assert modeled.code == iotjobs.RejectedErrorCode.VERSION_MISMATCH
    assert modeled.execution_state.version_number == 1
    assert fleet.execution(thing, job)["status"] == "QUEUED"


def test_an_idle_thing_has_no_next_execution(jobs, thing):
    request = iotjobs.DescribeJobExecutionRequest(thing_name=thing, job_id="$next")
    assert jobs.describe_job_execution(request).result(SECONDS).execution is None
    start = iotjobs.StartNextPendingJobExecutionRequest(thing_name=thing)
    assert jobs.start_next_pending_job_execution(start).result(SECONDS).execution is None


def test_the_first_generation_client_gets_its_answers_by_subscription(server, fleet, thing):
    identity = fleet.identity(thing)
    job = fleet.job(thing)
    connection = mqtt_connection_builder.mtls_from_path(
        endpoint="127.0.0.1",
        port=server.port("mqtts"),
        cert_filepath=str(identity.certificate),
        pri_key_filepath=str(identity.key),
        ca_filepath=str(server.ca),
        client_id=thing,
    )
    connection.connect().result(SECONDS)
    client = iotjobs.IotJobsClient(connection)
    answers = queue.SimpleQueue()
    request = iotjobs.StartNextPendingJobExecutionSubscriptionRequest(thing_name=thing)
    subscribed, _ = client.subscribe_to_start_next_pending_job_execution_accepted(
        request, mqtt.QoS.AT_LEAST_ONCE, answers.put
    )
    subscribed.result(SECONDS)
    client.publish_start_next_pending_job_execution(
        iotjobs.StartNextPendingJobExecutionRequest(thing_name=thing), mqtt.QoS.AT_LEAST_ONCE
    ).result(SECONDS)
    assert answers.get(timeout=SECONDS).execution.job_id == job
    connection.disconnect().result(SECONDS)


def test_a_revoked_certificate_no_longer_connects(server, fleet, thing):
    identity = fleet.identity(thing)
    fleet.iot.update_certificate(certificateId=identity.certificate_id, newStatus="REVOKED")
    failed = queue.SimpleQueue()
    stopped = threading.Event()
    client = mqtt5_client_builder.mtls_from_path(
        endpoint="127.0.0.1",
        port=server.port("mqtts"),
        cert_filepath=str(identity.certificate),
        pri_key_filepath=str(identity.key),
        ca_filepath=str(server.ca),
        client_id=thing,
        on_lifecycle_connection_failure=failed.put,
        on_lifecycle_stopped=lambda _: stopped.set(),
    )
    client.start()
    failure = failed.get(timeout=SECONDS)
    assert failure.connack_packet.reason_code == mqtt5.ConnectReasonCode.NOT_AUTHORIZED
    client.stop()
    assert stopped.wait(SECONDS)
