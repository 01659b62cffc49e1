"""Documents that callers store: policies, templates, job documents."""

import json

from outfitter_server.access.policy import evaluate, missing_variables, parse_policy
from outfitter_server.base.refusals import Refusal
from outfitter_server.jobs import documents, substitution
from outfitter_server.things.provisioning import parse_template

from fuzzing.bites import Bites, text

_VARIABLES = {
    "aws:SourceIp": "10.0.0.7",
    "n": "7",
    "iot:ClientId": "d-1",
    "iot:Connection.Thing.ThingName": "d-1",
    "iot:CertificateId": "0" * 64,
}


def policy(data: bytes) -> None:
    """A policy is refused or decides."""
    resource, _, body = text(data).partition("\n")
    try:
        document = parse_policy(body)
    except Refusal:
        return
    for action in ("iot:Connect", "iot:Publish", "iot:Subscribe"):
        for variables in ({}, _VARIABLES):
            assert evaluate([document], action, resource, variables) in {True, False}
            missing_variables([document], action, variables)


def provisioning_template(data: bytes) -> None:
    """A template is refused, or plans, or refuses the parameters."""
    given, _, body = text(data).partition("\n")
    parameters = dict(pair.partition("=")[::2] for pair in given.split("&")[:60])
    for by_reference in (True, False):
        try:
            parse_template(body, by_reference=by_reference).plan(parameters)
        except Refusal:
            continue


def placeholders(data: bytes) -> None:
    """A job document stays JSON, whatever is filled in, and no value becomes a placeholder."""
    bites = Bites(data)
    value, body = text(bites.take(bites.number())), text(bites.rest())
    try:
        document = documents.compact(body)
        substitution.count_placeholders(document)
        filled = substitution.with_packages(document, lambda placeholder: _content(placeholder, value))
        documents.placeholders(filled)
    except Refusal:
        return
    delivered = documents.substituted(filled, lambda placeholder: f"https://files/{placeholder.argument}")
    json.loads(filled)
    json.loads(delivered)
    try:
        json.loads(substitution.with_parameters(document, {"a": value}, {"a": False}))
    except Refusal:
        return


def _content(placeholder: substitution.PackagePlaceholder, value: str) -> object:
    match placeholder.part:
        case substitution.PackagePart.ATTRIBUTE:
            return value
        case substitution.PackagePart.ATTRIBUTES:
            return {"key": value}
        case _:
            return "${aws:iot:s3-presigned-url:https://s3.amazonaws.com/bucket/key}"
