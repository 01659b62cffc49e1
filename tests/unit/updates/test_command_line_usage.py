"""The command as a person meets it: help, usage errors, exit codes, the reference."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from outfitter_updates.cli.reference import reference
from outfitter_updates.cli.root import root
from outfitter_updates.cli.shape import ExampleCommand

REFERENCE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "command-line.md"


def leaves(command, path=("outfitter",)):
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    for name, below in command.commands.items():
        yield from leaves(below, (*path, name))


LEAVES = dict(leaves(root))


def test_the_commands_that_people_rely_on():
    assert set(LEAVES) == {
        "outfitter device add",
        "outfitter device list",
        "outfitter device show",
        "outfitter group create",
        "outfitter group add",
        "outfitter group list",
        "outfitter software pack",
        "outfitter software upload",
        "outfitter software delta",
        "outfitter software list",
        "outfitter software where",
        "outfitter software record",
        "outfitter software keygen",
        "outfitter software sign",
        "outfitter software verify",
        "outfitter software rotate",
        "outfitter software trust",
        "outfitter update",
        "outfitter why",
        "outfitter policy test",
        "outfitter config pull",
        "outfitter config push",
        "outfitter config propagate",
        "outfitter config diff",
        "outfitter config drift",
        "outfitter line create",
        "outfitter line show",
        "outfitter line claim",
        "outfitter deploy",
        "outfitter job list",
        "outfitter job show",
        "outfitter job watch",
        "outfitter job cancel",
        "outfitter job resume",
        "outfitter job pause",
    }


@pytest.mark.parametrize("path", LEAVES)
def test_every_command_has_an_example_that_its_own_parser_takes(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pump-1.4.0").mkdir()
    for name in (
        "pump-1.3.2.tar.gz",
        "pump-1.4.0.tar.gz",
        "pump.json",
        "site.json",
        "release.key",
        "release.pub",
        "next.pub",
        "keys-2.signed",
    ):
        (tmp_path / name).touch()
    command = LEAVES[path]
    assert isinstance(command, ExampleCommand)
    assert command.example
    for line in command.example.splitlines():
        assert line.startswith(f"{path} ") or line == path
        arguments = shlex.split(line)[len(path.split()) :]
        context = command.make_context(path, arguments, help_option_names=["-h", "--help"])
        assert context.params["as_json"] is False


def test_the_reference_is_what_the_help_says():
    """``python -m outfitter_updates.cli.reference > docs/reference/command-line.md`` writes it anew."""
    written = REFERENCE.read_text("utf-8")
    assert written == reference()
    for path in LEAVES:
        assert f" {path}\n" in written


def test_help_needs_neither_boto3_nor_rich():
    program = (
        "import sys; from outfitter_updates.main.command import main; sys.argv = ['outfitter', '--help']\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'boto3', 'botocore', 'cryptography', 'rich'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing"], "No such command"),
        (["device", "add"], "Missing argument"),
        (["device", "add", "x"], "--out"),
        (["device", "add", "a/b", "--out", "x"], "can be no device"),
        (["group", "add", "pumps"], "Missing argument"),
        (["software", "upload", "/nowhere/at/all"], "does not exist"),
        (["software", "pack", "."], "--out"),
        (["software", "delta", __file__, __file__], "--publish"),
        (["update", "pumps", "pump"], "Missing argument"),
        (["update", "pumps", "pump", "1", "--timeout", "3"], "--timeout goes with --wait"),
        (["job", "watch", "j", "--timeout", "nan"], "'nan' is no number of seconds"),
        (["config", "pull", "pump-1", "--timeout", "inf"], "'inf' is no number of seconds"),
        (["update", "pumps", "pump", "1", "--wait", "--timeout", "1e999"], "'1e999' is no number of seconds"),
        (["update", "a b", "pump", "1"], "can be no device or group"),
        (["job", "list", "--limit", "0"], "--limit"),
        (["config", "push", __file__, "pump", "--timeout", "3"], "--timeout goes with --wait"),
        (["config", "propagate", "pump"], "Missing argument"),
        (["config", "pull", "a b"], "can be no device"),
        (["line", "create", "pump"], "--software"),
        (["line", "create", "a/b", "--software", "pump", "1"], "can be no device type"),
        (["device", "add", "x", "--line", "a", "--type", "b", "--out", "x"], "leave out --type"),
        (["job", "list", "--status", "DONE"], "--status"),
        (["--endpoint-url", "nonsense", "device", "list"], "Invalid endpoint"),
        (["--endpoint-url", "http://127.0.0.1:99999", "device", "list"], "Port out of range"),
        (["--endpoint-url", "http://127.0.0.1:x", "device", "list"], "An endpoint is written like"),
        (["--region", "x/y", "device", "list"], "'x/y' is no region"),
        (["software", "pack", ".", "--out", ""], "the name is empty"),
        (["software", "keygen", "--out", ""], "the name is empty"),
        (["device", "add", "x", "--out", ""], "the name is empty"),
        (["device", "show", "x\udcff"], "'x\\udcff' is no text in UTF-8"),
    ],
)
def test_wrong_usage_ends_with_2(outfitter, script, arguments, words):
    result = outfitter(*arguments)
    assert result.exit_code == 2, result.output
    assert words in result.stderr
    assert result.stdout == ""
    assert script.asked == []


def test_no_credentials(outfitter, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    result = outfitter("device", "list")
    assert result.exit_code == 1
    assert "no AWS credentials" in result.stderr
    assert "AWS_PROFILE" in result.stderr
    assert "no-credentials, which is not there (yet)" in result.stderr


def test_an_unknown_profile(outfitter):
    result = outfitter("--profile", "nope", "device", "list")
    assert result.exit_code == 1
    assert "nope" in result.stderr


def test_aws_needs_a_region(outfitter, monkeypatch):
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    result = outfitter("device", "list")
    assert result.exit_code == 1
    assert "AWS_REGION" in result.stderr


@pytest.mark.parametrize(
    ("options", "variables", "region"),
    [
        ([], {"AWS_REGION": "eu-west-1"}, "eu-west-1"),
        ([], {"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-1"),
        ([], {"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-2"}, "eu-west-2"),
        (["--region", "eu-west-3"], {"AWS_REGION": "eu-west-1"}, "eu-west-3"),
        ([], {}, "us-east-1"),
    ],
)
def test_requests_are_signed_for_the_region(outfitter, script, monkeypatch, options, variables, region):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    script.answers["GET /things"] = {"things": []}
    assert outfitter(*options, "device", "list").exit_code == 0
    assert f"/{region}/iot/aws4_request" in script.authorizations["GET /things"]


def test_nothing_at_the_endpoint(outfitter):
    result = outfitter("--endpoint-url", "http://127.0.0.1:1", "device", "list")
    assert result.exit_code == 1
    assert "http://127.0.0.1:1" in result.stderr
    assert "AWS_ENDPOINT_URL" in result.stderr


def test_no_tls_at_the_endpoint(outfitter, script):
    """Not to be taken for a certificate that is not trusted."""
    result = outfitter("--endpoint-url", script.url.replace("http:", "https:"), "device", "list")
    assert result.exit_code == 1
    assert "no TLS connection to https://127.0.0.1" in result.stderr
    assert "not trusted" not in result.stderr


def test_an_error_of_the_service_is_told_by_name(outfitter, script):
    script.answers["GET /things"] = (403, "UnrecognizedClientException")
    result = outfitter("device", "list")
    assert result.exit_code == 1
    assert "ListThings: UnrecognizedClientException" in result.stderr
    assert "AWS_ACCESS_KEY_ID" in result.stderr


def test_a_page_that_is_no_service_is_cut(outfitter, script):
    script.answers["GET /things"] = [(400, "x" * 5000)]
    assert len(outfitter("device", "list").stderr) < 7000


THINGS = {
    "GET /things": {"things": [{"thingName": "a", "thingArn": "arn", "attributes": {"k": "v"}, "version": 1}]}
}


def test_lists_for_people_and_programs(outfitter, script):
    script.answers |= THINGS
    assert "k=v" in outfitter("device", "list").stdout
    told = json.loads(outfitter("device", "list", "--json").stdout)
    unknown = {"connection": None}  # this service does not tell
    assert told == [{"name": "a", "arn": "arn", "type": None, "attributes": {"k": "v"}} | unknown]


def test_an_empty_list_says_what_to_do(outfitter, script):
    script.answers["GET /things"] = {"things": []}
    result = outfitter("device", "list")
    assert result.exit_code == 0
    assert result.stdout == ""
    assert "device add" in result.stderr
