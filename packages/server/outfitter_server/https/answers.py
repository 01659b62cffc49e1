"""Answers that the door gives by itself, and those of the APIs as HTTP."""

from xml.sax.saxutils import escape

from aiohttp import web

from outfitter_server.aws.wire import WireAnswer
from outfitter_server.base.refusals import Refusal


def http_answer(answer: WireAnswer) -> web.Response:
    """An API's answer, for aiohttp."""
    return web.Response(status=answer.status, headers=answer.headers, body=answer.body)


def s3_error(refusal: Refusal, resource: str, request_id: str) -> web.Response:
    """A refusal in S3's form."""
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{escape(refusal.code)}</Code><Message>{escape(refusal.message)}</Message>"
        f"<Resource>{escape(resource)}</Resource><RequestId>{request_id}</RequestId></Error>"
    )
    return web.Response(
        status=refusal.status,
        headers={"Content-Type": "application/xml", "x-amz-request-id": request_id},
        body=text.encode("utf-8", "backslashreplace"),
    )


def metrics(text: bytes, content_type: str) -> web.Response:
    """Numbers for Prometheus."""
    return web.Response(body=text, headers={"Content-Type": content_type})


def health() -> web.Response:
    """The door is open."""
    return web.json_response({"status": "ok"})
