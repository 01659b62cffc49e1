"""Topic rules: made, replaced, switched, listed, deleted. What they do is the rule engine's."""

from typing import Final

import msgspec

from outfitter_server.base.installation import Installation
from outfitter_server.base.pages import Page, decode_token, encode_token
from outfitter_server.base.refusals import (
    AlreadyExists,
    InvalidRequest,
    LimitExceeded,
    MalformedSql,
    Unauthorized,
)
from outfitter_server.jobs import events
from outfitter_server.mqtt.topics import matches, valid_filter
from outfitter_server.rules.compiled import make_ready
from outfitter_server.rules.values import Action, RuleDefinition, TopicRule
from outfitter_server.services.committer import Batch, Committer
from outfitter_server.services.effects import RuleChanged
from outfitter_server.services.ports import Row, Transaction

RULES_MAX: Final = 1_000  # AWS's quota; each lies in memory, ready to run
_READ_AT_ONCE: Final = 250


class TopicRules:
    """The rules of the installation."""

    def __init__(self, committer: Committer, installation: Installation) -> None:
        """``installation`` prints ARNs."""
        self._committer = committer
        self._installation = installation

    async def create(self, name: str, definition: RuleDefinition) -> None:
        """Make a rule.

        Raises:
            AlreadyExists: the name is taken.
            MalformedSql: the statement, its filter or a template cannot be read.
            InvalidRequest: it can be read and not be served.
            LimitExceeded: there are RULES_MAX of them.
        """
        topic_filter = _checked_filter(definition)

        def apply(batch: Batch) -> None:
            if batch.tx.one("topic_rule_by_name", name=name) is not None:
                arn = self._installation.iot_arn("rule", name)
                raise AlreadyExists(f"rule {name} already exists", resourceId=name, resourceArn=arn)
            counted = batch.tx.one("topic_rules_count", limit=RULES_MAX)
            if counted is not None and counted["rules"] >= RULES_MAX:
                raise LimitExceeded(f"there are {RULES_MAX} rules already: delete one that is not needed")
            _put(batch, name, definition, topic_filter, batch.now)

        await self._committer.change(apply)

    async def replace(self, name: str, definition: RuleDefinition) -> None:
        """Give a rule another definition.

        Raises:
            Unauthorized: there is no such rule.
            MalformedSql, InvalidRequest: as for create.
        """
        topic_filter = _checked_filter(definition)

        def apply(batch: Batch) -> None:
            found = _rule_or_refuse(batch.tx, name)
            _put(batch, name, definition, topic_filter, found.created_at)

        await self._committer.change(apply)

    async def switch(self, name: str, *, disabled: bool) -> None:
        """Disable or enable a rule; repeating is nothing to do.

        Raises:
            Unauthorized: there is no such rule.
        """

        def apply(batch: Batch) -> None:
            _rule_or_refuse(batch.tx, name)
            batch.tx.run("topic_rule_switch", name=name, disabled=int(disabled))
            batch.emit(RuleChanged(name))

        await self._committer.change(apply)

    async def delete(self, name: str) -> None:
        """Remove a rule.

        Raises:
            Unauthorized: there is no such rule.
        """

        def apply(batch: Batch) -> None:
            _rule_or_refuse(batch.tx, name)
            batch.tx.run("topic_rule_delete", name=name)
            batch.emit(RuleChanged(name))

        await self._committer.change(apply)

    def get(self, name: str) -> TopicRule:
        """One rule.

        Raises:
            Unauthorized: there is no such rule; AWS does not say ResourceNotFoundException here.
        """
        return self._committer.read(lambda tx: _rule_or_refuse(tx, name))

    def page(
        self, *, topic: str | None, disabled: bool | None, token: str | None, limit: int
    ) -> Page[TopicRule]:
        """Rules by name: those whose filter matches a topic, those that are disabled or are not.

        Raises:
            InvalidRequest: the token is not of this listing.
        """
        position = decode_token(token, str)
        after = str(position[0]) if position else ""
        found: list[TopicRule] = []
        for rule in self._committer.read(lambda tx: read_rules(tx, after)):
            fits = topic is None or (bool(rule.topic_filter) and matches(rule.topic_filter, topic))
            if fits and disabled in {None, rule.definition.disabled}:
                found.append(rule)
            if len(found) > limit:
                return Page(found[:limit], encode_token([found[limit - 1].name]))
        return Page(found)


def read_rules(tx: Transaction, after: str = "") -> list[TopicRule]:
    """Every rule behind a name, RULES_MAX at most."""
    found: list[TopicRule] = []
    while True:
        rows = tx.all("topic_rules_page", after=after, limit=_READ_AT_ONCE)
        found += [_rule(row) for row in rows]
        if len(rows) < _READ_AT_ONCE:
            return found
        after = found[-1].name


def find_rule(tx: Transaction, name: str) -> TopicRule | None:
    """The rule, or None."""
    row = tx.one("topic_rule_by_name", name=name)
    return None if row is None else _rule(row)


def _checked_filter(definition: RuleDefinition) -> str:
    statement = make_ready(definition).statement
    topic_filter = statement.topic_filter
    if topic_filter is None:
        return ""
    if not valid_filter(topic_filter):
        raise MalformedSql(
            f"At character {statement.filter_position}: expected a topic filter (+ and # fill whole levels, at most "
            f"256 bytes and 7 slashes), but found '{topic_filter[:300]}'."
        )
    if topic_filter.startswith("$") and not topic_filter.startswith(events.PREFIX):
        raise InvalidRequest(
            f"no rule sees the reserved topics of '{topic_filter}': of its own messages this server hands only "
            f"lifecycle events ({events.PREFIX}…) to rules, and what comes in under $aws/rules/NAME/ needs no FROM"
        )
    return topic_filter


def _put(batch: Batch, name: str, definition: RuleDefinition, topic_filter: str, created_at: int) -> None:
    error = definition.error_action
    batch.tx.run(
        "topic_rule_put",
        name=name,
        sql=definition.sql,
        topic_filter=topic_filter,
        description=definition.description,
        actions=msgspec.json.encode(definition.actions).decode(),
        error_action=None if error is None else msgspec.json.encode(error).decode(),
        disabled=int(definition.disabled),
        created_at=created_at,
    )
    batch.emit(RuleChanged(name))


def _rule_or_refuse(tx: Transaction, name: str) -> TopicRule:
    found = find_rule(tx, name)
    if found is None:
        raise Unauthorized(f"Access to topic rule '{name}' was denied: there is no rule of this name")
    return found


def _rule(row: Row) -> TopicRule:
    error = row["error_action"]
    return TopicRule(
        name=row["name"],
        definition=RuleDefinition(
            sql=row["sql"],
            description=row["description"],
            actions=msgspec.json.decode(row["actions"], type=tuple[Action, ...]),
            error_action=None if error is None else msgspec.json.decode(error, type=Action),
            disabled=bool(row["disabled"]),
        ),
        topic_filter=row["topic_filter"],
        created_at=row["created_at"],
    )
