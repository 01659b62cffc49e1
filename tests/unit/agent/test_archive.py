"""Images of unknown origin: what is refused, and that nothing leaves the slot."""

import gzip
import io
import json
import os
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_agent.hands import archive
from outfitter_agent.plans.troubles import Trouble

MANIFEST = {"name": "pump", "version": "1.0", "device_types": ["p1"], "start": ["./run"]}
BYTES_MAX = 10_000_000


def member(name, content=b"", **attributes):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, content


def image(folder, *members, mode="w:gz"):
    path = folder / "image.tar.gz"
    with tarfile.open(path, mode) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


def manifest(name="./outfitter.json"):
    return member(name, json.dumps(MANIFEST).encode())


def slot(folder):
    path = folder / "slot"
    path.mkdir()
    return path


def test_good_image(tmp_path):
    path = image(
        tmp_path,
        member(".", type=tarfile.DIRTYPE, mode=0o700),
        member("./bin", type=tarfile.DIRTYPE, mode=0o000),
        member("./bin/run", b"#!/bin/sh\n", mode=0o4777),
        member("./deep/er/file", b"x" * 100_000, mode=0o600),
        manifest(),
    )
    target = slot(tmp_path)
    archive.unpack(path, target, target.parent / "frame", BYTES_MAX)
    assert (target / "bin/run").stat().st_mode & 0o7777 == 0o755, "set-user-id is gone"
    assert (target / "deep/er/file").stat().st_mode & 0o7777 == 0o644
    assert (target / "deep/er/file").read_bytes() == b"x" * 100_000
    assert archive.read_manifest(path, BYTES_MAX).version == "1.0"


BAD_MEMBERS = {
    "parent": member("../evil", b"x"),
    "parent within": member("a/../../evil", b"x"),
    "absolute": member("/tmp/evil", b"x"),
    "absolute folder": member("/tmp/evil", type=tarfile.DIRTYPE),
    "symbolic link": member("link", type=tarfile.SYMTYPE, linkname="/etc"),
    "hard link": member("link", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "device": member("null", type=tarfile.CHRTYPE, devmajor=1, devminor=3),
    "block device": member("sda", type=tarfile.BLKTYPE),
    "pipe": member("pipe", type=tarfile.FIFOTYPE),
    "sparse file": member("sparse", type=tarfile.GNUTYPE_SPARSE),
    "sparse file of PAX 0.0": member(
        "sparse", pax_headers={"GNU.sparse.size": "200000000", "GNU.sparse.offset": "0"}
    ),
    "sparse file of PAX 0.1": member(
        "sparse", pax_headers={"GNU.sparse.size": "200000000", "GNU.sparse.map": "199999999,1"}
    ),
    "sparse file of PAX 1.0": member(
        "sparse",
        b"1\n199999999\n1\n".ljust(512, b"\0") + b"x",
        pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "200000000"},
    ),
    "too deep": member("/".join("d" * 40), b"x"),
    "part too long": member("n" * 300, b"x"),
}


@pytest.mark.parametrize("bad", BAD_MEMBERS.values(), ids=BAD_MEMBERS.keys())
def test_members_that_are_refused(bad, tmp_path):
    path = image(tmp_path, manifest(), bad)
    with pytest.raises(Trouble, match=r"not acceptable|corrupt"):
        archive.unpack(path, slot(tmp_path), tmp_path / "frame", BYTES_MAX)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["frame", "image.tar.gz", "slot"]


@pytest.mark.parametrize("name", [name for name in BAD_MEMBERS if "sparse file of" in name])
def test_sparse_file_is_named(name, tmp_path):
    with pytest.raises(Trouble, match="'sparse' is a sparse file"):
        archive.unpack(image(tmp_path, BAD_MEMBERS[name]), slot(tmp_path), tmp_path / "frame", BYTES_MAX)


def test_name_twice(tmp_path):
    path = image(tmp_path, member("a", b"1"), member("./a", b"2"))
    with pytest.raises(Trouble, match="in it twice"):
        archive.unpack(path, slot(tmp_path), tmp_path / "frame", BYTES_MAX)


def test_file_over_folder(tmp_path):
    path = image(tmp_path, member("a", type=tarfile.DIRTYPE), member("a", b"2"))
    with pytest.raises(Trouble, match="in it twice"):
        archive.unpack(path, slot(tmp_path), tmp_path / "frame", BYTES_MAX)


def test_folder_over_file(tmp_path):
    path = image(tmp_path, member("a", b"1"), member("a/b", b"2"))
    with pytest.raises((Trouble, OSError)):
        archive.unpack(path, slot(tmp_path), tmp_path / "frame", BYTES_MAX)


def test_size_bomb(tmp_path):
    path = image(tmp_path, manifest(), member("zeros", bytes(20_000_000)))
    assert path.stat().st_size < 100_000
    with pytest.raises(Trouble, match="larger than 10000000 bytes"):
        archive.unpack(path, slot(tmp_path), tmp_path / "frame", BYTES_MAX)


def test_bomb_after_the_end(tmp_path):
    path = image(tmp_path, manifest())
    with gzip.open(path, "ab") as stream:
        stream.write(bytes(20_000_000))
    with pytest.raises(Trouble, match="larger than 10000000 bytes"):
        archive.unpack(path, slot(tmp_path), tmp_path / "frame", BYTES_MAX)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_header_that_claims_gigabytes(kind, tmp_path):
    header = tarfile.TarInfo("header")
    header.type, header.size = kind, 3 << 30
    path = tmp_path / "image.tar.gz"
    path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(1024)))
    with pytest.raises(Trouble, match="a header claims 3221225472 bytes"):
        archive.unpack(path, slot(tmp_path), tmp_path / "frame", 8 << 30)


def test_headers_that_go_on_and_on(tmp_path):
    """A map of a sparse file is read by the library, into a list, before there is a member to judge."""
    parts = b"100000000\n" + b"0\n" * 3_000_000
    bad = member("sparse", parts, pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})
    path = image(tmp_path, bad)
    with pytest.raises(Trouble, match="a member's headers take more than"):
        archive.unpack(path, slot(tmp_path), tmp_path / "frame", 8 << 30)


def test_headers_of_headers(tmp_path):
    header = tarfile.TarInfo("header")
    header.type = tarfile.XHDTYPE
    path = tmp_path / "image.tar.gz"
    path.write_bytes(gzip.compress(header.tobuf(tarfile.GNU_FORMAT) * 2000 + bytes(1024)))
    with pytest.raises(Trouble, match="corrupt"):
        archive.unpack(path, slot(tmp_path), tmp_path / "frame", BYTES_MAX)


def test_too_many_members(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MEMBERS_MAX", 10)
    path = image(tmp_path, *[member(f"f{number}") for number in range(11)])
    with pytest.raises(Trouble, match="more than 10 members"):
        archive.unpack(path, slot(tmp_path), tmp_path / "frame", BYTES_MAX)


@pytest.mark.parametrize("keep", [0, 1, 10, 0.3, 0.9, -4])
def test_truncated(keep, tmp_path):
    path = image(tmp_path, manifest(), member("noise", os.urandom(200_000)))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)] if isinstance(keep, float) else content[:keep])
    with pytest.raises(Trouble, match="corrupt"):
        archive.unpack(path, slot(tmp_path), tmp_path / "frame", BYTES_MAX)


def test_flipped_bit_in_the_stream(tmp_path):
    path = image(tmp_path, manifest(), member("noise", os.urandom(200_000)))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Trouble, match="corrupt"):
        archive.unpack(path, slot(tmp_path), tmp_path / "frame", BYTES_MAX)


def test_no_manifest(tmp_path):
    with pytest.raises(Trouble, match=r"has no outfitter\.json at its top"):
        archive.read_manifest(image(tmp_path, manifest("sub/outfitter.json")), BYTES_MAX)


def test_manifest_that_is_a_bomb(tmp_path):
    with pytest.raises(Trouble, match="larger than 65536 bytes"):
        archive.read_manifest(image(tmp_path, member("outfitter.json", bytes(100_000))), BYTES_MAX)


def test_bad_manifest(tmp_path):
    with pytest.raises(Trouble, match="not acceptable: 'name'"):
        archive.read_manifest(image(tmp_path, member("outfitter.json", b"{}")), BYTES_MAX)


@given(content=st.binary(max_size=2000), zipped=st.booleans())
def test_any_bytes_are_refused(content, zipped, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    path = folder / "image"
    path.write_bytes(gzip.compress(content) if zipped else content)
    with pytest.raises(Trouble):
        archive.read_manifest(path, BYTES_MAX)
