"""The words of a statement."""

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final

from outfitter_server.base.refusals import MalformedSql

STATEMENT_CHARACTERS_MAX: Final = 16_384

_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\n]+)
    | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<sign><>|!=|<=|>=|[=<>+\-*/%(),.\[\]{}:])""",
    re.VERBOSE | re.ASCII,
)
_DIGITS_MAX: Final = 100


class Kind(Enum):
    """Kinds of words."""

    NAME = "a name"
    NUMBER = "a number"
    TEXT = "a string"
    SIGN = "a sign"
    END = "the end"


@dataclass(frozen=True, slots=True)
class Token:
    """One word; ``position`` counts characters from 1, ``text`` of a string is what it says."""

    kind: Kind
    text: str
    position: int

    def shown(self) -> str:
        """For a message."""
        if self.kind is Kind.END:
            return "the end of the text"
        return f"'{self.text[:40]}'" if self.kind is not Kind.TEXT else f"the string '{self.text[:40]}'"


def unexpected(position: int, wanted: str, found: str) -> MalformedSql:
    """The refusal of a statement."""
    return MalformedSql(f"At character {position}: expected {wanted}, but found {found}.")


def tokenize(sql: str) -> list[Token]:
    """The words, and one that marks the end.

    Raises:
        MalformedSql: with the position of what is no word.
    """
    if len(sql) > STATEMENT_CHARACTERS_MAX:
        raise MalformedSql(
            f"The statement has {len(sql)} characters; at most {STATEMENT_CHARACTERS_MAX} are allowed."
        )
    tokens: list[Token] = []
    at = 0
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        if match is None:
            raise _no_word(sql, at)
        kind, text = str(match.lastgroup), match.group()
        if kind == "number" and len(text) > _DIGITS_MAX:
            raise unexpected(at + 1, f"a number of at most {_DIGITS_MAX} characters", f"{len(text)}")
        if kind == "text":
            text = text[1:-1].replace(text[0] * 2, text[0])
        if kind != "space":
            tokens.append(Token(Kind[kind.upper()], text, at + 1))
        at = match.end()
    tokens.append(Token(Kind.END, "", len(sql) + 1))
    return tokens


def _no_word(sql: str, at: int) -> MalformedSql:
    if sql[at] in "'\"":
        return unexpected(
            len(sql) + 1, f"the closing {sql[at]} of the string at character {at + 1}", "the end of the text"
        )
    return unexpected(at + 1, "a name, a value, a sign or a keyword", f"{sql[at]!r}")
