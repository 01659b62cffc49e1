"""The query protocol as far as STS needs it: a form in, XML out."""

from typing import Any, Final
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape

from outfitter_server.aws.errors import STS_NAMESPACE
from outfitter_server.aws.wire import WireAnswer, WireRequest
from outfitter_server.base.refusals import InvalidRequest

FORM_MEMBERS_MAX: Final = 1_000


def parse_form(request: WireRequest) -> tuple[str, dict[str, Any]]:
    """The action and the parameters, as text; from the body of a POST, else from the query.

    Raises:
        InvalidRequest: it is no form.
    """
    try:
        text = request.body.decode() if request.body else request.raw_query
        form = dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FORM_MEMBERS_MAX))
    except ValueError as error:
        raise InvalidRequest(f"the request is not a form: {error}") from error
    action = form.pop("Action", "")
    form.pop("Version", None)
    return action, {name: value for name, value in form.items() if not name.startswith("X-Amz-")}


def serialize_xml(action: str, result: dict[str, Any], request_id: str) -> WireAnswer:
    """The XML answer to an action."""
    text = (
        f'<{action}Response xmlns="{STS_NAMESPACE}"><{action}Result>{_elements(result)}</{action}Result>'
        f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
    )
    return WireAnswer(status=200, headers={"Content-Type": "text/xml"}, body=text.encode())


def _elements(result: dict[str, Any]) -> str:
    return "".join(f"<{name}>{_value(value)}</{name}>" for name, value in result.items() if value is not None)


def _value(value: Any) -> str:
    return _elements(value) if isinstance(value, dict) else escape(str(value))
