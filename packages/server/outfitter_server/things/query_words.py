"""The words of a fleet query."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from outfitter_server.base.refusals import InvalidQuery

QUERY_BYTES_MAX: Final = 1_000

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+)
    | (?P<text>"(?:[^"\\]|\\.)*")
    | (?P<sign><=|>=|[<>()\[\]{}:])
    | (?P<word>(?:[^\s"<>()\[\]{}:\\]|\\.)+)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPED: Final = re.compile(r"\\(.)", re.DOTALL)


class Kind(Enum):
    """Kinds of words."""

    WORD = "a word"
    TEXT = "a quoted value"
    SIGN = "a sign"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """One word as it is written; ``start`` and ``end`` count characters from 0."""

    kind: Kind
    text: str
    start: int
    end: int

    def shown(self) -> str:
        """For a message."""
        return "the end of the query" if self.kind is Kind.END else repr(self.text[:40])


def unexpected(token: Token, wanted: str) -> InvalidQuery:
    """The refusal of a query that has this word where another should be."""
    return invalid(token.start, f"expected {wanted}, but found {token.shown()}")


def invalid(start: int, message: str) -> InvalidQuery:
    """The refusal of a query for what begins at ``start`` (characters from 0)."""
    return InvalidQuery(f"At character {start + 1} of the query: {message}.")


def unescaped(text: str) -> str:
    """What a word or the inside of quotes says, each backslash taken off the character after it."""
    return _ESCAPED.sub(r"\1", text)


def tokenize(text: str) -> list[Token]:
    """The words, and one that marks the end.

    Raises:
        InvalidQuery: too long, a quote that is not closed, or a backslash at the end.
    """
    if len(text.encode("utf-8", "surrogatepass")) > QUERY_BYTES_MAX:
        raise InvalidQuery(f"A query has at most {QUERY_BYTES_MAX} bytes: shorten it.")
    tokens: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            trouble = (
                "this quote is never closed" if text[at] == '"' else "a backslash needs a character after it"
            )
            raise invalid(at, trouble)
        kind = str(match.lastgroup)
        if kind != "space":
            tokens.append(Token(Kind[kind.upper()], match.group(), at, match.end()))
        at = match.end()
    tokens.append(Token(Kind.END, "", len(text), len(text)))
    return tokens
