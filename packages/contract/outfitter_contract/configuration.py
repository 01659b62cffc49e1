"""Configurations: named parameters with JSON values, kept in a file that is one JSON object.

    {"interval_seconds": 30, "site": {"hall": 4, "line": "b"}, "alarms": ["heat", "flood"]}

Reading is stricter than JSON itself, because two programs must never understand one file differently: UTF-8, no name
twice, neither NaN nor Infinity, bounded nesting.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

CONFIGURATION_BYTES_MAX: Final = 1024 * 1024
"""What an update application sends, and a device takes unless its settings say otherwise."""
NAME_LENGTH_MAX: Final = 256
NESTING_MAX: Final = 100

Parameters = dict[str, Any]
"""Names and JSON values."""


class ConfigurationError(ValueError):
    """The file is no configuration; the message says why."""


def parse_configuration(content: bytes) -> Parameters:
    """The parameters in the bytes of a configuration; raises ConfigurationError."""
    try:
        value = json.loads(
            content.decode("utf-8-sig"), object_pairs_hook=_each_once, parse_constant=_refuse_constant
        )
    except ConfigurationError:
        raise
    except UnicodeDecodeError:
        raise ConfigurationError("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"it is not JSON: {error.msg} in line {error.lineno}, column {error.colno}"
        ) from None
    except (ValueError, RecursionError):
        raise ConfigurationError(
            "it is not JSON that can be read: nested too deep, or a number too long"
        ) from None
    if not isinstance(value, dict):
        raise ConfigurationError("it is not a JSON object of named parameters")
    for name in value:
        if not 0 < len(name) <= NAME_LENGTH_MAX or not name.isprintable():
            raise ConfigurationError(f"a parameter's name is not a text of 1 to {NAME_LENGTH_MAX} characters")
    if _depth(value) > NESTING_MAX:
        raise ConfigurationError(f"it is nested deeper than {NESTING_MAX} levels")
    return value


def build_configuration(parameters: Mapping[str, object]) -> bytes:
    """The bytes of a configuration: sorted by name, readable, the same for the same parameters."""
    text = json.dumps(parameters, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def merged(own: Mapping[str, object], other: Mapping[str, object]) -> Parameters:
    """The device's own parameters with those of the other in their place; whole values, never parts of them."""
    return {**own, **other}


def _each_once(pairs: Iterable[tuple[str, Any]]) -> Parameters:
    found: Parameters = {}
    for name, value in pairs:
        if name in found:
            raise ConfigurationError(f"the name '{name[:64]}' stands twice in it")
        found[name] = value
    return found


def _refuse_constant(name: str) -> Any:
    raise ConfigurationError(f"it is not JSON: {name} is no JSON value")


def _depth(value: object) -> int:
    """How many objects and lists are within each other; without recursion, as the value may be deep."""
    depth, level = 0, [value]
    while level := [each for each in level if isinstance(each, dict | list)]:
        level = [child for each in level for child in (each.values() if isinstance(each, dict) else each)]
        depth += 1
    return depth
