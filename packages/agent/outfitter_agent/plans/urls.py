"""Working with URLs that expire: a fresh document has a fresh one, and what was achieved with the old is kept."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from outfitter_contract.document import JobDocument

from outfitter_agent.plans import acceptance
from outfitter_agent.plans.effects import Effect, FreshDocument, Plan, UrlExpired, perform
from outfitter_agent.plans.troubles import Trouble

FRESH_URLS_MAX: Final = 50
BARREN_URLS_MAX: Final = 2
"""URLs in a row that are refused before they give a single byte."""

Done = TypeVar("Done")


def with_fresh_urls(
    document: JobDocument, what: str, attempt: Callable[[str], Effect[Done | UrlExpired]]
) -> Plan[Done]:
    """Attempt it with the document's URL, and with that of a fresh document whenever the store refuses the URL.

    Raises Trouble, which names ``what`` was to be moved, when fresh URLs are refused as well.
    """
    barren = 0
    for _ in range(FRESH_URLS_MAX):
        outcome = yield from perform(attempt(document.url))
        if not isinstance(outcome, UrlExpired):
            return outcome
        barren = 0 if outcome.bytes_gained else barren + 1
        if barren >= BARREN_URLS_MAX:
            raise Trouble(f"{what}: {outcome.reason}, also with a fresh URL")
        fresh = acceptance.read_document((yield from perform(FreshDocument())), document.operation)
        document = replace(document, url=fresh.url)
    raise Trouble(f"{what}: {FRESH_URLS_MAX} URLs expired before it was complete")
