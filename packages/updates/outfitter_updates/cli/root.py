"""The command ``outfitter`` itself."""

import click

from outfitter_updates.cli.config import config
from outfitter_updates.cli.deploy import deploy
from outfitter_updates.cli.device import device
from outfitter_updates.cli.drift import drift
from outfitter_updates.cli.group import group
from outfitter_updates.cli.job import job
from outfitter_updates.cli.line import line
from outfitter_updates.cli.policy import policy
from outfitter_updates.cli.shape import Application
from outfitter_updates.cli.software import software
from outfitter_updates.cli.update import update
from outfitter_updates.cli.why import why

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=SETTINGS)
@click.version_option(package_name="outfitter-updates", prog_name="outfitter")
@click.option("--profile", help="Profile of ~/.aws/config; else AWS_PROFILE.")
@click.option("--region", help="AWS region; else AWS_REGION or the profile's.")
@click.option("--endpoint-url", metavar="URL", help="Server to call; else AWS_ENDPOINT_URL or the profile's.")
@click.pass_context
def root(ctx: click.Context, profile: str | None, region: str | None, endpoint_url: str | None) -> None:
    """Software updates and configuration for fleets of devices.

    Works with an Outfitter server (set AWS_ENDPOINT_URL) and with AWS alike. Credentials are found as by every AWS
    tool: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, ~/.aws; AWS_CA_BUNDLE names the authority of a
    server of your own.

    Exit codes: 0 done, 1 failed, 2 wrong usage.
    """
    application = ctx.ensure_object(Application)
    application.profile, application.region, application.endpoint_url = profile, region, endpoint_url


config.add_command(drift)
for command in (device, group, software, update, job, why, policy, config, line, deploy):
    root.add_command(command)
