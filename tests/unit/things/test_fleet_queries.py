"""The fleet index's query language: tables, the way from text to tree and back, and a naive oracle."""

import contextlib
import re
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from outfitter_server.base.refusals import InvalidQuery
from outfitter_server.things.query import (
    And,
    Between,
    Bound,
    Connectivity,
    Document,
    Equals,
    Like,
    Not,
    Or,
    Present,
    Term,
    fields,
    matches,
)
from outfitter_server.things.query_parser import DEPTH_MAX, TERMS_MAX, parse
from outfitter_server.things.query_words import QUERY_BYTES_MAX

TV = Document(
    name="TV-1",
    id="0f3c",
    type="Television",
    attributes={
        "site": "Berlin",
        "hours": "1200",
        "rate": "-0.50",
        "mac": "aa:bb:cc",
        "note": "a+b (c)",
        "v": "1.20",
    },
    groups=("hall", "Show"),
    connectivity=Connectivity(connected=False, since=1_700_000_000_000, reason="CONNECTION_LOST"),
    packages={"app": "1.20"},
)
BARE = Document(name="bare", id="1")


@pytest.mark.parametrize(
    "query",
    [
        "*",
        "thingName:TV-1",
        "thingName:tv-1",
        'thingName:"tv-1"',
        "thingName:tv*",
        "thingName:t?-*",
        "thingName:t*1",
        "thingName:*",
        "thingName : tv*",
        "thingId:0F3C",
        "thingTypeName:television",
        "thingGroupNames:hall",
        "thingGroupNames:(show AND hall)",
        "attributes.site:berlin",
        "attributes.site:*",
        "attributes.site:(paris OR ber*)",
        "attributes.site:(b* AND -paris)",
        "attributes.site:(b* -paris NOT rome)",
        "attributes.hours:1200",
        "attributes.hours:1200.0",
        "attributes.hours:1.2e3",
        "attributes.hours>1000",
        "attributes.hours>=1200",
        "attributes.hours:>=1200",
        "attributes.hours<1200.0001",
        "attributes.hours<=1200",
        "attributes.hours:[1200 TO 1300]",
        "attributes.hours:{1199 TO 1200]",
        "attributes.hours:[* TO 1200]",
        "attributes.hours:[2 TO *]",
        "attributes.hours:[* TO *]",
        'attributes.hours:["10" TO "2"]',
        "attributes.rate:-0.5",
        "attributes.rate:[-1 TO 0]",
        "attributes.rate<0",
        "attributes.mac:aa:bb:cc",
        'attributes.note:"A+B (c)"',
        r"attributes.note:a+b\ \(c\)",
        r"attributes.note:a\+b*",
        'attributes.site:["berlin" TO "bonn"}',
        "attributes.v:1.2",
        "connectivity.connected:false",
        "connectivity.connected:FALSE AND connectivity.timestamp : [1600000000000 TO 1800000000000]",
        "connectivity.timestamp>1600000000000",
        "connectivity.disconnectReason:connection_lost",
        "shadow.name.$package.reported.app.version:1.20",
        "shadow.name.$package.reported.app.version:1*",
        "shadow.name.$package.reported.app.version>=1.2",
        "shadow.name.$package.reported.app.version:[1.10 TO 1.9]",
        "berlin",
        "1200",
        "hall berlin",
        "NOT thingName:bare",
        "-thingName:bare",
        "NOT NOT thingName:tv*",
        "--thingName:tv*",
        "NOT attributes.colour:red",
        "+thingName:tv* -attributes.colour:red",
        "thingName:bare OR thingName:tv*",
        "thingName:nobody AND thingName:bare OR thingName:tv*",
        "thingName:tv* OR thingName:nobody AND thingName:bare",
        "(thingName:nobody OR thingName:tv*) (attributes.site:berlin OR berlin)",
        '"AND" OR attributes.site:berlin',
    ],
)
def test_it_finds(query):
    assert matches(parse(query), TV)


@pytest.mark.parametrize(
    "query",
    [
        "thingName:tv",
        "thingName:tv-1?",
        'thingName:"tv*"',
        r"thingName:tv\*",
        "attributes.Site:berlin",
        "attributes.colour:*",
        "attributes.colour:red",
        "attributes.colour<5",
        'attributes.hours:"1200.0"',
        "attributes.hours>1200",
        "attributes.hours<1200",
        "attributes.hours:{1200 TO *]",
        "attributes.hours:[2 TO 1100]",
        "attributes.site>5",
        "attributes.site<5",
        "thingGroupNames:hal",
        "connectivity.connected:true",
        "connectivity.timestamp<1600000000000",
        "shadow.name.$package.reported.app.version:1.2",
        "shadow.name.$package.reported.app.version:(1.2 OR 1.200)",
        "shadow.name.$package.reported.app.version<=1.2",
        "shadow.name.$package.reported.App.version:1.20",
        "shadow.name.$package.reported.app:1.20",
        "shadow.reported.site:berlin",
        "paris",
        "NOT *",
        "NOT attributes.site:berlin",
        "berlin -hall",
        "thingName:tv* AND NOT (attributes.site:berlin OR attributes.site:paris)",
        '"AND"',
    ],
)
def test_it_does_not_find(query):
    assert not matches(parse(query), TV)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("thingName:10", ["10"]),
        ("thingName:(10 OR 7)", ["10"]),
        ("thingName:[1 TO 2]", ["10"]),
        ("thingName<1", ["010"]),
        ("thingTypeName:7", ["10"]),
        ("thingGroupNames:05", ["010"]),
    ],
)
def test_what_a_thing_is_called_is_no_number(query, found):
    things = [
        Document(name="10", id="a", type="7", groups=("5",)),
        Document(name="010", id="b", type="07", groups=("05",)),
        Document(name="3", id="c", type="7.0"),
    ]
    assert [thing.name for thing in things if matches(parse(query), thing)] == found


@pytest.mark.parametrize(
    "query", ["attributes.site:*", "thingTypeName:*", "connectivity.connected:false", "thingGroupNames:*"]
)
def test_a_missing_field_matches_nothing(query):
    assert not matches(parse(query), BARE)
    assert matches(parse(f"NOT {query}"), BARE)


@pytest.mark.parametrize(
    ("query", "character", "words"),
    [
        ("", None, "empty"),
        ("  ", None, "empty"),
        ("colour:red", 1, "no field 'colour'"),
        ("thingname:red", 1, "no field"),
        ("attributes.:red", 1, "no field"),
        ("a AND colour:red", 7, "no field"),
        ("thingName:", 11, "a value"),
        ("thingName:AND", 11, "a value"),
        ("AND a", 1, "a value"),
        ("a AND", 6, "a value"),
        ("a OR", 5, "a value"),
        ("NOT", 4, "a value"),
        ("(a", 3, "')' of the group at character 1"),
        ("a)", 2, "AND, OR, NOT or the end"),
        ("()", 2, "a term"),
        ("- a", 1, "directly before a term"),
        ('"a', 1, "never closed"),
        ("a\\", 2, "backslash"),
        ("thingName:*x", 11, "wildcard"),
        ("thingName:?x", 11, "wildcard"),
        ("attributes.a:[1 TO 2", 21, "']' or '}'"),
        ("attributes.a:[1 2]", 17, "TO"),
        ("attributes.a:[1* TO 2]", 15, "wildcard"),
        ("attributes.a>*", 14, "'*' cannot be compared"),
        ("attributes.a:(thingName:b)", 15, "a field inside the group of attributes.a"),
        ("thingName:roam~", 11, "fuzzy"),
        ("thingName:a^2", 11, "boosting"),
        ("a && b", 3, "write AND instead of &&"),
        ("a || b", 3, "write OR instead of ||"),
        ("! b", 1, "write NOT instead of !"),
        ("(" * (DEPTH_MAX + 1) + "a" + ")" * (DEPTH_MAX + 1), DEPTH_MAX + 1, "groups inside each other"),
        (" ".join("a" * (TERMS_MAX + 1)), 2 * TERMS_MAX + 1, "at most 12 terms"),
        ("a" * (QUERY_BYTES_MAX + 1), None, "1000 bytes"),
        ("\u00e9" * 501, None, "1000 bytes"),
    ],
)
def test_it_says_what_it_cannot_read(query, character, words):
    with pytest.raises(InvalidQuery, match=re.escape(words)) as refused:
        parse(query)
    if character is not None:
        assert f"At character {character} of the query" in refused.value.message


def test_as_many_as_may_be():
    parse(" ".join("a" * TERMS_MAX))
    parse("(" * DEPTH_MAX + "a" + ")" * DEPTH_MAX)
    parse("a" * QUERY_BYTES_MAX)


def test_the_fields_that_can_change_the_answer():
    query = parse("thingName:a* (attributes.b>1 OR NOT shadow.name.$package.reported.p.version:1) -word")
    assert fields(query) == {"thingName", "attributes.b", "shadow.name.$package.reported.p.version", "*"}


# Trees, their text, and what they mean told in another way.

NAMES = (
    "thingName",
    "thingTypeName",
    "thingGroupNames",
    "attributes.a",
    "attributes.b",
    "connectivity.connected",
)
TEXT_FIELDS = NAMES[:3]
TEXTS = (
    "a",
    "b",
    "ab",
    "B",
    "1",
    "1.0",
    "2",
    "-3",
    "true",
    "AND",
    "x:y",
    "a b",
    "-",
    "*",
    "?",
    "(",
    '"',
    "\\",
    "[",
    "~",
)
NUMBER = re.compile(r"-?\d+(\.\d+)?")


def lowered(text):
    return text.lower()


def equals(text, quoted):
    return Equals(lowered(text), None if quoted or not NUMBER.fullmatch(text) else Decimal(text))


ends = st.none() | st.builds(
    lambda text, included: Bound(lowered(text), Decimal(text) if NUMBER.fullmatch(text) else None, included),
    st.sampled_from(TEXTS),
    st.booleans(),
)
tests = (
    st.builds(equals, st.sampled_from(TEXTS), st.booleans())
    | st.just(Present())
    | st.lists(st.sampled_from(["a", "b", "1", "*", "(", None, ""]), min_size=1, max_size=4)
    .filter(lambda parts: parts[0] and not all(parts))
    .map(lambda parts: Like(tuple(parts)))
    | st.tuples(ends, ends).filter(any).map(lambda both: Between(*both))
)
terms = st.builds(Term, st.none() | st.sampled_from(NAMES), tests)


def joined(kind, parts):
    """Flat, as the parser makes them."""
    flat = [inner for part in parts for inner in (part.parts if isinstance(part, kind) else (part,))]
    return kind(tuple(flat)) if len(flat) > 1 else flat[0]


def denied(part):
    return part.part if isinstance(part, Not) else Not(part)


def counted(query):
    if isinstance(query, Term):
        return 1
    return counted(query.part) if isinstance(query, Not) else sum(counted(part) for part in query.parts)


queries = st.recursive(
    terms,
    lambda inner: (
        st.builds(denied, inner)
        | st.builds(lambda parts: joined(And, parts), st.lists(inner, min_size=2, max_size=3))
        | st.builds(lambda parts: joined(Or, parts), st.lists(inner, min_size=2, max_size=3))
    ),
    max_leaves=6,
).filter(lambda query: counted(query) <= TERMS_MAX)


def escaped(text):
    return (
        re.sub(r"([^a-zA-Z0-9.])", r"\\\1", text) if text not in {"AND", "OR", "NOT", "TO"} else f'"{text}"'
    )


def quoted(text):
    return '"' + re.sub(r'(["\\])', r"\\\1", text) + '"'


def bound_text(bound):
    if bound is None:
        return "*"
    return bound.text if bound.number is not None else quoted(bound.text)


def test_text(test):
    match test:
        case Present():
            return "*"
        case Equals(text, number):
            return quoted(text) if number is None else text
        case Like(pattern):
            return "".join("*" if part is None else escaped(part) if part else "?" for part in pattern)
        case Between(low, high):
            return (
                f"{'[' if low is None or low.included else '{'}{bound_text(low)} TO {bound_text(high)}"
                f"{']' if high is None or high.included else '}'}"
            )


test_text.__test__ = False


def written(query):
    match query:
        case Term(field, test):
            return f"{field}:{test_text(test)}" if field else _bare(test)
        case Not(part):
            return f"NOT ({written(part)})"
        case And(parts):
            return " AND ".join(f"({written(part)})" for part in parts)
        case Or(parts):
            return " OR ".join(f"({written(part)})" for part in parts)


def _bare(test):
    text = test_text(test)
    return f'"{text}"' if text.startswith("-") else text


def normal(query):
    """Ends of a range that are open are neither included nor not; a bare negative number is a quoted text."""
    match query:
        case Term(None, Equals(text, number)) if number is not None and text.startswith("-"):
            return Term(None, Equals(text))
        case Term(field, Equals(text)) if field in TEXT_FIELDS:
            return Term(field, Equals(text))
        case Term(field, Between(low, high)) if field in TEXT_FIELDS:
            ends = [None if end is None else Bound(end.text, None, end.included) for end in (low, high)]
            return Term(field, Between(*ends))
        case Not(part):
            return Not(normal(part))
        case And(parts):
            return And(tuple(normal(part) for part in parts))
        case Or(parts):
            return Or(tuple(normal(part) for part in parts))
    return query


@given(queries)
def test_what_is_written_is_read_again(query):
    assert parse(written(query)) == normal(query)


VALUES = st.sampled_from(["a", "b", "ab", "aab", "B", "1", "1.00", "2", "-3", "true", "a b", "b(", "10"])
documents = st.builds(
    Document,
    name=VALUES,
    id=st.just("id"),
    type=st.none() | VALUES,
    attributes=st.dictionaries(st.sampled_from(["a", "b"]), VALUES),
    groups=st.lists(VALUES, max_size=3).map(tuple),
    connectivity=st.none() | st.builds(Connectivity, connected=st.booleans()),
)


def naive(query, document):
    """The same by regular expressions and lists."""
    if isinstance(query, Not):
        return not naive(query.part, document)
    if isinstance(query, (And, Or)):
        return (all if isinstance(query, And) else any)([naive(part, document) for part in query.parts])
    known = document.connectivity
    table = {
        "thingName": [document.name],
        "thingTypeName": [] if document.type is None else [document.type],
        "thingGroupNames": list(document.groups),
        "connectivity.connected": [] if known is None else [str(known.connected)],
        **{f"attributes.{name}": [value] for name, value in document.attributes.items()},
    }
    asked = (
        [value for values in table.values() for value in values] + [document.id]
        if query.field is None
        else table.get(query.field, [])
    )
    return any(naive_test(query.test, value) for value in asked)


def naive_test(test, value):
    number = float(value) if NUMBER.fullmatch(value) else None
    match test:
        case Present():
            return True
        case Equals(text, wanted):
            return text == value.lower() or (wanted is not None and number == float(wanted))
        case Like(pattern):
            text = "".join(".*" if p is None else "." if not p else re.escape(p) for p in pattern)
            return re.fullmatch(text, value.lower()) is not None
        case Between(low, high):
            if all(end is None or end.number is not None for end in (low, high)):
                if number is None:
                    return False
                key, bounds = number, [None if end is None else float(end.number) for end in (low, high)]
            else:
                key, bounds = value.lower(), [None if end is None else end.text for end in (low, high)]
            above = bounds[0] is None or key > bounds[0] or (low.included and key == bounds[0])
            below = bounds[1] is None or key < bounds[1] or (high.included and key == bounds[1])
            return above and below


@given(queries, documents)
@example(Term("thingName", Like(("a", None, "a", None, "b"))), Document(name="aab", id="i"))
def test_it_matches_as_the_oracle_says(query, document):
    assert matches(query, document) == naive(query, document)


@given(st.text(alphabet='ab:*?"\\()[]{}<>=-+ ANDORTO1.~^&|!' + "\n\u00e9", max_size=60))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(InvalidQuery):
        matches(parse(text), TV)


def test_a_pattern_costs_no_more_than_its_length_times_the_value():
    pattern = Like((*("a", None) * 200, "b"))
    document = Document(name="x", id="1", attributes={"a": "a" * 800})
    assert not matches(Term("attributes.a", pattern), document)
