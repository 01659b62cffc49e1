"""Small languages: fleet queries, cron expressions, the SQL of topic rules and its templates."""

import contextlib

from outfitter_server.base.refusals import Refusal
from outfitter_server.jobs import cron as cron_form
from outfitter_server.rules.bounds import CannotEvaluate
from outfitter_server.rules.evaluate import Incoming, outgoing
from outfitter_server.rules.parser import parse_statement
from outfitter_server.rules.templates import parse_template
from outfitter_server.things.query import Connectivity, Document, fields, matches
from outfitter_server.things.query_parser import parse
from outfitter_server.things.query_plan import source_of

from fuzzing.bites import text

_NOW = 1_700_000_000_000
_OUT_BYTES_MAX = 4 * 1024 * 1024


def fleet_query(data: bytes) -> None:
    """A query is refused, or says of a thing whether it is meant."""
    name, _, words = text(data).partition("\n")
    try:
        query = parse(words)
    except Refusal:
        return
    fields(query)
    source_of(query)
    assert matches(query, _thing(name)) in {True, False}


def _thing(name: str) -> Document:
    return Document(
        name=name,
        id="0" * 36,
        type="press",
        attributes={"site": name, "slots": "12"},
        groups=("a", "b"),
        packages={"firmware": name[:20]},
        connectivity=Connectivity(connected=True, since=_NOW, reason=None),
    )


def cron(data: bytes) -> None:
    """A cron expression is refused, or each of its starts is later than the moment that was asked about."""
    try:
        windows = cron_form.parse(text(data))
    except Refusal:
        return
    moment: int | None = _NOW
    for _ in range(3):
        following = windows.next_after(moment)
        if following is None:
            return
        assert following > moment
        assert following % 60_000 == 0
        assert windows.next_after(following - 1) == following
        moment = following


def topic_sql(data: bytes) -> None:
    """A statement is refused, or makes something bounded of a message, or cannot; so does a template."""
    payload, _, sql = data.partition(b"\n")
    message = Incoming("plant/line/7", payload, "d-1", _NOW)
    words = text(sql)
    try:
        made = outgoing(parse_statement(words), message)
        assert made is None or len(made) <= _OUT_BYTES_MAX
    except (Refusal, CannotEvaluate):
        pass
    with contextlib.suppress(Refusal, CannotEvaluate):
        assert len(parse_template(words).fill(message)) <= _OUT_BYTES_MAX
