"""Delta images: made of two image files, applied to what was unpacked of the first, compared with the second."""

import gzip
import hashlib
import io
import random
import sys
import tarfile

import pytest
from outfitter_agent.hands.delta import Deltas
from outfitter_agent.hands.slots.folder import FolderSlots
from outfitter_agent.plans.transaction import Installed
from outfitter_agent.plans.troubles import Trouble
from outfitter_contract.delta import (
    PACKED_BYTES_MAX,
    WINDOW_BYTES,
    DeltaError,
    Packer,
    Window,
    build_head,
    build_window,
    read_head,
    read_window,
)
from outfitter_contract.image import Manifest, build_manifest
from outfitter_updates.catalogue.problems import BadImage
from outfitter_updates.cli.delta_file import make_delta
from outfitter_updates.cli.image_file import pack_folder

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BYTES_MAX = 64 << 20
NOISE = random.Random(1).randbytes(6 << 20)


def files(version, **more):
    manifest = Manifest(name="pump", version=version, device_types=("p1",), start=("./run",))
    return {"outfitter.json": build_manifest(manifest), "run": b"#!/bin/sh\n" + version.encode(), **more}


class Pair:
    """Image 1.0, image 2.0, and the delta between them."""

    def __init__(self, folder, old=None, new=None):
        self.folder = folder
        self.old = self.packed("1.0", old or {"lib/deep/data": NOISE, "empty": b""})
        self.new = self.packed(
            "2.0", new or {"a/first": b"new" * 999, "lib/deep/data": NOISE[:-99] + b"!", "empty": b""}
        )
        self.delta = folder / "delta"
        self.made = make_delta(self.old, self.new, self.delta, lambda _: None)

    def packed(self, version, content):
        folder = self.folder / version
        for name, data in files(version, **content).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        pack_folder(folder, self.folder / f"{version}.tar.gz")
        return self.folder / f"{version}.tar.gz"


class Bench:
    """A device that runs image 1.0, with a delta of its own."""

    def __init__(self, folder, pair):
        self.folder, self.old, self.new, self.made = folder, pair.old, pair.new, pair.made
        self.slots = FolderSlots(folder / "slots", unpacked_bytes_max=BYTES_MAX)
        self.base = self.digest(self.old)
        installed = Installed(slot="a", name="pump", version="1.0", sha256=self.base, start=("./run",))
        self.slots.unpack(self.old, installed)
        self.delta = folder / "delta"
        self.delta.write_bytes(pair.delta.read_bytes())
        self.hand = Deltas(folder, bytes_max=BYTES_MAX, also_needs=lambda _: 0)

    @staticmethod
    def digest(file):
        return hashlib.sha256(file.read_bytes()).hexdigest()

    def apply(self, **changes):
        told = {
            "base_sha256": self.base,
            "sha256": self.made.image.sha256,
            "size": self.made.image.size_bytes,
        }
        with self.slots.base("a") as base:
            return self.hand.apply(self.delta, base, go_on=lambda: None, **told | changes)

    def rewrite(self, change, **head):
        """The delta with its windows changed, and members of its head."""
        with self.delta.open("rb") as opened:
            said = read_head(opened)
            windows, missing = [], said.content_size
            while missing:
                windows.append(read_window(opened))
                missing -= windows[-1].length
        told = {name: getattr(said, name) for name in type(said).__dataclass_fields__} | head
        content = build_head(type(said)(**told))
        self.delta.write_bytes(content + b"".join(map(build_window, change(windows))))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return Pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def bench(tmp_path, pair):
    return Bench(tmp_path, pair)


def test_what_is_made_is_the_image(bench):
    assert bench.made.size_bytes < bench.made.image.size_bytes // 100
    told = bench.apply()
    assert bench.hand.path.read_bytes() == bench.new.read_bytes()
    assert (told.sha256, told.size) == (bench.digest(bench.new), bench.new.stat().st_size)
    bench.hand.discard()
    assert not bench.hand.path.exists()


def test_the_base_is_the_content_of_the_image_at_any_place(bench):
    wanted, chance = gzip.decompress(bench.old.read_bytes()), random.Random(2)
    with bench.slots.base("a") as base:
        assert base.length == len(wanted)
        assert base.read(0, base.length) == wanted
        for _ in range(300):
            start = chance.randrange(len(wanted))
            end = min(len(wanted), start + chance.choice([1, 511, 513, 5000, 1 << 20]))
            assert base.read(start, end - start) == wanted[start:end]
        with pytest.raises(Trouble, match="more of the software"):
            base.read(base.length - 1, 2)


def test_files_that_the_software_adds_do_no_harm(bench):
    (bench.slots.path("a") / "lib" / "__pycache__").mkdir()
    (bench.slots.path("a") / "log").write_text("told")
    assert bench.apply().sha256 == bench.made.image.sha256


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda file: file.write_bytes(b"x" * len(NOISE)), "is not the image"),
        (lambda file: file.write_bytes(b"short"), "'lib/deep/data' of the software that runs is not as it"),
        (lambda file: file.unlink(), "'lib/deep/data' of the software that runs is not as it"),
        (lambda file: (file.unlink(), file.symlink_to("/dev/zero")), "is not as it was installed"),
    ],
)
def test_software_that_was_changed_is_no_base(bench, spoil, reason):
    spoil(bench.slots.path("a") / "lib" / "deep" / "data")
    with pytest.raises(Trouble, match=reason):
        bench.apply()
    assert not bench.hand.path.exists()


def test_a_slot_without_a_frame_is_no_base(bench):
    (bench.folder / "slots" / "a.frame").unlink()
    with pytest.raises(Trouble, match="without what deltas need"):
        bench.apply()


def test_a_frame_that_is_not_readable_is_no_base(bench):
    frame = bench.folder / "slots" / "a.frame"
    frame.write_bytes(frame.read_bytes()[:-5])
    with pytest.raises(Trouble):
        bench.apply()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"base_sha256": "0" * 64}, "not what the job says"),
        ({"sha256": "0" * 64}, "not what the job says"),
        ({"size": 1}, "not what the job says"),
    ],
)
def test_a_delta_for_something_else(bench, changes, reason):
    with pytest.raises(Trouble, match=reason):
        bench.apply(**changes)


def endless():
    """A frame of a few kilobytes that expands to a gigabyte."""
    packer = zstd.ZstdCompressor()
    block = bytes(1 << 20)
    return b"".join(packer.compress(block) for _ in range(1024)) + packer.flush()


def wide():
    """A frame that wants more memory for its window than deltas may."""
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    packer = zstd.ZstdCompressor(options=options)
    return packer.compress(bytes(1000)) + packer.flush()


def test_a_window_that_expands_endlessly_is_cut_off(bench):
    packed = endless()
    assert len(packed) < PACKED_BYTES_MAX
    bench.rewrite(lambda windows: [window_of(windows[0], packed=packed), *windows[1:]])
    with pytest.raises(Trouble, match="does not give the"):
        bench.apply()


def test_a_frame_with_a_wide_window_is_refused(bench):
    bench.rewrite(lambda windows: [window_of(windows[0], packed=wide()), *windows[1:]])
    with pytest.raises(Trouble, match="cannot be expanded"):
        bench.apply()


def window_of(window, **changes):
    told = {name: getattr(window, name) for name in Window.__dataclass_fields__}
    return Window(**told | changes)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda windows: windows[:-1], "ends too early"),
        (lambda windows: [*windows, windows[0]], "more behind its end"),
        (lambda windows: [windows[1], windows[0], *windows[2:]], "is not the image|more than the"),
        (lambda windows: [window_of(windows[0], length=WINDOW_BYTES + 1)], "too large"),
        (lambda windows: [window_of(windows[0], length=0)], "too large or empty"),
        (lambda windows: [window_of(windows[0], base_length=1 << 30)], "too large"),
        (lambda windows: [window_of(windows[0], base_offset=1 << 40)], "more of the software that runs"),
        (lambda windows: [window_of(windows[0], packed=b"nothing")], "cannot be expanded"),
        (lambda windows: [window_of(windows[0], packed=windows[0].packed[:-1])], "cannot be|does not give"),
        (lambda windows: [window_of(windows[0], packed=windows[0].packed + b"x")], "does not give"),
        (lambda windows: [window_of(windows[0], length=windows[0].length - 1)], "does not give"),
    ],
)
def test_a_malformed_delta(bench, change, reason):
    bench.rewrite(change)
    with pytest.raises(Trouble, match=reason):
        bench.apply()
    assert not bench.hand.path.exists()


def test_a_delta_that_makes_more_than_the_image_stops_there(bench):
    bench.rewrite(lambda windows: windows, size=1000)
    with pytest.raises(Trouble, match="more than the 1000 bytes"):
        bench.apply(size=1000)


def test_an_image_that_the_device_does_not_take(bench):
    bench.hand = Deltas(bench.folder, bytes_max=1000, also_needs=lambda _: 0)
    with pytest.raises(Trouble, match="larger than this device takes"):
        bench.apply()


def test_no_room_for_what_it_makes(bench):
    bench.hand = Deltas(bench.folder, bytes_max=BYTES_MAX, also_needs=lambda _: 1 << 60)
    with pytest.raises(Trouble, match="the disk is full: the image that a delta makes needs"):
        bench.apply()


@pytest.mark.parametrize("content", [b"", b"outfitter-delta-1\n", b"outfitter-delta-1\n{}\n", b"x" * 5000])
def test_no_delta_at_all(bench, content):
    bench.delta.write_bytes(content)
    with pytest.raises(Trouble, match="the delta is corrupt"):
        bench.apply()


def test_heads_are_read_as_they_were_built(bench):
    with bench.delta.open("rb") as opened:
        head = read_head(opened)
    assert read_head(io.BytesIO(build_head(head))) == head
    told = {name: getattr(head, name) for name in type(head).__dataclass_fields__}
    for broken in (
        {"gzip_level": 10},
        {"gzip_head": b"\x1f\x8b\x08\x08" + bytes(6)},
        {"base": "x"},
        {"size": 0},
    ):
        with pytest.raises(DeltaError):
            read_head(io.BytesIO(build_head(type(head)(**told | broken))))


def test_how_the_content_is_cut_makes_no_difference_to_the_packer():
    chance = random.Random(3)
    content = b"".join(
        chance.choice([chance.randbytes(9000), b"abc" * 3000, bytes(7000)]) for _ in range(200)
    )
    for level in (1, 6, 9):
        made = set()
        for length in (777, 65_536, len(content)):
            packer = Packer(b"\x1f\x8b\x08" + bytes(7), level)
            parts = [packer.pack(content[at : at + length]) for at in range(0, len(content), length)]
            made.add(b"".join(parts) + packer.end())
        assert len(made) == 1


def test_an_image_that_something_else_packed_cannot_be_made(tmp_path):
    other = tmp_path / "other.tar.gz"
    with tarfile.open(other, "w:gz") as archive:  # has the file's name in its head
        content = build_manifest(Manifest(name="pump", version="2.0", device_types=("p1",), start=("./run",)))
        member = tarfile.TarInfo("outfitter.json")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    with pytest.raises(BadImage, match="outfitter software pack"):
        make_delta(other, other, tmp_path / "delta", lambda _: None)
    assert not (tmp_path / "delta").exists()


def test_what_has_moved_far_is_found(tmp_path):
    """Ten megabytes more before a file, and a window still finds it."""
    more = random.Random(4).randbytes(10 << 20)
    pair = Pair(tmp_path, old={"lib/data": NOISE}, new={"big": more, "lib/data": NOISE})
    bench = Bench(tmp_path, pair)
    assert bench.made.size_bytes < len(more) + (128 << 10)
    assert bench.apply().sha256 == bench.made.image.sha256


def test_what_holds_no_files_has_no_deltas(tmp_path):
    """An image of another kind, which is told by a description beside it."""
    other = tmp_path / "system.gz"
    other.write_bytes(gzip.compress(b"no tar at all" * 1000, 9, mtime=0))
    manifest = Manifest(name="pump", version="2.0", device_types=("p1",), start=("./run",))
    (tmp_path / "system.gz.json").write_bytes(build_manifest(manifest))
    with pytest.raises(BadImage, match=r"no tar\.gz"):
        make_delta(other, other, tmp_path / "delta", lambda _: None)
