"""Images on disk: made of folders, read back, and refused when they are none."""

import hashlib
import io
import json
import os
import random
import tarfile

import pytest
from outfitter_updates.catalogue.problems import BadImage
from outfitter_updates.catalogue.software import location_for
from outfitter_updates.cli.image_file import pack_folder, read_image

MANIFEST = {"name": "pump", "version": "1.4.0", "device_types": ["pc"], "start": ["python3", "main.py"]}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "image"
    (folder / "lib").mkdir(parents=True)
    (folder / "outfitter.json").write_text(json.dumps(MANIFEST))
    (folder / "main.py").write_text("print(1)")
    (folder / "lib" / "run.sh").write_text("#!/bin/sh")
    (folder / "lib" / "run.sh").chmod(0o755)
    return folder


def archive(path, members):
    with tarfile.open(path, "w:gz") as made:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            made.addfile(member, io.BytesIO(content))
    return path


def test_the_same_folder_gives_the_same_bytes(folder, tmp_path):
    first = pack_folder(folder, tmp_path / "first.tar.gz")
    for path in folder.rglob("*"):
        os.utime(path, (1, 1))
    second = pack_folder(folder, tmp_path / "second.tar.gz")
    assert first == second
    assert (tmp_path / "first.tar.gz").read_bytes() == (tmp_path / "second.tar.gz").read_bytes()
    assert first.sha256 == hashlib.sha256((tmp_path / "first.tar.gz").read_bytes()).hexdigest()
    assert (first.name, first.version, first.device_types) == ("pump", "1.4.0", ("pc",))


def test_members_keep_only_what_a_device_needs(folder, tmp_path):
    pack_folder(folder, tmp_path / "image.tar.gz")
    with tarfile.open(tmp_path / "image.tar.gz") as made:
        told = [(each.name, each.mode, each.uid, each.mtime) for each in made]
    assert told == [
        ("outfitter.json", 0o644, 0, 0),
        ("lib", 0o755, 0, 0),
        ("lib/run.sh", 0o755, 0, 0),
        ("main.py", 0o644, 0, 0),
    ]


def test_an_image_inside_its_folder_does_not_pack_itself(folder):
    first = pack_folder(folder, folder / "image.tar.gz")
    assert pack_folder(folder, folder / "image.tar.gz") == first
    assert not (folder / "image.tar.gz.part").exists()


def test_what_is_no_file_is_refused(folder, tmp_path):
    (folder / "link").symlink_to("main.py")
    with pytest.raises(BadImage, match="neither a file nor a folder"):
        pack_folder(folder, tmp_path / "image.tar.gz")
    assert not (tmp_path / "image.tar.gz").exists()


def test_a_folder_without_manifest_is_refused(tmp_path):
    with pytest.raises(BadImage, match=r"has no outfitter\.json"):
        pack_folder(tmp_path, tmp_path / "image.tar.gz")


def test_a_bad_manifest_leaves_no_image(folder, tmp_path):
    (folder / "outfitter.json").write_text(json.dumps({**MANIFEST, "version": "one"}))
    with pytest.raises(BadImage, match="'version'"):
        pack_folder(folder, tmp_path / "image.tar.gz")
    assert not (tmp_path / "image.tar.gz").exists()


def test_a_leading_dot_is_taken(tmp_path):
    made = archive(tmp_path / "x.tar.gz", [("./outfitter.json", json.dumps(MANIFEST).encode())])
    assert read_image(made).name == "pump"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no readable tar.gz"),
        (b"not an archive", "no readable tar.gz"),
        (b"\x1f\x8b\x08\x00", "no readable tar.gz"),
    ],
)
def test_what_is_no_archive(tmp_path, content, words):
    file = tmp_path / "x.tar.gz"
    file.write_bytes(content)
    with pytest.raises(BadImage, match=words):
        read_image(file)


def test_a_truncated_archive(tmp_path):
    made = archive(
        tmp_path / "x.tar.gz",
        [("outfitter.json", json.dumps(MANIFEST).encode()), ("big", os.urandom(100_000))],
    )
    made.write_bytes(made.read_bytes()[:50_000])
    with pytest.raises(BadImage, match=r"no readable tar\.gz"):
        read_image(made)


@pytest.mark.parametrize("damage", ["content", "checksum", "behind"])
def test_an_archive_that_is_damaged_after_its_manifest(folder, tmp_path, damage):
    """Every device would refuse it, and its version would be spent."""
    (folder / "random").write_bytes(random.Random(1).randbytes(300_000))
    path = tmp_path / "image.tar.gz"
    pack_folder(folder, path)
    content = bytearray(path.read_bytes())
    if damage == "content":
        content[150_000] ^= 1
    elif damage == "checksum":
        content[-8] ^= 1
    else:
        content += b"more"
    path.write_bytes(content)
    with pytest.raises(BadImage, match=r"no readable tar\.gz"):
        read_image(path)


def test_an_archive_without_manifest(tmp_path):
    made = archive(tmp_path / "x.tar.gz", [("sub/outfitter.json", b"{}")])
    with pytest.raises(BadImage, match="at its top"):
        read_image(made)


def test_a_manifest_beyond_the_limit(tmp_path):
    made = archive(tmp_path / "x.tar.gz", [("outfitter.json", b" " * 1_000_000)])
    with pytest.raises(BadImage, match="larger than"):
        read_image(made)


DESCRIPTION = {"name": "pump", "version": "2.0.0", "device_types": ["pump"]}


@pytest.fixture
def bundle(tmp_path):
    """An image that only its description makes sense of."""
    file = tmp_path / "pump.raucb"
    file.write_bytes(b"a file system")
    (tmp_path / "pump.raucb.json").write_text(json.dumps(DESCRIPTION))
    return file


def test_an_image_of_another_kind(bundle):
    image = read_image(bundle)
    assert (image.name, image.version, image.device_types) == ("pump", "2.0.0", ("pump",))
    assert (image.sha256, image.size_bytes) == (hashlib.sha256(b"a file system").hexdigest(), 13)
    assert location_for(image, "b").key == "software/pump/2.0.0/pump-2.0.0.raucb"


def test_a_malformed_description(bundle):
    description = bundle.with_name("pump.raucb.json")
    description.write_text(json.dumps(DESCRIPTION | {"version": "new"}))
    with pytest.raises(BadImage, match=r"pump\.raucb\.json: 'version'"):
        read_image(bundle)
    description.unlink()
    with pytest.raises(BadImage, match=r"is described by pump\.raucb\.json beside it"):
        read_image(bundle)
