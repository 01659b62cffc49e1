import pytest
from outfitter_server.aws.model import load_services

SERVICES = load_services()


@pytest.mark.parametrize(
    ("service", "method", "path", "operation", "labels"),
    [
        ("iot", "PUT", "/jobs/j1", "CreateJob", {"jobId": "j1"}),
        ("iot", "GET", "/things/a%3Ab/jobs", "ListJobExecutionsForThing", {"thingName": "a%3Ab"}),
        ("iot", "GET", "/things/t/jobs/j", "DescribeJobExecution", {"thingName": "t", "jobId": "j"}),
        ("iot-jobs-data", "GET", "/things/t/jobs", "GetPendingJobExecutions", {"thingName": "t"}),
        (
            "iot-jobs-data",
            "GET",
            "/things/t/jobs/%24next",
            "DescribeJobExecution",
            {"thingName": "t", "jobId": "%24next"},
        ),
        ("iot-jobs-data", "PUT", "/things/t/jobs/$next", "StartNextPendingJobExecution", {"thingName": "t"}),
        (
            "iot-jobs-data",
            "PUT",
            "/things/t/jobs/%24next",
            "StartNextPendingJobExecution",
            {"thingName": "t"},
        ),
        ("iot", "GET", "/destinations/arn:a/b/c", "GetTopicRuleDestination", {"arn": "arn:a/b/c"}),
        ("iot", "PUT", "/thing-groups/addThingToThingGroup", "AddThingToThingGroup", {}),
        ("iot", "POST", "/thing-groups/addThingToThingGroup", "CreateThingGroup", None),
        ("iot", "GET", "/things/a%2Fb", "DescribeThing", {"thingName": "a%2Fb"}),
    ],
)
def test_request_lines_lead_to_operations(service, method, path, operation, labels):
    route = SERVICES[service].route(method, path)
    assert route is not None
    assert route.operation.name == operation
    if labels is not None:
        assert route.labels == labels


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/things/"),
        ("GET", "/things//jobs"),
        ("BREW", "/things"),
        ("GET", "/things/t/jobs/"),
    ],
)
def test_what_aws_does_not_have_leads_nowhere(method, path):
    assert SERVICES["iot"].route(method, path) is None


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_every_operation_of_the_models_is_reached_by_its_own_path(service):
    model = SERVICES[service]
    for name in model._model.operation_names:
        operation = model.operation(name)
        path, query, _ = operation.http["requestUri"].partition("?")
        if query:
            continue  # told apart by its query alone (GetLayerVersionByArn); not served
        path = path.replace("+}", "}")
        path = path.replace("{", "x-").replace("}", "")
        route = model.route(operation.http["method"], path)
        assert route is not None
        assert route.operation.name == name


def test_an_operation_that_is_none_is_refused():
    with pytest.raises(LookupError, match="no operation MakeCoffee"):
        SERVICES["iot"].operation("MakeCoffee")
