"""STS: who am I."""

from typing import Any

from outfitter_server.aws.dispatch import Call, Handler


class IdentityOperations:
    """GetCallerIdentity, the call by which tools try their credentials."""

    def handlers(self) -> dict[str, Handler]:
        """The handlers of ``sts``."""
        return {"GetCallerIdentity": self.get_caller_identity}

    async def get_caller_identity(self, call: Call) -> dict[str, Any]:
        """The account and the ARN of the key that signed; a root key's user id is its account, as on AWS."""
        return {"Arn": call.caller.arn, "UserId": call.caller.account, "Account": call.caller.account}
