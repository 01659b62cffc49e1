"""The shape that all commands share: examples in the help, ``--json``, problems as one line and an exit code."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any, TypeVar

import click

from outfitter_updates.catalogue.problems import Problem
from outfitter_updates.cli.ports import CloudPort, OpenCloud

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(kw_only=True)
class Application:
    """What the command is given by main, and the options that come before the command."""

    open_cloud: OpenCloud
    clock: Callable[[], int]
    """Milliseconds since the epoch."""
    sleep: Callable[[float], None]
    token: Callable[[], str]
    """A few fresh letters and digits, for ids."""
    profile: str | None = field(default=None)
    region: str | None = field(default=None)
    endpoint_url: str | None = field(default=None)

    @cached_property
    def cloud(self) -> CloudPort:
        """Opened when it is first needed, so that help and usage errors need no credentials."""
        return self.open_cloud(profile=self.profile, region=self.region, endpoint_url=self.endpoint_url)


class Refusal(click.ClickException):
    """A problem, as click reports it: on the error stream, with the problem's exit code."""

    def __init__(self, problem: Problem) -> None:
        notes = "".join(f"\n{note}" for note in getattr(problem, "__notes__", ()))
        super().__init__(f"{problem}{notes}")
        self.exit_code = problem.exit_code  # type: ignore[misc] # click sets it by class, a problem has it by itself


class ExampleCommand(click.Command):
    """A command whose help ends with an example."""

    def __init__(self, *arguments: Any, example: str = "", **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the example, line by line as it stands."""
        if self.example:
            with formatter.section("Example"):
                formatter.write("".join(f"  {line}\n" for line in self.example.splitlines()))
        super().format_epilog(ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Runs the command; a problem becomes click's kind of error."""
        try:
            return super().invoke(ctx)
        except Problem as problem:
            raise Refusal(problem) from problem


class NewPath(click.Path):
    """A file or folder to be written; an empty text, such as a variable that is not set, is no name of one."""

    def __init__(self, *, file_okay: bool = True, dir_okay: bool = True) -> None:
        super().__init__(file_okay=file_okay, dir_okay=dir_okay, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, if it can be one."""
        if not value:
            self.fail("the name is empty.", param, ctx)
        return super().convert(value, param, ctx)


class Seconds(click.FloatRange):
    """A time from 0 on, and not for ever."""

    def __init__(self) -> None:
        super().__init__(0)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number, if it is one that can be waited for."""
        seconds = super().convert(value, param, ctx)
        if not isfinite(seconds):
            self.fail(f"{value!r} is no number of seconds.", param, ctx)
        return seconds


def json_option(function: Command) -> Command:
    """Adds ``--json``, passed on as ``as_json``."""
    option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
    return option(function)


def role_option(function: Command) -> Command:
    """Adds ``--role-arn``."""
    option = click.option(
        "--role-arn",
        envvar="OUTFITTER_ROLE_ARN",
        show_envvar=True,
        help="Role whose privileges the URLs of the job carry.  [role outfitter-updates of the account]",
    )
    return option(function)


def timeout_option(function: Command) -> Command:
    """Adds ``--timeout``."""
    option = click.option(
        "--timeout", type=Seconds(), metavar="SECONDS", help="Give up waiting after so long."
    )
    return option(function)


pass_application = click.make_pass_decorator(Application)
