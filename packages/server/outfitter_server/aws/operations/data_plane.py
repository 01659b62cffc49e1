"""Messages over HTTP: Publish and the retained messages of ``iot-data``. Connections are not served."""

import base64
import binascii
import contextlib
from typing import Any, Final

import msgspec

from outfitter_server.aws.dispatch import Call, Handler
from outfitter_server.base.refusals import InvalidRequest
from outfitter_server.mqtt.packets import NO_PROPERTIES, Properties
from outfitter_server.mqtt.properties import read_pairs
from outfitter_server.services.messages import Messages, Published
from outfitter_server.services.retained import RetainedMessages

_FORMATS: Final = {"UNSPECIFIED_BYTES": 0, "UTF8_DATA": 1}
_USER_PROPERTIES_MAX: Final = 100
_PAGE_MAX: Final = 200
_PROPERTY_BYTES_MAX: Final = 8_192  # of all properties together, as AWS's broker has it


class DataPlaneOperations:
    """Handlers of ``iot-data``."""

    def __init__(self, messages: Messages, retained: RetainedMessages) -> None:
        """``messages`` publishes, ``retained`` has what is retained."""
        self._messages = messages
        self._retained = retained

    def handlers(self) -> dict[str, Handler]:
        """By operation name."""
        return {
            "Publish": self._publish,
            "GetRetainedMessage": self._get_retained,
            "ListRetainedMessages": self._list_retained,
        }

    async def _publish(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        topic = given["topic"]
        message = Published(
            topic,
            given.get("payload", b""),
            given.get("qos", 0),
            properties=_properties(given),
            retain=bool(given.get("retain")) and not topic.startswith("$"),
        )
        await self._messages.publish(message)
        return {}

    async def _get_retained(self, call: Call) -> dict[str, Any]:
        found = self._retained.message(call.parameters["topic"])
        users = [{name: value} for name, value in read_pairs(found.properties).user]
        return {
            "topic": found.topic,
            "payload": found.payload,
            "qos": found.qos,
            "lastModifiedTime": found.stored_at,
            "userProperties": msgspec.json.encode(users) if users else None,
        }

    async def _list_retained(self, call: Call) -> dict[str, Any]:
        given = call.parameters
        page = self._retained.page(token=given.get("nextToken"), limit=given.get("maxResults", _PAGE_MAX))
        return {
            "retainedTopics": [
                {
                    "topic": found.topic,
                    "payloadSize": len(found.payload),
                    "qos": found.qos,
                    "lastModifiedTime": found.stored_at,
                }
                for found in page.items
            ],
            "nextToken": page.next_token,
        }


def _properties(given: dict[str, Any]) -> Properties:
    """The MQTT 5 properties of a request.

    Raises:
        InvalidRequest: one is not as AWS has it, or they are too large.
    """
    found: dict[str, Any] = {
        "content_type": given.get("contentType"),
        "response_topic": given.get("responseTopic"),
        "message_expiry_seconds": given.get("messageExpiry"),
    }
    if "payloadFormatIndicator" in given:
        found["payload_format"] = _FORMATS[given["payloadFormatIndicator"]]
    if "correlationData" in given:
        try:
            found["correlation_data"] = base64.b64decode(given["correlationData"], validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidRequest("correlationData must be base64") from error
    if "userProperties" in given:
        found["user"] = _user_properties(given["userProperties"])
    if all(value is None for value in found.values()):
        return NO_PROPERTIES
    properties = Properties(**found)
    texts = [
        properties.content_type or "",
        properties.response_topic or "",
        *(t for pair in properties.user for t in pair),
    ]
    if (
        sum(len(text.encode()) for text in texts) + len(properties.correlation_data or b"")
        > _PROPERTY_BYTES_MAX
    ):
        raise InvalidRequest(f"the properties have more than {_PROPERTY_BYTES_MAX} bytes")
    return properties


def _user_properties(given: Any) -> tuple[tuple[str, str], ...]:
    if isinstance(given, str):
        # SDKs encode what they are given, and AWS wants it given as JSON text: it comes encoded twice.
        with contextlib.suppress(msgspec.DecodeError):
            given = msgspec.json.decode(given)
    entries = given if isinstance(given, list) else [given]
    pairs = [
        (name, value)
        for entry in entries
        if isinstance(entry, dict)
        for name, value in entry.items()
        if isinstance(value, str)
    ]
    wanted = sum(len(entry) if isinstance(entry, dict) else 1 for entry in entries)
    if not isinstance(given, list) or len(pairs) != wanted or wanted > _USER_PROPERTIES_MAX:
        raise InvalidRequest(
            f'userProperties must be a JSON array of objects with text values, such as [{{"name": "value"}}], '
            f"at most {_USER_PROPERTIES_MAX} of them"
        )
    return tuple(pairs)
