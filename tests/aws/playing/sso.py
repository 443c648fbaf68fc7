# SPDX-License-Identifier: MIT
"""IAM Identity Center: the portal (GetRoleCredentials) and SSO-OIDC (RegisterClient, StartDeviceAuthorization, CreateToken).

Theory of operation: a client is registered, asks for a device code, and polls CreateToken until somebody approves: here the control
interface, in place of a browser (`approve`, `refuse`; or `auto_approve` for tests about something else). Polling faster than
`interval` is answered slow_down and makes the interval longer by 5 s, as RFC 8628 has it. A refresh token comes only with the
scope sso:account:access, serves once, and is bound to its client. Expired, revoked and unknown access tokens look
alike to the portal: UnauthorizedException.
"""
import hmac
import re
import secrets

from .wire import ApiError

START_URL = "https://d-1234567890.awsapps.com/start"
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
SCOPE = "sso:account:access"
CLIENT_LIFE_S = 90 * 86400
GONE = "Session token not found or invalid"


def _oauth(exception, error, text, status=400):
    raise ApiError(exception, None, status, {"error": error, "error_description": text})


class Sso:
    """The portal's state, part of the world and under its lock."""

    def __init__(self):
        self.clients, self.devices, self.tokens, self.refresh = {}, {}, {}, {}
        self.start_urls = [START_URL]
        self.roles = []            # [{"account", "role"}]; empty: any
        self.interval_s, self.device_life_s, self.token_life_s = 5, 600, 28800
        self.auto_approve = False
        self.verification_url = "https://device.sso.us-east-1.amazonaws.com/"

    def secrets(self):
        return [c["secret"] for c in self.clients.values()] + list(self.tokens) + list(self.refresh) + list(self.devices)

    def token_new(self, world, client_id, with_refresh):
        token = "aoa" + secrets.token_urlsafe(120)
        self.tokens[token] = {"expires": world.now() + self.token_life_s}
        given = {"accessToken": token, "expiresIn": self.token_life_s, "tokenType": "Bearer"}
        if with_refresh:
            refresh = "aor" + secrets.token_urlsafe(200)
            self.refresh[refresh] = client_id
            given["refreshToken"] = refresh
        return given

    def decide(self, user_code, approved):
        """What a person does in the browser. Returns whether there is such a code (None: the only or newest one that waits)."""
        waiting = [d for d in self.devices.values() if d["approved"] is None and user_code in (None, d["user_code"])]
        if waiting:
            waiting[-1]["approved"] = approved
        return bool(waiting)


def register_client(world, request):
    name, kind = request.need("clientName", "clientType")
    if kind != "public":
        raise ApiError("InvalidClientMetadataException", None, 400,
                       {"error": "invalid_client_metadata", "error_description": "Only public clients"})
    with world.lock:
        client_id, now = secrets.token_urlsafe(18), int(world.now())
        client = {"secret": "eyJ" + secrets.token_urlsafe(200), "expires": now + CLIENT_LIFE_S, "name": name,
                  "scopes": request.params.get("scopes") or []}
        world.sso.clients[client_id] = client
    return {"clientId": client_id, "clientSecret": client["secret"], "clientIdIssuedAt": now,
            "clientSecretExpiresAt": client["expires"], "authorizationEndpoint": None, "tokenEndpoint": None}


def _client(world, request):
    client_id, secret = request.need("clientId", "clientSecret")
    client = world.sso.clients.get(client_id)
    if client is None or not hmac.compare_digest(client["secret"], secret):
        _oauth("InvalidClientException", "invalid_client", "Invalid client secret provided", 401)
    if client["expires"] <= world.now():
        _oauth("InvalidClientException", "invalid_client", "Client has expired", 401)
    return client_id, client


def start_device_authorization(world, request):
    url = request.need("startUrl")
    with world.lock:
        client_id, _ = _client(world, request)
        if url.rstrip("/#") not in [u.rstrip("/#") for u in world.sso.start_urls]:
            _oauth("InvalidRequestException", "invalid_request", "Invalid start url provided")
        user_code = "-".join("".join(secrets.choice("BCDFGHJKLMNPQRSTVWXZ") for _ in range(4)) for _ in range(2))
        sso, code = world.sso, secrets.token_urlsafe(60)
        sso.devices[code] = {"user_code": user_code, "client_id": client_id, "approved": True if sso.auto_approve else None,
                             "expires": world.now() + sso.device_life_s, "interval": sso.interval_s, "polled": None, "used": False}
        world.changed.notify_all()
    return {"deviceCode": code, "userCode": user_code, "verificationUri": sso.verification_url,
            "verificationUriComplete": sso.verification_url + "?user_code=" + user_code,
            "expiresIn": int(sso.device_life_s), "interval": sso.interval_s}


def _by_device(world, request, client_id, client):
    device = world.sso.devices.get(request.need("deviceCode"))
    if device is None or device["client_id"] != client_id or device["used"]:
        _oauth("InvalidGrantException", "invalid_grant", "Invalid device code provided")
    now, last = world.now(), device["polled"]
    if device["expires"] <= now:
        _oauth("ExpiredTokenException", "expired_token", "Device code has expired")
    device["polled"] = now
    # A quarter of a second for the way here: a client that waits exactly the interval is not too fast.
    if last is not None and now - last < device["interval"] - 0.25:
        device["interval"] += 5
        _oauth("SlowDownException", "slow_down", None)
    if device["approved"] is None:
        _oauth("AuthorizationPendingException", "authorization_pending", None)
    if not device["approved"]:
        _oauth("AccessDeniedException", "access_denied", None)
    device["used"] = True
    return world.sso.token_new(world, client_id, SCOPE in client["scopes"])


def _by_refresh(world, request, client_id, client):
    token = request.need("refreshToken")
    if world.sso.refresh.get(token) != client_id:
        _oauth("InvalidGrantException", "invalid_grant", "Invalid refresh token provided")
    del world.sso.refresh[token]
    return world.sso.token_new(world, client_id, True)


def create_token(world, request):
    grant = request.need("grantType")
    with world.lock:
        client_id, client = _client(world, request)
        if grant == DEVICE_GRANT:
            return _by_device(world, request, client_id, client)
        if grant == "refresh_token":
            return _by_refresh(world, request, client_id, client)
    _oauth("UnsupportedGrantTypeException", "unsupported_grant_type", None)


def get_role_credentials(world, request):
    token = request.headers.get("x-amz-sso_bearer_token", "")
    account, role = request.need("account_id", "role_name")
    if not re.fullmatch(r"\d{12}", account):
        raise ApiError("InvalidRequestException", "account_id is not valid")
    with world.lock:
        known = world.sso.tokens.get(token)
        if known is None or known["expires"] <= world.now():
            raise ApiError("UnauthorizedException", GONE, 401)
        roles = world.sso.roles
        if roles and {"account": account, "role": role} not in roles:
            raise ApiError("ForbiddenException", "No access", 403)
        arn = "arn:aws:sts::%s:assumed-role/AWSReservedSSO_%s_0123456789abcdef/alice" % (account, role)
        c = world.issue("GetRoleCredentials", arn, 3600)
    return {"roleCredentials": {"accessKeyId": c.access_key, "secretAccessKey": c.secret_key, "sessionToken": c.token,
                                "expiration": int(c.expires * 1000)}}


PORTAL = {"GetRoleCredentials": get_role_credentials}
OIDC = {"RegisterClient": register_client, "StartDeviceAuthorization": start_device_authorization, "CreateToken": create_token}
