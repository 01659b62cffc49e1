"""The table of what MQTT demands is whole, and what it names is there."""

import re

import pytest
from outfitter_fleet.tables.musts import SECTIONS, homes, identifiers, statements

SPECIFICATIONS = pytest.mark.parametrize("specification", SECTIONS)


@SPECIFICATIONS
def test_every_statement_is_there_once_and_in_order(specification):
    assert [must.identifier for must in statements(specification)] == identifiers(specification)


def test_the_specifications_number_so_many_statements():
    assert {name: len(identifiers(name)) for name in SECTIONS} == {"mqtt-311": 141, "mqtt-5": 251}


@SPECIFICATIONS
def test_every_statement_has_a_test_or_a_reason(specification):
    assert not [must.identifier for must in statements(specification) if not (must.tests or must.reason)]


@SPECIFICATIONS
def test_every_test_that_is_named_exists_once(specification):
    files = homes()
    unknown = []
    for must in statements(specification):
        named = [*must.tests, *((name, "") for name in re.findall(r"test_\w+", must.reason))]
        for name, case in named:
            found = files.get(name, [])
            if len(found) != 1 or (case and f'"{case}"' not in found[0].read_text("utf-8")):
                unknown.append((must.identifier, name, case))
    assert not unknown
