"""Devices and the broker, row by row."""

import contextlib
import json
import socket
import threading
import time

import pytest

NOTICES = ("notify", "notify-next")


class Line:
    """The wire between a device and the broker: it can be cut, and stay cut."""

    def __init__(self, port):
        self._goal = ("localhost", port)
        self._open = True
        self._sockets = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self):
        self._open = False
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def mend(self):
        self._open = True

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()

    def _accept(self):
        with self._listener, contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                if not self._open:
                    near.close()
                    continue
                far = socket.create_connection(self._goal)
                self._sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source, sink):
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        source.close()


@pytest.fixture
def line(server):
    made = Line(server.port("mqtts"))
    yield made
    made.close()


@pytest.fixture
def link(make_link):
    return make_link(5, True)


def test_devices_talk_mqtt_over_tls_and_reach_only_their_own_topics(fleet, make_link):
    for version in (4, 5):
        link, thing, other = make_link(version, True), fleet.thing(), fleet.thing()
        device = fleet.device(thing, link)
        device.subscribe(*NOTICES)
        job = fleet.job(thing)
        assert device.take_named("notify")["jobs"]["QUEUED"][0]["jobId"] == job
        device.take_named("notify-next")
        fleet.use_identity(other, fleet.identity(thing))
        refused = fleet.device(other, link).connack
        assert refused is None or refused.is_failure
        device.publish(f"$aws/things/{other}/jobs/get")
        if version == 5:
            assert device.acknowledged().is_failure
            device.quiet()
        else:
            assert device.closed.wait(10)


def test_a_lost_connection_is_taken_up_again_and_nothing_is_lost_or_done_twice(
    world, line, ended, eventually
):
    """The agent's line is cut while it downloads, more jobs are made meanwhile, and all are done once it is mended."""
    device = world.device("mission-cut", broker=f"localhost:{line.port}", settings="settle_seconds = 1.5")
    arn = world.iot.describe_thing(thingName=device.name)["thingArn"]
    assert device.has_connected(10)
    world.outfitter("update", device.name, world.software, "1.0.0", "--job-id", "mission-cut-1")
    eventually(lambda: world.execution(device.name, "mission-cut-1")[1].get("step") == "verifying")
    line.cut()
    world.iot.create_job(jobId="mission-cut-2", targets=[arn], document=json.dumps({"operation": "dance"}))
    eventually(lambda: "lost" in world.log(device) and world.told(device)["unreported_status"] == "SUCCEEDED")
    line.mend()
    assert ended(device.name, "mission-cut-1")[0] == "SUCCEEDED"
    assert ended(device.name, "mission-cut-2")[0] == "REJECTED"
    assert (device.answer(), world.told(device)["slot"]) == ("1.0.0", "a")


def test_sending_to_a_device_never_waits_for_its_answer(fleet, link):
    """The device keeps silent: CreateJob answers, others are served, and its answer is treated when it comes."""
    silent, lively = fleet.thing(), fleet.thing()
    device = fleet.device(silent, link)
    device.subscribe(*NOTICES)
    began = time.monotonic()
    job = fleet.job(silent)
    other = fleet.job(lively)
    assert time.monotonic() - began < 2
    assert device.take_named("notify")["jobs"]["QUEUED"][0]["jobId"] == job
    fleet.data.start_next_pending_job_execution(thingName=lively)
    fleet.data.update_job_execution(thingName=lively, jobId=other, status="SUCCEEDED")
    assert (fleet.status(other), fleet.status(job)) == ("COMPLETED", "IN_PROGRESS")
    device.take_named("notify-next")
    device.publish(f"{job}/update", {"status": "SUCCEEDED"})
    assert device.take_named(f"{job}/update/accepted")
    assert fleet.status(job) == "COMPLETED"


def test_an_offline_device_gets_its_notification_when_it_is_reachable_again(fleet, link):
    """By the session that the broker keeps, or by asking at the connect: either alone is enough."""
    for kept in (True, False):
        thing = fleet.thing()
        device = fleet.device(thing, link, clean=not kept)
        device.subscribe(*NOTICES)
        device.drop()
        job = fleet.job(thing)
        device.connect(clean=not kept)
        assert device.session_present is kept
        if kept:
            assert device.take_named("notify")["jobs"]["QUEUED"][0]["jobId"] == job
            assert device.take_named("notify-next")["execution"]["jobId"] == job
        else:
            assert device.ask("get")["queuedJobs"][0]["jobId"] == job
            assert device.ask("start-next")["execution"]["jobId"] == job


def test_privileges_are_fine_and_checked_on_every_call(server, fleet, link):
    """A device's by topic, taken away while it is connected; a user's by the signature of each request."""
    thing = fleet.thing()
    device = fleet.device(thing, link)
    device.subscribe("free/probe")
    device.publish("free/probe", {"n": 1})
    assert device.take_named("free/probe") == {"n": 1}
    assert device.acknowledged().is_failure is False
    identity = fleet.identity(thing)
    policy = fleet.iot.list_attached_policies(target=identity.certificate_arn)["policies"][0]["policyName"]
    narrower = fleet.policy(
        {"Effect": "Allow", "Action": "iot:*", "Resource": "*"},
        {"Effect": "Deny", "Action": "iot:Publish", "Resource": "arn:aws:iot:*:*:topic/free/*"},
    )
    fleet.iot.attach_policy(policyName=narrower, target=identity.certificate_arn)
    fleet.iot.detach_policy(policyName=policy, target=identity.certificate_arn)
    device.publish("free/probe", {"n": 2})
    assert device.acknowledged().is_failure
    device.quiet()
    for service, call in (("iot", "list_things"), ("s3", "list_buckets"), ("lambda", "list_functions")):
        wrong = server.client(service, secret_key="not-the-secret")
        with pytest.raises(wrong.exceptions.ClientError) as caught:
            getattr(wrong, call)()
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
