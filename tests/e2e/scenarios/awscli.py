# SPDX-License-Identifier: MIT
"""The AWS CLI against our gateway: what it starts, lists and ends, and how it words our errors.

`session-manager-plugin` on its PATH is ours (tests/e2e/session-manager-plugin): it checks what it is handed and opens the
data channel. The CLI starts slowly, so calls that do not depend on one another run side by side.
"""
import concurrent.futures
import json
import os
import shutil
import subprocess

from lab import HOST_ID, LINK_C, ROOT, V4, V6, Skip, check, recv_exactly
from netns import wait_until
from scenarios import scenario

PLUGIN = os.path.join(os.path.dirname(os.path.dirname(os.path.realpath(__file__))), "session-manager-plugin")
REGION, AWS = "eu-west-1", "/usr/bin/aws"
DOC = "AWS-StartSSHSession"
SERVICE_ERROR, OTHER_ERROR = 254, 255  # exit statuses of the CLI


class Cli:
    """The CLI with a home of its own and nothing else in its environment."""

    def __init__(self, lab):
        self.lab, self.home = lab, ROOT + "/cli"
        os.makedirs(self.home + "/.aws")
        os.mkdir(self.home + "/plugin")
        os.symlink(PLUGIN, self.home + "/plugin/session-manager-plugin")
        self.endpoint = "https://%s:%d" % (LINK_C, lab.gateway_ports["control"])
        lab.write(self.home + "/.aws/credentials", "".join(
            "[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n" % row for row in (
                ("far", lab.access_key, lab.secret_key), ("wrong", lab.access_key, "x" * 40),
                ("stranger", "AKIAAAAAAAAAAAAAAAAA", "x" * 40))), uid=0)
        self.env = {"HOME": self.home, "PATH": self.home + "/plugin:/usr/bin:/bin", "LANG": "C.UTF-8", "AWS_CA_BUNDLE": lab.ca,
                    "AWS_EC2_METADATA_DISABLED": "true", "AWS_PAGER": "", "AWS_MAX_ATTEMPTS": "1"}
        self.keys = {"AWS_ACCESS_KEY_ID": lab.access_key, "AWS_SECRET_ACCESS_KEY": lab.secret_key}

    def argv(self, service, operation, *more):
        return [AWS, service, operation, "--endpoint-url", self.endpoint, "--region", REGION, "--output", "json", *more]

    def __call__(self, operation, *more, profile="far", service="ssm", status=0, env=None):
        """The answer as JSON (None if it is empty); with another `status` what it printed as an error."""
        r = self.lab.run(*self.argv(service, operation, *more), "--profile", profile, env=env or self.env)
        check(r.status == status, "aws %s %s %s: status %d, not %d: %s" % (service, operation, more, r.status, status, r.text[-600:]))
        return r.err if status else json.loads(r.out) if r.out.strip() else None

    def start(self, *more, profile=None, document=DOC):
        """A running start-session and the report of our plugin. Without a profile its keys are in the environment."""
        argv = self.argv("ssm", "start-session", "--target", HOST_ID, "--document-name", document, *more)
        p = self.lab.spawn("aws", argv + (["--profile", profile] if profile else []),
                           env=self.env if profile else {**self.env, **self.keys}, stdin=subprocess.PIPE)
        return p, json.loads(p.wait_text(r"^\{.*\}$", 30).group(0))


def expect_end(p):
    status = p.wait(20)
    check(status == 0 and json.loads(p.text.splitlines()[-1]) == {"closed": ""}, "status %d: %s" % (status, p.text[-600:]))


def check_report(cli, report, profile, request):
    check(report["request"] == request, "the request: %s" % report["request"])
    check(report["region"] == REGION and report["profile"] == profile and report["endpoint"].rstrip("/") == cli.endpoint,
          "region, profile or endpoint: %s" % report)
    check(report["banner"].startswith("SSH-2.0-"), "the far end is no sshd: %r" % report["banner"])
    action = {"ActionType": "SessionType", "ActionParameters": {"SessionType": "Port", "Properties": {"portNumber": "22"}}}
    check(report["actions"] == [action], "the handshake: %s" % report["actions"])


def ids(answer):
    return sorted(s["SessionId"] for s in answer["Sessions"])


def check_list(cli, a, b):
    """Two sessions are open: all, one a page, by filters."""
    both = sorted((a, b))
    listed = cli("describe-sessions", "--state", "Active")["Sessions"]
    check(sorted(s["SessionId"] for s in listed) == both, "active: %s" % listed)
    one = next(s for s in listed if s["SessionId"] == a)
    want = {"Target": HOST_ID, "Status": "Connected", "DocumentName": DOC, "Owner": "e2e", "Reason": "why not"}
    check({k: one[k] for k in want} == want and one["StartDate"].startswith("20"), "its members: %s" % one)
    check("EndDate" not in one, "an end before its end")
    check(ids(cli("describe-sessions", "--state", "Active", "--page-size", "1")) == both, "page by page")
    first = cli("describe-sessions", "--state", "Active", "--no-paginate", "--max-results", "1")
    check(len(first["Sessions"]) == 1 and first["NextToken"], "the first page: %s" % first)
    rest = cli("describe-sessions", "--state", "Active", "--no-paginate", "--next-token", first["NextToken"])
    check(ids(first) + ids(rest) in (both, both[::-1]) and "NextToken" not in rest, "the second page: %s" % rest)


def check_filters(cli, both, a):
    wanted = (("key=SessionId,value=" + a, [a]), ("key=Target,value=" + HOST_ID, both), ("key=Target,value=nobody", []),
              ("key=Owner,value=e2e", both), ("key=Owner,value=other", []), ("key=Status,value=Connected", both),
              ("key=InvokedAfter,value=2020-01-01T00:00:00Z", both), ("key=InvokedBefore,value=2020-01-01T00:00:00Z", []))
    each(wanted, lambda f: check(ids(cli("describe-sessions", "--state", "Active", "--filters", f[0])) == f[1], f[0]))


def each(things, fn):
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for future in [pool.submit(fn, t) for t in things]:
            future.result()


@scenario("awscli", seconds=16)
def awscli(lab):
    """The AWS CLI starts, lists, resumes and terminates sessions on the gateway; its plugin gets what it needs."""
    if not os.path.exists(AWS):
        raise Skip("there is no " + AWS)
    lab.start_far_side()
    cli = Cli(lab)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        starts = (pool.submit(cli.start, "--parameters", "portNumber=22", "--reason", "why not", profile="far"), pool.submit(cli.start))
        (p, report), (q, other) = [s.result() for s in starts]
    check_report(cli, report, "far", {"Target": HOST_ID, "DocumentName": DOC, "Parameters": {"portNumber": ["22"]},
                                      "Reason": "why not"})
    check_report(cli, other, "", {"Target": HOST_ID, "DocumentName": DOC})
    a, b = report["session"], other["session"]
    check_list(cli, a, b)
    check_filters(cli, sorted((a, b)), a)
    resumed = cli("resume-session", "--session-id", b)
    check(resumed["SessionId"] == b and resumed["TokenValue"] and b in resumed["StreamUrl"], "resume-session: %s" % sorted(resumed))

    check(cli("terminate-session", "--session-id", a) == {"SessionId": a}, "terminate-session")
    expect_end(p)
    q.popen.stdin.close()
    expect_end(q)
    check(ids(cli("describe-sessions", "--state", "Active")) == [], "some are active still")
    over = cli("describe-sessions", "--state", "History")["Sessions"]
    check(sorted(s["SessionId"] for s in over) == sorted((a, b)), "history: %s" % over)
    check(all(s["Status"] == "Terminated" and s["EndDate"] >= s["StartDate"] for s in over), "history: %s" % over)
    # The answer's TokenValue is null, which the CLI leaves out.
    check("TokenValue" not in cli("resume-session", "--session-id", a), "a session that is over has a token")
    check(cli("terminate-session", "--session-id", a) == {"SessionId": a}, "terminate-session again")


@scenario("awscli-forward")
def awscli_forward(lab):
    """A port of a host that only the agent reaches, through AWS-StartPortForwardingSessionToRemoteHost; others are refused."""
    if not os.path.exists(AWS):
        raise Skip("there is no " + AWS)

    def greet(s):
        s.sendall(b"you said " + recv_exactly(s, 6))
    ports = {a: lab.serve(greet, a) for a in (V4, V6)}
    lab.start_gateway()
    lab.start_agent(extra=("--allow", "%s:%d" % (V4, ports[V4]), "--allow", "[%s]:%d" % (V6, ports[V6])))
    cli = Cli(lab)
    document = "AWS-StartPortForwardingSessionToRemoteHost"

    def one(address):
        p, report = cli.start("--parameters", "host=%s,portNumber=%d,localPortNumber=0" % (address, ports[address]), document=document)
        check(report["banner"] == "you said hello", "the far end: %s" % report)
        properties = report["actions"][0]["ActionParameters"]["Properties"]
        check(properties == {"host": address, "portNumber": str(ports[address]), "localPortNumber": "0", "type": "LocalPortForwarding"},
              "properties: %s" % properties)
        p.popen.stdin.close()
        expect_end(p)
    each((V4, V6), one)
    p, report = cli.start("--parameters", "host=%s,portNumber=22" % V4, document=document)
    check("does not allow %s, port 22" % V4 in report["closed"] and p.wait(20) == 0, "another port: %s" % report)


@scenario("awscli-targets", seconds=14)
def awscli_targets(lab):
    """The AWS CLI lists instances by filters and pages and sees which are connected."""
    if not os.path.exists(AWS):
        raise Skip("there is no " + AWS)
    lab.start_gateway()
    names = [HOST_ID] + ["web-%d" % i for i in range(6)]
    agents = [lab.start_agent(name) for name in names]
    cli = Cli(lab)
    gone = agents[-1]
    gone.stop()
    wait_until(lambda: not next(a for a in lab.agents() if a["host_id"] == names[-1])["connected"], 10, "the last agent is gone")

    def listed(*more):
        return sorted(i["InstanceId"] for i in cli("describe-instance-information", *more)["InstanceInformationList"])
    instance = next(i for i in cli("describe-instance-information")["InstanceInformationList"] if i["InstanceId"] == HOST_ID)
    want = {"PingStatus": "Online", "PlatformType": "Linux", "ResourceType": "ManagedInstance", "ComputerName": HOST_ID}
    check({k: instance[k] for k in want} == want, "an instance: %s" % instance)
    check(instance["LastPingDateTime"].startswith("20") and instance["AgentVersion"], "an instance: %s" % instance)

    def one(row):
        check(listed(*row[0]) == sorted(row[1]), "%s: %s" % (row[0], listed(*row[0])))
    each(((("--page-size", "5"), names),
          (("--filters", "Key=PingStatus,Values=Online"), names[:-1]),
          (("--filters", "Key=PingStatus,Values=ConnectionLost"), names[-1:]),
          (("--filters", "Key=InstanceIds,Values=%s,web-1,nobody" % HOST_ID), [HOST_ID, "web-1"]),
          (("--filters", "Key=InstanceIds,Values=web-1", "Key=PlatformTypes,Values=Windows"), []),
          (("--filters", "Key=tag:Name,Values=x"), []),
          (("--instance-information-filter-list", "key=InstanceIds,valueSet=web-2"), ["web-2"])), one)
    first = cli("describe-instance-information", "--no-paginate", "--max-results", "5")
    check(len(first["InstanceInformationList"]) == 5 and first["NextToken"], "the first page: %s" % first)
    for target, status in ((HOST_ID, "connected"), (names[-1], "notconnected"), ("nobody", "notconnected")):
        answer = cli("get-connection-status", "--target", target)
        check(answer == {"Target": target, "Status": status}, "get-connection-status: %s" % answer)


@scenario("awscli-errors", seconds=14)
def awscli_errors(lab):
    """What we refuse reaches the user of the AWS CLI by AWS's name and with our words, and leaves no session behind."""
    if not os.path.exists(AWS):
        raise Skip("there is no " + AWS)
    lab.start_far_side()
    cli = Cli(lab)
    ssh = ("--target", HOST_ID, "--document-name", DOC)
    rows = (
        ("far", "start-session", ("--target", "nobody", "--document-name", DOC), "TargetNotConnected", "nobody is not connected."),
        ("far", "start-session", ("--target", HOST_ID), "InvalidDocument", "SSM-SessionManagerRunShell"),
        ("far", "start-session", ("--target", HOST_ID, "--document-name", "AWS-NoSuchDocument"), "InvalidDocument", "not offered here"),
        ("far", "start-session", ssh + ("--parameters", "portNumber=65536"), "ValidationException", "1 to 65535"),
        ("far", "start-session", ssh + ("--parameters", "host=db"), "ValidationException", "does not take the parameter host"),
        ("wrong", "start-session", ssh, "InvalidSignatureException", "signature"),
        ("stranger", "start-session", ssh, "UnrecognizedClientException", ""),
        ("far", "resume-session", ("--session-id", "e2e-00000000000000000"), "DoesNotExistException", "does not exist"),
        ("far", "terminate-session", ("--session-id", "e2e-00000000000000000"), "DoesNotExistException", "does not exist"),
        ("far", "describe-sessions", ("--state", "Active", "--no-paginate", "--next-token", "x"), "InvalidNextToken", "not valid"),
        ("far", "describe-sessions", ("--state", "Active", "--filters", "key=InvokedAfter,value=monday"), "ValidationException",
         "2018-08-29T00:00:00Z"),
        ("far", "describe-instance-information", ("--filters", "Key=Nonsense,Values=x"), "InvalidFilterKey", "Nonsense"),
        ("far", "list-documents", (), "UnknownOperationException", ""))

    def one(row):
        profile, operation, more, code, words = row
        text = cli(operation, *more, profile=profile, status=SERVICE_ERROR)
        check("An error occurred (%s) when calling the %s operation" % (
            code, "".join(w.title() for w in operation.split("-"))) in text and words in text, "%s: %s" % (row, text))
    each(rows, one)
    text = cli("send-ssh-public-key", "--instance-id", "i-0123456789abcdef0", "--instance-os-user", "root", "--ssh-public-key",
               "file://" + lab.user_key + ".pub", service="ec2-instance-connect", status=SERVICE_ERROR)
    check("(EC2InstanceUnavailableException)" in text and "not connected" in text, "send-ssh-public-key: " + text)
    check(cli("describe-sessions", "--state", "History")["Sessions"] == [], "a refused session is in the history")

    # Without a plugin the CLI ends what it has started; with one that refuses its arguments it reports that.
    os.unlink(cli.home + "/plugin/session-manager-plugin")
    text = cli("start-session", *ssh, status=OTHER_ERROR)
    check("SessionManagerPlugin is not found" in text, "no plugin: " + text)
    check(cli("describe-sessions", "--state", "Active")["Sessions"] == [], "a session without a client is left")
    check(len(cli("describe-sessions", "--state", "History")["Sessions"]) == 1, "the session that could not be used")
    shutil.copy("/bin/false", cli.home + "/plugin/session-manager-plugin")
    text = cli("start-session", *ssh, status=OTHER_ERROR)
    check("returned non-zero exit status 1" in text, "a plugin that fails: " + text)
