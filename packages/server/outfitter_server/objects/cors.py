"""Cross-origin rules of a bucket, as in "Using cross-origin resource sharing" of the S3 user guide."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from outfitter_server.objects.refusals import MalformedXml, ObjectRefusal

RULES_MAX: Final = 100
METHODS: Final = frozenset({"GET", "PUT", "POST", "DELETE", "HEAD"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CorsRule:
    """One rule; origins and headers may hold one ``*``."""

    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...] = ()
    exposed: tuple[str, ...] = ()
    max_age_seconds: int | None = None
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CorsGrant:
    """What an answer tells the browser."""

    origin: str
    methods: tuple[str, ...]
    headers: tuple[str, ...]
    exposed: tuple[str, ...]
    max_age_seconds: int | None

    @property
    def with_credentials(self) -> bool:
        """Browsers take credentials only where the origin is named."""
        return self.origin != "*"


def check_rules(rules: Sequence[CorsRule]) -> tuple[CorsRule, ...]:
    """The rules themselves.

    Raises:
        MalformedXml: none, more than 100, or one without origins or methods.
        ObjectRefusal: a method that S3 has not, or two ``*`` in one value.
    """
    if not 1 <= len(rules) <= RULES_MAX:
        raise MalformedXml(f"a CORS configuration has 1 to {RULES_MAX} rules")
    for rule in rules:
        if not rule.origins or not rule.methods:
            raise MalformedXml("a CORS rule has at least one AllowedOrigin and one AllowedMethod")
        for method in rule.methods:
            if method not in METHODS:
                raise ObjectRefusal(
                    f"found unsupported HTTP method in CORS config; unsupported method is {method}"
                )
        for value in rule.origins + rule.headers + rule.exposed:
            if not value.isprintable():
                raise ObjectRefusal(f"{value!r} in a CORS rule has characters that a header cannot hold")
        for value in rule.origins + rule.headers:
            if value.count("*") > 1:
                raise ObjectRefusal(f"{value!r} in a CORS rule has more than one wildcard")
    return tuple(rules)


def match_rules(
    rules: Sequence[CorsRule], origin: str, method: str, headers: Sequence[str] = ()
) -> CorsGrant | None:
    """The first rule that allows this; ``headers`` are the names a preflight asks for."""
    for rule in rules:
        allowed = next((pattern for pattern in rule.origins if _matches(pattern, origin)), None)
        if allowed is None or method not in rule.methods:
            continue
        if all(any(_matches(pattern.lower(), name.lower()) for pattern in rule.headers) for name in headers):
            return CorsGrant(
                origin="*" if allowed == "*" else origin,
                methods=rule.methods,
                headers=tuple(headers),
                exposed=rule.exposed,
                max_age_seconds=rule.max_age_seconds,
            )
    return None


def _matches(pattern: str, value: str) -> bool:
    before, star, after = pattern.partition("*")
    if not star:
        return pattern == value
    return len(value) >= len(before) + len(after) and value.startswith(before) and value.endswith(after)
