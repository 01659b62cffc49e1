"""Signed texts and statements: one form only, whoever writes them."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_contract.signed import (
    PublicKey,
    Signature,
    Signed,
    SignedError,
    build_public_key,
    build_signed,
    parse_public_key,
    parse_public_keys,
    parse_signed,
    signed_bytes,
)
from outfitter_contract.statements import (
    IMAGE_KIND,
    KEYS_KIND,
    ImageStatement,
    KeysStatement,
    image_payload,
    keys_payload,
    parse_image_statement,
    parse_keys_statement,
)

KEY = PublicKey(raw=bytes(range(32)))
OTHER = PublicKey(raw=bytes(32))
IMAGE = ImageStatement(
    name="pump", version="1.4.0", device_types=("a", "b"), sha256="ab" * 32, size=7, minimum="1.2"
)
KEYS = KeysStatement(counter=7, add=(KEY,), revoke=(OTHER.key_id,), minimums={"pump": "1.0"})
SIGNATURE = Signature(key_id=KEY.key_id, value=bytes(range(64)))


def signed(*signatures, payload=b"{}"):
    return Signed(kind=IMAGE_KIND, payload=payload, signatures=signatures)


def test_what_is_signed_names_its_kind():
    assert signed(SIGNATURE).message == b"outfitter-image-1\n{}"
    assert signed_bytes(KEYS_KIND, b"{}") != signed_bytes(IMAGE_KIND, b"{}")


def test_texts_parse_back():
    second = Signature(key_id=OTHER.key_id, value=bytes(64))
    made = signed(SIGNATURE, second, payload=image_payload(IMAGE))
    assert parse_signed(build_signed(made), IMAGE_KIND) == made


def test_the_payload_of_an_image_has_one_form():
    assert image_payload(IMAGE) == (
        b'{"device_types":["a","b"],"minimum":"1.2","name":"pump","sha256":"' + b"ab" * 32 + b'","size":7,'
        b'"version":"1.4.0"}'
    )
    assert parse_image_statement(image_payload(IMAGE)) == IMAGE


def test_a_statement_about_keys_parses_back():
    assert parse_keys_statement(keys_payload(KEYS)) == KEYS


WHOLE = build_signed(signed(SIGNATURE, payload=image_payload(IMAGE)))
KIND, PAYLOAD, KEY_ID, VALUE = WHOLE.split(".")
BROKEN = {
    "nothing": "",
    "another kind": WHOLE.replace("image-1", "keys-1"),
    "a later form": WHOLE.replace("image-1", "image-2"),
    "no kind": WHOLE.replace("outfitter", "other"),
    "no signature": f"{KIND}.{PAYLOAD}",
    "half a signature": f"{KIND}.{PAYLOAD}.{KEY_ID}",
    "a short signature": WHOLE[:-4],
    "padding": f"{WHOLE}==",
    "a line end": f"{WHOLE}\n",
    "base64 of the other alphabet": f"{KIND}.{PAYLOAD}.{KEY_ID}.{'+' * 86}",
    "bits beyond the end": f"{KIND}.{PAYLOAD}.{KEY_ID}.{VALUE[:-1]}B",
    "an upper-case id": f"{KIND}.{PAYLOAD}.{'A' * 16}.{VALUE}",
    "one key twice": f"{WHOLE}.{KEY_ID}.{VALUE}",
    "nine signatures": ".".join([KIND, PAYLOAD, *(f"{n:016x}.{VALUE}" for n in range(9))]),
    "too long": f"{KIND}.{'A' * 30_000}.{KEY_ID}.{VALUE}",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_texts_that_are_refused(text):
    with pytest.raises(SignedError):
        parse_signed(text, IMAGE_KIND)


def members(**changes):
    return json.loads(image_payload(IMAGE)) | changes


def compact(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


BAD_IMAGES = {
    "blanks": json.dumps(members(), sort_keys=True).encode(),
    "another order": json.dumps(dict(reversed(members().items())), separators=(",", ":")).encode(),
    "a member twice": image_payload(IMAGE)[:-1] + b',"version":"1.4.0"}',
    "a member more": compact(members(expires=1)),
    "a member less": compact({key: value for key, value in members().items() if key != "size"}),
    "a list": b"[]",
    "deep": b"[" * 100_000,
    "no text": b"\xff",
    "types out of order": compact(members(device_types=["b", "a"])),
    "a type twice": compact(members(device_types=["a", "a"])),
    "no types": compact(members(device_types=[])),
    "a type that is no word": compact(members(device_types=["a b"])),
    "an upper-case digest": compact(members(sha256="AB" * 32)),
    "size true": compact(members(size=True)),
    "size 0": compact(members(size=0)),
    "a size that is a fraction": compact(members(size=7.0)),
    "no version": compact(members(version="new")),
    "a minimum above": compact(members(minimum="1.4.1")),
    "a minimum that is none": compact(members(minimum="")),
}


@pytest.mark.parametrize("payload", BAD_IMAGES.values(), ids=BAD_IMAGES)
def test_image_statements_that_are_refused(payload):
    with pytest.raises(SignedError):
        parse_image_statement(payload)


BAD_KEYS = {
    "counter 0": {"counter": 0},
    "a counter beyond JSON": {"counter": 1 << 53},
    "a key that is none": {"add": ["outfitter-key-1 x y"]},
    "an id that is none": {"revoke": ["all"]},
    "minimums as a list": {"minimums": ["pump"]},
    "a minimum that is none": {"minimums": {"pump": 1}},
    "too many": {"revoke": [KEY.key_id] * 33},
}


@pytest.mark.parametrize("changes", BAD_KEYS.values(), ids=BAD_KEYS)
def test_statements_about_keys_that_are_refused(changes):
    with pytest.raises(SignedError):
        parse_keys_statement(compact(json.loads(keys_payload(KEYS)) | changes))


def test_a_key_file():
    lines = [build_public_key(KEY, "of the factory, 2026"), "# a remark", "", f"  {build_public_key(OTHER)}"]
    assert parse_public_keys("\n".join(lines)) == (KEY, OTHER)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "outfitter-key-1",
        build_public_key(KEY).replace("key-1", "key-2"),
        build_public_key(KEY).replace(KEY.key_id, OTHER.key_id),
        build_public_key(KEY)[:-1],
        build_public_key(KEY, "x" * 600),
    ],
)
def test_lines_that_are_no_keys(line):
    with pytest.raises(SignedError):
        parse_public_key(line)


@given(st.text(max_size=300) | st.text("outfier-mag1.AQ_", max_size=300).map(lambda rest: f"{KIND}.{rest}"))
def test_any_text_is_parsed_or_refused(text):
    with contextlib.suppress(SignedError):
        assert build_signed(parse_signed(text, IMAGE_KIND)) == text
