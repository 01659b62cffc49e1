"""A statement on one message: does it hold, and what goes out.

Undefined is a value: a missing field, a wrong type, a division by zero. It is left out of the outgoing object, and a
condition that is undefined does not hold. What cannot be evaluated at all (fields of a payload that is no JSON) raises.
"""

from decimal import Decimal
from operator import ge, gt, le, lt
from typing import Any, Final

from outfitter_server.rules.bounds import CannotEvaluate, bounded_text
from outfitter_server.rules.calls import CALLS, cast, encode, get, remainder
from outfitter_server.rules.numbers import (
    CONTEXT,
    UNDEFINED,
    Undefined,
    equal,
    from_json,
    number,
    to_boolean,
    to_decimal,
    to_int,
    to_json,
    to_text,
)
from outfitter_server.rules.syntax import (
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

NO_CLIENT: Final = "n/a"
_ORDERS: Final = {"<": lt, "<=": le, ">": gt, ">=": ge}


class Incoming:
    """One message as statements see it; its payload is decoded at most once, and only when asked for.

    Attributes:
        topic: without the prefix of basic ingest.
        payload: as it was published.
        client_id: "" when it did not come over MQTT.
        now: milliseconds since the epoch.
    """

    __slots__ = ("_decoded", "client_id", "now", "payload", "topic")

    def __init__(self, topic: str, payload: bytes, client_id: str, now: int) -> None:
        """Nothing is decoded yet."""
        self.topic = topic
        self.payload = payload
        self.client_id = client_id
        self.now = now
        self._decoded: Any = UNDEFINED

    def document(self) -> Any:
        """The payload's JSON value.

        Raises:
            CannotEvaluate: it is no JSON.
        """
        if self._decoded is UNDEFINED:
            try:
                self._decoded = from_json(self.payload)
            except (ValueError, RecursionError) as error:
                raise CannotEvaluate(
                    f"the payload is no JSON, and the rule asks for what is in it: {error}"
                ) from error
        return self._decoded

    def levels(self, number: Any) -> Any:
        """The level of the topic with this number, counted from 1."""
        index = to_int(number)
        levels = self.topic.split("/")
        return levels[index - 1] if isinstance(index, int) and 1 <= index <= len(levels) else UNDEFINED


def outgoing(statement: Statement, message: Incoming) -> bytes | None:
    """The payload for the rule's actions, None when the condition does not hold.

    Raises:
        CannotEvaluate: the statement and the message do not fit.
    """
    try:
        if statement.condition is not None and value_of(statement.condition, message) is not True:
            return None
        if statement.value is not None:
            found = value_of(statement.value, message)
            return b"" if found is UNDEFINED else to_json(found)
        if not statement.selected:
            return message.payload
        return to_json(_selection(statement, message))
    except (RecursionError, UnicodeEncodeError) as error:
        raise CannotEvaluate(f"the payload is beyond what can be evaluated: {error}") from error


def value_of(expression: Expression, message: Incoming) -> Any:  # noqa: C901, PLR0912 - one case a kind of node
    """The value of one expression.

    Raises:
        CannotEvaluate: the payload is no JSON and the expression asks for what is in it, or a value grows too large.
    """
    match expression:
        case Literal(value):
            return value
        case Field(name):
            return get(message.document(), name) if isinstance(message.document(), dict) else UNDEFINED
        case Whole():
            return message.document()
        case Member(owner, name):
            found = value_of(owner, message)
            return found.get(name, UNDEFINED) if isinstance(found, dict) else UNDEFINED
        case Item(owner, index):
            return get(value_of(owner, message), value_of(index, message))
        case Operation(operator, left, right):
            return _operation(operator, value_of(left, message), value_of(right, message))
        case Logic(operator, operands):
            return _logic(operator, [to_boolean(value_of(operand, message)) for operand in operands])
        case Not(operand):
            truth = to_boolean(value_of(operand, message))
            return truth if truth is UNDEFINED else not truth
        case Negation(operand):
            return _arithmetic("-", 0, value_of(operand, message))
        case Cast(operand, kind):
            return cast(value_of(operand, message), kind)
        case Array(items):
            found = [value_of(item, message) for item in items]
            return [item for item in found if item is not UNDEFINED]
        case Object(members):
            return _object(members, message)
        case Call():
            return _call(expression, message)


def _selection(statement: Statement, message: Incoming) -> dict[str, Any]:
    result: dict[str, Any] = {}
    if statement.everything:
        document = message.document()
        if not isinstance(document, dict):
            raise CannotEvaluate("the payload is no JSON object, and the rule adds members to it")
        result.update(document)
    for selected in statement.selected:
        found = value_of(selected.expression, message)
        if found is not UNDEFINED:
            _place(result, selected, found)
    return result


def _place(result: dict[str, Any], selected: Selected, found: Any) -> None:
    *above, last = selected.path
    for name in above:
        below = result.get(name)
        # Copied, so that a member of the payload is not changed for the rules that come after.
        below = dict(below) if isinstance(below, dict) else {}
        result[name] = below
        result = below
    result[last] = found


def _object(members: tuple[tuple[str, Expression], ...], message: Incoming) -> dict[str, Any]:
    found = {key: value_of(member, message) for key, member in members}
    return {key: value for key, value in found.items() if value is not UNDEFINED}


def _call(call: Call, message: Incoming) -> Any:
    name, arguments = call.name, call.arguments
    if name == "topic":
        return message.levels(value_of(arguments[0], message)) if arguments else message.topic
    if name == "clientid":
        return message.client_id or NO_CLIENT
    if name == "timestamp":
        return message.now
    if name == "encode" and isinstance(arguments[0], Whole):
        return encode(message.payload, value_of(arguments[1], message))
    return CALLS[name](*[value_of(argument, message) for argument in arguments])


def _logic(operator: str, operands: list[bool | Undefined]) -> Any:
    if any(operand is UNDEFINED for operand in operands):
        return UNDEFINED
    return all(operands) if operator == "and" else any(operands)


def _operation(operator: str, left: Any, right: Any) -> Any:
    if operator in {"=", "<>"}:
        if left is UNDEFINED or right is UNDEFINED:
            return UNDEFINED
        return equal(left, right) is (operator == "=")
    if operator == "in":
        if left is UNDEFINED or left is None or isinstance(left, bool) or not isinstance(right, list):
            return UNDEFINED
        return _is_in(left, right)
    order = _ORDERS.get(operator)
    if order is not None:
        first, second = to_decimal(left), to_decimal(right)
        if isinstance(first, Undefined) or isinstance(second, Undefined):
            return UNDEFINED
        return order(first, second)
    if operator == "+" and (isinstance(left, str) or isinstance(right, str)):
        texts = [to_text(left), to_text(right)]
        return (
            bounded_text([text for text in texts if isinstance(text, str)])
            if UNDEFINED not in texts
            else UNDEFINED
        )
    return _arithmetic(operator, left, right)


def _is_in(left: Any, items: list[Any]) -> bool:
    """Whether some item is the same; most items are told apart without Python's help, as arrays may be long."""
    if isinstance(left, str):
        return left in items
    return any(
        item == left and item is not True and item is not False and equal(left, item) for item in items
    )


def _arithmetic(operator: str, left: Any, right: Any) -> Any:
    first, second = to_decimal(left), to_decimal(right)
    if isinstance(first, Undefined) or isinstance(second, Undefined):
        return UNDEFINED
    match operator:
        case "+":
            return number(CONTEXT.add(first, second))
        case "-":
            return number(CONTEXT.subtract(first, second))
        case "*":
            return number(CONTEXT.multiply(first, second))
        case "/":
            return number(_quotient(first, second))
        case _:
            return remainder(left, right)


def _quotient(left: Decimal, right: Decimal) -> Decimal:
    if isinstance(number(left), int) and isinstance(number(right), int):
        return CONTEXT.divide_int(left, right)
    return CONTEXT.divide(left, right)
