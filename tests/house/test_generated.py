"""What is made from the source says what the source says."""

import pytest
from outfitter_fleet.tables.__main__ import generated
from outfitter_fleet.tables.blocks import filled


@pytest.mark.parametrize(("which", "how"), [("schema", "make schema"), ("reference", "make tables")])
def test_generated_files_are_fresh(which, how):
    stale = [path.name for path, content in generated(which).items() if path.read_text("utf-8") != content]
    assert not stale, f"`{how}` writes these anew: {stale}"


def test_a_stale_block_is_noticed():
    document = "a\n<!-- begin x -->\nold\n<!-- end x -->\nb\n"
    assert filled(document, {"x": "new"}) == "a\n<!-- begin x -->\nnew\n<!-- end x -->\nb\n"


@pytest.mark.parametrize("blocks", [{}, {"y": "1"}, {"x": "1", "y": "2"}])
def test_a_block_too_many_or_too_few_is_noticed(blocks):
    with pytest.raises(KeyError):
        filled("<!-- begin x -->\n<!-- end x -->\n", blocks)
