"""Payloads and log lines in AWS's words."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from outfitter_server.functions.outcomes import (
    LogTail,
    Usage,
    end_lines,
    exited,
    out_of_memory,
    start_line,
    timed_out,
    too_large,
)


@pytest.mark.parametrize(
    ("payload", "kind", "message"),
    [
        (timed_out("r", 3.0), "Sandbox.Timedout", "RequestId: r Error: Task timed out after 3.00 seconds"),
        (exited("r", 3), "Runtime.ExitError", "RequestId: r Error: Runtime exited with error: exit status 3"),
        (
            exited("r", 0),
            "Runtime.ExitError",
            "RequestId: r Error: Runtime exited without providing a reason",
        ),
        (
            exited("r", -9),
            "Runtime.ExitError",
            "RequestId: r Error: Runtime exited with error: signal: killed",
        ),
        (exited("r", -33), "Runtime.ExitError", "RequestId: r Error: Runtime exited with error: signal: 33"),
        (
            out_of_memory("r"),
            "Runtime.OutOfMemory",
            "RequestId: r Error: Runtime exited with error: signal: killed",
        ),
        (
            too_large(7, 6),
            "Function.ResponseSizeTooLarge",
            "Response payload size (7 bytes) exceeded maximum allowed payload size (6 bytes).",
        ),
    ],
)
def test_errors(payload, kind, message):
    assert json.loads(payload) == {"errorType": kind, "errorMessage": message}


def test_lines():
    assert start_line("r") == b"START RequestId: r Version: $LATEST\n"
    assert end_lines("r", Usage(duration_ms=12.345, memory_mb=128, used_mb=40)) == (
        b"END RequestId: r\n"
        b"REPORT RequestId: r\tDuration: 12.35 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\tMax Memory Used: 40 MB\n"
    )
    cold = end_lines("r", Usage(duration_ms=12.0, memory_mb=128, used_mb=40, init_ms=55.5), "Task timed out")
    assert cold.startswith(b"r Task timed out\nEND ")
    assert b"Billed Duration: 12 ms" in cold
    assert cold.endswith(b"\tInit Duration: 55.50 ms\n")


@given(st.lists(st.binary(max_size=20)))
def test_the_tail_is_the_end(pieces):
    tail = LogTail(16)
    for piece in pieces:
        tail.add(piece)
    assert tail.text() == b"".join(pieces)[-16:]
