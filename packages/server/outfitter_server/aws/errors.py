"""Refusals as AWS's services answer them.

boto3 makes an exception class of each error shape that a service's model lists, so an answer uses those names: the
refusal's own if the operation lists it, else a substitute that it lists, else what the service lists anywhere. The status
is the model's (``ThrottlingException`` is 400 on ``iot`` and 429 on ``iot-jobs-data``). Faults that come before any
operation (signatures, unknown operations, access denied) are in no model; their names are those that AWS's front ends use.
"""

from typing import Any, Final
from xml.sax.saxutils import escape

import msgspec

from outfitter_server.access.claims import SignatureRefused
from outfitter_server.aws.model import OperationModel, ServiceModel
from outfitter_server.aws.serialize import JSON
from outfitter_server.aws.wire import WireAnswer
from outfitter_server.base.refusals import Refusal

STS_NAMESPACE: Final = "https://sts.amazonaws.com/doc/2011-06-15/"

_SERVER_FAULT: Final = 500

_SUBSTITUTES: Final[dict[str, tuple[str, ...]]] = {
    "InvalidRequestException": ("ValidationException", "InvalidParameterValueException"),
    "ValidationException": ("InvalidRequestException",),
    "MalformedPolicyException": ("InvalidRequestException", "ValidationException"),
    "CertificateStateException": ("InvalidRequestException",),
    "LimitExceededException": ("ServiceQuotaExceededException", "ThrottlingException"),
    "ServiceQuotaExceededException": ("LimitExceededException", "ThrottlingException"),
    "ResourceAlreadyExistsException": ("ConflictException", "InvalidRequestException"),
    "ConflictException": (
        "ResourceConflictException",
        "ResourceAlreadyExistsException",
        "InvalidRequestException",
    ),
    "DeleteConflictException": ("ConflictException", "InvalidRequestException"),
    "VersionConflictException": ("InvalidStateTransitionException", "ConflictException"),
    "InvalidStateTransitionException": ("InvalidRequestException", "ConflictException"),
    "TerminalStateException": ("InvalidStateTransitionException",),
    "InternalFailureException": ("InternalServerException", "InternalException", "ServiceException"),
    "ServiceUnavailableException": ("ServiceException",),
    "ThrottlingException": ("TooManyRequestsException",),
}

# S3's name of a signature fault → (name, status) of AWS's JSON front end, and of STS.
_SIGNATURE_JSON: Final[dict[str, tuple[str, int]]] = {
    "SignatureDoesNotMatch": ("InvalidSignatureException", 403),
    "RequestTimeTooSkewed": ("InvalidSignatureException", 403),
    "AccessDenied": ("InvalidSignatureException", 403),
    "InvalidAccessKeyId": ("UnrecognizedClientException", 403),
    "InvalidToken": ("UnrecognizedClientException", 403),
    "ExpiredToken": ("ExpiredTokenException", 403),
    "MissingAuthenticationToken": ("MissingAuthenticationTokenException", 403),
}
_SIGNATURE_QUERY: Final[dict[str, tuple[str, int]]] = {
    "SignatureDoesNotMatch": ("SignatureDoesNotMatch", 403),
    "RequestTimeTooSkewed": ("SignatureDoesNotMatch", 403),
    "AccessDenied": ("SignatureDoesNotMatch", 403),
    "InvalidAccessKeyId": ("InvalidClientTokenId", 403),
    "InvalidToken": ("InvalidClientTokenId", 403),
    "ExpiredToken": ("ExpiredToken", 403),
    "MissingAuthenticationToken": ("MissingAuthenticationToken", 403),
}


class UnknownOperation(Refusal):
    """AWS has no such operation, or this server does not serve it; the status and name of AWS's front end."""

    code = "UnknownOperationException"
    status = 404


class BodyTooLarge(Refusal):
    """The body of an API call is larger than any call needs."""

    code = "RequestEntityTooLargeException"
    status = 413


class InternalFailure(Refusal):
    """A fault of the server; what happened is in its log under the request's id."""

    code = "InternalFailureException"
    status = 500


def json_error(
    refusal: Refusal, service: ServiceModel | None, operation: OperationModel | None = None
) -> WireAnswer:
    """The answer of a rest-json service."""
    if isinstance(refusal, SignatureRefused):
        name, status = _SIGNATURE_JSON.get(refusal.code, ("IncompleteSignatureException", 403))
        return _json_answer(name, status, {"message": refusal.message})
    shape = None if service is None else _error_shape(refusal.code, service, operation)
    if shape is None:
        return _json_answer(refusal.code, refusal.status, {"message": refusal.message})
    members = {name: value for name, value in refusal.members.items() if name in shape.members}
    status = shape.metadata.get("error", {}).get("httpStatusCode", refusal.status)
    return _json_answer(shape.name, status, {"message": refusal.message, **members})


def query_error(refusal: Refusal, request_id: str) -> WireAnswer:
    """The answer of STS."""
    code, status = refusal.code.removesuffix("Exception"), refusal.status
    if isinstance(refusal, SignatureRefused):
        code, status = _SIGNATURE_QUERY.get(refusal.code, ("IncompleteSignature", 403))
    elif isinstance(refusal, UnknownOperation):
        code, status = "InvalidAction", 400
    fault = "Receiver" if status >= _SERVER_FAULT else "Sender"
    text = (
        f'<ErrorResponse xmlns="{STS_NAMESPACE}"><Error><Type>{fault}</Type><Code>{escape(code)}</Code>'
        f"<Message>{escape(refusal.message)}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return WireAnswer(
        status=status, headers={"Content-Type": "text/xml"}, body=text.encode("utf-8", "backslashreplace")
    )


def _error_shape(code: str, service: ServiceModel, operation: OperationModel | None) -> Any:
    candidates = (code, *_SUBSTITUTES.get(code, ()))
    listed = {shape.name for shape in operation.error_shapes} if operation is not None else set()
    for name in candidates:
        if name in listed:
            return service.errors[name]
    for name in candidates:
        if name in service.errors:
            return service.errors[name]
    return None


def _json_answer(name: str, status: int, body: dict[str, Any]) -> WireAnswer:
    headers = {"Content-Type": JSON, "x-amzn-ErrorType": name}
    return WireAnswer(status=status, headers=headers, body=msgspec.json.encode(body))
