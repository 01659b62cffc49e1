"""How long a call of a function takes through its URL: warm, and with a worker that must be started first."""

import http.client
import io
import statistics
import time
import zipfile
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from outfitter_fleet.load.provision import ProvisioningFailed
from outfitter_fleet.stage.server import Server

_NAME: Final = "bench-function"
_ROLE: Final = "arn:aws:iam::{account}:role/bench"
_SOURCE: Final = 'def handler(event, context):\n    return {"statusCode": 200, "body": "ok"}\n'
_WARM_CALLS: Final = 300
_COLD_CALLS: Final = 10
_OK: Final = 200


class FunctionTimes(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of whole calls of a function that does nothing: the worker's own time is a tenth of one."""

    warm_p50_ms: float
    warm_p99_ms: float
    cold_p50_ms: float


def measure_functions(server: Server) -> FunctionTimes:
    """Measure on one connection that is kept open.

    Raises:
        ProvisioningFailed: a call was not answered as it should be.
    """
    client = server.client("lambda")
    url = urlsplit(_create(client, server.client("sts").get_caller_identity()["Account"]))
    connection = http.client.HTTPConnection(str(url.hostname), url.port)
    try:
        _call(connection, url.path)
        warm = sorted(_call(connection, url.path) for _ in range(_WARM_CALLS))
        cold = []
        for number in range(_COLD_CALLS):
            # Every change ends the workers of the revision before it.
            client.update_function_configuration(FunctionName=_NAME, Description=str(number))
            cold.append(_call(connection, url.path))
    finally:
        connection.close()
    return FunctionTimes(
        warm_p50_ms=statistics.median(warm),
        warm_p99_ms=warm[int(len(warm) * 0.99)],
        cold_p50_ms=statistics.median(cold),
    )


def _create(client: Any, account: str) -> str:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as file:
        file.writestr("app.py", _SOURCE)
    client.create_function(
        FunctionName=_NAME,
        Runtime="python3.11",
        Handler="app.handler",
        Role=_ROLE.format(account=account),
        Code={"ZipFile": code.getvalue()},
    )
    client.add_permission(
        FunctionName=_NAME,
        StatementId="bench",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
    )
    return str(client.create_function_url_config(FunctionName=_NAME, AuthType="NONE")["FunctionUrl"])


def _call(connection: http.client.HTTPConnection, path: str) -> float:
    began = time.perf_counter()
    connection.request("POST", path, b'{"operation":"nothing"}', {"Content-Type": "application/json"})
    answer = connection.getresponse()
    body = answer.read()
    took = (time.perf_counter() - began) * 1000
    if (answer.status, body) != (_OK, b"ok"):
        raise ProvisioningFailed(f"a function's URL answered {answer.status}: {body[:200]!r}")
    return took
