"""The figures as one table, or as JSON."""

from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from outfitter_fleet.load.bench import Figures
from outfitter_fleet.load.plan import Round

# First marks: round trips a second, seconds, milliseconds.
MARKS: Final = {
    "update_plain": 6_000.0,
    "update_tls": 4_500.0,
    "rollout_seconds": 1.0,
    "function_warm_ms": 5.0,
    "function_cold_ms": 150.0,
}


def as_json(figures: Figures) -> str:
    """Everything measured, the marks and the ratios."""
    return msgspec.json.format(
        msgspec.json.encode({"figures": figures, "ratios": ratios(figures), "marks": MARKS}), indent=2
    ).decode()


def ratios(figures: Figures) -> dict[str, float]:
    """Where the time goes: what durability and the rules cost, and what TLS costs."""
    return {
        "update_plain / echo_plain": figures.update_plain.rate / figures.echo_plain.rate,
        "update_tls / echo_tls": figures.update_tls.rate / figures.echo_tls.rate,
        "update_tls / update_plain": figures.update_tls.rate / figures.update_plain.rate,
        "echo_tls / echo_plain": figures.echo_tls.rate / figures.echo_plain.rate,
    }


def show(figures: Figures, console: Console) -> None:
    """Print the table."""
    size = figures.size
    where = (
        f"server on core {figures.cores[0]}, clients on core {figures.cores[1]}"
        if figures.cores
        else "one core for all"
    )
    table = Table(
        title=f"UpdateJobExecution beside a bare echo of the same gateway: {size.connections} connections, one request in flight each, QoS 1; {where}; median of {size.rounds} rounds",
        title_justify="left",
    )
    for heading in (
        "",
        "trips/s",
        "p50 ms",
        "p99 ms",
        "server µs",
        "clients µs",
        "of echo",
        "first mark",
    ):
        table.add_column(heading, justify="left" if not heading else "right", no_wrap=True)
    _add(table, "update, durable", figures.update_plain, figures.echo_plain, MARKS["update_plain"])
    _add(table, "bare echo", figures.echo_plain, None, None)
    _add(table, "update, durable, TLS", figures.update_tls, figures.echo_tls, MARKS["update_tls"])
    _add(table, "bare echo, TLS", figures.echo_tls, None, None)
    console.print(table)
    seconds, mark = figures.rollout_seconds, MARKS["rollout_seconds"]
    console.print(
        f"CreateJob on a group of {size.members:,} until all are QUEUED: {seconds:.3f} s "
        f"(the call itself {figures.rollout_call_seconds:.3f} s); first mark {mark:g} s: {_verdict(seconds <= mark)}"
    )
    calls = figures.functions
    console.print(
        f"a call of a function through its URL: warm p50 {calls.warm_p50_ms:.1f} ms, p99 {calls.warm_p99_ms:.1f} ms; "
        f"first mark {MARKS['function_warm_ms']:g} ms: {_verdict(calls.warm_p50_ms <= MARKS['function_warm_ms'])}; "
        f"cold p50 {calls.cold_p50_ms:.0f} ms; first mark {MARKS['function_cold_ms']:g} ms: "
        f"{_verdict(calls.cold_p50_ms <= MARKS['function_cold_ms'])}"
    )
    console.print("server µs, clients µs: processor time of each side for one round trip")
    console.print(f"TLS costs: {ratios(figures)['update_tls / update_plain']:.2f} of the plain rate remains")


def _add(table: Table, name: str, one: Round, echo: Round | None, mark: float | None) -> None:
    table.add_row(
        name,
        f"{one.rate:,.0f}",
        f"{one.p50_ms:.1f}",
        f"{one.p99_ms:.1f}",
        f"{one.server_busy / one.rate * 1e6:.0f}",
        f"{one.clients_busy / one.rate * 1e6:.0f}",
        f"{one.rate / echo.rate:.2f}" if echo else "",
        f"{mark:,.0f} {_verdict(one.rate >= mark)}" if mark else "",
    )


def _verdict(reached: bool) -> str:
    return "reached" if reached else "missed"
