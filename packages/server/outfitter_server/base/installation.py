"""What one installation is called: account, region, and the ARNs that follow."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """The identity of this installation, handed to every rule that prints an ARN.

    Attributes:
        account: twelve digits, as in AWS.
        region: any region name; ARNs always show it.
    """

    account: str = "000000000000"
    region: str = "us-east-1"

    def iot_arn(self, kind: str, name: str) -> str:
        """``arn:aws:iot:{region}:{account}:{kind}/{name}``; kind as AWS spells it (thing, thinggroup, job…)."""
        return f"arn:aws:iot:{self.region}:{self.account}:{kind}/{name}"
