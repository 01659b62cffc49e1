"""Topic rules on a real store, with a broker and functions that remember what they are given."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest_asyncio
from outfitter_server.aws.dispatch import Call
from outfitter_server.aws.operations.topic_rules import TopicRuleOperations
from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import NotFound
from outfitter_server.services.callers import Caller
from outfitter_server.services.committer import Committer
from outfitter_server.services.messages import Publication, Published
from outfitter_server.services.rule_engine import RuleEngine
from outfitter_server.services.topic_rules import TopicRules
from outfitter_server.stores.sqlite.store import SqliteStore

ACCOUNT = "000000000000"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/rules"
ROOT = Caller(account=ACCOUNT, access_key_id="AKIAROOT", arn=f"arn:aws:iam::{ACCOUNT}:root")


class Functions:
    """Functions that are there unless their name says otherwise; ``release`` lets what was queued be written."""

    def __init__(self) -> None:
        self.queued: list[tuple[str, Any, str]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def queue_for_rule(self, function: str, payload: bytes, rule_arn: str) -> None:
        await self.open.wait()
        if function == "missing":
            raise NotFound("Function not found: missing")
        if function == "broken":
            raise RuntimeError("of the sandbox")
        self.queued.append((function, json.loads(payload), rule_arn))


class World:
    """The service, the engine, and everything that was published by rules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.open()

    def open(self) -> None:
        self.store = SqliteStore(self.folder)
        installation = Installation(account=ACCOUNT)
        committer = Committer(self.store, lambda: 1_700_000_000_000)
        self.functions = Functions()
        self.service = TopicRules(committer, installation)
        self.engine = RuleEngine(committer, installation, self.functions)
        self.engine.publish = self.publish
        self.handlers = TopicRuleOperations(self.service, installation).handlers()
        self.published: list[Published] = []

    def publish(self, message: Published) -> Publication:
        """As the gateway does: subscribers, then rules."""
        self.published.append(message)
        return Publication(0, self.engine.take(message) if self.engine.active else None)

    async def call(self, operation: str, **parameters: Any) -> dict[str, Any]:
        return await self.handlers[operation](
            Call(
                service="iot", operation=operation, parameters=parameters, caller=ROOT, host="", secure=False
            )
        )

    async def rule(self, name: str, sql: str, *actions: dict[str, Any], **more: Any) -> None:
        await self.call(
            "CreateTopicRule", ruleName=name, topicRulePayload={"sql": sql, "actions": list(actions), **more}
        )

    async def send(self, topic: str, body: Any, client_id: str = "dev") -> list[tuple[str, Any]]:
        """Publish as a device and wait for everything; what rules published because of it."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.published.clear()
        under_way = self.engine.take(Published(topic, raw, 1, client_id))
        if under_way is not None:
            await asyncio.wait_for(under_way, 5)
        return [(one.topic, json.loads(one.payload)) for one in self.published]

    async def close(self) -> None:
        await self.engine.close()
        self.store.close()


@pytest_asyncio.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    made = World(tmp_path)
    yield made
    await made.close()
