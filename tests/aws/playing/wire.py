# SPDX-License-Identifier: MIT
"""Requests and answers, and how each AWS protocol says them.

Theory of operation: a service answers a request with a dict (or raises ApiError) and this file writes it down in the words
of the service's protocol: JSON 1.1, rest-json, query (STS), ec2, rest-xml. The codes that mean the same are spelled differently by each
of them (a session that is over is ExpiredTokenException, ExpiredToken or RequestExpired): CODES has a row for each meaning.
"""
import json
import urllib.parse
import uuid
from xml.sax.saxutils import escape

JSON11, REST_JSON, QUERY, EC2, REST_XML = "json", "rest-json", "query", "ec2", "rest-xml"

XMLNS = {"sts": "https://sts.amazonaws.com/doc/2011-06-15/", "ec2": "http://ec2.amazonaws.com/doc/2016-11-15/",
         "route53": "https://route53.amazonaws.com/doc/2013-04-01/"}

# meaning: {protocol: (code, HTTP status)}
CODES = {
    "expired": {JSON11: ("ExpiredTokenException", 400), QUERY: ("ExpiredToken", 403), EC2: ("RequestExpired", 400),
                REST_XML: ("ExpiredToken", 403)},
    "unknown-key": {JSON11: ("UnrecognizedClientException", 400), QUERY: ("InvalidClientTokenId", 403),
                    EC2: ("AuthFailure", 401), REST_XML: ("InvalidClientTokenId", 403)},
    "signature": {JSON11: ("InvalidSignatureException", 400), QUERY: ("SignatureDoesNotMatch", 403),
                  EC2: ("SignatureDoesNotMatch", 403), REST_XML: ("SignatureDoesNotMatch", 403)},
    "skew": {JSON11: ("InvalidSignatureException", 400), QUERY: ("SignatureDoesNotMatch", 403), EC2: ("RequestExpired", 400),
             REST_XML: ("SignatureDoesNotMatch", 403)},
    "incomplete": {JSON11: ("IncompleteSignatureException", 400), QUERY: ("IncompleteSignature", 400),
                   EC2: ("IncompleteSignature", 400), REST_XML: ("IncompleteSignature", 400)},
    "missing": {JSON11: ("MissingAuthenticationTokenException", 400), QUERY: ("MissingAuthenticationToken", 403),
                EC2: ("AuthFailure", 401), REST_XML: ("MissingAuthenticationToken", 403)},
    "denied": {JSON11: ("AccessDeniedException", 400), QUERY: ("AccessDenied", 403), EC2: ("UnauthorizedOperation", 403),
               REST_XML: ("AccessDenied", 403), REST_JSON: ("ForbiddenException", 403)},
    "unknown-operation": {JSON11: ("UnknownOperationException", 400), QUERY: ("InvalidAction", 400), EC2: ("InvalidAction", 400),
                          REST_XML: ("UnknownOperationException", 404), REST_JSON: ("UnknownOperationException", 404)},
    "invalid": {JSON11: ("ValidationException", 400), QUERY: ("ValidationError", 400), EC2: ("InvalidParameterValue", 400),
                REST_XML: ("InvalidInput", 400), REST_JSON: ("InvalidRequestException", 400)},
    "missing-parameter": {JSON11: ("ValidationException", 400), QUERY: ("ValidationError", 400), EC2: ("MissingParameter", 400),
                          REST_XML: ("InvalidInput", 400), REST_JSON: ("InvalidRequestException", 400)},
    "fault": {JSON11: ("InternalServerError", 500), QUERY: ("InternalFailure", 500), EC2: ("InternalError", 500),
              REST_XML: ("InternalFailure", 500), REST_JSON: ("InternalServerException", 500)},
}


class ApiError(Exception):
    """An error of the service. `code` is a meaning of CODES or the code itself; `status` None: as the meaning, or 400."""

    def __init__(self, code, message, status=None, members=None):
        super().__init__(message)
        self.code, self.message, self.status, self.members = code, message, status, members or {}

    def said(self, protocol):
        row = CODES.get(self.code, {}).get(protocol)
        return (row[0], self.status or row[1]) if row else (self.code, self.status or 400)


class Cut(Exception):
    """The connection is to be cut instead of an answer."""


class Request:
    def __init__(self, method, target, headers, body, tls, peer):
        self.method, self.target, self.headers, self.body, self.tls, self.peer = method, target, headers, body, tls, peer
        parts = urllib.parse.urlsplit(target)
        self.path, self.query_text = parts.path, parts.query
        self.query = dict(urllib.parse.parse_qsl(parts.query, keep_blank_values=True))
        self.params, self.service, self.operation, self.protocol = {}, "", "", None
        self.region = self.access_key = self.scope_service = None  # of the credential scope
        self.principal = None

    def json(self):
        try:
            got = json.loads(self.body or b"{}")
        except ValueError:
            raise ApiError("SerializationException", "Could not parse the request body into json") from None
        if not isinstance(got, dict):
            raise ApiError("SerializationException", "Start of structure or map found where not expected.")
        return got

    def form(self):
        return dict(urllib.parse.parse_qsl(self.body.decode(errors="replace"), keep_blank_values=True))

    def need(self, *names):
        """The values of these parameters; an error of the protocol if one is missing or empty."""
        for name in names:
            if self.params.get(name) in (None, ""):
                raise ApiError("missing-parameter", "The request must contain the parameter %s" % name)
        return [self.params[n] for n in names] if len(names) > 1 else self.params[names[0]]


class Answer:
    def __init__(self, status, body, content_type, headers=()):
        self.status, self.body, self.content_type, self.headers = status, body, content_type, list(headers)
        self.cut = None


def meet_fault(world, request):
    """Lets the fault happen that a test has scripted for this request. Returns (fault, answer), each may be None."""
    fault = world.fault_for(request.operation)
    if fault is None:
        return None, None
    world.stopping.wait(fault.delay_ms / 1000)
    if fault.cut in ("before", "head"):
        raise Cut(fault.cut)
    if fault.error:
        raise ApiError(fault.error, fault.message if fault.message is not None else "says " + fault.error, fault.status)
    if fault.body is None and not fault.status:
        return fault, None
    return fault, Answer(fault.status or 200, (fault.body or "").encode("latin-1"), fault.content_type or "application/octet-stream",
                         (fault.headers or {}).items())


def xml_of(value, name):
    """<name>…</name>; a list becomes <name><item>…</item></name>, None nothing, a dict its members."""
    if value is None:
        return ""
    if isinstance(value, dict):
        inner = "".join(xml_of(v, k) for k, v in value.items())
    elif isinstance(value, Members):
        inner = "".join(xml_of(v, value.name) for v in value)
    elif isinstance(value, (list, tuple)):
        inner = "".join(xml_of(v, "item") for v in value)
    else:
        inner = escape("true" if value is True else "false" if value is False else str(value))
    return "<%s>%s</%s>" % (name, inner, name)


class Members(list):
    """A list whose elements are not called <item>."""

    def __init__(self, name, values):
        super().__init__(values)
        self.name = name


def _document(name, ns, inner):
    return ('<?xml version="1.0" encoding="UTF-8"?>\n<%s xmlns="%s">%s</%s>' % (name, ns, inner, name)).encode()


def answer(request, result):
    """A service's dict in the words of the request's protocol."""
    rid, ns = str(uuid.uuid4()), XMLNS.get(request.service)
    inner = "" if ns is None else "".join(xml_of(v, k) for k, v in result.items())
    if request.protocol == JSON11:
        return Answer(200, json.dumps(result).encode(), "application/x-amz-json-1.1", [("x-amzn-RequestId", rid)])
    if request.protocol == REST_JSON:
        return Answer(200, json.dumps(result).encode(), "application/json", [("x-amzn-RequestId", rid)])
    if request.protocol == QUERY:
        text = "<%sResult>%s</%sResult><ResponseMetadata><RequestId>%s</RequestId></ResponseMetadata>" % (
            request.operation, inner, request.operation, rid)
        return Answer(200, _document(request.operation + "Response", ns, text), "text/xml", [("x-amzn-RequestId", rid)])
    if request.protocol == EC2:
        text = "<requestId>%s</requestId>%s" % (rid, inner)
        return Answer(200, _document(request.operation + "Response", ns, text), "text/xml;charset=UTF-8", [("x-amzn-RequestId", rid)])
    return Answer(200, _document(request.operation + "Response", ns, inner), "text/xml", [("x-amzn-RequestId", rid)])


def error_answer(request, error):
    code, status = error.said(request.protocol)
    rid, message = str(uuid.uuid4()), error.message
    if request.protocol in (JSON11, None):
        body = {"__type": code, **({"message": message} if message else {}), **error.members}
        return Answer(status, json.dumps(body).encode(), "application/x-amz-json-1.1", [("x-amzn-RequestId", rid)])
    if request.protocol == REST_JSON:
        body = {"message": message, **error.members}
        return Answer(status, json.dumps(body).encode(), "application/json",
                      [("x-amzn-RequestId", rid), ("x-amzn-ErrorType", code)])
    if request.protocol == EC2:
        text = ('<?xml version="1.0" encoding="UTF-8"?>\n<Response><Errors><Error>%s%s</Error></Errors><RequestID>%s</RequestID>'
                '</Response>' % (xml_of(code, "Code"), xml_of(message, "Message"), rid))
        return Answer(status, text.encode(), "text/xml;charset=UTF-8", [("x-amzn-RequestId", rid)])
    inner = "<Error>%s%s%s</Error><RequestId>%s</RequestId>" % (
        xml_of("Sender" if status < 500 else "Receiver", "Type"), xml_of(code, "Code"), xml_of(message, "Message"), rid)
    return Answer(status, _document("ErrorResponse", XMLNS[request.service], inner), "text/xml", [("x-amzn-RequestId", rid)])
