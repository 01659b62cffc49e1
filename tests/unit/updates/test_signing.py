"""Keys, signatures and statements on the command line: offline, with nothing in the environment to call anybody."""

import json
import stat
import subprocess

import pytest
from click.testing import CliRunner
from outfitter_contract.signed import parse_signed
from outfitter_contract.statements import IMAGE_KIND, KEYS_KIND, parse_image_statement, parse_keys_statement
from outfitter_updates.catalogue.problems import BadKey
from outfitter_updates.cli.key_files import read_private_key
from outfitter_updates.cli.root import root
from outfitter_updates.cli.shape import Application

NOW = 1_790_000_000_000
MANIFEST = {"name": "pump", "version": "1.4.0", "device_types": ["p2", "p1"], "start": ["./run"]}


@pytest.fixture
def outfitter(tmp_path, monkeypatch):
    """Types a command of ``outfitter software``; no cloud can be opened."""
    monkeypatch.chdir(tmp_path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)

    def no_cloud(**_):
        raise AssertionError("offline")

    application = Application(
        open_cloud=no_cloud, clock=lambda: NOW, sleep=lambda _: None, token=lambda: "abcd"
    )

    def run(*arguments, expect=0, typed=None):
        words = ["software", *(str(each) for each in arguments)]
        result = CliRunner().invoke(root, words, obj=application, input=typed)
        assert result.exit_code == expect, result.output
        return result.output

    return run


@pytest.fixture
def image(tmp_path, outfitter):
    return packed(tmp_path, outfitter, "1.4.0")


def packed(tmp_path, outfitter, version):
    folder = tmp_path / f"pump-{version}"
    folder.mkdir()
    (folder / "outfitter.json").write_text(json.dumps(MANIFEST | {"version": version}))
    (folder / "run").write_text("#!/bin/sh\n")
    outfitter("pack", folder, "--out", tmp_path / f"{version}.tar.gz")
    return tmp_path / f"{version}.tar.gz"


def made(outfitter, name, *options, **more):
    told = outfitter("keygen", "--out", f"{name}.key", *options, "--json", **more)
    return json.loads(told[told.index("{") :])["key_id"]  # prompts come before it


def test_an_image_is_signed_and_verified(outfitter, image):
    key_id = made(outfitter, "release")
    outfitter("sign", image, "--key", "release.key", "--minimum", "1.2")
    told = json.loads(outfitter("verify", image, "--key", "release.pub", "--json"))
    assert told["signed_by"] == [key_id]
    assert (told["name"], told["version"], told["minimum"]) == ("pump", "1.4.0", "1.2")
    signed = parse_signed(image.with_name("1.4.0.tar.gz.signed").read_text().strip(), IMAGE_KIND)
    statement = parse_image_statement(signed.payload)
    assert statement.device_types == ("p1", "p2")
    assert (statement.sha256, statement.size) == (told["sha256"], image.stat().st_size)


def test_keys_are_kept_from_others_and_overwrite_nothing(outfitter, tmp_path):
    made(outfitter, "release")
    before = (tmp_path / "release.key").read_bytes()
    assert stat.S_IMODE((tmp_path / "release.key").stat().st_mode) == 0o600
    assert "not overwritten" in outfitter("keygen", "--out", "release.key", expect=1)
    (tmp_path / "other.pub").write_text("mine")
    assert "not overwritten" in outfitter("keygen", "--out", "other.key", expect=1)
    assert (tmp_path / "release.key").read_bytes() == before
    assert not (tmp_path / "other.key").exists()
    assert (tmp_path / "other.pub").read_text() == "mine"


def test_a_private_key_is_one_that_openssl_reads(outfitter, tmp_path):
    made(outfitter, "release")
    shown = subprocess.run(
        ["openssl", "pkey", "-in", tmp_path / "release.key", "-noout", "-text"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert "ED25519" in shown.upper()


def test_a_key_that_others_may_read_does_not_sign(outfitter, image, tmp_path):
    made(outfitter, "release")
    (tmp_path / "release.key").chmod(0o640)
    assert "chmod 600" in outfitter("sign", image, "--key", "release.key", expect=1)


@pytest.mark.parametrize(
    "content", ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "x" * 70_000]
)
def test_what_is_no_private_key(content, tmp_path):
    (tmp_path / "bad.key").write_text(content)
    (tmp_path / "bad.key").chmod(0o600)
    with pytest.raises(BadKey):
        read_private_key(tmp_path / "bad.key", lambda: "")


def test_a_passphrase_is_needed_to_sign(outfitter, image, tmp_path):
    key_id = made(outfitter, "typed", "--passphrase", typed="secret words\nsecret words\n")
    assert "ENCRYPTED" in (tmp_path / "typed.key").read_text()
    assert "passphrase is wrong" in outfitter("sign", image, "--key", "typed.key", expect=1, typed="other\n")
    outfitter("sign", image, "--key", "typed.key", typed="secret words\n")
    (tmp_path / "pass").write_text("secret words\nsecond line\n")
    outfitter("sign", image, "--key", "typed.key", "--passphrase-file", "pass")
    assert key_id in outfitter("verify", image, "--key", "typed.pub")


def test_another_key_adds_its_signature(outfitter, image):
    first, second = made(outfitter, "first"), made(outfitter, "second")
    for name in ("first", "second", "first"):
        outfitter("sign", image, "--key", f"{name}.key")
    told = json.loads(outfitter("verify", image, "--key", "first.pub", "--key", "second.pub", "--json"))
    assert sorted(told["signed_by"]) == sorted([first, second])
    assert "something else" in outfitter("sign", image, "--key", "first.key", "--minimum", "1.0", expect=1)


@pytest.mark.parametrize(
    "command", [["verify", "--key", "release.pub"], ["sign", "--key", "release.key"], ["upload"]]
)
def test_what_is_no_signature_is_told_with_its_file(outfitter, image, command):
    made(outfitter, "release")
    beside = image.with_name(f"{image.name}.signed")
    beside.write_text("junk")
    told = outfitter(command[0], image, *command[1:], expect=1)
    assert "no signed statement" in told
    assert str(beside) in told


@pytest.mark.parametrize("file", ["release.pub", "/dev/null"])
def test_what_is_no_private_key_is_not_to_be_made_secret(outfitter, image, file):
    made(outfitter, "release")
    assert "is no private key" in outfitter("sign", image, "--key", file, expect=1)


def test_what_is_refused_by_verify(outfitter, image, tmp_path):
    made(outfitter, "release")
    made(outfitter, "other")
    assert "cannot be read" in outfitter("verify", image, "--key", "release.pub", expect=1)
    outfitter("sign", image, "--key", "release.key")
    assert "None of the keys" in outfitter("verify", image, "--key", "other.pub", expect=1)
    newer = packed(tmp_path, outfitter, "1.5.0")
    beside = ("--signed", image.with_name("1.4.0.tar.gz.signed"))
    assert "for another image" in outfitter("verify", newer, "--key", "release.pub", *beside, expect=1)
    text = image.with_name("1.4.0.tar.gz.signed").read_text().strip()
    changed = text[:-2] + ("A" if text[-2] != "A" else "Q") + text[-1]
    (tmp_path / "changed").write_text(changed)
    assert "is wrong" in outfitter("verify", image, "--key", "release.pub", "--signed", "changed", expect=1)


def test_a_minimum_above_the_version_is_refused(outfitter, image):
    made(outfitter, "release")
    assert "above the image's own" in outfitter(
        "sign", image, "--key", "release.key", "--minimum", "1.5", expect=2
    )


def test_a_statement_about_keys(outfitter, tmp_path):
    made(outfitter, "release")
    next_id = made(outfitter, "next")
    arguments = ("--add", "next.pub", "--revoke", "0123456789abcdef", "--minimum", "pump=1.4")
    outfitter("rotate", "--key", "release.key", *arguments, "--out", "keys.signed")
    told = json.loads(outfitter("verify", "keys.signed", "--key", "release.pub", "--json"))
    assert told["add"] == [next_id]
    assert (told["counter"], told["minimums"]) == (NOW // 1000, {"pump": "1.4"})
    text = (tmp_path / "keys.signed").read_text().strip()
    assert parse_keys_statement(parse_signed(text, KEYS_KIND).payload).revoke == ("0123456789abcdef",)
    assert "not overwritten" in outfitter(
        "rotate", "--key", "release.key", *arguments, "--out", "keys.signed", expect=2
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "change nothing"),
        (("--revoke", "release"), "no key id"),
        (("--minimum", "1.4"), "NAME=VERSION"),
        (("--minimum", "pump=new"), "a version in the statement is none"),
    ],
)
def test_statements_that_cannot_be(outfitter, arguments, words):
    made(outfitter, "release")
    told = outfitter("rotate", "--key", "release.key", *arguments, "--out", "keys.signed", expect=2)
    assert words in told
