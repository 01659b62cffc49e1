"""Which devices run another configuration than was sent to them: real agents, a real server, the command."""

import hashlib
import json

import pytest
from outfitter_contract.running import running_topic

WATCH = "configuration_watch_seconds = 0.2\n"


@pytest.fixture
def shell(server, make_shell):
    return make_shell(server)


@pytest.fixture
def named(request):
    return f"drift-{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"


def states(told):
    return {each["device"]: each["state"] for each in told}


def drift(shell, *arguments):
    done = shell.start("config", "drift", *arguments, "--json")
    output, errors = done.communicate(timeout=60)
    assert done.returncode in {0, 1}, errors
    return done.returncode, json.loads(output)


def test_a_change_by_hand_is_seen_without_a_job(server, shell, agents, named, tmp_path, eventually):
    shell.run("group", "create", named)
    one = agents(server, "--group", named, name=f"{named}-1", settings=WATCH).start()
    two = agents(server, "--group", named, name=f"{named}-2", settings=WATCH).start()
    silent = agents(
        server, "--group", named, name=f"{named}-3", settings="configuration_watch_seconds = 0\n"
    ).start()
    eventually(lambda: states(drift(shell, "--group", named)[1])[one.name] == "not sent")
    new = tmp_path / "new.json"
    new.write_text('{"interval": 5}')
    shell.run("config", "push", str(new), named, "--wait")
    sha256 = hashlib.sha256(new.read_bytes()).hexdigest()
    eventually(
        lambda: (
            states(drift(shell, "--group", named, "--all")[1])
            == {one.name: "same", two.name: "same", silent.name: "not reported"}
        )
    )
    assert drift(shell, one.name)[0] == 0
    assert "No drift: 1 device(s)" not in shell.run("config", "drift", one.name).stdout
    one.configuration.write_text('{"interval": 6}')
    by_hand = hashlib.sha256(one.configuration.read_bytes()).hexdigest()
    eventually(lambda: drift(shell, one.name)[0] == 1)
    code, told = drift(shell, "--group", named)
    assert (code, states(told)) == (1, {one.name: "drifted", silent.name: "not reported"})
    assert (told[0]["running"]["sha256"], told[0]["sent"]["sha256"]) == (by_hand, sha256)
    printed = shell.run("config", "drift", "--group", named, expect=1)
    assert by_hand[:12] in printed.stdout
    assert "1 more device(s) run what was sent" in printed.stderr
    one.configuration.unlink()
    eventually(lambda: "no file" in shell.run("config", "drift", one.name, expect=1).stdout)
    shell.run("config", "push", str(new), one.name, "--wait")
    eventually(lambda: drift(shell, one.name)[0] == 0)


def test_a_device_tells_it_of_itself_alone(server, agents, named, eventually):
    one = agents(server, name=named, settings=WATCH).configured(interval=5).start()
    data = server.client("iot-data")
    sha256 = hashlib.sha256(one.configuration.read_bytes()).hexdigest()

    def told():
        listed = {each["topic"] for each in data.list_retained_messages()["retainedTopics"]}
        return running_topic(named) in listed

    eventually(told)
    message = json.loads(data.get_retained_message(topic=running_topic(named))["payload"])
    assert message["sha256"] == sha256


def test_an_agent_that_may_not_tell_does_its_jobs_all_the_same(
    server, shell, agents, named, tmp_path, eventually
):
    one = agents(server, "--policy", named, name=named, settings=WATCH).configured(interval=5)
    iot = server.client("iot")
    former = json.loads(iot.get_policy(policyName=named)["policyDocument"])
    former["Statement"] = [each for each in former["Statement"] if "iot:RetainPublish" not in each["Action"]]
    iot.create_policy_version(policyName=named, policyDocument=json.dumps(former), setAsDefault=True)
    one.start()
    eventually(lambda: "iot:RetainPublish" in one.log())
    new = tmp_path / "new.json"
    new.write_text('{"interval": 7}')
    shell.run("config", "push", str(new), named, "--wait")
    assert states(drift(shell, named)[1]) == {named: "not reported"}
    shell.run("device", "add", f"{named}-more", "--policy", named, "--out", str(tmp_path / "more"))
    assert "iot:RetainPublish" in iot.get_policy(policyName=named)["policyDocument"], (
        "renewed for all who share it"
    )
    assert one.stop() == 0
    one.start()
    eventually(lambda: states(drift(shell, named)[1]) == {named: "same"})


def test_wrong_usage_is_told(shell):
    assert "not both" in shell.run("config", "drift", "a", "--group", "b", expect=2).stderr
    assert "no device" in shell.run("config", "drift", "nobody-here", expect=1).stderr.lower()
