"""``outfitter deploy``: the console page and its function."""

import click

from outfitter_updates.cli.output import print_json, tell
from outfitter_updates.cli.shape import Application, ExampleCommand, json_option, pass_application
from outfitter_updates.operations.deployment import DeploymentOrder


@click.command(
    cls=ExampleCommand,
    example="outfitter deploy\noutfitter deploy --role-arn arn:aws:iam::123456789012:role/outfitter-updates",
)
@click.option(
    "--role-arn",
    envvar="OUTFITTER_ROLE_ARN",
    show_envvar=True,
    help="Role of the function and of the download URLs.  [role outfitter-updates of the account]",
)
@click.option("--bucket", help="Bucket for the page, open to everybody.  [outfitter-console-ACCOUNT-REGION]")
@json_option
@pass_application
def deploy(application: Application, role_arn: str | None, bucket: str | None, as_json: bool) -> None:
    """Put the console page into the store and its function beside it; prints the page's URL.

    Again after an upgrade, it brings both up to date; when nothing changed, it changes nothing.
    """
    cloud = application.cloud
    order = DeploymentOrder(role_arn=role_arn or cloud.default_role_arn, bucket=bucket)
    made = cloud.deployments.deploy(order, tell)
    if as_json:
        print_json(
            {
                "page_url": made.page_url,
                "function_url": made.function_url,
                "function_arn": made.function_arn,
                "bucket": made.bucket,
                "changes": list(made.changes),
            }
        )
        return
    if not made.changes:
        tell("All is there already.")
    click.echo(made.page_url)
