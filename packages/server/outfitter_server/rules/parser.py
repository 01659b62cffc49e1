"""Text to statement: ``SELECT <* | expr [AS name], …> [FROM 'filter'] [WHERE expr]``, by recursive descent.

The grammar is that of AWS IoT SQL 2016-03-23 without CASE, SET, nested queries and most of its functions. What is not
understood is refused with its position and what was expected; nothing is guessed.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Final, TypeVar

from outfitter_server.base.refusals import MalformedSql
from outfitter_server.rules.numbers import CONTEXT, number
from outfitter_server.rules.syntax import (
    ARGUMENTS,
    CAST_KINDS,
    Array,
    Call,
    Cast,
    Expression,
    Field,
    Item,
    Literal,
    Logic,
    Member,
    Negation,
    Not,
    Object,
    Operation,
    Selected,
    Statement,
    Whole,
)
from outfitter_server.rules.tokens import Kind, Token, tokenize, unexpected

Part = TypeVar("Part")

NESTING_MAX: Final = 40
NODES_MAX: Final = 400

_KEYWORDS: Final = frozenset(
    {"select", "value", "from", "where", "as", "and", "or", "not", "in", "true", "false", "null"}
    | {"case", "when", "then", "else", "end", "set"}
)
_VALUES: Final = {"true": True, "false": False, "null": None}
_COMPARISONS: Final = frozenset({"=", "<>", "!=", "<", "<=", ">", ">="})
_AN_EXPRESSION: Final = "an expression"


def parse_statement(sql: str) -> Statement:
    """A whole statement.

    Raises:
        MalformedSql: it is none; the message gives the position and what was expected.
    """
    return _Parser(sql).statement()


def parse_expression(text: str) -> Expression:
    """One expression, as in a substitution template.

    Raises:
        MalformedSql: it is none.
    """
    return _Parser(text).whole_expression()


class _Parser:
    def __init__(self, sql: str) -> None:
        self._sql = sql
        self._tokens: Sequence[Token] = tokenize(sql)
        self._at = 0
        self._nesting = 0
        self._nodes = 0

    # Clauses

    def statement(self) -> Statement:
        self._demand_word("select")
        everything, selected, value = False, list[Selected](), None
        if self._takes_word("value"):
            value = self._expression()
        else:
            everything, selected = self._selection()
        topic_filter, position, condition = None, 0, None
        if self._takes_word("from"):
            token = self._next
            if token.kind is not Kind.TEXT:
                raise self._refusal("a topic filter in single quotes")
            self._at += 1
            topic_filter, position = token.text, token.position
        if self._takes_word("where"):
            condition = self._expression()
        if self._next.kind is not Kind.END:
            raise self._refusal(
                self._possible_end(filtered=topic_filter is not None, ends=condition is not None)
            )
        return Statement(
            everything=everything,
            selected=tuple(selected),
            value=value,
            topic_filter=topic_filter,
            filter_position=position,
            condition=condition,
        )

    def whole_expression(self) -> Expression:
        found = self._expression()
        if self._next.kind is not Kind.END:
            raise self._refusal("an operator or the end")
        return found

    @staticmethod
    def _possible_end(*, filtered: bool, ends: bool) -> str:
        if ends:
            return "an operator or the end"
        return "WHERE or the end" if filtered else "',', AS, FROM, WHERE or an operator"

    def _selection(self) -> tuple[bool, list[Selected]]:
        everything, selected = False, list[Selected]()
        while True:
            if self._next.text == "*" and self._next.kind is Kind.SIGN:
                self._at += 1
                everything = True
            else:
                selected.append(self._selected())
            if not self._takes_sign(","):
                return everything, selected

    def _selected(self) -> Selected:
        start = self._next.position
        expression = self._expression()
        if self._takes_word("as"):
            path = [self._name("a name")]
            while self._takes_sign("."):
                path.append(self._name("a name"))
            return Selected(expression, tuple(path))
        if isinstance(expression, Field | Member):
            return Selected(expression, (expression.name,))
        end = self._tokens[self._at].position - 1
        return Selected(expression, (self._sql[start - 1 : end].strip(),))

    # Expressions, from the loosest operator to the tightest

    def _expression(self) -> Expression:
        self._nesting += 1
        if self._nesting > NESTING_MAX:
            raise self._refusal(f"at most {NESTING_MAX} expressions inside each other")
        found = self._logic("or", lambda: self._logic("and", self._negated))
        self._nesting -= 1
        return found

    def _logic(self, operator: str, operand: Callable[[], Expression]) -> Expression:
        operands = [operand()]
        while self._takes_word(operator):
            operands.append(operand())
        return operands[0] if len(operands) == 1 else self._made(Logic(operator, tuple(operands)))

    def _negated(self) -> Expression:
        negations = 0
        while self._takes_word("not"):
            negations += 1
        found = self._comparison()
        for _ in range(negations):
            found = self._made(Not(found))
        return found

    def _comparison(self) -> Expression:
        left = self._sum()
        token = self._next
        if token.kind is Kind.SIGN and token.text in _COMPARISONS:
            self._at += 1
            operator = "<>" if token.text == "!=" else token.text
            return self._made(Operation(operator, left, self._sum()))
        if self._takes_word("in"):
            return self._made(Operation("in", left, self._sum()))
        return left

    def _sum(self) -> Expression:
        return self._chain(frozenset("+-"), self._product)

    def _product(self) -> Expression:
        return self._chain(frozenset("*/%"), self._signed)

    def _chain(self, operators: frozenset[str], operand: Callable[[], Expression]) -> Expression:
        found = operand()
        while self._next.kind is Kind.SIGN and self._next.text in operators:
            operator = self._next.text
            self._at += 1
            found = self._made(Operation(operator, found, operand()))
        return found

    def _signed(self) -> Expression:
        signs = 0
        while self._takes_sign("-"):
            signs += 1
        found = self._reached()
        for _ in range(signs):
            found = self._made(Negation(found))
        return found

    def _reached(self) -> Expression:
        found = self._primary()
        while True:
            if self._takes_sign("."):
                found = self._made(Member(found, self._name("the name of a member")))
            elif self._takes_sign("["):
                found = self._made(Item(found, self._expression()))
                self._demand_sign("]")
            else:
                return found

    def _primary(self) -> Expression:
        token = self._next
        if token.kind is Kind.NUMBER:
            self._at += 1
            return self._made(Literal(self._number(token)))
        if token.kind is Kind.TEXT:
            self._at += 1
            return self._made(Literal(token.text))
        if token.kind is Kind.NAME:
            return self._named(token)
        if self._takes_sign("("):
            if self._is_word("select"):
                raise self._refusal(f"{_AN_EXPRESSION} (nested queries are not supported)")
            found = self._expression()
            self._demand_sign(")")
            return found
        if self._takes_sign("["):
            return self._made(Array(self._listed("]", self._expression)))
        if self._takes_sign("{"):
            return self._made(Object(self._listed("}", self._pair)))
        raise self._refusal(_AN_EXPRESSION)

    def _number(self, token: Token) -> int | Decimal:
        value = number(CONTEXT.create_decimal(token.text))
        if isinstance(value, int | Decimal):
            return value
        raise unexpected(token.position, "a number below 1E1000", token.shown())

    def _named(self, token: Token) -> Expression:
        word = token.text.lower()
        if word in _VALUES:
            self._at += 1
            return self._made(Literal(_VALUES[word]))
        if word in _KEYWORDS:
            known = " (CASE and SET are not supported)" if word in {"case", "set"} else ""
            raise self._refusal(_AN_EXPRESSION + known)
        self._at += 1
        if not self._takes_sign("("):
            return self._made(Field(token.text))
        if word == "cast":
            return self._cast()
        if word not in ARGUMENTS:
            raise unexpected(
                token.position,
                f"a function that this server has ({', '.join(sorted([*ARGUMENTS, 'cast']))})",
                token.shown(),
            )
        arguments = self._listed(")", self._argument)
        least, most = ARGUMENTS[word]
        if not least <= len(arguments) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise unexpected(token.position, f"{token.text} with {wanted} arguments", f"{len(arguments)}")
        return self._made(Call(word, arguments))

    def _argument(self) -> Expression:
        if self._next.text == "*" and self._next.kind is Kind.SIGN:
            self._at += 1
            return self._made(Whole())
        return self._expression()

    def _cast(self) -> Expression:
        operand = self._argument()
        self._demand_word("as")
        kind = CAST_KINDS.get(self._next.text.lower()) if self._next.kind is Kind.NAME else None
        if kind is None:
            raise self._refusal(f"one of the types {', '.join(sorted(CAST_KINDS))}")
        self._at += 1
        self._demand_sign(")")
        return self._made(Cast(operand, kind))

    def _pair(self) -> tuple[str, Expression]:
        token = self._next
        if token.kind is not Kind.TEXT:
            raise self._refusal("a key in quotes")
        self._at += 1
        self._demand_sign(":")
        return token.text, self._expression()

    def _listed(self, end: str, part: Callable[[], Part]) -> tuple[Part, ...]:
        parts: list[Part] = []
        if self._takes_sign(end):
            return ()
        while True:
            parts.append(part())
            if self._takes_sign(end):
                return tuple(parts)
            if not self._takes_sign(","):
                raise self._refusal(f"',' or '{end}'")

    # Words

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _made(self, node: Expression) -> Expression:
        self._nodes += 1
        if self._nodes > NODES_MAX:
            raise self._refusal(f"at most {NODES_MAX} parts in one statement")
        return node

    def _is_word(self, word: str) -> bool:
        return self._next.kind is Kind.NAME and self._next.text.lower() == word

    def _takes_word(self, word: str) -> bool:
        found = self._is_word(word)
        self._at += found
        return found

    def _takes_sign(self, sign: str) -> bool:
        found = self._next.kind is Kind.SIGN and self._next.text == sign
        self._at += found
        return found

    def _demand_word(self, word: str) -> None:
        if not self._takes_word(word):
            raise self._refusal(word.upper())

    def _demand_sign(self, sign: str) -> None:
        if not self._takes_sign(sign):
            raise self._refusal(f"'{sign}'")

    def _name(self, wanted: str) -> str:
        token = self._next
        if token.kind is not Kind.NAME:
            raise self._refusal(wanted)
        self._at += 1
        return token.text

    def _refusal(self, wanted: str) -> MalformedSql:
        return unexpected(self._next.position, wanted, self._next.shown())
