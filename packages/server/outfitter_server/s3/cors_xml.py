"""CORS rules on the wire: the document, the preflight, the headers on answers."""

from collections.abc import Sequence

from aiohttp import web

from outfitter_server.objects.cors import CorsGrant, CorsRule, match_rules
from outfitter_server.objects.refusals import CorsForbidden, InvalidArgument
from outfitter_server.s3.xml import child_text, need_number, parse_document, root, tag, text

_VARY = "Origin, Access-Control-Request-Headers, Access-Control-Request-Method"


def read_cors(data: bytes) -> list[CorsRule]:
    """The rules of a CORSConfiguration.

    Raises:
        MalformedXml: it is none.
    """
    document = parse_document(data, "CORSConfiguration")
    return [
        CorsRule(
            origins=tuple(child.text or "" for child in rule.findall("AllowedOrigin")),
            methods=tuple(child.text or "" for child in rule.findall("AllowedMethod")),
            headers=tuple(child.text or "" for child in rule.findall("AllowedHeader")),
            exposed=tuple(child.text or "" for child in rule.findall("ExposeHeader")),
            max_age_seconds=None
            if rule.find("MaxAgeSeconds") is None
            else need_number(rule, "MaxAgeSeconds"),
            id=child_text(rule, "ID"),
        )
        for rule in document.findall("CORSRule")
    ]


def cors_xml(rules: Sequence[CorsRule]) -> str:
    """The document of these rules."""
    return root(
        "CORSConfiguration",
        *(
            tag(
                "CORSRule",
                text("ID", rule.id),
                *(text("AllowedHeader", header) for header in rule.headers),
                *(text("AllowedMethod", method) for method in rule.methods),
                *(text("AllowedOrigin", origin) for origin in rule.origins),
                *(text("ExposeHeader", header) for header in rule.exposed),
                text("MaxAgeSeconds", rule.max_age_seconds),
            )
            for rule in rules
        ),
    )


def answer_grant(request: web.BaseRequest, rules: Sequence[CorsRule]) -> dict[str, str]:
    """The headers that an ordinary answer gets; none when no rule allows the request's origin."""
    origin = request.headers.get("origin")
    if origin is None or not rules:
        return {}
    grant = match_rules(rules, origin, request.method)
    return {} if grant is None else _headers(grant)


def preflight(request: web.BaseRequest, rules: Sequence[CorsRule]) -> dict[str, str]:
    """The headers of the answer to a preflight.

    Raises:
        InvalidArgument: it lacks Origin or Access-Control-Request-Method.
        CorsForbidden: no rule allows it.
    """
    origin = request.headers.get("origin")
    method = request.headers.get("access-control-request-method")
    if not origin or not method:
        raise InvalidArgument(
            "Insufficient information. Origin and Access-Control-Request-Method request headers needed."
        )
    asked = request.headers.get("access-control-request-headers", "")
    names = [name.strip() for name in asked.split(",") if name.strip()]
    grant = match_rules(rules, origin, method, names)
    if grant is None:
        raise CorsForbidden(
            "CORSResponse: This CORS request is not allowed. This is usually because the evaluation of Origin, "
            "request method / Access-Control-Request-Method or Access-Control-Request-Headers are not whitelisted "
            "by the resource's CORS spec.",
            Method=method,
            ResourceType="BUCKET",
        )
    headers = _headers(grant)
    if grant.headers:
        headers["Access-Control-Allow-Headers"] = ", ".join(name.lower() for name in grant.headers)
    if grant.max_age_seconds is not None:
        headers["Access-Control-Max-Age"] = str(grant.max_age_seconds)
    return headers


def _headers(grant: CorsGrant) -> dict[str, str]:
    headers = {
        "Access-Control-Allow-Origin": grant.origin,
        "Access-Control-Allow-Methods": ", ".join(grant.methods),
        "Vary": _VARY,
    }
    if grant.with_credentials:
        headers["Access-Control-Allow-Credentials"] = "true"
    if grant.exposed:
        headers["Access-Control-Expose-Headers"] = ", ".join(grant.exposed)
    return headers
