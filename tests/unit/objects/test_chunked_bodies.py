"""aws-chunked bodies, whole, in pieces of every size, and broken."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.access.signature import SigningContext, chunk_signature, trailer_signature
from outfitter_server.objects.chunked import ChunkedDecoder
from outfitter_server.objects.refusals import ChunkSignatureMismatch, IncompleteBody

CONTEXT = SigningContext(
    signing_key=b"k" * 32,
    scope="20261123/r/s3/aws4_request",
    timestamp="20261123T000000Z",
    seed_signature="5" * 64,
)


class Signer:
    def seed(self):
        return CONTEXT.seed_signature

    def chunk(self, previous, sha256):
        return chunk_signature(CONTEXT, previous, sha256)

    def trailer(self, previous, trailers):
        return trailer_signature(CONTEXT, previous, trailers)


def encode(chunks, *, signed, trailers=None):
    signer, previous, body = Signer(), CONTEXT.seed_signature, b""
    for chunk in [*chunks, b""]:
        previous = signer.chunk(previous, hashlib.sha256(chunk).hexdigest())
        extension = f";chunk-signature={previous}" if signed else ""
        body += f"{len(chunk):x}{extension}\r\n".encode() + chunk + (b"\r\n" if chunk else b"")
    for name, value in (trailers or {}).items():
        body += f"{name}:{value}\r\n".encode()
    if trailers and signed:
        body += f"x-amz-trailer-signature:{signer.trailer(previous, trailers.items())}\r\n".encode()
    return body + b"\r\n"


def decode(body, step, length, *, signed, trailing):
    decoder = ChunkedDecoder(length=length, signer=Signer() if signed else None, trailing=trailing)
    out = b"".join(piece for at in range(0, len(body), step) for piece in decoder.feed(body[at : at + step]))
    decoder.finish()
    return out, decoder.trailers


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=4),
    st.integers(1, 200),
    st.booleans(),
    st.booleans(),
)
def test_bodies_come_out_whole_however_they_are_cut(chunks, step, signed, trailing):
    trailers = {"x-amz-checksum-crc32": "AAAAAA=="} if trailing else {}
    body = encode(chunks, signed=signed, trailers=trailers)
    out = decode(body, step, len(b"".join(chunks)), signed=signed, trailing=trailing)
    assert out == (b"".join(chunks), trailers)


@given(st.integers(0, 330), st.integers(1, 255))
def test_no_signed_body_survives_a_changed_byte(at, change):
    good = encode([b"hello", b"world"], signed=True, trailers={"x-amz-checksum-crc32": "AAAAAA=="})
    body = bytearray(good)
    body[at % len(body)] ^= change
    try:
        out = decode(bytes(body), 64, 10, signed=True, trailing=True)
    except (ChunkSignatureMismatch, IncompleteBody):
        return
    # Only framing may differ: line ends, the case of a size or a name.
    assert out == (b"helloworld", {"x-amz-checksum-crc32": "AAAAAA=="})


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"5\r\nhello\r\n", 5),
        (b"5\r\nhello\r\n0\r\n\r\n", 6),
        (b"6\r\nhello!\r\n0\r\n\r\n", 5),
        (b"5\r\nhelloX\r\n0\r\n\r\n", 5),
        (b"zz\r\nhello", 5),
        (b"-5\r\n", 5),
        (b"0" * 2000, 5),
        (b"5\r\nhello\r\n0\r\n\r\nmore", 5),
        (b"5\r\nhello\r\n0\r\nx-late:1\r\n\r\n", 5),
    ],
)
def test_broken_framing_is_refused(body, length):
    with pytest.raises(IncompleteBody):
        decode(body, 3, length, signed=False, trailing=False)
