"""What a function's zip may hold."""

import stat

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.functions.package import ArchiveMember, check_members
from outfitter_server.functions.settings import MEMBERS_MAX, UNZIPPED_BYTES_MAX


def member(name, *, size=10, packed=10, mode=stat.S_IFREG | 0o644, encrypted=False, method=8):
    return ArchiveMember(
        name=name, size=size, packed_size=packed, mode=mode, encrypted=encrypted, method=method
    )


@pytest.mark.parametrize(
    "members",
    [
        [member("app.py")],
        [member("app.py", mode=0)],
        [member("app.py", method=0)],
        [member("pkg/", mode=stat.S_IFDIR | 0o755, size=0), member("pkg/app.py"), member("Ünicode.py")],
        [member("..hidden"), member("a..b/c")],
        [member("zeros", size=1 << 20, packed=1)],
    ],
)
def test_what_is_taken(members):
    check_members(members)


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([], "non-empty"),
        ([member("../x")], "relative path"),
        ([member("a/../../x")], "relative path"),
        ([member("/etc/passwd")], "relative path"),
        ([member("a//b")], "relative path"),
        ([member("./a")], "relative path"),
        ([member("..")], "relative path"),
        ([member("../")], "relative path"),
        ([member("/")], "relative path"),
        ([member("a\\b")], "relative path"),
        ([member("C:\\x")], "relative path"),
        ([member("a\nb")], "relative path"),
        ([member("bzip2", method=12)], "compressed"),
        ([member("lzma", method=14)], "compressed"),
        ([member("x" * 1025)], "relative path"),
        ([member("link", mode=stat.S_IFLNK | 0o777)], "link or a device"),
        ([member("fifo", mode=stat.S_IFIFO | 0o644)], "link or a device"),
        ([member("null", mode=stat.S_IFCHR | 0o644)], "link or a device"),
        ([member("folder", mode=stat.S_IFDIR | 0o755)], "link or a device"),
        ([member("a"), member("a")], "twice"),
        ([member("a/"), member("a")], "twice"),
        ([member("a"), member("a/b")], "both a file and a folder"),
        ([member("secret", encrypted=True)], "encrypted"),
        ([member("bomb", size=2 << 20, packed=2 << 9)], "times its size"),
        ([member("big", size=UNZIPPED_BYTES_MAX + 1, packed=UNZIPPED_BYTES_MAX)], "smaller than"),
        (
            [
                member(f"part-{n}", size=UNZIPPED_BYTES_MAX // 2 + 1, packed=UNZIPPED_BYTES_MAX // 2)
                for n in "ab"
            ],
            "smaller than",
        ),
        ([member(str(n)) for n in range(MEMBERS_MAX + 1)], "more than"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_what_is_refused(members, words):
    with pytest.raises(InvalidRequest, match=words):
        check_members(members)


@given(st.lists(st.text(alphabet="ab./\\\n ", max_size=8), max_size=4))
def test_what_passes_stays_inside(names):
    try:
        check_members([member(name) for name in names])
    except InvalidRequest:
        return
    for name in names:
        parts = name.rstrip("/").split("/")
        assert not name.startswith("/")
        assert not {"", ".", ".."} & set(parts)
