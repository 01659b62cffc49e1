"""TestAuthorization and GetEffectivePolicies of the ``iot`` model."""

from collections.abc import Iterable
from typing import Any

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import refuse_left_out
from outfitter_server.base.arns import named
from outfitter_server.base.installation import Installation
from outfitter_server.services.authorization import Authorization, Question, Verdict


class AuthorizationOperations:
    """Handlers of the questions about privileges."""

    def __init__(self, authorization: Authorization, installation: Installation) -> None:
        """``installation`` reads and prints ARNs."""
        self._authorization = authorization
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {"TestAuthorization": self._test, "GetEffectivePolicies": self._effective}

    async def _test(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        refuse_left_out(given, "cognitoIdentityPoolId")
        questions = [
            Question(action=each.get("actionType") or "", resources=each["resources"])
            for each in given["authInfos"]
        ]
        verdicts = self._authorization.test(
            self._certificate(given),
            given.get("clientId") or "",
            questions,
            add=given.get("policyNamesToAdd") or (),
            skip=given.get("policyNamesToSkip") or (),
        )
        return {"authResults": [self._result(each) for each in verdicts]}

    async def _effective(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        refuse_left_out(given, "cognitoIdentityPoolId")
        found = self._authorization.effective(self._certificate(given), given.get("thingName"))
        return {
            "effectivePolicies": [
                {
                    "policyName": each.name,
                    "policyArn": self._installation.iot_arn("policy", each.name),
                    "policyDocument": each.document,
                }
                for each in found
            ]
        }

    def _certificate(self, given: dict[str, Any]) -> str | None:
        principal = given.get("principal")
        return None if principal is None else named("cert", None, principal, self._installation).lower()

    def _result(self, verdict: Verdict) -> dict[str, Any]:
        denied: dict[str, Any] = {}
        if verdict.decision == "IMPLICIT_DENY":
            denied["implicitDeny"] = self._policies(verdict.silent)
        if verdict.denying:
            denied["explicitDeny"] = self._policies(verdict.denying)
        return {
            "authInfo": {
                "actionType": verdict.question.action,
                "resources": list(verdict.question.resources),
            },
            "allowed": self._policies(verdict.allowing),
            "denied": denied,
            "authDecision": verdict.decision,
            "missingContextValues": list(verdict.missing),
        }

    def _policies(self, names: Iterable[str]) -> dict[str, Any]:
        arn = self._installation.iot_arn
        return {"policies": [{"policyName": name, "policyArn": arn("policy", name)} for name in names]}
