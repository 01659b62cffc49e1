"""The policy of a device: its own jobs, the digest of its configuration, and nothing else."""

import json
from typing import Any, Final

from outfitter_contract.running import running_topic

POLICY_NAME: Final = "outfitter-device"
THING: Final = "${iot:Connection.Thing.ThingName}"

JOBS_DATA_ACTIONS: Final = (
    "iotjobsdata:DescribeJobExecution",
    "iotjobsdata:GetPendingJobExecutions",
    "iotjobsdata:StartNextPendingJobExecution",
    "iotjobsdata:UpdateJobExecution",
)


def arn_prefix(thing_arn: str) -> str:
    """``arn:PARTITION:iot:REGION:ACCOUNT:``, as the service writes the ARNs of its things."""
    return thing_arn[: thing_arn.index(":thing/") + 1]


def device_policy(prefix: str) -> str:
    """The policy document for every device of an installation, as JSON.

    It names no device: the service puts the connecting thing's name where the variable stands, and only when the
    client id is a thing that the certificate is attached to.
    """
    telling = allow(["iot:Publish", "iot:RetainPublish"], f"{prefix}topic/{running_topic(THING)}")
    return _document([*_jobs_statements(prefix), telling])


def former_policy(prefix: str) -> str:
    """What ``device_policy`` was before devices told their configuration; one that says this is renewed."""
    return _document(_jobs_statements(prefix))


def _jobs_statements(prefix: str) -> list[dict[str, Any]]:
    jobs = f"$aws/things/{THING}/jobs/*"
    return [
        allow(["iot:Connect"], f"{prefix}client/{THING}"),
        allow(["iot:Publish", "iot:Receive"], f"{prefix}topic/{jobs}"),
        allow(["iot:Subscribe"], f"{prefix}topicfilter/{jobs}"),
        allow(list(JOBS_DATA_ACTIONS), f"{prefix}thing/{THING}"),
    ]


def _document(statements: list[dict[str, Any]]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)


def allow(actions: list[str], resource: str) -> dict[str, Any]:
    """One statement that allows the actions on the resource."""
    return {"Effect": "Allow", "Action": actions, "Resource": [resource]}


def same_policy(first: str, second: str) -> bool:
    """Whether two documents say the same, whatever their layout."""
    try:
        return bool(json.loads(first) == json.loads(second))
    except ValueError:
        return False
