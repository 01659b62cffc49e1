"""Reads a fleet query.

query   = either                                  terms side by side are joined by AND
either  = both { "OR" both }
both    = single { ["AND"] single }
single  = ("NOT" | "-" | "+") single | "(" query ")" | term
term    = [field ":"] value | [field ":"] range | field ("<" | "<=" | ">" | ">=") value | field ":" "(" query ")"
range   = ("[" | "{") value "TO" value ("]" | "}")     "*" is an open end
"""

from decimal import Decimal
from typing import Final

from outfitter_server.base.refusals import InvalidQuery
from outfitter_server.things.query import (
    ATTRIBUTES,
    CONNECTED,
    GROUPS,
    REASON,
    SHADOW,
    SINCE,
    THING_ID,
    THING_NAME,
    THING_TYPE,
    And,
    Between,
    Bound,
    Equals,
    Like,
    Not,
    Or,
    Present,
    Query,
    Term,
    Test,
    folded_text,
    number_of,
    package_of,
)
from outfitter_server.things.query_words import Kind, Token, invalid, tokenize, unescaped, unexpected

TERMS_MAX: Final = 12
DEPTH_MAX: Final = 20

_FIELDS: Final = frozenset({THING_NAME, THING_ID, THING_TYPE, GROUPS, CONNECTED, SINCE, REASON})
_TEXTS: Final = frozenset({THING_NAME, THING_ID, THING_TYPE, GROUPS, REASON})
_KEYWORDS: Final = frozenset({"AND", "OR", "NOT", "TO"})
_ELSEWHERE: Final = {"&&": "AND", "||": "OR", "!": "NOT"}
_COMPARISONS: Final = frozenset({"<", "<=", ">", ">="})


def parse(text: str) -> Query:
    """The query that a text is.

    Raises:
        InvalidQuery: with the position of what cannot be read, and what to do.
    """
    parser = _Parser(tokenize(text))
    if parser.ended():
        raise InvalidQuery("The query is empty: write * to find all things.")
    query = parser.either(None)
    if not parser.ended():
        raise unexpected(parser.here, "a term, AND, OR, NOT or the end of the query")
    return query


class _Parser:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._terms = 0
        self._depth = 0

    @property
    def here(self) -> Token:
        return self._tokens[self._at]

    def ended(self) -> bool:
        return self.here.kind is Kind.END

    def _next(self) -> Token:
        token = self._tokens[self._at]
        self._at += token.kind is not Kind.END
        return token

    def _is(self, kind: Kind, *texts: str) -> bool:
        return self.here.kind is kind and self.here.text in texts

    def either(self, field: str | None) -> Query:
        parts = [self._both(field)]
        while self._is(Kind.WORD, "OR"):
            self._next()
            parts.append(self._both(field))
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def _both(self, field: str | None) -> Query:
        parts = [self._single(field)]
        while not (self.ended() or self._is(Kind.WORD, "OR") or self._is(Kind.SIGN, ")")):
            if self._is(Kind.WORD, "AND"):
                self._next()
            parts.append(self._single(field))
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def _single(self, field: str | None) -> Query:
        denied = False
        while True:
            if self._is(Kind.WORD, "NOT"):
                self._next()
                denied = not denied
            elif self.here.kind is Kind.WORD and self.here.text[0] in "-+":
                denied ^= self._take_mark() == "-"
            else:
                break
        found = self._group(field) if self._is(Kind.SIGN, "(") else self._term(field)
        return Not(found) if denied else found

    def _take_mark(self) -> str:
        """Take ``-`` or ``+`` off the beginning of what it belongs to."""
        token = self.here
        if len(token.text) > 1:
            self._tokens[self._at] = Token(Kind.WORD, token.text[1:], token.start + 1, token.end)
        else:
            self._next()
            if self.here.start != token.end:
                raise invalid(
                    token.start, f"{token.text!r} must stand directly before a term; to mean it, quote it"
                )
        return token.text[0]

    def _group(self, field: str | None) -> Query:
        opened = self._next()
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise invalid(opened.start, f"a query has at most {DEPTH_MAX} groups inside each other")
        if self._is(Kind.SIGN, ")"):
            raise unexpected(self.here, "a term")
        found = self.either(field)
        if not self._is(Kind.SIGN, ")"):
            raise unexpected(self.here, f"the ')' of the group at character {opened.start + 1}")
        self._next()
        self._depth -= 1
        return found

    def _term(self, field: str | None) -> Query:
        token = self.here
        if token.kind is Kind.WORD and token.text not in _KEYWORDS:
            after = self._tokens[self._at + 1]
            if after.kind is Kind.SIGN and (after.text == ":" or after.text in _COMPARISONS):
                if field is not None:
                    raise invalid(token.start, f"a field inside the group of {field}: write a value")
                self._next()
                return self._of_field(_field(token), self._next())
        return self._count(Term(field, self._test()), token)

    def _of_field(self, field: str, sign: Token) -> Query:
        if sign.text in _COMPARISONS:
            return self._count(Term(field, self._compared(sign)), sign)
        if self._is(Kind.SIGN, "("):
            return self._group(field)
        if self.here.kind is Kind.SIGN and self.here.text in _COMPARISONS:
            return self._count(Term(field, self._compared(self._next())), sign)
        return self._count(Term(field, self._test()), sign)

    def _count(self, term: Term, token: Token) -> Term:
        self._terms += 1
        if self._terms > TERMS_MAX:
            raise invalid(token.start, f"a query has at most {TERMS_MAX} terms")
        return Term(term.field, _as_text(term.test)) if _holds_text(term.field) else term

    def _test(self) -> Test:
        if self._is(Kind.SIGN, "[", "{"):
            return self._range()
        token, text = self._value()
        if token.kind is Kind.TEXT:
            return Equals(folded_text(text))
        if text == "*":
            return Present()
        return _pattern(token, text) or Equals(folded_text(unescaped(text)), number_of(unescaped(text)))

    def _compared(self, sign: Token) -> Between:
        token, text = self._value()
        bound = _bound(token, text, included=sign.text.endswith("="))
        if bound is None:
            raise invalid(token.start, f"'*' cannot be compared with {sign.text}: write a value")
        return Between(bound, None) if sign.text.startswith(">") else Between(None, bound)

    def _range(self) -> Test:
        opened = self._next()
        low = _bound(*self._value(), included=opened.text == "[")
        if not self._is(Kind.WORD, "TO"):
            raise unexpected(self.here, "TO between the ends of the range")
        self._next()
        token, text = self._value()
        if not self._is(Kind.SIGN, "]", "}"):
            raise unexpected(self.here, "the ']' or '}' of the range")
        high = _bound(token, text, included=self._next().text == "]")
        return Between(low, high) if low is not None or high is not None else Present()

    def _value(self) -> tuple[Token, str]:
        """A value as it is written, or what its quotes say; colons inside a word belong to it (``aa:bb:cc``)."""
        token = self._next()
        if token.kind is Kind.TEXT:
            return token, unescaped(token.text[1:-1])
        if token.kind is not Kind.WORD or token.text in _KEYWORDS:
            raise unexpected(token, "a value")
        if token.text in _ELSEWHERE:
            raise invalid(token.start, f"write {_ELSEWHERE[token.text]} instead of {token.text}")
        text, end = token.text, token.end
        while self.here.start == end and (self._is(Kind.SIGN, ":") or self.here.kind is Kind.WORD):
            piece = self._next()
            text, end = text + piece.text, piece.end
        return token, text


def _field(token: Token) -> str:
    name = unescaped(token.text)
    known = name in _FIELDS or any(
        name.startswith(beginning) and len(name) > len(beginning) for beginning in (ATTRIBUTES, SHADOW)
    )
    if not known:
        raise invalid(
            token.start,
            f"there is no field {name[:80]!r}: there are {', '.join(sorted(_FIELDS))}, {ATTRIBUTES}NAME and "
            f"{SHADOW}name.$package.reported.PACKAGE.version (upper and lower case matter)",
        )
    return name


def _holds_text(field: str | None) -> bool:
    """Whether what is written like a number is none in a field: thing 10 is not thing 010, nor version 1.2 version 1.20."""
    return field in _TEXTS or (field is not None and package_of(field) is not None)


def _as_text(test: Test) -> Test:
    match test:
        case Equals(text):
            return Equals(text)
        case Between(low, high):
            return Between(
                *(None if end is None else Bound(end.text, None, end.included) for end in (low, high))
            )
    return test


def _pattern(token: Token, text: str) -> Like | None:
    pattern: list[str | None] = []
    wild = escaped = False
    for character in text:
        if escaped:
            pattern.append(folded_text(character))
            escaped = False
        elif character == "\\":
            escaped = True
        elif character in "*?":
            wild = True
            pattern.append(None if character == "*" else "")
        elif character in "~^":
            raise invalid(
                token.start,
                f"{character!r} (fuzzy search, boosting) is not part of the language; escape it with \\",
            )
        else:
            pattern.append(folded_text(character))
    if not wild:
        return None
    if not pattern[0]:
        raise invalid(token.start, "a value cannot begin with a wildcard; '*' alone asks for any value")
    return Like(tuple(pattern))


def _bound(token: Token, text: str, *, included: bool) -> Bound | None:
    if token.kind is Kind.TEXT:
        return Bound(folded_text(text), None, included)
    if text == "*":
        return None
    if _pattern(token, text) is not None:
        raise invalid(token.start, "an end of a range cannot have a wildcard; '*' alone is an open end")
    number: Decimal | None = number_of(unescaped(text))
    return Bound(folded_text(unescaped(text)), number, included)
