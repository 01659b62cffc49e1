"""``outfitter software keygen|sign|verify|rotate``: what happens offline, and ``trust``, which sends a statement."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
from outfitter_contract.signed import PublicKey, Signed
from outfitter_contract.statements import IMAGE_KIND, KEYS_KIND

from outfitter_updates.catalogue.problems import BadSignature, Problem
from outfitter_updates.cli.image_file import read_image, read_signed_text, signed_file, signed_in, write_text
from outfitter_updates.cli.key_files import (
    is_valid,
    make_key,
    public_file,
    read_private_key,
    read_public_keys,
)
from outfitter_updates.cli.output import print_json, tell
from outfitter_updates.cli.shape import Application, ExampleCommand, NewPath, json_option, pass_application
from outfitter_updates.cli.watch import watch_job
from outfitter_updates.operations.target import parse_target
from outfitter_updates.operations.trust import (
    TrustIntention,
    check_image,
    describe_keys,
    image_statement,
    keys_statement,
    kind_of,
    plan_trust,
    read_signed,
    unsigned_image,
    with_signature,
)

_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)
_NEW: Final = NewPath(dir_okay=False)
_MILLISECONDS: Final = 1000

key_option = click.option("--key", required=True, type=_FILE, help="Private key to sign with.")
passphrase_file_option = click.option(
    "--passphrase-file", type=_FILE, help="File with the key's passphrase.  [asked for]"
)


@click.command(cls=ExampleCommand, example="outfitter software keygen --out release.key --passphrase")
@click.option("--out", required=True, type=_NEW, help="File of the private key; the public one is beside it.")
@click.option("--passphrase", is_flag=True, help="Encrypt it with a passphrase, which is asked for.")
@click.option("--passphrase-file", type=_FILE, help="Encrypt it with the passphrase in this file.")
@click.option("--comment", default="", help="What people shall know the key by.")
@json_option
def keygen(out: Path, passphrase: bool, passphrase_file: Path | None, comment: str, as_json: bool) -> None:
    """Make a key to sign images with, offline.

    The private key is for its owner alone (PEM, mode 0600); the public one, a line of text, goes to the devices. Nothing
    is overwritten.
    """
    public = public_file(out)
    if public == out:
        raise click.UsageError("--out names the private key: NAME.pub is the file of the public one.")
    if not comment.isprintable():
        raise click.UsageError("--comment must be one line of text.")
    secret = None
    if passphrase_file is not None:
        secret = _first_line(passphrase_file)
    elif passphrase:
        secret = click.prompt("Passphrase", hide_input=True, confirmation_prompt=True, err=True)
    made = make_key(out, secret, comment or out.stem)
    if as_json:
        print_json({"key_id": made.key_id, "private_key": str(out), "public_key": str(public)})
    else:
        tell(f"Key {made.key_id}: {out} is secret, {public} goes to the devices.")


@click.command(
    cls=ExampleCommand,
    example="outfitter software sign pump-1.4.0.tar.gz --key release.key --minimum 1.2.0",
)
@click.argument("file", type=_FILE)
@key_option
@passphrase_file_option
@click.option(
    "--minimum", metavar="VERSION", help="Devices that run this image refuse lower versions from then on."
)
@click.option("--out", type=_NEW, help="File of the signature.  [FILE.signed]")
@json_option
def sign(
    file: Path, key: Path, passphrase_file: Path | None, minimum: str | None, out: Path | None, as_json: bool
) -> None:
    """Sign an image, offline.

    The signature covers name, version, device types, digest, size and the minimum version. When the file of the signature
    is there and says the same of the same image, this one is added to it.
    """
    image = read_image(file)
    target = out or signed_file(file)
    existing = read_signed_text(target) if target.exists() else None
    with signed_in(target):
        signed = unsigned_image(image_statement(image, minimum), existing)
    _write_signature(signed, key, passphrase_file, target, f"{image.name} {image.version}", as_json=as_json)


@click.command(
    cls=ExampleCommand,
    example="outfitter software rotate --key release.key --add next.pub --revoke 0123456789abcdef"
    " --out keys-2.signed",
)
@key_option
@passphrase_file_option
@click.option(
    "--add", multiple=True, type=_FILE, help="File of a public key that counts from now on; repeatable."
)
@click.option("--revoke", multiple=True, metavar="KEY_ID", help="Key that never counts again; repeatable.")
@click.option(
    "--minimum",
    multiple=True,
    metavar="NAME=VERSION",
    help="Lowest version of a software from now on; repeatable.",
)
@click.option(
    "--counter",
    type=click.IntRange(1),
    help="Must be above that of the statement before.  [seconds since 1970]",
)
@click.option("--out", required=True, type=_NEW, help="File of the statement.")
@json_option
@pass_application
def rotate(
    application: Application,
    key: Path,
    passphrase_file: Path | None,
    add: tuple[Path, ...],
    revoke: tuple[str, ...],
    minimum: tuple[str, ...],
    counter: int | None,
    out: Path,
    as_json: bool,
) -> None:
    """Sign which keys count from now on, and which versions, offline.

    `outfitter software trust` sends the statement to devices.
    """
    if out.exists():
        raise click.UsageError(f"{out} is there already and is not overwritten.")
    number = counter if counter is not None else application.clock() // _MILLISECONDS
    signed = keys_statement(counter=number, add=read_public_keys(add), revoke=revoke, minimums=minimum)
    _write_signature(signed, key, passphrase_file, out, f"statement {number}", as_json=as_json)


@click.command(cls=ExampleCommand, example="outfitter software verify pump-1.4.0.tar.gz --key release.pub")
@click.argument("file", type=_FILE)
@click.option(
    "--key",
    "keys",
    multiple=True,
    required=True,
    type=click.Path(exists=True, path_type=Path),
    help="File of public keys, or folder with *.pub; repeatable.",
)
@click.option("--signed", type=_FILE, help="File of the signature.  [FILE.signed]")
@json_option
def verify(file: Path, keys: tuple[Path, ...], signed: Path | None, as_json: bool) -> None:
    """Tell whether one of the keys has signed an image, or a statement about keys, offline.

    Exit code 1: none of them has, or a signature of theirs is wrong.
    """
    trusted = read_public_keys(keys)
    if kind_of(_beginning(file)) == KEYS_KIND:
        text = read_signed(read_signed_text(file), KEYS_KIND)
        told = {**describe_keys(text)}
    else:
        image = read_image(file)
        beside = signed or signed_file(file)
        told_there = read_signed_text(beside)
        with signed_in(beside):
            text = read_signed(told_there, IMAGE_KIND)
            statement = check_image(image, text)
        told = {"name": image.name, "version": image.version, "device_types": list(image.device_types)}
        told |= {"sha256": image.sha256, "size": image.size_bytes, "minimum": statement.minimum}
    told["signed_by"] = _signers(text, trusted)
    if as_json:
        print_json(told)
    else:
        what = " ".join(f"{name}={_shown(value)}" for name, value in told.items() if value)
        tell(f"{file}: good. {what}")


@click.command(cls=ExampleCommand, example="outfitter software trust pumps keys-2.signed --wait")
@click.argument("target")
@click.argument("file", type=_FILE)
@click.option("--continuous", is_flag=True, help="Go on with devices that join the group later.")
@click.option("--job-id", help="Id of the job.  [made of the counter and time]")
@click.option("--wait", is_flag=True, help="Watch until all devices are done; exit code 1 when one failed.")
@json_option
@pass_application
def trust(
    application: Application,
    target: str,
    file: Path,
    continuous: bool,
    job_id: str | None,
    wait: bool,
    as_json: bool,
) -> None:
    """Send a statement about keys to TARGET, a device or a group.

    Devices that trust the key it is signed with put it in force; the others refuse it.
    """
    cloud = application.cloud
    aim = cloud.devices.resolve(parse_target(target))
    intention = TrustIntention(
        target_arn=aim.arn, signed=read_signed_text(file), continuous=continuous, job_id=job_id
    )
    started = cloud.jobs.start(plan_trust(intention, application.clock(), application.token()))
    if wait:
        tell(f"Job {started}: {file} for {target}")
        watch_job(application, started, None, as_json=as_json)
    elif as_json:
        print_json({"job_id": started, "target": aim.arn})
    else:
        tell(f"{file} is under way to {target}: `outfitter job watch {started}`")
        click.echo(started)


def _write_signature(
    signed: Signed, key: Path, passphrase_file: Path | None, out: Path, what: str, *, as_json: bool
) -> None:
    private = read_private_key(key, _passphrase(passphrase_file, key))
    text = with_signature(signed, private.signature(signed.message))
    write_text(out, f"{text}\n")
    if as_json:
        print_json({"key_id": private.public.key_id, "file": str(out), "signed": text})
    else:
        tell(f"{out}: {what}, signed by {private.public.key_id}")


def _signers(signed: Signed, trusted: tuple[PublicKey, ...]) -> list[str]:
    """The ids of the trusted keys that have signed; raises BadSignature."""
    keys = {key.key_id: key for key in trusted}
    known = [each for each in signed.signatures if each.key_id in keys]
    wrong = [each.key_id for each in known if not is_valid(keys[each.key_id], each, signed.message)]
    if wrong:
        raise BadSignature(f"The signature of key {wrong[0]} is wrong: what it covers was changed.")
    if not known:
        named = ", ".join(each.key_id for each in signed.signatures)
        raise BadSignature(f"None of the keys has signed it; it is signed by {named}.")
    return [each.key_id for each in known]


def _passphrase(file: Path | None, key: Path) -> Callable[[], str]:
    if file is not None:
        return lambda: _first_line(file)
    return lambda: str(click.prompt(f"Passphrase of {key}", hide_input=True, err=True))


def _first_line(file: Path) -> str:
    try:
        line = file.read_text("utf-8").partition("\n")[0].rstrip("\r")
    except (OSError, UnicodeDecodeError) as error:
        raise Problem(f"{file} cannot be read as text.") from error
    if not line:
        raise Problem(f"{file} holds no passphrase in its first line.")
    return line


def _beginning(file: Path) -> str:
    with file.open("rb") as opened:
        return opened.read(64).decode("latin-1")


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
