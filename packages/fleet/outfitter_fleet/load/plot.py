"""A line chart as SVG: the number of rows on a logarithmic axis, a rate on a linear one that begins at zero."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

_WIDTH: Final = 720
_HEIGHT: Final = 400
_LEFT: Final = 70
_RIGHT: Final = 170
_TOP: Final = 50
_BOTTOM: Final = 50
_COLOURS: Final = ("#0b6e99", "#c2571a", "#4b7f2c")

Points = Sequence[tuple[float, float]]


def chart(title: str, across: str, lines: Mapping[str, Points]) -> str:
    """Draw ``lines``, a name and points (x, y) each; every x is a power of ten or lies between two."""
    highest = _round_up(max(y for points in lines.values() for _, y in points))
    xs = sorted({x for points in lines.values() for x, _ in points})
    least, most = math.log10(xs[0]), math.log10(xs[-1])

    def place(x: float, y: float) -> tuple[float, float]:
        wide, high = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        part = (math.log10(x) - least) / ((most - least) or 1)
        return round(_LEFT + wide * part, 1), round(_TOP + high * (1 - y / highest), 1)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" font-family="sans-serif" font-size="13">',
        f"<title>{title}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(_LEFT, 28, title, weight="bold"),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, across, anchor="middle"),
    ]
    for step in range(5):
        left, level = place(xs[0], highest * step / 4)
        out.append(f'<line x1="{left}" y1="{level}" x2="{_WIDTH - _RIGHT}" y2="{level}" stroke="#dddddd"/>')
        out.append(_text(left - 8, level + 4, f"{highest * step / 4:,.0f}", anchor="end"))
    out += [_text(place(x, 0)[0], _HEIGHT - _BOTTOM + 20, f"{x:,.0f}", anchor="middle") for x in xs]
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        placed = [place(x, y) for x, y in points]
        path = " ".join(f"{x},{y}" for x, y in placed)
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        out += [f'<circle cx="{x}" cy="{y}" r="4" fill="{colour}"/>' for x, y in placed]
        out.append(_text(placed[-1][0] + 10, placed[-1][1] + 4, name, fill=colour))
    return "\n".join([*out, "</svg>", ""])


def _round_up(value: float) -> float:
    """The next number with one digit that is divisible by four quarters: 1, 2, 4, 6, 8 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * digit for digit in (1, 2, 4, 6, 8, 10) if power * digit >= value)


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal", fill: str = "#222222"
) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-weight="{weight}" fill="{fill}">{text}</text>'
