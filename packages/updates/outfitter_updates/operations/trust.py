"""What is signed, and the job that brings devices a statement about keys."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from outfitter_contract.document import JobDocument, build_document
from outfitter_contract.operations import Operation
from outfitter_contract.signed import PublicKey, Signature, Signed, SignedError, build_signed, parse_signed
from outfitter_contract.statements import (
    IMAGE_KIND,
    KEYS_KIND,
    ImageStatement,
    KeysStatement,
    image_payload,
    keys_payload,
    parse_image_statement,
    parse_keys_statement,
)

from outfitter_updates.catalogue.problems import BadSignature, Conflict, WrongUsage
from outfitter_updates.catalogue.software import Image
from outfitter_updates.operations.update import JOB_ID, stamped_job_id

_MINIMUM: Final = re.compile(r"(?P<name>[^=]+)=(?P<version>[^=]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustIntention:
    """A statement about keys for one target."""

    target_arn: str
    signed: str
    continuous: bool
    job_id: str | None


def image_statement(image: Image, minimum: str | None) -> ImageStatement:
    """What is signed of an image; raises WrongUsage for a minimum that is none, or above the image's version."""
    statement = ImageStatement(
        name=image.name,
        version=image.version,
        device_types=tuple(sorted(set(image.device_types))),
        sha256=image.sha256,
        size=image.size_bytes,
        minimum=minimum,
    )
    try:
        image_payload(statement)
    except SignedError as error:
        raise WrongUsage(f"{image.name} {image.version} cannot be signed: {error}.") from error
    return statement


def unsigned_image(statement: ImageStatement, existing: str | None) -> Signed:
    """The statement to sign, with the signatures that ``existing``, the text of before, has; raises Conflict."""
    signed = Signed(kind=IMAGE_KIND, payload=image_payload(statement), signatures=())
    if existing is None:
        return signed
    before = read_signed(existing, IMAGE_KIND)
    if before.payload != signed.payload:
        raise Conflict(
            "What was signed before says something else: of another image, or another minimum version."
            " Remove the file to sign anew, or choose another --out."
        )
    return before


def keys_statement(
    *, counter: int, add: Iterable[PublicKey], revoke: Iterable[str], minimums: Iterable[str]
) -> Signed:
    """A statement about keys, to be signed; each minimum is NAME=VERSION. Raises WrongUsage."""
    lowest: dict[str, str] = {}
    for each in minimums:
        match = _MINIMUM.fullmatch(each)
        if match is None:
            raise WrongUsage(f"{each!r} is no minimum: write NAME=VERSION.")
        lowest[match["name"]] = match["version"]
    statement = KeysStatement(counter=counter, add=tuple(add), revoke=tuple(revoke), minimums=lowest)
    if not (statement.add or statement.revoke or statement.minimums):
        raise WrongUsage("The statement would change nothing: --add, --revoke or --minimum is needed.")
    try:
        return Signed(kind=KEYS_KIND, payload=keys_payload(statement), signatures=())
    except SignedError as error:
        raise WrongUsage(f"There can be no such statement: {error}.") from error


def with_signature(signed: Signed, signature: Signature) -> str:
    """The text of it with one signature more, in place of one by the same key; raises WrongUsage when it has too many."""
    others = tuple(each for each in signed.signatures if each.key_id != signature.key_id)
    try:
        return build_signed(replace(signed, signatures=(*others, signature)))
    except SignedError as error:
        raise WrongUsage(f"It cannot be signed: {error}.") from error


def read_signed(text: str, kind: str) -> Signed:
    """A signed text, whose signatures nobody has verified; raises BadSignature."""
    try:
        return parse_signed(text.strip(), kind)
    except SignedError as error:
        raise BadSignature(f"This is no signed statement: {error}.") from error


def kind_of(text: str) -> str | None:
    """The kind of statement that the text begins with; None when it is something else."""
    return next((kind for kind in (IMAGE_KIND, KEYS_KIND) if text.startswith(f"{kind}.")), None)


def check_image(image: Image, signed: Signed) -> ImageStatement:
    """What is said of the image; raises BadSignature when it is said of another one."""
    try:
        statement = parse_image_statement(signed.payload)
    except SignedError as error:
        raise BadSignature(f"The signed statement is malformed: {error}.") from error
    expected = replace(image_statement(image, None), minimum=statement.minimum)
    for member in ("name", "version", "device_types", "sha256", "size"):
        said, found = getattr(statement, member), getattr(expected, member)
        if said != found:
            raise BadSignature(
                f"The signature is for another image: its {member} is {said}, that of the image {found}."
            )
    return statement


def describe_keys(signed: Signed) -> Mapping[str, Any]:
    """What a statement about keys says; raises BadSignature."""
    try:
        statement = parse_keys_statement(signed.payload)
    except SignedError as error:
        raise BadSignature(f"The signed statement is malformed: {error}.") from error
    return {
        "counter": statement.counter,
        "add": [key.key_id for key in statement.add],
        "revoke": list(statement.revoke),
        "minimums": dict(statement.minimums),
    }


def plan_trust(intention: TrustIntention, now: int, token: str) -> dict[str, Any]:
    """The arguments of CreateJob; raises BadSignature, and WrongUsage for an impossible job id or target."""
    told = describe_keys(read_signed(intention.signed, KEYS_KIND))
    if intention.job_id is not None and not JOB_ID.fullmatch(intention.job_id):
        raise WrongUsage(f"{intention.job_id!r} is no job id: 1 to 64 letters, digits, '-' and '_'.")
    if intention.continuous and ":thinggroup/" not in intention.target_arn:
        raise WrongUsage(
            "--continuous goes on with devices that join a group: aim it at a group, not at a device."
        )
    document = JobDocument(operation=Operation.TRUST_UPDATE, url="", signed=intention.signed.strip())
    return {
        "jobId": intention.job_id or stamped_job_id(f"trust-{told['counter']}", now, token),
        "targets": [intention.target_arn],
        "document": json.dumps(build_document(document)),
        "description": f"Trust statement {told['counter']}",
        "targetSelection": "CONTINUOUS" if intention.continuous else "SNAPSHOT",
    }
