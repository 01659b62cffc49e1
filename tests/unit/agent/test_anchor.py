"""What a device trusts: keys, what was learnt, and the rules by which that changes."""

from dataclasses import replace

import pytest
from outfitter_agent.hands.anchor import FILE_NAME, Anchor, decode, encode
from outfitter_agent.plans.keys import KEYS_MAX, Trust, with_minimum, with_statement
from outfitter_agent.plans.troubles import Refusal, Trouble
from outfitter_contract.signed import PublicKey, build_signed, parse_signed
from outfitter_contract.statements import IMAGE_KIND, KeysStatement
from signed_images import Signer

CONTENT = b"an image"


@pytest.fixture
def signer():
    return Signer()


@pytest.fixture
def anchor(tmp_path, signer):
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "release.pub").write_text(f"# the key of 2026\n{signer.line}")
    (folder / "README").write_text("not a key")
    return Anchor(folder, tmp_path)


def test_a_trusted_key_vouches(anchor, signer):
    vouched = anchor.verify_image(signer.image(CONTENT, version="1.4"))
    assert (vouched.statement.version, vouched.key_id, vouched.minimum) == ("1.4", signer.key_id, None)


def test_one_key_of_several_is_enough(anchor, signer):
    stranger = Signer()
    mine, other = (parse_signed(each.image(CONTENT), IMAGE_KIND) for each in (signer, stranger))
    both = type(mine)(kind=mine.kind, payload=mine.payload, signatures=other.signatures + mine.signatures)
    assert anchor.verify_image(build_signed(both)).key_id == signer.key_id


def test_a_wrong_signature_does_not_stand_in_the_way_of_a_right_one(anchor, signer, tmp_path):
    second = Signer()
    (tmp_path / "keys" / "second.pub").write_text(second.line)
    wrong = parse_signed(second.image(b"another image"), IMAGE_KIND)
    right = parse_signed(signer.image(CONTENT), IMAGE_KIND)
    both = replace(right, signatures=wrong.signatures + right.signatures)
    assert anchor.verify_image(build_signed(both)).key_id == signer.key_id
    with pytest.raises(Trouble, match=f"the signature of key {second.key_id} is wrong"):
        anchor.verify_image(build_signed(replace(right, signatures=wrong.signatures)))


def test_a_file_can_be_the_anchor(tmp_path, signer):
    file = tmp_path / "keys.txt"
    file.write_text(Signer().line + signer.line)
    assert Anchor(file, tmp_path).verify_image(signer.image(CONTENT)).key_id == signer.key_id


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "there are no trusted keys"),
        ("broken", "is no file of trusted keys"),
        ("x" * 70_000, "larger than"),
    ],
)
def test_nothing_is_trusted_without_readable_keys(content, reason, tmp_path, signer):
    file = tmp_path / "release.pub"
    file.write_text(content)
    with pytest.raises(Trouble, match=reason):
        Anchor(file, tmp_path).verify_image(signer.image(CONTENT))


def test_keys_that_are_gone_fail_the_job(anchor, signer, tmp_path):
    (tmp_path / "keys" / "release.pub").unlink()
    with pytest.raises(Trouble, match="no trusted keys"):
        anchor.verify_image(signer.image(CONTENT))


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"format": 2}', b'{"format": 1, "counter": 1}'])
def test_nothing_is_trusted_when_what_was_learnt_cannot_be_read(content, anchor, signer, tmp_path):
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(Trouble, match="nothing is trusted"):
        anchor.verify_image(signer.image(CONTENT))
    assert (tmp_path / FILE_NAME).read_bytes() == content


def test_an_added_key_counts_and_a_revoked_one_does_not(anchor, signer, tmp_path):
    fresh = Signer()
    told = anchor.change_keys(signer.keys(3, add=[fresh], revoke=[signer]))
    assert (told.counter, told.key_ids) == (3, (fresh.key_id,))
    anew = Anchor(tmp_path / "keys", tmp_path)
    assert anew.verify_image(fresh.image(CONTENT)).key_id == fresh.key_id
    with pytest.raises(Trouble, match=r"\(revoked\)"):
        anew.verify_image(signer.image(CONTENT))


def test_the_statement_in_force_is_no_replay(anchor, signer):
    text = signer.keys(3, revoke=[Signer()])
    assert anchor.change_keys(text) == anchor.change_keys(text)


def test_a_revoked_key_stays_revoked(anchor, signer):
    lost = Signer()
    anchor.change_keys(signer.keys(3, revoke=[lost]))
    assert anchor.change_keys(signer.keys(4, add=[lost])).key_ids == (signer.key_id,)


def test_a_device_that_trusts_no_keys_learns_none(tmp_path, signer):
    with pytest.raises(Refusal, match="trusted_keys"):
        Anchor(None, tmp_path).change_keys(signer.keys(3, add=[Signer()]))
    assert not (tmp_path / FILE_NAME).exists()


def test_a_minimum_of_software_only_rises(anchor, signer):
    for minimum in ("1.5", "1.2"):
        anchor.keep_minimum("pump", minimum)
    assert anchor.verify_image(signer.image(CONTENT)).minimum == "1.5"
    assert anchor.verify_image(signer.image(CONTENT, name="valve")).minimum is None


def test_a_signed_statement_lowers_a_minimum(anchor, signer):
    anchor.keep_minimum("pump", "1.5")
    anchor.change_keys(signer.keys(3, minimums={"pump": "1.1"}))
    assert anchor.verify_image(signer.image(CONTENT)).minimum == "1.1"


def test_what_was_learnt_parses_back():
    trust = Trust(
        counter=7,
        digest="ab",
        added=(PublicKey(raw=bytes(32)),),
        revoked=frozenset({"0" * 16}),
        minimums={"a": "1"},
    )
    assert decode(encode(trust)) == trust


def test_what_is_remembered_is_bounded():
    many = tuple(PublicKey(raw=number.to_bytes(32)) for number in range(KEYS_MAX + 1))
    with pytest.raises(Trouble, match="at most 64"):
        with_statement(Trust(), (), KeysStatement(counter=1, add=many, minimums={}), "digest")
    full = Trust(minimums={str(number): "1" for number in range(256)})
    with pytest.raises(Trouble, match="at most 256"):
        with_minimum(full, "pump", "1")
