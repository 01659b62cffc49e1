"""Working with URLs that expire: a fresh document has a fresh one, and what was achieved with the old is kept."""

from collections.abc import Callable
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
    document: JobDocument,
    what: str,
    attempt: Callable[[str], Effect[Done | UrlExpired]],
    url_of: Callable[[JobDocument], str] = lambda document: document.url,
) -> Plan[Done]:
    """Attempt it with the document's URL, and with that of a fresh document whenever the store refuses the URL.

    ``url_of`` tells which URL of a document it is about; it may raise Trouble when a fresh one lacks it. Raises Trouble, which names ``what`` was to be moved, when fresh URLs are refused as well.
    """
    barren, url = 0, url_of(document)
    for _ in range(FRESH_URLS_MAX):
        outcome = yield from perform(attempt(url))
        if not isinstance(outcome, UrlExpired):
            return outcome
        barren = 0 if outcome.bytes_gained else barren + 1
        if barren >= BARREN_URLS_MAX:
            raise Trouble(f"{what}: {outcome.reason}, also with a fresh URL")
        try:
            asked = yield from perform(FreshDocument())
        except Trouble as trouble:
            raise Trouble(f"{what}: {trouble.reason}") from None
        fresh = acceptance.read_document(asked, document.operation)
        url = url_of(fresh)
    raise Trouble(f"{what}: {FRESH_URLS_MAX} URLs expired before it was complete")
