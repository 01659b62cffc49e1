"""Topic rules of the ``iot`` model."""

from typing import Any, Final

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.aws.operations.members import page_size, refuse_left_out, seconds
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.rules.compiled import check_role, lambda_action
from outfitter_server.rules.values import (
    SQL_VERSION,
    Action,
    LambdaAction,
    RepublishAction,
    RuleDefinition,
    TopicRule,
)
from outfitter_server.services.topic_rules import TopicRules

_PAGE_LARGEST: Final = 10_000  # the model's own bound is larger than there can be rules


class TopicRuleOperations:
    """Handlers of the operations on topic rules."""

    def __init__(self, rules: TopicRules, installation: Installation) -> None:
        """``installation`` prints ARNs and tells whose they are."""
        self._rules = rules
        self._installation = installation

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "CreateTopicRule": self._create,
            "GetTopicRule": self._get,
            "ListTopicRules": self._list,
            "ReplaceTopicRule": self._replace,
            "DeleteTopicRule": self._delete,
            "EnableTopicRule": self._enable,
            "DisableTopicRule": self._disable,
        }

    async def _create(self, call: Call) -> dict[str, Any]:
        refuse_left_out(call.parameters, "tags")
        await self._rules.create(
            call.parameters["ruleName"], self._definition(call.parameters["topicRulePayload"])
        )
        return {}

    async def _replace(self, call: Call) -> dict[str, Any]:
        definition = self._definition(call.parameters["topicRulePayload"])
        await self._rules.replace(call.parameters["ruleName"], definition)
        return {}

    async def _delete(self, call: Call) -> dict[str, Any]:
        await self._rules.delete(call.parameters["ruleName"])
        return {}

    async def _enable(self, call: Call) -> dict[str, Any]:
        await self._rules.switch(call.parameters["ruleName"], disabled=False)
        return {}

    async def _disable(self, call: Call) -> dict[str, Any]:
        await self._rules.switch(call.parameters["ruleName"], disabled=True)
        return {}

    async def _get(self, call: Call) -> dict[str, Any]:
        rule = self._rules.get(call.parameters["ruleName"])
        found, error = rule.definition, rule.definition.error_action
        return {
            "ruleArn": self._arn(rule),
            "rule": {
                "ruleName": rule.name,
                "sql": found.sql,
                "description": found.description,
                "createdAt": seconds(rule.created_at),
                "actions": [_shown(action) for action in found.actions],
                "ruleDisabled": found.disabled,
                "awsIotSqlVersion": SQL_VERSION,
                "errorAction": None if error is None else _shown(error),
            },
        }

    async def _list(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._rules.page(
            topic=given.get("topic"),
            disabled=given.get("ruleDisabled"),
            token=given.get("nextToken"),
            limit=page_size(given, largest=_PAGE_LARGEST),
        )
        rules = [
            {
                "ruleArn": self._arn(rule),
                "ruleName": rule.name,
                "topicPattern": rule.topic_filter or None,
                "createdAt": seconds(rule.created_at),
                "ruleDisabled": rule.definition.disabled,
            }
            for rule in page.items
        ]
        return {"rules": rules, "nextToken": page.next_token}

    def _arn(self, rule: TopicRule) -> str:
        return self._installation.iot_arn("rule", rule.name)

    def _definition(self, given: dict[str, Any]) -> RuleDefinition:
        version = given.get("awsIotSqlVersion", SQL_VERSION)
        if version != SQL_VERSION:
            raise InvalidRequest(
                f"awsIotSqlVersion {version!r} is not supported: this server has {SQL_VERSION}"
            )
        error = given.get("errorAction")
        return RuleDefinition(
            sql=given["sql"],
            description=given.get("description"),
            actions=tuple(
                self._action(action, f"actions.{n}") for n, action in enumerate(given["actions"], start=1)
            ),
            error_action=None if error is None else self._action(error, "errorAction"),
            disabled=given.get("ruleDisabled", False),
        )

    def _action(self, given: dict[str, Any], where: str) -> Action:
        if len(given) != 1:
            raise InvalidRequest(f"{where} must name exactly one kind of action, not {len(given)}")
        ((kind, settings),) = given.items()
        account = self._installation.account
        if kind == "lambda":
            return lambda_action(settings["functionArn"], account)
        if kind == "republish":
            refuse_left_out(settings, "headers")
            role = check_role(settings["roleArn"], account)
            return RepublishAction(role_arn=role, topic=settings["topic"], qos=settings.get("qos", 0))
        raise InvalidRequest(
            f"{where}: the action {kind} is not supported by this server; it has lambda and republish"
        )


def _shown(action: Action) -> dict[str, Any]:
    if isinstance(action, LambdaAction):
        return {"lambda": {"functionArn": action.arn}}
    return {"republish": {"roleArn": action.role_arn, "topic": action.topic, "qos": action.qos}}
