"""Pages of other origins that call the APIs: as AWS's endpoints do, everybody may ask, and only a signature opens.

There are no credentials that a browser would add by itself (no cookies; client certificates are excluded by the
wildcard), so that a page can do nothing here without an access key of its own.
"""

from typing import Final

from aiohttp import web

from outfitter_server.aws.dispatch import Dispatcher
from outfitter_server.https.reading import RequestHead

PREFLIGHT_SECONDS: Final = 600
EXPOSED: Final = "date, x-amzn-errormessage, x-amzn-errortype, x-amzn-requestid"
_QUERY_LINE: Final = ("POST", "/")  # of STS, whose operations are named in the body
_VARY: Final = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


def preflight(head: RequestHead, dispatcher: Dispatcher) -> web.Response | None:
    """The answer to a preflight of an API call; None when it is about objects, whose buckets have rules of their own.

    A preflight is not signed and names no service: what tells is whether an API has an operation at its path. Where a
    bucket is named like one (``things``), the preflight passes and the bucket's rules decide over the answer itself.
    """
    asked = dict(head.headers)
    method = asked.get("access-control-request-method")
    if head.method != "OPTIONS" or not method or "origin" not in asked:
        return None
    named = (method, head.raw_path)
    if named != _QUERY_LINE and not dispatcher.has_route(*named):
        return None
    return web.Response(
        headers={
            "Access-Control-Allow-Origin": "*",
            "Access-Control-Allow-Methods": method,
            "Access-Control-Allow-Headers": asked.get("access-control-request-headers", "*"),
            "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
            "Vary": _VARY,
        }
    )


def granted(request: web.BaseRequest, answer: web.Response) -> web.Response:
    """The answer of an API with what lets a page of another origin read it."""
    if "Origin" in request.headers:
        answer.headers["Access-Control-Allow-Origin"] = "*"
        answer.headers["Access-Control-Expose-Headers"] = EXPOSED
    return answer
