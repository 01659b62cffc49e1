"""The reference page says what is there."""

import re
from pathlib import Path

from outfitter_server.access import policy
from outfitter_server.base import tags
from outfitter_server.services import policies, principals
from outfitter_server.things import attributes, groups, indexing, packages, query_parser, query_words

INDEX_PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "fleet-index.md").read_text("utf-8")
PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "registry.md").read_text("utf-8")


def limit(name, page=PAGE):
    row = re.search(rf"^\| {re.escape(name)} \| (.+) \|$", page, re.MULTILINE)
    return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?<!,)", row.group(1))]


async def test_operations(registry):
    table = PAGE.partition("## Operations")[2].partition("##")[0]
    assert set(re.findall(r"\b[A-Z][a-z]+[A-Z]\w+", table.partition("A member")[0])) == set(registry.handlers)


def test_limits():
    assert limit("attributes of a thing") == [attributes.UNTYPED_MAX, attributes.TYPED_MAX]
    assert limit("attributes of a group") == [attributes.GROUP_MAX]
    assert limit("searchable attributes of a type") == [attributes.SEARCHABLE_MAX]
    assert limit("levels of a hierarchy of groups") == [groups.DEPTH_MAX]
    assert limit("direct child groups") == [groups.CHILDREN_MAX]
    assert limit("groups of a thing") == [groups.GROUPS_OF_A_THING_MAX]
    assert limit("certificates of a thing, things of a certificate") == [principals.ATTACHED_MAX]
    assert limit("policies of a target") == [policies.POLICIES_OF_A_TARGET_MAX]
    assert limit("versions of a policy") == [policies.VERSIONS_MAX]
    assert limit("characters of a policy, without white space") == [policy.DOCUMENT_CHARACTERS_MAX]
    assert limit("characters of the attributes of a package version, together") == [
        packages.ATTRIBUTES_CHARACTERS_MAX
    ]
    assert limit("tags of a resource")[0] == tags.TAGS_MAX


def test_limits_of_the_fleet_index():
    for name, most in (
        ("dynamic groups", indexing.DYNAMIC_GROUPS_MAX),
        ("bytes of a query", query_words.QUERY_BYTES_MAX),
        ("terms of a query", query_parser.TERMS_MAX),
        ("groups inside each other", query_parser.DEPTH_MAX),
        ("things of a page", indexing.RESULTS_MAX),
        ("names of indexed shadows", indexing.SHADOW_NAMES_MAX),
    ):
        assert limit(name, INDEX_PAGE) == [most]


def test_examples_of_queries():
    table = INDEX_PAGE.partition("## Queries")[2].partition("##")[0]
    rows = [row.split(" | ")[0] for row in table.splitlines() if row.startswith("| `")]
    examples = [example for row in rows for example in re.findall(r"`(.+?)`", row)]
    assert len(examples) >= 18
    for example in examples:
        query_parser.parse(example)
