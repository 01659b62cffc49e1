"""botocore's many errors, turned into the problems that people can act on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import boto3.exceptions
from botocore import exceptions

from outfitter_updates.catalogue.problems import (
    CloudRefused,
    EndpointUnreachable,
    NoCredentials,
    NotFound,
    Problem,
    WrongUsage,
)

NOT_FOUND: Final = frozenset({"ResourceNotFoundException", "NoSuchBucket", "NoSuchKey", "404"})
ADVICE: Final = {
    "InvalidClientTokenId": "The access key is unknown there: check AWS_ACCESS_KEY_ID or AWS_PROFILE.",
    "UnrecognizedClientException": "The access key is unknown there: check AWS_ACCESS_KEY_ID or AWS_PROFILE.",
    "InvalidAccessKeyId": "The access key is unknown there: check AWS_ACCESS_KEY_ID or AWS_PROFILE.",
    "SignatureDoesNotMatch": "The secret does not belong to the access key: check AWS_SECRET_ACCESS_KEY.",
    "RequestTimeTooSkewed": "The clocks of this machine and of the server differ: set them.",
    "InvalidSignatureException": "Check AWS_SECRET_ACCESS_KEY and the clock of this machine.",
    "ExpiredToken": "The session has ended: sign in again.",
    "ExpiredTokenException": "The session has ended: sign in again.",
    "AccessDenied": "The credentials may not do this: ask for the permission of that name.",
    "AccessDeniedException": "The credentials may not do this: ask for the permission of that name.",
}
MESSAGE_LENGTH_MAX: Final = 1_000
SIGN_IN: Final = (
    "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; a server of your own writes them to the file"
    " credentials of its data folder (AWS_SHARED_CREDENTIALS_FILE=DIR/credentials)."
)


@contextmanager
def translated(action: str, endpoint: str) -> Iterator[None]:
    """Runs a call; whatever botocore raises leaves as a Problem that names the action and the endpoint."""
    try:
        yield
    except Problem:
        raise
    except boto3.exceptions.Boto3Error as error:
        raise _of_transfer(error, action, endpoint) from error
    except (exceptions.BotoCoreError, exceptions.ClientError) as error:
        raise problem_of(error, action, endpoint) from error
    except UnicodeEncodeError as error:  # an argument whose bytes are no text in UTF-8
        raise WrongUsage(f"{action}: {error.object!r} is no text in UTF-8.") from error


def problem_of(error: Exception, action: str, endpoint: str) -> Problem:
    """The problem that an error of botocore stands for."""
    if isinstance(error, exceptions.ClientError):
        return _of_answer(error, action)
    if isinstance(error, exceptions.NoRegionError):
        return NoCredentials("No AWS region is set. Set AWS_REGION, or give --region.")
    if isinstance(error, exceptions.NoCredentialsError | exceptions.PartialCredentialsError):
        return NoCredentials(f"There are no AWS credentials. {SIGN_IN}")
    if isinstance(error, exceptions.ProfileNotFound):
        return NoCredentials(
            f"{error}. Profiles are kept in ~/.aws/config; name one with AWS_PROFILE or --profile."
        )
    if isinstance(error, exceptions.SSLError):
        if "CERTIFICATE_VERIFY_FAILED" not in str(error):
            return EndpointUnreachable(
                f"{action}: no TLS connection to {endpoint}. Is it a port for https, and is AWS_CA_BUNDLE, when it is"
                f" set, a file with certificates? ({_first_line(error)})"
            )
        return EndpointUnreachable(
            f"{endpoint} shows a certificate that is not trusted. For a self-hosted server set AWS_CA_BUNDLE to the"
            f" file that `outfitterd ca` prints. ({error})"
        )
    if isinstance(error, exceptions.HTTPClientError | exceptions.ConnectionError):
        return EndpointUnreachable(
            f"{action}: no answer from {endpoint}. Is the server running there, and is AWS_ENDPOINT_URL right?"
            f" ({_first_line(error)})"
        )
    if isinstance(error, exceptions.ParamValidationError):
        return WrongUsage(f"{action}: {_first_line(error, skip=1)}")
    return CloudRefused(f"{action}: {error}", code=type(error).__name__)


def _of_answer(error: exceptions.ClientError, action: str) -> Problem:
    told = error.response.get("Error", {})
    code, message = str(told.get("Code", "Unknown")), _shortened(str(told.get("Message", "")))
    if code in NOT_FOUND:
        return NotFound(f"{action}: {message or 'not found'} ({code})")
    advice = ADVICE.get(code, "")
    return CloudRefused(f"{action}: {code}: {message} {advice}".rstrip(), code=code)


def _of_transfer(error: Exception, action: str, endpoint: str) -> Problem:
    """A transfer wraps the error that stopped it in a text of its own: the inner one says more."""
    inner = error.__context__
    if isinstance(inner, exceptions.BotoCoreError | exceptions.ClientError):
        return problem_of(inner, action, endpoint)
    return CloudRefused(f"{action}: {error}", code=type(error).__name__)


def _shortened(message: str) -> str:
    """The message, or its beginning when something that is no AWS service answered with a whole page."""
    line = " ".join(message.split())
    return line if len(line) <= MESSAGE_LENGTH_MAX else f"{line[:MESSAGE_LENGTH_MAX]}…"


def _first_line(error: Exception, skip: int = 0) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[min(skip, len(lines) - 1)] if lines else type(error).__name__
