"""Which keys count on this device, and how a signed statement changes that: rules without hands.

The trusted keys are those of the settings and those added since, without the revoked ones, which never count again.
A statement about keys needs the signature of a key that counts, and a counter above that of the one before, so that an
old one cannot be played back. No statement leaves a device without a key that counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from outfitter_contract.signed import PublicKey
from outfitter_contract.statements import KeysStatement
from outfitter_contract.version import is_newer

from outfitter_agent.plans.troubles import Trouble

KEYS_MAX: Final = 64
MINIMUMS_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What the device has learnt since it was set up."""

    counter: int = 0
    """Of the statement in force."""
    digest: str = ""
    """SHA-256 of the payload of the statement in force."""
    added: tuple[PublicKey, ...] = ()
    revoked: frozenset[str] = frozenset()
    minimums: Mapping[str, str] = field(default_factory=dict)
    """By software name: the lowest version that may be installed."""


def keys_that_count(anchors: Iterable[PublicKey], trust: Trust) -> Mapping[str, PublicKey]:
    """By key id."""
    return {key.key_id: key for key in (*anchors, *trust.added) if key.key_id not in trust.revoked}


def with_statement(
    trust: Trust, anchors: Iterable[PublicKey], statement: KeysStatement, digest: str
) -> Trust:
    """The trust once a verified statement is in force; raises Trouble.

    ``digest`` is that of its payload: the statement that is in force already changes nothing.
    """
    if (statement.counter, digest) == (trust.counter, trust.digest):
        return trust
    if statement.counter <= trust.counter:
        raise Trouble(
            f"the statement about keys is not newer than the one in force: its counter is {statement.counter},"
            f" that of the one in force {trust.counter}"
        )
    revoked = trust.revoked | frozenset(statement.revoke)
    added = {key.key_id: key for key in (*trust.added, *statement.add) if key.key_id not in revoked}
    changed = replace(
        trust,
        counter=statement.counter,
        digest=digest,
        added=tuple(added.values()),
        revoked=revoked,
        minimums={**trust.minimums, **statement.minimums},
    )
    if not keys_that_count(anchors, changed):
        raise Trouble("the statement about keys would leave no key that counts")
    if max(len(added), len(revoked)) > KEYS_MAX or len(changed.minimums) > MINIMUMS_MAX:
        raise Trouble(
            f"the device remembers at most {KEYS_MAX} added and as many revoked keys, and {MINIMUMS_MAX} minimum versions"
        )
    return changed


def with_minimum(trust: Trust, name: str, minimum: str) -> Trust:
    """The trust once software with a minimum version is proven: a minimum only rises. Raises Trouble."""
    known = trust.minimums.get(name)
    if known is not None and not is_newer(minimum, known):
        return trust
    minimums = {**trust.minimums, name: minimum}
    if len(minimums) > MINIMUMS_MAX:
        raise Trouble(f"the device remembers at most {MINIMUMS_MAX} minimum versions")
    return replace(trust, minimums=minimums)
