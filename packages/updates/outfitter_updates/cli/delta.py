"""``outfitter software delta``: what makes a new image out of the one that devices run."""

import tempfile
from pathlib import Path

import click

from outfitter_updates.catalogue.software import same_image
from outfitter_updates.cli.delta_file import make_delta
from outfitter_updates.cli.output import print_json, progress_bar, size, tell
from outfitter_updates.cli.shape import Application, ExampleCommand, NewPath, json_option, pass_application

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    cls=ExampleCommand,
    example="outfitter software delta pump-1.3.2.tar.gz pump-1.4.0.tar.gz --publish",
)
@click.argument("base", type=_FILE)
@click.argument("new", type=_FILE)
@click.option("--out", type=NewPath(dir_okay=False), help="Delta file to write.")
@click.option("--publish", is_flag=True, help="Store it beside the uploaded image NEW, for updates to use.")
@json_option
@pass_application
def delta(
    application: Application, base: Path, new: Path, out: Path | None, publish: bool, as_json: bool
) -> None:
    """Make a delta: what a device that runs image BASE must fetch to have image NEW.

    NEW must have been packed by `outfitter software pack`. What devices make of the delta is image NEW, byte for byte,
    with its digest and signature.
    """
    if out is None and not publish:
        raise click.UsageError("Say --out FILE, or --publish, or both.")
    with tempfile.TemporaryDirectory(prefix="outfitter-") as folder:
        file = out or Path(folder) / "delta"
        with progress_bar(f"{base.name} → {new.name}", None) as progress:
            made = make_delta(base, new, file, progress)
        told = {
            "name": made.image.name,
            "version": made.image.version,
            "base_version": made.base.version,
            "base": made.base.sha256,
            "sha256": made.sha256,
            "size": made.size_bytes,
            "image_size": made.image.size_bytes,
        }
        if out is not None:
            told["file"] = str(out)
        if publish:
            software = application.cloud.software.need(made.image.name, made.image.version)
            same_image(made.image, software)
            with progress_bar(f"{made.image.name} {made.image.version}", made.size_bytes) as progress:
                stored = application.cloud.software.store_delta(
                    software, file, base=made.base.sha256, sha256=made.sha256, progress=progress
                )
            told |= {"bucket": stored.bucket, "key": stored.key}
    if as_json:
        print_json(told)
        return
    share = (
        f"{100 * made.size_bytes / made.image.size_bytes:.1f} % of the image's {size(made.image.size_bytes)}"
    )
    where = " and ".join(
        part for part in (str(out or ""), f"s3://{told['bucket']}/{told['key']}" if publish else "") if part
    )
    tell(f"{where}: {made.base.version} → {made.image.version}, {size(made.size_bytes)}, {share}")
