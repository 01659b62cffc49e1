import re
from xml.etree import ElementTree as ET

import pytest
from outfitter_fleet.load import growth
from outfitter_fleet.load.command import write
from outfitter_fleet.load.plan import Round
from outfitter_fleet.load.plot import chart
from outfitter_fleet.load.probe import Sample
from outfitter_fleet.load.provision import ProvisioningFailed
from outfitter_fleet.load.report import Grid, markdown
from outfitter_fleet.load.rollout import latencies
from outfitter_fleet.tables.__main__ import ROOT

PAGE = ROOT / "docs/reference/performance.md"


def a_round(rate):
    return Round(answers=1, rate=rate, p50_ms=1.0, p99_ms=2.0, server_busy=0.5)


def test_latencies_are_told_by_kind_and_together():
    samples = [Sample("get", 0.0, number / 1000) for number in range(1, 101)] + [Sample("put", 0.0, 0.5)]
    told = latencies(samples)
    assert (told["get"].count, told["get"].p50_ms, told["get"].worst_ms) == (100, 51.0, 100.0)
    assert told["get"].p99_ms == 100.0
    assert told["all"].worst_ms == 500.0
    assert latencies([]) == {}


def test_figures_go_into_their_block_and_nowhere_else(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- begin x -->\nold\n<!-- end x -->\nb <!-- begin y -->\n<!-- end y -->\n")
    write(page, "x", "new\nlines")
    assert (
        page.read_text()
        == "a\n<!-- begin x -->\nnew\nlines\n<!-- end x -->\nb <!-- begin y -->\n<!-- end y -->\n"
    )
    write(page, "x", "again")
    assert "again" in page.read_text()
    assert "lines" not in page.read_text()
    with pytest.raises(ProvisioningFailed, match="no block z"):
        write(page, "z", "new")


@pytest.mark.parametrize("block", ["updates", "million", "growth", "rivals"])
def test_the_page_has_a_place_for_each_benchmark(tmp_path, block):
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text("utf-8"), "utf-8")
    write(page, block, "figures")
    assert f"<!-- begin {block} -->\nfigures\n<!-- end {block} -->" in page.read_text("utf-8")


def test_tables_and_sentences_become_markdown():
    assert markdown(["One.", Grid("Title:", ("", "n"), [("a", "1")])]) == (
        "One.\n\nTitle:\n\n|  | n |\n| --- | --- |\n| a | 1 |"
    )


def test_the_plot_is_a_picture_with_each_point_at_its_height():
    picture = chart("Title", "rows", {"one": [(10, 50.0), (1_000, 100.0)], "two": [(10, 0.5)]})
    root = ET.fromstring(picture)
    lines = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [2, 1]
    heights = [float(point.partition(",")[2]) for point in lines[0].attrib["points"].split()]
    assert heights == [200.0, 50.0]
    assert "Title" in picture
    assert re.search(r">1,000<", picture)


def test_growth_is_told_and_drawn_from_its_rounds():
    told = growth.Growth(
        size=growth.GrowthSize(),
        hot={1_000: a_round(1_000.0), 1_000_000: a_round(950.0)},
        even={1_000: a_round(1_000.0), 1_000_000: a_round(400.0)},
        past={1: a_round(500.0), 1_000: a_round(500.0)},
    )
    text = markdown(growth.parts(told))
    assert "0.95 of the rate at 1,000 (mark 0.9: reached)" in text
    assert "evenly 0.40 (mark 0.5: missed)" in text
    assert growth.draw(told).count("<polyline") == 2
