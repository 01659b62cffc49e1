"""Requests over HTTP: signatures, bodies in signed chunks, documents in XML."""

import hashlib
from collections.abc import Iterable

from outfitter_server.access.claims import SignatureRefused, read_claim
from outfitter_server.access.query_v2 import read_query_claim, verify_query
from outfitter_server.access.signature import Credentials, SignedRequest, verify
from outfitter_server.base.refusals import Refusal
from outfitter_server.objects.chunked import ChunkedDecoder
from outfitter_server.objects.refusals import ObjectRefusal
from outfitter_server.objects.urls import parse_object_url
from outfitter_server.s3.cors_xml import cors_xml, read_cors
from outfitter_server.s3.xml import child_text, need_number, need_text, parse_document

from fuzzing.bites import Bites, text

_KEY = Credentials(access_key_id="AKIDEXAMPLE", secret_access_key="wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
_NOW = 1_440_938_160_000
_HELD_BYTES_MAX = 16 * 1024


def signature(data: bytes) -> None:
    """No bytes of a request verify without the key, and what is refused is refused in S3's words."""
    lines = text(data).split("\n")
    method, path, query = (*lines[:3], "", "", "")[:3]
    if any("\ud800" <= character <= "\udfff" for character in path + query):
        return  # the door refuses a target that is no UTF-8
    headers = tuple(
        (name.strip().lower(), value.strip())
        for name, _, value in (line.partition(":") for line in lines[3:])
    )
    parse_object_url(f"https://{path}")
    try:
        claim = read_claim(method, path, query, headers)
        if claim is not None:
            request = SignedRequest(
                method=method,
                raw_path=path,
                raw_query=query,
                headers=headers,
                payload_hash=hashlib.sha256().hexdigest(),
            )
            verify(request, claim, _KEY, _NOW)
            raise AssertionError("a signature that nobody made")
    except SignatureRefused as refusal:
        assert 400 <= refusal.status < 500
    try:
        older = read_query_claim(query)
        if older is not None:
            verify_query(method, path, query, headers, bucket=None, claim=older, credentials=_KEY, now=_NOW)
            raise AssertionError("a signature that nobody made")
    except SignatureRefused as refusal:
        assert 400 <= refusal.status < 500


class _Signer:
    """Signatures that a fuzzer can guess: what is signed, shortened, is signature enough."""

    def seed(self) -> str:
        return "0" * 64

    def chunk(self, previous: str, sha256: str) -> str:
        return "a" * 64

    def trailer(self, previous: str, trailers: Iterable[tuple[str, str]]) -> str:
        return "b" * 64


def chunked_body(data: bytes) -> None:
    """A body in pieces is the same as at once, and little of it is held."""
    bites = Bites(data)
    how, size, length = bites.number(), bites.number() + 1, bites.number()
    content = bites.rest()
    assert _unchunked(how, length, [content]) == _unchunked(
        how, length, [content[start : start + size] for start in range(0, len(content), size)]
    )


def _unchunked(how: int, length: int, pieces: list[bytes]) -> tuple[bytes, dict[str, str]] | None:
    decoder = ChunkedDecoder(length=length, signer=_Signer() if how & 1 else None, trailing=bool(how & 2))
    found = b""
    try:
        for piece in pieces:
            found += b"".join(decoder.feed(piece))
            assert len(decoder._buffer) <= _HELD_BYTES_MAX + len(piece)
            assert len(found) <= length
        decoder.finish()
    except ObjectRefusal:
        return None
    return found, decoder.trailers


def s3_xml(data: bytes) -> None:
    """A document of S3 is read or refused; rules for origins are written as they were read."""
    for name, entry in (
        ("CompleteMultipartUpload", "Part"),
        ("Delete", "Object"),
        ("CreateBucketConfiguration", ""),
    ):
        try:
            document = parse_document(data, name)
            for element in document.findall(entry) if entry else ():
                child_text(element, "VersionId")
                need_text(element, "Key")
                need_number(element, "PartNumber")
        except Refusal:
            continue
    try:
        rules = read_cors(data)
    except Refusal:
        return
    assert read_cors(cors_xml(rules).encode()) == rules
