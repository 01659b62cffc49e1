"""The proof that a job may ask for: status details without which a device's SUCCEEDED is not accepted.

AWS takes every SUCCEEDED. A document that names one of our own operations may say more: its member ``confirm`` holds
status details, and the report that ends an execution well must itself carry each of them with that very value; what was
reported before does not count.
"""

import json
from collections.abc import Mapping

from outfitter_contract.document import DocumentError, parse_confirm, unproven
from outfitter_contract.operations import Operation

from outfitter_server.base.refusals import InvalidRequest


def proof_wanted(document: str) -> dict[str, str] | None:
    """What a job's document asks for, None for every document that is not ours or asks for nothing.

    Raises:
        InvalidRequest: it asks for a proof in a way that no device could give it.
    """
    if '"confirm"' not in document:
        return None
    value = json.loads(document)
    if not isinstance(value, dict) or value.get("operation") not in list(Operation):
        return None
    try:
        return parse_confirm(value.get("confirm"))
    except DocumentError as error:
        raise InvalidRequest(f"document: {error}") from error


def refusal(confirm: Mapping[str, str], told: Mapping[str, str] | None) -> str | None:
    """Why a SUCCEEDED with these status details is not accepted, None when it is."""
    lacking = unproven(confirm, told or {})
    return None if lacking is None else f"SUCCEEDED is not proven, as the job's confirm asks: {lacking}"
