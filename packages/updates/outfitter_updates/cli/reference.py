"""The reference of the command line, made of the commands' own help: docs/reference/command-line.md.

``python -m outfitter_updates.cli.reference`` prints it; a test compares it with the file.
"""

from collections.abc import Iterator
from typing import Final

import click

from outfitter_updates.cli.root import root

WIDTH: Final = 100
HEAD: Final = """\
# The command line

`outfitter` updates fleets through AWS's public APIs, on an Outfitter server and on AWS alike.

| variable | meaning |
| --- | --- |
| `AWS_ENDPOINT_URL` | the server, such as `http://127.0.0.1:4566`; unset: AWS |
| `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` | credentials |
| `AWS_PROFILE`, `AWS_SHARED_CREDENTIALS_FILE`, `AWS_CONFIG_FILE` | profiles; a server's own credentials are in `DIR/credentials` |
| `AWS_REGION` | region; a server of your own takes any, and none means `us-east-1` |
| `AWS_CA_BUNDLE` | authority of an https server of your own, as `outfitterd ca` prints it |
| `OUTFITTER_ROLE_ARN` | role whose privileges the download URLs carry |

Results go to standard output, progress and remarks to standard error. `--json` prints JSON for programs; times in it
are ISO 8601, except in `why --json`, which is [the server's own answer](beyond-aws.md). Exit codes: 0 done, 1 failed (also: a device ended without success), 2 wrong usage.
"""


def reference() -> str:
    """The whole page as Markdown."""
    return "\n".join([HEAD, *_pages(root, None, "outfitter", 2)])


def _pages(command: click.Command, parent: click.Context | None, name: str, level: int) -> Iterator[str]:
    """The help of a command and of those below it."""
    context = click.Context(
        command, info_name=name, parent=parent, terminal_width=WIDTH, help_option_names=["-h", "--help"]
    )
    yield f"{'#' * level} {context.command_path}\n\n```text\n{command.get_help(context).rstrip()}\n```\n"
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            below = command.get_command(context, each)
            if below is not None:
                yield from _pages(below, context, each, min(level + 1, 4))


if __name__ == "__main__":
    click.echo(reference(), nl=False)
