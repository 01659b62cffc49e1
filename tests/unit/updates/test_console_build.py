"""The page that is deployed was built from the sources beside it."""

import hashlib
import re
from pathlib import Path

from outfitter_updates.cloud.bundle import page_files
from outfitter_updates.operations.deployment import is_of_page, object_headers

SOURCES = Path(__file__).resolve().parents[3] / "packages/updates/console"
SIZE_MAX = 100_000


def digest_of_sources():
    """As build.mjs computes it."""
    names = ["build.mjs", "package-lock.json", "package.json", "tsconfig.json"]
    names += [f"src/{path.name}" for path in (SOURCES / "src").iterdir()]
    digest = hashlib.sha256()
    for name in sorted(names):
        digest.update(f"{name}\0".encode() + (SOURCES / name).read_bytes() + b"\0")
    return digest.hexdigest()


def test_the_build_belongs_to_the_sources():
    """`make console` builds the page anew."""
    page = page_files()["index.html"].decode()
    assert re.search(r'name="outfitter-sources" content="([0-9a-f]+)"', page)[1] == digest_of_sources()


def test_the_page_names_its_own_files_and_no_others():
    files = page_files()
    named = re.findall(r'(?:src|href)="(assets/[^"]+)"', files["index.html"].decode())
    assert {*named, "index.html", "assets/licences.txt"} == set(files)
    assert all(is_of_page(key) for key in files)
    for name, content in files.items():
        addresses = set(re.findall(rb"https?://[a-z0-9.-]+", content))
        assert not addresses, f"{name} must fetch nothing from elsewhere: {addresses}"


def test_the_page_is_small():
    assert sum(map(len, page_files().values())) < SIZE_MAX


def test_files_are_kept_as_long_as_their_names_promise():
    told = {key: object_headers(key) for key in page_files()}
    assert told["index.html"] == {"ContentType": "text/html; charset=utf-8", "CacheControl": "no-cache"}
    script = next(key for key in told if key.endswith(".js"))
    assert told[script]["ContentType"] == "text/javascript; charset=utf-8"
    assert "immutable" in told[script]["CacheControl"]
