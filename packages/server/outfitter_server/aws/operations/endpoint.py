"""DescribeEndpoint: where devices and the data planes are.

AWS answers a bare host because its ports are fixed; so does this. A client of another port adds it by itself: MQTT on the
port that ``outfitterd serve`` prints as ``mqtts=``, the data planes on that of ``https=`` or ``http=``.
"""

from typing import Any

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.base.refusals import InvalidRequest


class EndpointOperations:
    """Handler of DescribeEndpoint."""

    def __init__(self, advertised: str | None) -> None:
        """``advertised`` is the name that devices use; without one it is the name that the caller used."""
        self._advertised = advertised

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {"DescribeEndpoint": self._describe}

    async def _describe(self, call: Call) -> dict[str, Any]:
        kind = call.parameters.get("endpointType", "iot:Data-ATS")
        if kind in ("iot:Jobs", "iot:Data"):
            raise InvalidRequest(f"the endpoint type {kind} is retired: use iot:Data-ATS")
        if kind != "iot:Data-ATS":
            raise InvalidRequest(f"there is no endpoint of type {kind} here: use iot:Data-ATS")
        return {"endpointAddress": self._advertised or call.host}
