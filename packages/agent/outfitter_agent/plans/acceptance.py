"""Whether an image may be installed on this device: the checks that need no hands."""

from dataclasses import replace
from enum import Enum, auto

from outfitter_contract.document import (
    Delta,
    DocumentError,
    JobDocument,
    UnknownOperation,
    parse_document,
    unproven,
)
from outfitter_contract.image import Manifest
from outfitter_contract.operations import NEEDS_URL, Operation
from outfitter_contract.statements import ImageStatement
from outfitter_contract.version import InvalidVersion, is_newer, is_same

from outfitter_agent.plans.effects import Vouched
from outfitter_agent.plans.facts import Facts
from outfitter_agent.plans.transaction import Installed
from outfitter_agent.plans.troubles import Refusal, Trouble

URL_SCHEMES = ("https://", "http://")


class Decision(Enum):
    """What to do with software that a document or an image names."""

    INSTALL = auto()
    ALREADY_RUNNING = auto()
    UNCLEAR = auto()
    """The digest is not known yet: fetch the image, then ask again."""


def operation_of(value: object) -> Operation:
    """The operation that a document names; INSTALL, whose plan says what is wrong, when it names none that is known."""
    try:
        return parse_document(value).operation
    except DocumentError:
        return Operation.INSTALL


def read_document(value: object, operation: Operation) -> JobDocument:
    """The document as a job of that operation; raises Refusal (another operation) or Trouble (malformed)."""
    try:
        document = parse_document(value)
    except UnknownOperation as error:
        raise Refusal(str(error)) from None
    except DocumentError as error:
        raise Trouble(str(error)) from None
    if document.operation is not operation:
        raise Refusal(f"the job is {document.operation} now; it was {operation} when it was accepted")
    urls = [document.url] if operation in NEEDS_URL else []
    for url in (*urls, *(each.url for each in document.deltas)):
        if not url.startswith(URL_SCHEMES):
            raise Trouble(f"the URL in the job document is neither https nor http: {url[:80]}")
    return document


def decide(
    running: Installed | None, *, name: str | None, version: str, sha256: str | None, forced: bool
) -> Decision:
    """Compare with what runs; raises Trouble when the version is not newer and not forced.

    ``forced`` always installs. Software of another name has no version in common with what runs, so it is installed.
    """
    if running is None or forced or (name is not None and name != running.name):
        return Decision.INSTALL
    try:
        if is_newer(version, running.version):
            return Decision.INSTALL
        same = is_same(version, running.version)
    except InvalidVersion as error:
        raise Trouble(str(error)) from None
    if same and sha256 is None:
        return Decision.UNCLEAR
    if same and sha256 == running.sha256:
        return Decision.ALREADY_RUNNING
    what = "another image of the same version as" if same else "not newer than"
    raise Trouble(f"version {version} is {what} {running.version}, which runs here; use forced to install it")


def delta_for(document: JobDocument, running: Installed | None) -> tuple[Delta, Installed]:
    """The job's delta for what runs, and what runs; raises Trouble when it has none for that."""
    if running is None:
        raise Trouble("no software runs here that a delta could be applied to")
    for each in document.deltas:
        if each.base == running.sha256:
            return each, running
    raise Trouble(
        f"none of the job's deltas is for {running.version}, which runs here, image {running.sha256}"
    )


def same_delta(document: JobDocument, delta: Delta) -> Delta:
    """That delta in a fresh document, where its URL is another; raises Trouble when it is not there."""
    for each in document.deltas:
        if (each.base, each.sha256) == (delta.base, delta.sha256):
            return each
    raise Trouble("the job's document does not have this delta any more")


def check_confirm(document: JobDocument, **proof: str) -> None:
    """Compare what this device would prove, once it is done, with what the job wants proven; raises Trouble.

    What is not known before the end is left to the service, which compares all of it.
    """
    wanted = {key: value for key, value in (document.confirm or {}).items() if key in proof}
    lacking = unproven(wanted, proof)
    if lacking is not None:
        raise Trouble(f"this could not be proven as the job's confirm asks: {lacking}")


def check_manifest(manifest: Manifest, document: JobDocument, device_type: str) -> None:
    """Compare the image with what the document promised and with the device; raises Trouble."""
    if device_type not in manifest.device_types:
        listed = ", ".join(manifest.device_types)
        raise Trouble(f"the image is for device types {listed}; this device is a {device_type}")
    if document.name is not None and document.name != manifest.name:
        raise Trouble(f"the image holds '{manifest.name}'; the job says '{document.name}'")
    if document.version is not None and document.version != manifest.version:
        raise Trouble(f"the image holds version {manifest.version}; the job says {document.version}")


def agreed(document: JobDocument, vouched: Vouched, facts: Facts) -> JobDocument:
    """The document as the trusted key has it: what it leaves open is filled in, so that it is checked as if it said so.

    Raises Trouble when the two differ, the image is for other devices, or its version is below the minimum.
    """
    statement = vouched.statement
    members = ("name", "version", "sha256", "size")
    signed = {member: getattr(statement, member) for member in members}
    for member, value in signed.items():
        said = getattr(document, member)
        if said is not None and said != value:
            raise Trouble(f"the signature is for another image: its {member} is {value}; the job says {said}")
    if facts.device_type not in statement.device_types:
        listed = ", ".join(statement.device_types)
        raise Trouble(f"the signature is for device types {listed}; this device is a {facts.device_type}")
    below = vouched.minimum is not None and is_newer(vouched.minimum, statement.version)
    if below and not (document.forced and facts.forced_below_minimum):
        raise Trouble(
            f"version {statement.version} is below {vouched.minimum}, the lowest of {statement.name} that may be"
            " installed here; a signed statement says so"
        )
    return replace(document, **signed)


def check_vouched(manifest: Manifest, statement: ImageStatement) -> None:
    """Compare the image with what a trusted key says of it; raises Trouble.

    Its digest has been compared, so only the signer can have made the two different.
    """
    told = (manifest.name, manifest.version, tuple(sorted(set(manifest.device_types))))
    if told != (statement.name, statement.version, statement.device_types):
        raise Trouble(f"the signature is for another image: {statement.name} {statement.version}")
