"""Whether a configuration keeps to the device's JSON Schema.

The check runs in a process of its own: the library and what it loads cost more memory than the agent itself, and a
schema whose patterns never come to an end costs a time limit and not the agent. References that lead outside of the
schema are not followed. Reasons name parameters and rules, never values, which may be secrets.

``python -m outfitter_agent.hands.schema SCHEMA FILE``: 0 it does, 1 it does not, 2 the schema is none; reasons on
standard output.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from outfitter_agent.hands.processes import die_with_parent
from outfitter_agent.plans.troubles import Trouble

CHECK_SECONDS_MAX: Final = 60
REASONS_MAX: Final = 3
RULE_LENGTH_MAX: Final = 200
KEEPS: Final = 0
BREAKS: Final = 1
NO_SCHEMA: Final = 2
_NAMES_ONLY: Final = frozenset({"required", "dependentRequired"})
"""Rules whose message tells names and nothing of values."""


def check(schema: Path, file: Path) -> None:
    """Raise Trouble when the configuration in the file breaks the schema, or when that cannot be found out."""
    command = [sys.executable, "-P", "-m", "outfitter_agent.hands.schema", str(schema), str(file)]
    try:
        done = subprocess.run(  # noqa: S603 - this very module
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CHECK_SECONDS_MAX,
            preexec_fn=die_with_parent(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Trouble(
            f"the configuration could not be checked against {schema} within {CHECK_SECONDS_MAX} s"
        ) from None
    if done.returncode == KEEPS:
        return
    told = done.stdout.strip()
    if done.returncode == BREAKS:
        raise Trouble(f"the configuration breaks its schema: {told}")
    if done.returncode == NO_SCHEMA:
        raise Trouble(f"the schema of this device, {schema}, cannot be used: {told}")
    ending = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    raise Trouble(f"the configuration could not be checked against {schema}: {ending}")


def main(schema: Path, file: Path) -> int:
    """Check, and write why not."""
    import jsonschema
    from jsonschema import validators
    from jsonschema_specifications import REGISTRY
    from referencing.exceptions import Unresolvable

    try:
        rules = json.loads(schema.read_bytes())
        kind = validators.validator_for(rules, default=validators.Draft202012Validator)
        kind.check_schema(rules)
    except OSError as error:
        return _told(NO_SCHEMA, str(error.strerror))
    except (ValueError, RecursionError):
        return _told(NO_SCHEMA, "it is not JSON")
    except jsonschema.SchemaError as error:
        return _told(NO_SCHEMA, f"{_place(error.absolute_path)}: {error.message}"[:RULE_LENGTH_MAX])
    # A registry that is given is searched, and nothing is fetched for what it does not hold.
    validator = kind(rules, registry=REGISTRY)
    try:
        errors = list(validator.iter_errors(json.loads(file.read_bytes())))
    except Unresolvable as error:
        return _told(NO_SCHEMA, f"it refers to {error.ref!r}, which it does not hold")
    reasons = [_reason(error) for error in errors[:REASONS_MAX]]
    more = [f"and {len(errors) - REASONS_MAX} more"] if len(errors) > REASONS_MAX else []
    return _told(BREAKS, "; ".join(reasons + more)) if errors else KEEPS


def _reason(error: Any) -> str:
    if error.validator in _NAMES_ONLY:
        return f"{_place(error.absolute_path)}: {error.message[:RULE_LENGTH_MAX]}"
    rule = json.dumps(error.validator_value, ensure_ascii=False)
    told = rule if len(rule) <= RULE_LENGTH_MAX else f"{rule[:RULE_LENGTH_MAX]}…"
    if error.validator == "additionalProperties" and error.validator_value is False:
        unknown = sorted(set(error.instance) - set(error.schema.get("properties", {})))
        return f"{_place(error.absolute_path)}: {', '.join(map(repr, unknown))[:RULE_LENGTH_MAX]} not in the schema"
    return f"{_place(error.absolute_path)}: breaks {error.validator} {told}"


def _place(path: Any) -> str:
    """Where in the configuration: ``site.hall`` or ``alarms[2]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text or "the whole"


def _told(code: int, text: str) -> int:
    sys.stdout.write(text + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
