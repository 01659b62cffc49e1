"""The tables of limits lack none that is enforced where limits of jobs and devices are written down."""

import inspect

import pytest
from outfitter_fleet.tables import limits
from outfitter_server.base.throttle import AWS_RATES
from outfitter_server.jobs import details, documents, lifecycle, targets
from outfitter_server.jobs import limits as jobs
from outfitter_server.things import attributes, groups

TOLD_ELSEWHERE = {"KEYWORD_USES_MAX", "SEARCHABLE_MAX"}  # placeholders.md, registry.md


@pytest.mark.parametrize("module", [jobs, details, documents, lifecycle, targets, attributes, groups])
def test_every_limit_of_a_module_is_in_a_table(module):
    source = inspect.getsource(limits)
    own = {
        name
        for name in vars(module)
        if name.isupper() and not name.startswith("_") and ("_MAX" in name or "_MIN" in name)
    }
    lost = {name for name in own - TOLD_ELSEWHERE if f".{name}" not in source}
    assert not lost


def test_every_rate_is_in_the_table():
    table = limits.blocks()["rates"]
    assert [name for name in AWS_RATES if f"| `{name}` |" not in table] == []


def test_bounds_of_the_model_are_read_from_it():
    table = limits.blocks()["jobs"]
    assert "| characters of a description, a comment | 2,028 |" in table
    assert "| seconds that a pre-signed URL is valid | 60 to 3,600 |" in table
