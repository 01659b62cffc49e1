"""``outfitter policy``: what a device may do, and which statement says so."""

from dataclasses import asdict

import click

from outfitter_updates.catalogue.problems import WrongUsage
from outfitter_updates.cli.output import print_json
from outfitter_updates.cli.shape import Application, ExampleCommand, json_option, pass_application
from outfitter_updates.operations.privileges import ACTIONS, Said, Verdict, Why


@click.group()
def policy() -> None:
    """What devices may do."""


@policy.command(cls=ExampleCommand, example="outfitter policy test pump-7 publish 'site/pump-7/pressure'")
@click.argument("device", metavar="DEVICE")
@click.argument("action", type=click.Choice(list(ACTIONS)))
@click.argument("topic", required=False)
@click.option("--client-id", metavar="ID", help="Connected under this client id.  [the device's name]")
@json_option
@click.pass_context
@pass_application
def test(
    application: Application,
    ctx: click.Context,
    device: str,
    action: str,
    topic: str | None,
    client_id: str | None,
    as_json: bool,
) -> None:
    """Tell whether a device may connect, publish, subscribe or receive, and which statement decides.

    The service answers, with the policies that are in force now; each of the device's certificates is asked about. The
    exit code is 1 when none of them may.
    """
    if (topic is None) is not (action == "connect"):
        raise WrongUsage(
            "connect takes no topic." if action == "connect" else f"{action} needs a topic: say which."
        )
    verdicts = application.cloud.privileges.test(device, action, topic, client_id)
    if as_json:
        print_json(
            [
                {
                    "certificate_id": each.certificate,
                    "certificate_status": each.status,
                    "decision": each.decision,
                    "allowed": each.allowed,
                    "resource": each.resource,
                    "statements": [asdict(said) for said in each.said],
                }
                for each in verdicts
            ]
        )
    else:
        for verdict in verdicts:
            _show(verdict, ACTIONS[action][1])
    ctx.exit(0 if any(verdict.allowed for verdict in verdicts) else 1)


def _show(verdict: Verdict, action: str) -> None:
    word = "allowed" if verdict.allowed else "denied"
    click.echo(f"{word}: {action} on {verdict.resource}, with certificate {verdict.certificate[:12]}…")
    if verdict.status != "ACTIVE":
        click.echo(f"  The certificate is {verdict.status}: nothing connects with it.")
    if verdict.decision == "IMPLICIT_DENY":
        click.echo("  No statement allows it.")
    for said in verdict.said:
        click.echo(f"  {_sentence(said)}")


def _sentence(said: Said) -> str:
    name = f"{said.policy}, statement {said.number}{f' ({said.sid})' if said.sid else ''}"
    verb = "denies" if said.effect == "Deny" else "allows"
    resources = ", ".join(said.resources)
    conditions = ", if its conditions hold" if said.conditional else ""
    if said.why is Why.APPLIES:
        return f"{name} {verb} it: {resources}{conditions}"
    if said.why is Why.MISSING_VARIABLE:
        return f"{name} {verb} it for {resources}, but this connection has no {', '.join(said.missing)}"
    return f"{name} {verb} it for other resources: {resources}"
