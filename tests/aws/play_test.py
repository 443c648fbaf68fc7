#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The play as botocore's own clients see it: each operation's answer and errors, each credential source, faults, the journal."""
import datetime
import os
import ssl
import sys
import tempfile
import unittest
import urllib.error
import urllib.request

sys.dont_write_bytecode = True

try:
    import botocore.session
    from botocore import UNSIGNED
    from botocore.config import Config
    from botocore.credentials import ContainerMetadataFetcher, InstanceMetadataFetcher
    from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError, HTTPClientError, ReadTimeoutError
    from botocore.parsers import ResponseParserError
except ImportError as e:
    print("play_test: %s" % e)
    sys.exit(77)

from driver import Play, PlayError

INSTANCE, VPC = "i-0a1b2c3d4e5f60001", "vpc-0a1b2c3d4e5f60001"
ROLE, MFA = "arn:aws:iam::123456789012:role/reader", "arn:aws:iam::123456789012:mfa/alice"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAbcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPq test"
for name in [n for n in os.environ if n.startswith("AWS_") or n.lower().endswith("_proxy")]:
    del os.environ[name]
os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = "/nonexistent"
SESSION = botocore.session.Session()  # one: its loader keeps the models of the services


class Case(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.play = Play()
        cls.addClassCleanup(cls.play.stop)

    def setUp(self):
        self.play.do("reset")

    def client(self, service, keys=None, region="us-east-1", retries=0, url=None, **config):
        keys = keys or {"access_key": self.play.access_key, "secret_key": self.play.secret_key}
        signed = {} if "signature_version" in config else {
            "aws_access_key_id": keys["access_key"], "aws_secret_access_key": keys["secret_key"], "aws_session_token": keys.get("token")}
        return SESSION.create_client(service, region_name=region, endpoint_url=url or self.play.url, verify=self.play.ca,
                                     config=Config(retries={"max_attempts": retries}, **config), **signed)

    def unsigned(self, service):
        return self.client(service, signature_version=UNSIGNED)

    def refused(self, code, fn, *args, **kwargs):
        with self.assertRaises(ClientError) as caught:
            fn(*args, **kwargs)
        self.assertEqual(caught.exception.response["Error"]["Code"], code)
        return caught.exception.response

    def each_api(self, **kwargs):
        """One call of each protocol that is signed: [(protocol, call)]."""
        return {"json": self.client("ssm", **kwargs).describe_instance_information,
                "query": self.client("sts", **kwargs).get_caller_identity,
                "ec2": self.client("ec2", **kwargs).describe_vpcs,
                "rest-xml": lambda: self.client("route53", **kwargs).list_hosted_zones_by_vpc(VPCId=VPC, VPCRegion="us-east-1")}

    def each_refused(self, codes, **kwargs):
        for protocol, call in self.each_api(**kwargs).items():
            with self.subTest(protocol=protocol):
                self.refused(codes[protocol], call)


class Signing(Case):
    def test_good(self):
        for call in self.each_api().values():
            self.assertEqual(call()["ResponseMetadata"]["HTTPStatusCode"], 200)

    def test_unknown_key(self):
        self.each_refused({"json": "UnrecognizedClientException", "query": "InvalidClientTokenId", "ec2": "AuthFailure",
                           "rest-xml": "InvalidClientTokenId"}, keys={"access_key": "AKIAUNKNOWN", "secret_key": "x"})

    def test_wrong_secret(self):
        self.each_refused({"json": "InvalidSignatureException", "query": "SignatureDoesNotMatch", "ec2": "SignatureDoesNotMatch",
                           "rest-xml": "SignatureDoesNotMatch"}, keys={"access_key": self.play.access_key, "secret_key": "x"})

    def test_expired(self):
        keys = self.play.do("issue")
        self.assertIn("test", self.client("sts", keys=keys).get_caller_identity()["Arn"])
        self.assertEqual(self.play.do("expire", source="test"), {"expired": 1})
        self.each_refused({"json": "ExpiredTokenException", "query": "ExpiredToken", "ec2": "RequestExpired",
                           "rest-xml": "ExpiredToken"}, keys=keys)

    def test_token_missing_or_wrong(self):
        keys = self.play.do("issue")
        for token in (None, "other"):
            self.refused("UnrecognizedClientException", self.client("ssm", keys={**keys, "token": token}).describe_instance_information)
        # and a token with keys that have none
        self.refused("UnrecognizedClientException", self.client("ssm", keys={
            "access_key": self.play.access_key, "secret_key": self.play.secret_key, "token": "x"}).describe_instance_information)

    def test_skew(self):
        for offset in (-360, 360):
            self.play.do("set", offset_s=offset)
            self.each_refused({"json": "InvalidSignatureException", "query": "SignatureDoesNotMatch", "ec2": "RequestExpired",
                               "rest-xml": "SignatureDoesNotMatch"})
        r = self.refused("InvalidSignatureException", self.client("ssm").describe_instance_information)
        self.assertRegex(r["Error"]["Message"], r"^Signature expired: \d{8}T\d{6}Z is now earlier than")
        date = datetime.datetime.strptime(r["ResponseMetadata"]["HTTPHeaders"]["date"], "%a, %d %b %Y %H:%M:%S GMT")
        self.assertAlmostEqual((date - datetime.datetime.utcnow()).total_seconds(), 360, delta=30)
        self.play.do("set", offset_s=200)
        self.client("ssm").describe_instance_information()

    def test_region(self):
        self.play.do("set", regions=["eu-west-1", "us-gov-.*"])
        self.client("ssm", region="us-gov-west-1").describe_instance_information()
        self.refused("InvalidSignatureException", self.client("ssm", region="us-east-1").describe_instance_information)

    def test_unsigned(self):
        session = ssl.create_default_context(cafile=self.play.ca)
        for headers in ({}, {"Authorization": "AWS4-HMAC-SHA256 Credential=a"}, {"Authorization": "Basic eDp5"}):
            request = urllib.request.Request(self.play.url, b"{}", {"X-Amz-Target": "AmazonSSM.StartSession", **headers})
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(request, context=session)
            with caught.exception as answer:
                self.assertIn(b"Incomplete" if headers else b"MissingAuthenticationToken", answer.read())

    def test_denied(self):
        self.play.do("set", deny=["*:Describe*", "sts:*", "route53:*"])
        self.each_refused({"json": "AccessDeniedException", "query": "AccessDenied", "ec2": "UnauthorizedOperation",
                           "rest-xml": "AccessDenied"})
        self.client("ssm").get_connection_status(Target=INSTANCE)


class Sts(Case):
    def assume(self, client=None, **more):
        return (client or self.client("sts")).assume_role(RoleArn=ROLE, RoleSessionName="test", **more)

    def keys(self, answer):
        c = answer["Credentials"]
        return {"access_key": c["AccessKeyId"], "secret_key": c["SecretAccessKey"], "token": c["SessionToken"]}

    def test_assume(self):
        self.refused("AccessDenied", self.assume)
        self.play.do("role", arn=ROLE, external_id="x1", max_s=7200)
        self.refused("AccessDenied", self.assume)
        answer = self.assume(ExternalId="x1", DurationSeconds=7200)
        left = answer["Credentials"]["Expiration"] - datetime.datetime.now(datetime.timezone.utc)
        self.assertAlmostEqual(left.total_seconds(), 7200, delta=5)
        who = self.client("sts", keys=self.keys(answer)).get_caller_identity()
        self.assertEqual(who["Arn"], "arn:aws:sts::123456789012:assumed-role/reader/test")
        for s in (7201, 43200):
            self.refused("ValidationError", self.assume, ExternalId="x1", DurationSeconds=s)
        # one role after the other: an hour at most
        second = self.client("sts", keys=self.keys(answer))
        self.refused("ValidationError", self.assume, second, ExternalId="x1", DurationSeconds=7200)
        self.assume(second, ExternalId="x1")

    def test_trust(self):
        self.play.do("role", arn=ROLE, trust=["*:user/bob"])
        self.refused("AccessDenied", self.assume)
        bob = self.play.do("user", name="bob")
        self.assume(self.client("sts", keys=bob))

    def test_mfa(self):
        self.play.do("role", arn=ROLE, mfa=True)
        self.play.do("set", mfa={MFA: ["123456"]})
        self.refused("AccessDenied", self.assume)
        r = self.refused("AccessDenied", self.assume, SerialNumber=MFA, TokenCode="000000")
        self.assertIn("invalid MFA one time pass code", r["Error"]["Message"])
        self.assume(SerialNumber=MFA, TokenCode="123456")
        self.refused("AccessDenied", self.assume, SerialNumber=MFA, TokenCode="123456")  # a code is good once
        self.assertEqual(self.play.rows("AssumeRole")[-1]["params"]["TokenCode"], "(secret)")

    def test_life(self):
        self.play.do("role", arn=ROLE)
        self.play.do("set", life_s={"AssumeRole": 0.0})
        answer = self.assume()
        self.refused("ExpiredToken", self.client("sts", keys=self.keys(answer)).get_caller_identity)

    def test_web_identity(self):
        self.play.do("role", arn=ROLE, web="oidc.example")
        token = self.play.do("web_token", provider="oidc.example")["token"]
        old = self.play.do("web_token", provider="oidc.example", life_s=-1)["token"]
        other = self.play.do("web_token", provider="elsewhere.example")["token"]
        sts = self.unsigned("sts")

        def call(t):
            return sts.assume_role_with_web_identity(RoleArn=ROLE, RoleSessionName="test", WebIdentityToken=t)
        self.client("sts", keys=self.keys(call(token))).get_caller_identity()
        self.refused("ExpiredTokenException", call, old)
        self.refused("AccessDenied", call, other)
        self.refused("InvalidIdentityToken", call, "nonsense-token")
        self.refused("AccessDenied", self.assume)


class SignOn(Case):
    def start(self, scopes=("sso:account:access",), url="https://d-1234567890.awsapps.com/start"):
        oidc = self.unsigned("sso-oidc")
        c = oidc.register_client(clientName="test", clientType="public", scopes=list(scopes))
        client = {"clientId": c["clientId"], "clientSecret": c["clientSecret"]}
        d = oidc.start_device_authorization(startUrl=url, **client)
        return oidc, client, d

    def create(self, oidc, client, d):
        return oidc.create_token(grantType="urn:ietf:params:oauth:grant-type:device_code", deviceCode=d["deviceCode"], **client)

    def test_login(self):
        self.play.do("set", sso={"interval_s": 0})
        oidc, client, d = self.start()
        self.assertTrue(d["verificationUriComplete"].endswith(d["userCode"]))
        self.refused("AuthorizationPendingException", self.create, oidc, client, d)
        self.assertEqual(self.play.do("approve", user_code="XXXX-XXXX"), {"found": False})
        self.assertEqual(self.play.do("approve", user_code=d["userCode"]), {"found": True})
        token = self.create(oidc, client, d)
        self.refused("InvalidGrantException", self.create, oidc, client, d)
        role = self.unsigned("sso").get_role_credentials(roleName="Reader", accountId="210987654321", accessToken=token["accessToken"])
        c = role["roleCredentials"]
        who = self.client("sts", keys={"access_key": c["accessKeyId"], "secret_key": c["secretAccessKey"],
                                       "token": c["sessionToken"]}).get_caller_identity()
        self.assertEqual(who["Account"], "210987654321")
        again = oidc.create_token(grantType="refresh_token", refreshToken=token["refreshToken"], **client)
        self.assertNotEqual(again["accessToken"], token["accessToken"])
        self.refused("InvalidGrantException", oidc.create_token, grantType="refresh_token", refreshToken=token["refreshToken"], **client)
        shown = str(self.play.rows())
        for secret in self.play.do("secrets")["secrets"]:
            self.assertNotIn(secret, shown)

    def test_patience(self):
        self.play.do("set", sso={"interval_s": 1})
        oidc, client, d = self.start()
        self.refused("AuthorizationPendingException", self.create, oidc, client, d)
        self.refused("SlowDownException", self.create, oidc, client, d)
        self.assertEqual(self.play.do("world")["devices"][0]["interval"], 6)

    def test_ends(self):
        self.play.do("set", sso={"interval_s": 0, "device_life_s": 0})
        self.refused("ExpiredTokenException", self.create, *self.start())
        self.play.do("set", sso={"device_life_s": 600})
        oidc, client, d = self.start()
        self.play.do("refuse")
        self.refused("AccessDeniedException", self.create, oidc, client, d)
        self.refused("InvalidClientException", self.create, oidc, {**client, "clientSecret": "x"}, d)
        self.refused("InvalidRequestException", self.start, url="https://other.awsapps.com/start")
        self.play.do("set", sso={"auto_approve": True})
        self.assertNotIn("refreshToken", self.create(*self.start(scopes=())))

    def test_portal(self):
        def ask(token, role="Reader"):
            return self.unsigned("sso").get_role_credentials(roleName=role, accountId="210987654321", accessToken=token)
        self.refused("UnauthorizedException", ask, "nonsense")
        token = self.play.do("sso_token")["accessToken"]
        ask(token)
        self.play.do("set", sso={"roles": [{"account": "210987654321", "role": "Reader"}]})
        ask(token)
        self.refused("ForbiddenException", ask, token, "Admin")
        self.play.do("sso_revoke")
        self.refused("UnauthorizedException", ask, token)
        self.refused("UnauthorizedException", ask, self.play.do("sso_token", life_s=0)["accessToken"])


class Ec2(Case):
    def instances(self, **kwargs):
        pages = self.client("ec2").get_paginator("describe_instances").paginate(**kwargs)
        return [i["InstanceId"] for p in pages for r in p["Reservations"] for i in r["Instances"]]

    def test_instances(self):
        more = ["i-0a1b2c3d4e5f6010%d" % i for i in range(8)]
        for i, ident in enumerate(more):
            self.play.do("instance", id=ident, name="web-%d" % i, ip="10.77.1.%d" % i, state="running" if i else "stopped")

        def by(name, *values):
            return self.instances(Filters=[{"Name": name, "Values": list(values)}])
        self.assertEqual(self.instances(), [INSTANCE] + more)
        self.assertEqual(by("tag:Name", "web-*"), more)
        self.assertEqual(by("tag:Name", "bastion", "web-3"), [INSTANCE, more[3]])
        self.assertEqual(by("private-ip-address", "10.77.1.2"), [more[2]])
        self.assertEqual(by("private-dns-name", "ip-10-77-1-2.ec2.internal"), [more[2]])
        self.assertEqual(by("network-interface.addresses.private-ip-address", "10.77.1.5"), [more[5]])
        self.assertEqual(by("instance-state-name", "stopped"), [more[0]])
        self.assertEqual(by("tag-key", "Owner"), [])
        self.assertEqual(self.instances(PaginationConfig={"PageSize": 5}), [INSTANCE] + more)
        self.play.do("set", ec2={"page_max": 2})  # as a service that answers less than was asked for
        since = self.play.serial()
        self.assertEqual(self.instances(), [INSTANCE] + more)
        self.assertEqual(self.play.count("DescribeInstances", since), 5)
        self.assertEqual(self.instances(InstanceIds=[more[1]]), [more[1]])
        self.refused("InvalidInstanceID.NotFound", self.instances, InstanceIds=["i-0a1b2c3d4e5f6ffff"])
        self.refused("InvalidInstanceID.Malformed", self.instances, InstanceIds=["mi-1"])
        self.refused("InvalidParameterValue", by, "colour", "red")
        self.refused("InvalidParameterValue", self.client("ec2").describe_instances, NextToken="bm9uc2Vuc2U")
        row = self.client("ec2").describe_instances(InstanceIds=[INSTANCE])["Reservations"][0]["Instances"][0]
        self.assertEqual((row["VpcId"], row["Placement"]["AvailabilityZone"], row["State"]),
                         (VPC, "us-east-1a", {"Code": 16, "Name": "running"}))

    def test_network(self):
        ec2 = self.client("ec2")
        mine = [{"Name": "vpc-id", "Values": [VPC]}]
        vpc = ec2.describe_vpcs(VpcIds=[VPC])["Vpcs"][0]
        self.assertEqual([(a["CidrBlock"], a["CidrBlockState"]["State"]) for a in vpc["CidrBlockAssociationSet"]],
                         [("10.77.0.0/16", "associated"), ("100.64.0.0/16", "associated"), ("10.78.0.0/16", "disassociated")])
        self.assertEqual(vpc["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"], "fd77::/56")
        self.assertEqual([s["CidrBlock"] for s in ec2.describe_subnets(Filters=mine)["Subnets"]], ["10.77.0.0/24", "10.77.1.0/24"])
        table = ec2.describe_route_tables(Filters=mine)["RouteTables"][0]
        self.assertEqual(table["Routes"][1]["VpcPeeringConnectionId"], "pcx-0a1b2c3d4e5f60001")
        self.assertEqual(table["Associations"][0]["Main"], True)
        peer = ec2.describe_vpc_peering_connections(Filters=[{"Name": "requester-vpc-info.vpc-id", "Values": [VPC]}])
        self.assertEqual(peer["VpcPeeringConnections"][0]["AccepterVpcInfo"]["CidrBlockSet"], [{"CidrBlock": "10.88.0.0/16"}])
        lists = ec2.describe_managed_prefix_lists()["PrefixLists"]
        self.assertEqual(lists[0]["PrefixListName"], "offices")
        pages = ec2.get_paginator("get_managed_prefix_list_entries").paginate(
            PrefixListId=lists[0]["PrefixListId"], PaginationConfig={"PageSize": 2})
        self.assertEqual([e["Cidr"] for p in pages for e in p["Entries"]], ["172.20.%d.0/24" % i for i in range(3)])
        self.refused("InvalidPrefixListID.NotFound", ec2.get_managed_prefix_list_entries, PrefixListId="pl-0ffff")
        self.refused("InvalidVpcID.NotFound", ec2.describe_vpcs, VpcIds=["vpc-0ffffffff"])


class Small(Case):
    def test_connect(self):
        eic = self.client("ec2-instance-connect")
        with tempfile.TemporaryDirectory() as d:
            path = d + "/keys"
            with open(path, "w") as f:
                f.write("ssh-rsa AAAA other\n")
            self.play.do("set", connect={"authorized_keys": path, "life_s": 0.5})

            def lines():
                with open(path) as f:
                    return f.read().splitlines()
            args = {"InstanceId": INSTANCE, "InstanceOSUser": "ec2-user", "SSHPublicKey": KEY, "AvailabilityZone": "us-east-1a"}
            self.assertTrue(eic.send_ssh_public_key(**args)["Success"])
            self.assertEqual(lines(), ["ssh-rsa AAAA other", KEY])
            end = datetime.datetime.now() + datetime.timedelta(seconds=10)
            while KEY in lines() and datetime.datetime.now() < end:
                pass
            self.assertEqual(lines(), ["ssh-rsa AAAA other"])
        self.refused("InvalidArgsException", eic.send_ssh_public_key, **{**args, "SSHPublicKey": "ssh-dss " + "A" * 100})
        self.refused("EC2InstanceNotFoundException", eic.send_ssh_public_key, **{**args, "InstanceId": "i-0a1b2c3d4e5f6ffff"})
        self.play.do("instance", id="i-0a1b2c3d4e5f60009", state="stopped")
        self.refused("EC2InstanceStateInvalidException", eic.send_ssh_public_key, **{**args, "InstanceId": "i-0a1b2c3d4e5f60009"})

    def test_kms(self):
        kms = self.client("kms")
        key = kms.generate_data_key(KeyId="alias/play", NumberOfBytes=64, EncryptionContext={"aws:ssm:TargetId": INSTANCE})
        self.assertEqual(len(key["Plaintext"]), 64)
        self.assertTrue(key["KeyId"].startswith("arn:aws:kms:"))
        self.refused("NotFoundException", kms.generate_data_key, KeyId="alias/other", KeySpec="AES_256")
        self.refused("ValidationException", kms.generate_data_key, KeyId="alias/play")

    def test_zones(self):
        route53 = self.client("route53")
        ask = {"VPCId": VPC, "VPCRegion": "us-east-1"}
        self.assertEqual(route53.list_hosted_zones_by_vpc(**ask)["HostedZoneSummaries"][0]["Name"], "prod.internal.")
        self.play.do("set", zones=[{"id": "Z%d" % i, "name": "z%d.test." % i, "vpcs": [ask]} for i in range(5)])
        names, token = [], {}
        while True:
            got = route53.list_hosted_zones_by_vpc(MaxItems="2", **ask, **token)
            names += [z["Name"] for z in got["HostedZoneSummaries"]]
            if "NextToken" not in got:
                break
            token = {"NextToken": got["NextToken"]}
        self.assertEqual(names, ["z%d.test." % i for i in range(5)])
        self.refused("InvalidPaginationToken", route53.list_hosted_zones_by_vpc, NextToken="x", **ask)


class Ssm(Case):
    def test_sessions(self):
        ssm = self.client("ssm")
        start = ssm.start_session(Target=INSTANCE, DocumentName="AWS-StartSSHSession", Reason="why", Parameters={"portNumber": ["22"]})
        self.assertIn(start["SessionId"], start["StreamUrl"])
        self.assertGreater(len(start["TokenValue"]), 300)
        active = ssm.describe_sessions(State="Active")["Sessions"]
        self.assertEqual([(s["Reason"], s["Target"]) for s in active], [("why", INSTANCE)])
        self.assertNotEqual(ssm.resume_session(SessionId=start["SessionId"])["TokenValue"], start["TokenValue"])
        ssm.terminate_session(SessionId=start["SessionId"])
        self.assertNotIn("TokenValue", ssm.resume_session(SessionId=start["SessionId"]))
        self.assertEqual(ssm.describe_sessions(State="Active")["Sessions"], [])
        self.assertEqual(len(ssm.describe_sessions(State="History", Filters=[{"key": "Target", "value": INSTANCE}])["Sessions"]), 1)
        self.refused("DoesNotExistException", ssm.resume_session, SessionId="nobody-0")
        self.refused("InvalidDocument", ssm.start_session, Target=INSTANCE, DocumentName="AWS-Other")
        self.play.do("instance", id=INSTANCE, online=False)
        self.refused("TargetNotConnected", ssm.start_session, Target=INSTANCE, DocumentName="AWS-StartSSHSession")
        self.assertEqual(ssm.get_connection_status(Target=INSTANCE)["Status"], "notconnected")

    def test_information(self):
        for i in range(12):
            self.play.do("instance", id="i-0a1b2c3d4e5f6010%x" % i, name="web", online=bool(i % 2))
        ssm = self.client("ssm")

        def listed(key=None, *values, **more):
            filters = {"Filters": [{"Key": key, "Values": list(values)}]} if key else {}
            pages = ssm.get_paginator("describe_instance_information").paginate(**filters, **more)
            return [i["InstanceId"] for p in pages for i in p["InstanceInformationList"]]
        self.assertEqual(len(listed(PaginationConfig={"PageSize": 5})), 13)
        self.assertEqual(len(listed("PingStatus", "ConnectionLost")), 6)
        self.assertEqual(len(listed("tag:Name", "web")), 12)
        self.assertEqual(listed("InstanceIds", INSTANCE), [INSTANCE])
        self.refused("InvalidFilterKey", listed, "Colour", "red")


class Metadata(Case):
    def setUp(self):
        super().setUp()
        os.environ["AWS_EC2_METADATA_SERVICE_ENDPOINT"] = "http://127.0.0.1:%d/" % self.play.imds
        self.addCleanup(os.environ.pop, "AWS_EC2_METADATA_SERVICE_ENDPOINT")

    def fetch(self, timeout=2):
        return InstanceMetadataFetcher(timeout=timeout, base_url="http://127.0.0.1:%d/" % self.play.imds).retrieve_iam_role_credentials()

    def test_modes(self):
        for mode, works in (("v2", True), ("both", True), ("v1", False), ("off", False), ("404", False)):
            with self.subTest(mode=mode):
                self.play.do("set", imds={"mode": mode})
                since = self.play.serial()
                # v1: the PUT is 405, which botocore takes as "no IMDSv2" and goes on without a token
                got = self.fetch()
                self.assertEqual(bool(got), works or mode == "v1")
                self.assertEqual(self.play.rows(since=since)[0]["operation"], "IMDS:token")
        self.play.do("set", imds={"mode": "v2", "role": None})
        self.assertEqual(self.fetch(), {})

    def test_keys_work(self):
        got = self.fetch()
        who = self.client("sts", keys={"access_key": got["access_key"], "secret_key": got["secret_key"],
                                       "token": got["token"]}).get_caller_identity()
        self.assertIn("instance-role", who["Arn"])

    def test_slow(self):
        self.play.do("set", imds={"delay_ms": 3000})
        self.assertEqual(self.fetch(timeout=0.2), {})

    def test_container(self):
        self.play.do("container", path="/v2/credentials/1", token="Bearer x")
        uri = "http://127.0.0.1:%d/v2/credentials/1" % self.play.container
        got = ContainerMetadataFetcher().retrieve_full_uri(uri, headers={"Authorization": "Bearer x"})
        self.client("sts", keys={"access_key": got["AccessKeyId"], "secret_key": got["SecretAccessKey"],
                                 "token": got["Token"]}).get_caller_identity()
        for headers in ({}, {"Authorization": "Bearer y"}):
            with self.assertRaises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(urllib.request.Request(uri, headers=headers))
            with caught.exception as answer:
                self.assertEqual(answer.status, 403)


class Faults(Case):
    def test_errors(self):
        ssm = self.client("ssm")
        self.play.do("fault", operation="GetConnectionStatus", error="ThrottlingException", times=2, message="Rate exceeded")
        for _ in range(2):
            r = self.refused("ThrottlingException", ssm.get_connection_status, Target=INSTANCE)
            self.assertEqual(r["Error"]["Message"], "Rate exceeded")
        ssm.get_connection_status(Target=INSTANCE)
        self.play.do("fault", operation="Describe*", error="RequestLimitExceeded", status=503, after=1)
        self.client("ec2").describe_vpcs()
        self.refused("RequestLimitExceeded", self.client("ec2").describe_subnets)
        self.client("ec2").describe_subnets()
        self.play.do("fault", operation="GetCallerIdentity", error="Throttling", times=1)
        self.client("sts", retries=2).get_caller_identity()
        self.assertEqual([r["error"] for r in self.play.rows("GetCallerIdentity")], ["Throttling", None])

    def test_broken(self):
        for cut in ("before", "head", "body"):
            self.play.do("fault", operation="GetCallerIdentity", cut=cut)
            with self.assertRaises((ConnectionClosedError, EndpointConnectionError, HTTPClientError, ResponseParserError)):
                self.client("sts").get_caller_identity()
        self.play.do("fault", operation="GetCallerIdentity", body="<not xml", content_type="text/xml")
        with self.assertRaises(ResponseParserError):
            self.client("sts").get_caller_identity()
        self.play.do("fault", operation="GetCallerIdentity", delay_ms=1500)
        with self.assertRaises(ReadTimeoutError):
            self.client("sts", read_timeout=0.3).get_caller_identity()
        self.client("sts").get_caller_identity()
        # The one that nobody waited for is answered late: not in the next test's journal.
        self.assertEqual(self.play.wait("GetCallerIdentity", n=6), 6)

    def test_unknown(self):
        self.refused("UnknownOperationException", self.client("ssm").list_documents)
        self.refused("InvalidAction", self.client("ec2").describe_volumes)
        self.refused("InvalidAction", self.client("sts").get_session_token)

    def test_control(self):
        for verb, arguments in (("nonsense", {}), ("set", {"colour": 1}), ("set", {"imds": {"colour": 1}}), ("fault", {"colour": 1}),
                                ("user", {"colour": 1}), ("fault", {"cut": "here"})):
            with self.subTest(verb=verb), self.assertRaises(PlayError):
                self.play.do(verb, **arguments)
        self.client("ssm", region="eu-west-1").get_connection_status(Target=INSTANCE)
        row = self.play.rows("GetConnectionStatus")[0]
        self.assertEqual((row["service"], row["region"], row["access_key"], row["params"], row["status"]),
                         ("ssm", "eu-west-1", self.play.access_key, {"Target": INSTANCE}, 200))
        self.assertEqual(row["headers"]["Host"], "127.0.0.1:%d" % self.play.https)
        self.assertEqual(row["present"], ["Authorization"])
        self.assertEqual(self.play.wait("GetConnectionStatus", n=2, timeout_s=0.1), 1)
        self.play.do("clear")
        self.assertEqual(self.play.rows(), [])

    def test_reset(self):
        keys = self.play.do("issue")
        self.play.do("set", deny=["*"], ssm={"instances": []})
        self.play.do("reset")
        self.assertEqual(self.client("ssm").get_connection_status(Target=INSTANCE)["Status"], "connected")
        self.refused("UnrecognizedClientException", self.client("ssm", keys=keys).get_connection_status, Target=INSTANCE)


class Program(unittest.TestCase):
    def test_end(self):
        play = Play()
        self.assertTrue(os.path.exists(play.ca))
        self.assertEqual(play.stop(), 0)
        self.assertFalse(os.path.exists(play.ca))

    def test_plain(self):
        with Play("--plain", "127.0.0.1:0") as play:
            sts = SESSION.create_client("sts", region_name="us-east-1", endpoint_url="http://127.0.0.1:%d" % play.http,
                                        aws_access_key_id=play.access_key, aws_secret_access_key=play.secret_key)
            self.assertTrue(sts.get_caller_identity()["Arn"].endswith("user/alice"))
            self.assertFalse(play.rows()[0]["tls"])


if __name__ == "__main__":
    unittest.main(warnings="ignore")  # botocore leaves sockets open after an error
