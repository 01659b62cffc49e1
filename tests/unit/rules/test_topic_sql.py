"""The SQL of topic rules: what it says about messages, what it refuses, and that nothing else comes out of it."""

import base64
import contextlib
import json
import operator
import re
import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.base.refusals import MalformedSql
from outfitter_server.rules.bounds import CannotEvaluate
from outfitter_server.rules.evaluate import Incoming, outgoing
from outfitter_server.rules.numbers import DIGITS
from outfitter_server.rules.parser import NESTING_MAX, NODES_MAX, parse_statement
from outfitter_server.rules.templates import parse_template

NOW = 1_700_000_000_123
MESSAGE = {
    "color": {"red": 255, "name": "RED"},
    "temperature": 50,
    "ratio": 1.10,
    "items": [10, {"deep": ["x", "y"]}, None],
    "text": " Hello ",
    "numeral": "12.5",
    "yes": "TRUE",
    "nothing": None,
}


def run(sql, payload=MESSAGE, *, topic="plant/7/state", client_id="pump-1"):
    """What goes out, decoded; None when the condition does not hold."""
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    found = outgoing(parse_statement(sql), Incoming(topic, raw, client_id, NOW))
    return None if found is None else json.loads(found)


def value(expression, payload=MESSAGE, **more):
    """The value of one expression; "undefined" when it has none."""
    return run(f"SELECT {expression} AS v FROM 'x'", payload, **more).get("v", "undefined")


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("color.red", 255),
        ("items[1].deep[0]", "x"),
        ("items[temperature - 50]", 10),
        ("items[3]", "undefined"),
        ("items[0-1]", "undefined"),
        ("color.red.none", "undefined"),
        ("missing", "undefined"),
        ("nothing", None),
        ("NULL", None),
        ("'it''s'", "it's"),
        ('"double"', "double"),
        ("[1, 'a', true, missing]", [1, "a", True]),
        ("{'a': temperature, 'b': missing}", {"a": 50}),
        ("(temperature - 32) * 5 / 9", 10),
        ("1 + 2 * 3 - 4 % 3", 6),
        ("-temperature + 1", -49),
        ("0.1 + 0.2", 0.3),
        ("7 / 2", 3),
        ("-7 / 2", -3),
        ("7.5 / 2", 3.75),
        ("-7 % 3", -1),
        ("1 / 0", "undefined"),
        ("1 % 0", "undefined"),
        ("numeral - 0.5", 12),
        ("text - 1", "undefined"),
        ("true + 1", "undefined"),
        ("nothing + 1", "undefined"),
        ("'a' + 1 + true", "a1true"),
        ("1 + 1 + 'a'", "2a"),
        ("'a' + missing", "undefined"),
        ("'a' + nothing", "undefined"),
        ("'' + items", '[10,{"deep":["x","y"]},null]'),
        ("temperature > 49.9", True),
        ("numeral >= '12.50'", True),
        ("text > 1", "undefined"),
        ("missing < 1", "undefined"),
        ("temperature = 50.0", True),
        ("temperature = '50'", False),
        ("temperature <> '50'", True),
        ("temperature != 50", False),
        ("nothing = null", True),
        ("missing = missing", "undefined"),
        ("color = {'name': 'RED', 'red': 255}", True),
        ("[1, true] = [1, 1]", False),
        ("true = 1", False),
        ("10 in items", True),
        ("temperature in [1, 2]", False),
        ("missing in [1]", "undefined"),
        ("1 in 1", "undefined"),
        ("yes and true", True),
        ("true and missing", "undefined"),
        ("true or missing", "undefined"),
        ("false or 'False' or true", True),
        ("not yes", False),
        ("not not true", True),
        ("not 1", "undefined"),
        ("1 = 1 and not 2 = 3 or false", True),
        ("topic()", "plant/7/state"),
        ("topic(2)", "7"),
        ("topic(4)", "undefined"),
        ("topic(0)", "undefined"),
        ("clientid()", "pump-1"),
        ("timestamp()", NOW),
        ("UPPER(color.name + 'x')", "REDX"),
        ("lower(color.name)", "red"),
        ("lower(missing)", "undefined"),
        ("length(text)", 7),
        ("trim(text)", "Hello"),
        ("ltrim(text)", "Hello "),
        ("rtrim(text)", " Hello"),
        ("concat('he', 'is', 1)", "heis1"),
        ("concat([1], 2, [3])", [1, 2, 3]),
        ("concat(1)", 1),
        ("concat(1, 2)", "undefined"),
        ("replace(color.name, 'E', '--')", "R--D"),
        ("substring('012345', 2)", "2345"),
        ("substring('012345', 1, 3)", "12"),
        ("indexof('abcd', 'c')", 2),
        ("indexof('abcd', 'z')", -1),
        ("startswith(topic(), 'plant/')", True),
        ("endswith(topic(), 'plant/')", False),
        ("get(color, 'red')", 255),
        ("get(*, 'temperature')", 50),
        ("get('abc', 1)", "b"),
        ("abs(-5.5)", 5.5),
        ("abs('-5')", 5),
        ("ceil(1.2)", 2),
        ("ceil(-1.2)", -1),
        ("floor(-1.2)", -2),
        ("round(1.5)", 2),
        ("mod(8, 3)", 2),
        ("isUndefined(missing)", True),
        ("isUndefined(nothing)", False),
        ("isNull(nothing)", True),
        ("isNull(missing)", False),
        ("cast(true AS Int)", 1),
        ("cast('1.9' AS INT)", 1),
        ("cast(-1.5 AS integer)", -2),
        ("cast(numeral AS Decimal)", 12.5),
        ("cast(0 AS boolean)", False),
        ("cast('TRUE' AS bool)", True),
        ("cast('x' AS bool)", "undefined"),
        ("cast(1.10 AS string)", "1.10"),
        ("cast(items AS int)", "undefined"),
        ("encode(color.name, 'base64')", base64.b64encode(b"RED").decode()),
    ],
)
def test_expressions(expression, expected):
    found = value(expression)
    assert found == expected
    assert type(found) is type(expected)


def test_everything_goes_out_byte_by_byte():
    raw = b'{"b" : 1.50,\n "a":"\\u00e9"}'
    assert outgoing(parse_statement("SELECT * FROM 'a/b'"), Incoming("a/b", raw, "", NOW)) == raw


def test_names_of_what_is_selected():
    assert run("SELECT *, 15 AS speed FROM 'x'", {"a": 1}) == {"a": 1, "speed": 15}
    assert run("SELECT color.red, items[0], topic(1) FROM 'x'") == {
        "red": 255,
        "items[0]": 10,
        "topic(1)": "plant",
    }
    assert run("SELECT color.red AS a.b, 1 AS a.c, missing AS a.d FROM 'x'") == {"a": {"b": 255, "c": 1}}
    assert run("SELECT *, 1 AS color.blue FROM 'x'", {"color": {"red": 2}}) == {
        "color": {"red": 2, "blue": 1}
    }
    assert run("SELECT VALUE color.name FROM 'x'") == "RED"


def test_an_undefined_value_alone_is_nothing():
    assert outgoing(parse_statement("SELECT VALUE missing FROM 'x'"), Incoming("x", b"{}", "", NOW)) == b""


def test_numbers_keep_their_digits():
    raw = b'{"n": 12345678901234567890123456789, "d": 0.1234567890123456789, "w": 10.0}'
    found = outgoing(parse_statement("SELECT n, d, w FROM 'x'"), Incoming("x", raw, "", NOW))
    assert found == b'{"n":12345678901234567890123456789,"d":0.1234567890123456789,"w":10}'


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("temperature > 40", True),
        ("temperature > 60", False),
        ("missing > 1", False),
        ("'x'", False),
        ("yes", False),
    ],
)
def test_only_what_is_true_holds(condition, holds):
    assert (run(f"SELECT temperature FROM 'x' WHERE {condition}") is not None) is holds


def test_a_payload_that_is_no_json_goes_out_whole_or_encoded_only():
    raw = b"\xff\x00 no json"
    incoming = Incoming("a/b", raw, "", NOW)
    assert outgoing(parse_statement("SELECT * FROM 'x'"), incoming) == raw
    assert outgoing(parse_statement("SELECT * FROM 'x' WHERE topic(1) = 'a'"), incoming) == raw
    assert run("SELECT encode(*, 'base64') AS data, clientid() AS c FROM 'x'", raw, client_id="") == {
        "data": base64.b64encode(raw).decode(),
        "c": "n/a",
    }
    for sql in ("SELECT a FROM 'x'", "SELECT *, 1 AS b FROM 'x'", "SELECT * FROM 'x' WHERE a = 1"):
        with pytest.raises(CannotEvaluate, match="no JSON"):
            outgoing(parse_statement(sql), incoming)


@pytest.mark.parametrize("raw", [b"", b'{"a":1e2000}', b'{"a":"\\ud800"}', b"[" * 100_000, b'{"a":1}x'])
def test_payloads_that_are_nearly_json(raw):
    with pytest.raises(CannotEvaluate):
        outgoing(parse_statement("SELECT a FROM 'x'"), Incoming("x", raw, "", NOW))


def test_json_that_is_no_object_has_no_members():
    assert run("SELECT a FROM 'x'", [1, 2]) == {}
    with pytest.raises(CannotEvaluate, match="no JSON object"):
        run("SELECT *, 1 AS a FROM 'x'", [1, 2])


def test_a_short_statement_cannot_grow_a_large_value():
    payload = {"a": "x" * 100_000, "e": ""}
    for expression in ("replace(a, e, a)", " + ".join(["a"] * 10), f"concat({', '.join(['a'] * 10)})"):
        with pytest.raises(CannotEvaluate, match="grow beyond"):
            value(expression, payload)


@pytest.mark.parametrize(
    ("sql", "position", "expected"),
    [
        ("", 1, "SELECT"),
        ("SELEKT *", 1, "SELECT"),
        ("SELECT", 7, "an expression"),
        ("SELECT * FROM a/b", 15, "a topic filter in single quotes"),
        ("SELECT * FROM 'a/b' WHERE", 26, "an expression"),
        ("SELECT * FROM 'a/b' ORDER BY x", 21, "WHERE or the end"),
        ("SELECT a b FROM 'x'", 10, "AS, FROM"),
        ("SELECT a AS 'b' FROM 'x'", 13, "a name"),
        ("SELECT a, FROM 'x'", 11, "an expression"),
        ("SELECT 'a FROM x", 17, "the closing '"),
        ("SELECT a § b FROM 'x'", 10, "a sign"),
        ("SELECT unheard(1) FROM 'x'", 8, "a function"),
        ("SELECT upper() FROM 'x'", 8, "upper with 1 arguments"),
        ("SELECT cast(a AS date) FROM 'x'", 18, "one of the types"),
        ("SELECT (SELECT a FROM b) FROM 'x'", 9, "nested queries are not supported"),
        ("SELECT CASE a WHEN 1 THEN 2 END FROM 'x'", 8, "CASE and SET are not supported"),
        ("SELECT a FROM 'x' WHERE a = 1 = 2", 31, "an operator or the end"),
        ("SELECT (a FROM 'x'", 11, "')'"),
        ("SELECT {a: 1} FROM 'x'", 9, "a key in quotes"),
        ("SELECT [1 2] FROM 'x'", 11, "',' or ']'"),
        ("SELECT a.'b' FROM 'x'", 10, "the name of a member"),
        ("SELECT 1e2000 FROM 'x'", 8, "a number below"),
    ],
)
def test_a_bad_statement_is_told_with_its_place(sql, position, expected):
    with pytest.raises(MalformedSql) as refused:
        parse_statement(sql)
    assert f"At character {position}: expected " in refused.value.message
    assert expected in refused.value.message


@pytest.mark.parametrize(
    "sql",
    [
        f"SELECT {'(' * (NESTING_MAX + 1)}a{')' * (NESTING_MAX + 1)} FROM 'x'",
        f"SELECT {' + '.join(['1'] * NODES_MAX)} FROM 'x'",
        f"SELECT {'-' * (NODES_MAX + 1)}1 FROM 'x'",
        f"SELECT {'9' * 200} FROM 'x'",
        f"SELECT '{'x' * 20_000}' FROM 'x'",
    ],
)
def test_the_size_of_a_statement_is_bounded(sql):
    with pytest.raises(MalformedSql, match="at most"):
        parse_statement(sql)


def test_the_largest_statements_are_evaluated():
    depth = NESTING_MAX - 1
    assert value("(" * depth + "1" + ")" * depth) == 1
    assert value(" + ".join(["1"] * (NODES_MAX // 2))) == NODES_MAX // 2


@pytest.mark.parametrize("items", ["2", "true", '"1"'])
def test_a_long_array_is_searched_at_once(items):
    statement = parse_statement("SELECT * WHERE " + " OR ".join(["x IN list"] * 99))
    payload = b'{"x": 1, "list": [' + ",".join([items] * 60_000).encode() + b"]}"
    begun = time.process_time()
    assert outgoing(statement, Incoming("t", payload, "c", NOW)) is None
    assert time.process_time() - begun < 1


def test_templates():
    incoming = Incoming("plant/7/state", b'{"site": "a", "n": null}', "pump-1", NOW)
    wanted = {
        "fixed/topic": "fixed/topic",
        "${topic(1)}/${site}/${1 + 1}": "plant/a/2",
        "$$aws/rules/next/${clientid()}": "$aws/rules/next/pump-1",
        "${get({'}': 'brace'}, '}')}": "brace",
        "a${missing}${n}b": "ab",
        "plain $ sign": "plain $ sign",
    }
    assert {text: parse_template(text).fill(incoming) for text in wanted} == wanted


def test_a_template_says_why_it_cannot_be_filled():
    deep = b"[" * 500 + b"]" * 500
    incoming = Incoming("t", b'{"x": ' + deep + b', "y": ' + deep + b"}", "c", NOW)
    with pytest.raises(CannotEvaluate, match="beyond what can be evaluated"):
        parse_template("a/${x = y}").fill(incoming)


@pytest.mark.parametrize("text", ["${", "${a", "${}", "${a b}", "x/${'}", "${SELECT}"])
def test_bad_templates(text):
    with pytest.raises(MalformedSql):
        parse_template(text)


# Against a reference: Python's own numbers and truth

NAMES = {"a": 3, "b": -2, "c": 10, "d": 7}
numbers = st.recursive(
    st.one_of(st.integers(0, 10**6).map(str), st.sampled_from(sorted(NAMES))),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(
        lambda part: f"({part[0]} {part[1]} {part[2]})"
    ),
    max_leaves=12,
)
conditions = st.recursive(
    st.tuples(numbers, st.sampled_from(["<", "<=", ">", ">=", "=", "<>"]), numbers).map(" ".join),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["AND", "OR"]), inner).map(
            lambda part: f"({part[0]} {part[1]} {part[2]})"
        ),
        inner.map(lambda part: f"NOT ({part})"),
    ),
    max_leaves=8,
)


def as_python(sql):
    words = {"AND": "and", "OR": "or", "NOT": "not", "=": "==", "<>": "!="}
    return re.sub(r"AND|OR|NOT|<>|<=|>=|=", lambda word: words.get(word[0], word[0]), sql)


@given(numbers)
def test_arithmetic_agrees_with_python(expression):
    expected = eval(as_python(expression), {}, NAMES)
    if abs(expected) < 10**DIGITS:
        assert value(expression, NAMES) == expected


@given(conditions)
def test_conditions_agree_with_python(condition):
    holds = run(f"SELECT a FROM 'x' WHERE {condition}", NAMES) is not None
    assert holds is bool(eval(as_python(condition), {}, NAMES))


@given(st.decimals(-1000, 1000, places=3), st.decimals(-1000, 1000, places=3), st.sampled_from("+-*"))
def test_decimals_are_exact(left, right, sign):
    work = {"+": operator.add, "-": operator.sub, "*": operator.mul}[sign]
    payload = f'{{"l": {left}, "r": {right}}}'.encode()
    found = outgoing(parse_statement(f"SELECT VALUE l {sign} r FROM 'x'"), Incoming("x", payload, "", NOW))
    assert Fraction(found.decode()) == work(Fraction(left), Fraction(right))


WORDS = st.sampled_from(
    [
        "SELECT",
        "VALUE",
        "*",
        "FROM",
        "WHERE",
        "'a/b'",
        ",",
        "a",
        ".",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        ":",
        "1",
        "2.5e3",
        "'t'",
        "AND",
        "OR",
        "NOT",
        "IN",
        "=",
        "<",
        "+",
        "-",
        "/",
        "%",
        "AS",
        "upper",
        "topic",
        "cast",
        "int",
        "null",
        "${",
    ]
)
json_values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()
    ),
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.sampled_from("abc"), inner)),
)


@given(st.one_of(st.text(), st.lists(WORDS).map(" ".join)))
def test_text_is_a_statement_or_refused(text):
    for parse in (parse_statement, parse_template):
        with contextlib.suppress(MalformedSql):
            parse(text)


@given(
    st.lists(WORDS, min_size=1, max_size=8).map(" ".join),
    st.one_of(json_values.map(lambda given: json.dumps(given).encode()), st.binary()),
)
def test_what_parses_is_evaluated_or_says_why_not(words, payload):
    try:
        statement = parse_statement(f"SELECT {words} FROM 'a/b' WHERE {words}")
    except MalformedSql:
        try:
            statement = parse_statement(f"SELECT {words} FROM 'a/b'")
        except MalformedSql:
            return
    with contextlib.suppress(CannotEvaluate):
        found = outgoing(statement, Incoming("a/b", payload, "c", NOW))
        assert found is None or isinstance(found, bytes)
