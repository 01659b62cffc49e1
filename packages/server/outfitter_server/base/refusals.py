"""The one error tree of the server.

    Refusal                     the request is at fault; carries the AWS error name to answer with
    ├── InvalidRequest          400 InvalidRequestException
    ├── NotFound                404 ResourceNotFoundException
    ├── AlreadyExists           409 ResourceAlreadyExistsException (resource_id, resource_arn)
    ├── Conflict                409 ConflictException
    ├── DeleteConflict          409 DeleteConflictException
    ├── VersionConflict         409 VersionConflictException
    ├── InvalidStateTransition  409 InvalidStateTransitionException
    ├── TerminalState           410 TerminalStateException
    ├── CertificateState        406 CertificateStateException
    ├── MalformedPolicy         400 MalformedPolicyException
    ├── MalformedSql            400 SqlParseException (topic rules)
    ├── InvalidQuery            400 InvalidQueryException (fleet index)
    ├── VersionsLimitExceeded   409 VersionsLimitExceededException (policies)
    ├── Unauthorized            401 UnauthorizedException
    ├── Forbidden               403 AccessDeniedException
    │   └── ForbiddenTopic      403 ForbiddenException (messages)
    ├── LimitExceeded           410 LimitExceededException
    ├── Throttled               429 ThrottlingException
    ├── Unavailable             503 ServiceUnavailableException
    ├── Validation              400 ValidationException (packages)
    └── ServiceQuotaExceeded    402 ServiceQuotaExceededException (packages)

Rules raise a refusal with the whole message: what is wrong, where, and what to do. Doors translate it
once, by ``code`` and ``status``; a door whose service model names the error otherwise (the jobs data
plane, S3) maps it there. Anything that is not a Refusal is a fault of the server: answered 500, logged.
"""

from typing import ClassVar, Self


class Refusal(Exception):  # noqa: N818 - a refusal is an answer, not a fault
    """A request that the server understood and refuses; state is unchanged."""

    code: ClassVar[str] = "InvalidRequestException"
    status: ClassVar[int] = 400

    def __init__(self, message: str, **members: object) -> None:
        """Keep the message and further members of AWS's error shape (``resourceId``, …)."""
        super().__init__(message)
        self.message = message
        self.members = members

    def bare(self) -> Self:
        """Itself, to be kept beyond the handler that caught it.

        A traceback leads to the frame that keeps it, and so would whatever the frame holds wait for the garbage collector,
        whose full rounds stop everybody for tens of milliseconds.
        """
        return self.with_traceback(None)


class InvalidRequest(Refusal):
    """The content of the request breaks a rule."""


class NotFound(Refusal):
    """The thing, group, job, … that the request names does not exist."""

    code = "ResourceNotFoundException"
    status = 404


class AlreadyExists(Refusal):
    """The name is taken by something with other content."""

    code = "ResourceAlreadyExistsException"
    status = 409


class Conflict(Refusal):
    """The name or the state conflicts with what is there."""

    code = "ConflictException"
    status = 409


class DeleteConflict(Refusal):
    """Something still hangs on what is to be deleted."""

    code = "DeleteConflictException"
    status = 409


class VersionConflict(Refusal):
    """``expectedVersion`` is not the version that is stored."""

    code = "VersionConflictException"
    status = 409


class InvalidStateTransition(Refusal):
    """The state table has no such transition."""

    code = "InvalidStateTransitionException"
    status = 409


class TerminalState(Refusal):
    """A device describes an execution that has already ended."""

    code = "TerminalStateException"
    status = 410


class CertificateState(Refusal):
    """The certificate's status does not allow this."""

    code = "CertificateStateException"
    status = 406


class MalformedPolicy(Refusal):
    """The policy document is not a policy."""

    code = "MalformedPolicyException"


class MalformedSql(Refusal):
    """The statement of a topic rule cannot be read."""

    code = "SqlParseException"


class InvalidQuery(Refusal):
    """The query of the fleet index cannot be read, or asks for what is not indexed."""

    code = "InvalidQueryException"


class VersionsLimitExceeded(Refusal):
    """The policy has as many versions as it may have."""

    code = "VersionsLimitExceededException"
    status = 409


class Unauthorized(Refusal):
    """The caller is known and may not do this."""

    code = "UnauthorizedException"
    status = 401


class Forbidden(Refusal):
    """The caller could not be identified, or may not do this at all."""

    code = "AccessDeniedException"
    status = 403


class ForbiddenTopic(Forbidden):
    """Nobody may publish to this topic: the service writes it."""

    code = "ForbiddenException"


class LimitExceeded(Refusal):
    """A limit of the service is reached."""

    code = "LimitExceededException"
    status = 410


class Throttled(Refusal):
    """Too many requests."""

    code = "ThrottlingException"
    status = 429


class Unavailable(Refusal):
    """The server cannot answer now: it drains, or its disk is full."""

    code = "ServiceUnavailableException"
    status = 503


class Validation(Refusal):
    """The package catalogue's name for an invalid request."""

    code = "ValidationException"


class ServiceQuotaExceeded(Refusal):
    """The package catalogue's name for a limit that is reached."""

    code = "ServiceQuotaExceededException"
    status = 402
