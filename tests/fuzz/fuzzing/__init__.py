"""What is fuzzed: one function a target, which takes any bytes and raises only when a promise is broken.

The same functions serve the fuzzer (``make fuzz``), which looks for bytes that break one, and the replay of the corpus in
``make test``, which shows that what was found once stays mended. They need no fuzzer to be called.
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Final

Target = Callable[[bytes], None]

# Name of the target: the module of this package that has it as a function.
TARGETS: Final[Mapping[str, str]] = {
    "stream": "codec",
    "packets": "codec",
    "connection": "gateway",
    "jobs_payload": "payloads",
    "cbor": "payloads",
    "provisioning": "payloads",
    "provisioning_template": "documents",
    "policy": "documents",
    "placeholders": "documents",
    "signature": "requests",
    "chunked_body": "requests",
    "s3_xml": "requests",
    "function_zip": "archives",
    "image": "archives",
    "manifest": "archives",
    "job_document": "archives",
    "fleet_query": "languages",
    "cron": "languages",
    "topic_sql": "languages",
}


def target(name: str) -> Target:
    """The function of a target."""
    found: Target = getattr(import_module(f"fuzzing.{TARGETS[name]}"), name)
    return found
