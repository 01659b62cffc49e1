"""Topic rules at work: each message that comes in goes to the rules whose filters match, and to no other.

A rule in trouble is counted and logged, and harms neither the message nor the other rules. Rules that feed each other end:
a message is passed on HOPS_MAX times, and at most ``messages.REPUBLISHED_MAX`` messages are made of one.
"""

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import msgspec

from outfitter_server.base.installation import Installation
from outfitter_server.base.refusals import Refusal
from outfitter_server.mqtt.topics import BASIC_INGEST_PREFIX, SubscriptionTrie, valid_topic
from outfitter_server.rules.bounds import CannotEvaluate
from outfitter_server.rules.compiled import (
    ReadyAction,
    ReadyRule,
    describe,
    error_document,
    is_reserved,
    make_ready,
)
from outfitter_server.rules.evaluate import NO_CLIENT, Incoming
from outfitter_server.rules.values import Failure, LambdaAction, RepublishAction
from outfitter_server.services.committer import Committer
from outfitter_server.services.effects import Effect, RuleChanged
from outfitter_server.services.messages import (
    PAYLOAD_BYTES_MAX,
    Chain,
    Publication,
    Publish,
    Published,
    together,
)
from outfitter_server.services.meters import Meters
from outfitter_server.services.topic_rules import find_rule, read_rules

HOPS_MAX: Final = 5
INVOCATION_BYTES_MAX: Final = 256 * 1024  # AWS's limit of an asynchronous invocation
UNDER_WAY_MAX: Final = 10_000
TROUBLE_SECONDS: Final = 60

_log = logging.getLogger(__name__)


class Functions(Protocol):
    """What rules need of functions."""

    async def queue_for_rule(self, function: str, payload: bytes, rule_arn: str) -> None:
        """Queue an asynchronous invocation; durable when it returns.

        Raises:
            Refusal: there is no such function, or its policy does not let iot.amazonaws.com invoke it for this rule.
        """


class Trouble:
    """What went wrong with one rule: told at once, then summed up once in TROUBLE_SECONDS."""

    def __init__(self, rule: str, meters: Meters) -> None:
        """Nothing yet."""
        self._rule = rule
        self._meters = meters
        self._untold = 0
        self._last = ""
        self._timer: asyncio.TimerHandle | None = None
        self.count = 0

    def add(self, what: str) -> None:
        """Count one more."""
        self.count += 1
        self._meters.rule_failures += 1
        self._untold += 1
        self._last = what
        if self._timer is None:
            self._tell()

    def _tell(self) -> None:
        self._timer = None
        if not self._untold:
            return
        _log.warning("topic rule %s, trouble %d times, last: %s", self._rule, self._untold, self._last)
        self._untold = 0
        self._timer = asyncio.get_running_loop().call_later(TROUBLE_SECONDS, self._tell)

    def close(self) -> None:
        """Tell nothing more."""
        if self._timer is not None:
            self._timer.cancel()


class _Loaded:
    """A rule in memory."""

    def __init__(self, name: str, topic_filter: str, ready: ReadyRule, meters: Meters) -> None:
        self.name = name
        self.topic_filter = topic_filter
        self.ready = ready
        self.trouble = Trouble(name, meters)


@dataclass(frozen=True, slots=True)
class _Run:
    """One rule on one message: what its actions get. ``of_errors``: they are its error action."""

    loaded: _Loaded
    message: Published
    incoming: Incoming
    payload: bytes
    of_errors: bool = False


class RuleEngine:
    """The enabled rules of the installation, ready to run. Use it on the event loop's thread.

    Attributes:
        active: whether there is any rule; asked before anything is made for the engine.
        publish: routes what rules republish; whoever wires the server sets it.
    """

    def __init__(
        self,
        committer: Committer,
        installation: Installation,
        functions: Functions,
        meters: Meters | None = None,
    ) -> None:
        """Load every rule, and hear of changes from now on."""
        self._meters = meters or Meters()
        self._committer = committer
        self._installation = installation
        self._functions = functions
        self._loaded: dict[str, _Loaded] = {}
        self._filters: SubscriptionTrie[str, _Loaded] = SubscriptionTrie()
        self._under_way: set[asyncio.Future[None]] = set()
        self.active = False
        self.publish: Publish = lambda _message: Publication(0)
        for rule in committer.read(read_rules):
            self._load(rule.name)
        committer.listen(self._hear)

    @property
    def count(self) -> int:
        """How many rules are enabled."""
        return len(self._loaded)

    async def close(self) -> None:
        """Let what is under way end."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        for loaded in self._loaded.values():
            loaded.trouble.close()

    def take(self, message: Published) -> asyncio.Future[None] | None:
        """Run the rules that match; a future when invocations are being written down.

        The future never fails: what goes wrong is the rule's trouble, not the publisher's.
        """
        topic = message.topic
        if topic.startswith(BASIC_INGEST_PREFIX):
            name, _, topic = topic.removeprefix(BASIC_INGEST_PREFIX).partition("/")
            found = [self._loaded[name]] if name in self._loaded else []
        else:
            found = [loaded for _, loaded in self._filters.match(topic)]
        if not found:
            return None
        if message.chain is None:
            message = msgspec.structs.replace(message, chain=Chain())
        self._meters.rule_messages += len(found)
        incoming = Incoming(topic, message.payload, message.client_id, self._committer.now())
        waits = [wait for loaded in found if (wait := self._run(loaded, message, incoming)) is not None]
        return together(waits)

    def _run(self, loaded: _Loaded, message: Published, incoming: Incoming) -> asyncio.Future[None] | None:
        try:
            payload = loaded.ready.outgoing(incoming)
        except CannotEvaluate as error:
            loaded.trouble.add(f"a message to {message.topic[:256]} could not be evaluated: {error}")
            return None
        if payload is None:
            return None
        return self._act(_Run(loaded, message, incoming, payload), loaded.ready.actions)

    def _act(self, run: _Run, actions: Sequence[ReadyAction]) -> asyncio.Future[None] | None:
        failures: list[Failure] = []
        invocations: list[LambdaAction] = []
        waits: list[asyncio.Future[None]] = []
        for ready in actions:
            if isinstance(ready.action, LambdaAction):
                invocations.append(ready.action)
                continue
            try:
                wait = self._republish(run, ready, ready.action)
            except CannotEvaluate as error:
                failures.append(_failure(ready.action, str(error)))
            else:
                waits += [] if wait is None else [wait]
        if invocations:
            waits.append(self._start(self._invoke(run, invocations, failures)))
        elif failures:
            wait = self._failed(run, failures)
            waits += [] if wait is None else [wait]
        return together(waits)

    def _republish(
        self, run: _Run, ready: ReadyAction, action: RepublishAction
    ) -> asyncio.Future[None] | None:
        assert ready.topic is not None  # noqa: S101 - made with the action
        message, chain = run.message, run.message.chain
        topic = ready.topic.fill(run.incoming)
        if not valid_topic(topic) or is_reserved(topic):
            raise CannotEvaluate(f"'{topic[:300]}' is no topic to publish to")
        if len(run.payload) > PAYLOAD_BYTES_MAX:
            raise CannotEvaluate(
                f"the message would have {len(run.payload)} bytes, more than {PAYLOAD_BYTES_MAX}"
            )
        # What tells of a loop must get out of it.
        if message.hops >= HOPS_MAX + run.of_errors:
            raise CannotEvaluate(
                f"the message has been passed on {HOPS_MAX} times: do rules feed each other?"
            )
        if chain is None or not chain.left:
            raise CannotEvaluate("too many messages have been made of one: do rules feed each other?")
        chain.left -= 1
        made = Published(topic, run.payload, action.qos, hops=message.hops + 1, chain=chain)
        return self.publish(made).under_way

    async def _invoke(self, run: _Run, actions: Sequence[LambdaAction], failures: list[Failure]) -> None:
        rule_arn = self._installation.iot_arn("rule", run.loaded.name)
        for action in actions:
            try:
                _check_invocation(run.payload, len(self._under_way))
                await self._functions.queue_for_rule(action.function, run.payload, rule_arn)
            except (CannotEvaluate, Refusal) as error:
                failures.append(_failure(action, str(error)))
            except Exception as error:  # noqa: BLE001 - a fault of one invocation is a failure of its action
                _log.exception("rule %s could not invoke %s", run.loaded.name, action.function)
                failures.append(_failure(action, f"fault of the server: {type(error).__name__}"))
        if failures:
            wait = self._failed(run, failures)
            if wait is not None:
                await wait

    def _failed(self, run: _Run, failures: Sequence[Failure]) -> asyncio.Future[None] | None:
        """Count failed actions, and run the error action once for all of them; never for its own failure."""
        last, loaded, message = failures[-1], run.loaded, run.message
        loaded.trouble.add(f"{last.action} {last.resource} failed: {last.message}")
        error_action = loaded.ready.error_action
        if error_action is None or run.of_errors:
            return None
        client_id = message.client_id or NO_CLIENT
        document = error_document(loaded.name, message.topic, client_id, message.payload, failures)
        return self._act(_Run(loaded, message, run.incoming, document, of_errors=True), (error_action,))

    def _start(self, work: Awaitable[None]) -> asyncio.Future[None]:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    # What changed

    def _hear(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, RuleChanged):
                self._load(effect.name)

    def _load(self, name: str) -> None:
        old = self._loaded.pop(name, None)
        if old is not None:
            old.trouble.close()
            self._filters.remove(old.topic_filter, name)
        rule = self._committer.read(lambda tx: find_rule(tx, name))
        if rule is not None and not rule.definition.disabled:
            try:
                loaded = _Loaded(name, rule.topic_filter, make_ready(rule.definition), self._meters)
            except Refusal as refusal:
                _log.error("topic rule %s cannot be run by this release: %s", name, refusal.message)
            else:
                self._loaded[name] = loaded
                if rule.topic_filter:
                    self._filters.add(rule.topic_filter, name, loaded)
        self.active = bool(self._loaded)


def _failure(action: LambdaAction | RepublishAction, message: str) -> Failure:
    kind, resource = describe(action)
    return Failure(action=kind, resource=resource, message=message)


def _check_invocation(payload: bytes, under_way: int) -> None:
    if under_way > UNDER_WAY_MAX:
        raise CannotEvaluate("too many invocations are waiting to be queued")
    if len(payload) > INVOCATION_BYTES_MAX:
        raise CannotEvaluate(f"the event would have {len(payload)} bytes, more than {INVOCATION_BYTES_MAX}")
