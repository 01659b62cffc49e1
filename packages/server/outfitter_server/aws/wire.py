"""Requests and answers as they stand on the wire, freed of any HTTP server."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class WireRequest:
    """An HTTP request to an API.

    Attributes:
        raw_path: percent-encoded as received, without the query.
        raw_query: what follows the question mark, as received.
        headers: by lower-case name.
    """

    method: str
    raw_path: str
    raw_query: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class WireAnswer:
    """An HTTP answer of an API; the door adds what every answer carries."""

    status: int
    headers: Mapping[str, str]
    body: bytes
