"""When an event is tried again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.functions.retries import AGE_MS_MAX, Ended, QueuedEvent, after_try

T = 1_700_000_000_000


@pytest.mark.parametrize(
    ("event", "ended", "now", "due_at"),
    [
        (QueuedEvent(queued_at=T), Ended.SUCCEEDED, T + 5, None),
        (QueuedEvent(queued_at=T), Ended.FAILED, T + 5, T + 60_005),
        (QueuedEvent(queued_at=T, failures=1), Ended.FAILED, T + 5, T + 120_005),
        (QueuedEvent(queued_at=T, failures=2), Ended.FAILED, T + 5, None),
        (QueuedEvent(queued_at=T), Ended.NOT_RUN, T, T + 1_000),
        (QueuedEvent(queued_at=T, refusals=3), Ended.NOT_RUN, T, T + 8_000),
        (QueuedEvent(queued_at=T, refusals=40), Ended.NOT_RUN, T, T + 300_000),
        (QueuedEvent(queued_at=T, refusals=40), Ended.NOT_RUN, T + AGE_MS_MAX, None),
        (QueuedEvent(queued_at=T), Ended.FAILED, T + AGE_MS_MAX, None),
    ],
)
def test_decisions(event, ended, now, due_at):
    assert after_try(event, ended, now).due_at == due_at


def test_what_did_not_run_is_no_try():
    decision = after_try(QueuedEvent(queued_at=T, failures=1), Ended.NOT_RUN, T)
    assert (decision.failures, decision.refusals) == (1, 1)


@given(st.lists(st.sampled_from([Ended.FAILED, Ended.NOT_RUN]), max_size=300))
def test_every_event_leaves_the_queue(ends):
    event, now, tries = QueuedEvent(queued_at=T), T, 0
    for ended in ends:
        decision = after_try(event, ended, now)
        tries += ended is Ended.FAILED
        if decision.due_at is None:
            break
        assert now < decision.due_at <= T + AGE_MS_MAX
        now = decision.due_at
        event = QueuedEvent(queued_at=T, failures=decision.failures, refusals=decision.refusals)
    assert tries <= 3
