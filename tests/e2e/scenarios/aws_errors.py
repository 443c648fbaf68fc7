# SPDX-License-Identifier: MIT
"""What AWS refuses, in the AWS CLI's words and with one line on what to do; targets by what people call them."""
import re

from lab import check
from played import ACCOUNT, INSTANCE, start
from scenarios import scenario
from scenarios.aws import hello
from scenarios.startup import Refusals

OFFLINE, STOPPED, NOBODY = "i-0a1b2c3d4e5f60002", "i-0a1b2c3d4e5f60003", "i-0a1b2c3d4e5f6ffff"


def occurred(code, operation):
    return r"An error occurred \(%s\) when calling the %s operation: " % (code, operation)


@scenario("aws-errors")
def aws_errors(lab):
    """What the service says comes first, as the AWS CLI prints it, then what to do: one line, exit status 1, soon."""
    played = start(lab)
    played.profiles({"profile work": {}, "profile old": {}, "profile wrong": {}}, {
        "work": played.keys(), "wrong": {**played.keys(), "aws_secret_access_key": "x" * 40}})
    refusals, config = Refusals(lab), played.config("work")
    played.do("instance", id=OFFLINE, name="away", ip="10.77.0.20", online=False)

    def expect(name, words, config=config, before=None, **fault):
        if before:
            before()
        if fault:
            played.do("fault", times=-1, **fault)
        refusals.expect(name, words, config)
        played.do("clear")
    expect("denied", [occurred("AccessDeniedException", "StartSession"), "User: arn:aws:iam::%s:user/alice" % ACCOUNT,
                      r"(needs|allow|permission).*ssm:StartSession"], before=lambda: played.do("set", deny=["ssm:StartSession"]))
    expect("signature", [occurred("InvalidSignatureException", "StartSession"), "secret"], played.config("wrong"))
    temporary = played.do("issue")
    played.profiles({"profile old": {}}, {"old": {
        "aws_access_key_id": temporary["access_key"], "aws_secret_access_key": temporary["secret_key"],
        "aws_session_token": temporary["token"]}})
    played.do("expire")
    # Keys that a person must renew are waited for on a terminal; here is none, and the reason stands before the end.
    p = lab.up(played.config("old"), wait=False)
    check(p.wait(10) == 1 and re.search(occurred("ExpiredTokenException", "StartSession"), p.text), "expired keys: status %s: %s" % (
        p.popen.returncode, p.text[-500:]))
    played.profiles({"profile work": {}}, {"work": played.keys()})
    played.do("set", ssm={"gateway": None})

    def toward(target):
        return lab.config(upstream={**played.upstream("work"), "instances": [target]})
    expect("an agent that is away", [occurred("TargetNotConnected", "StartSession"), OFFLINE, "since|ago|last"], toward(OFFLINE))
    expect("no such target", [occurred("TargetNotConnected", "StartSession"), NOBODY, "not registered"], toward(NOBODY))
    expect("document", [occurred("InvalidDocument", "StartSession"), "AWS-StartSSHSession"],
           before=lambda: played.do("set", ssm={"documents": []}))
    refusals.verdict()


@scenario("aws-targets")
def aws_targets(lab):
    """A target by its Name tag, private DNS name or address; several that match are listed, one that nobody has is told."""
    played = start(lab)
    played.profiles({"profile work": {}}, {"work": played.keys()})
    for i, ident in enumerate((OFFLINE, STOPPED)):
        played.do("instance", id=ident, name="twin", ip="10.77.0.2%d" % i, state="running", online=True)
    played.do("instance", id="i-0a1b2c3d4e5f60009", name="bastion", ip="10.77.0.99", state="terminated")

    def config(target):
        return lab.config(upstream={**played.upstream("work"), "instances": [target]})
    for target in ("tag:Name=bastion", "ip-10-77-0-10.ec2.internal", "10.77.0.10"):
        since = played.play.serial()
        lab.up(config(target))
        hello(lab)()
        lab.down()
        check(lab.daemon.wait() == 0, "%s: %s" % (target, lab.daemon.text[-300:]))
        started = [r["params"]["Target"] for r in played.play.rows("StartSession", since)]
        check(started == [INSTANCE], "%s: sessions were started to %s" % (target, started))
    refusals = Refusals(lab)
    refusals.expect("two of a name", ["twin", OFFLINE, STOPPED], config("tag:Name=twin"))
    refusals.expect("nobody of that name", ["nobody-here"], config("tag:Name=nobody-here"))
    played.do("set", deny=["ec2:DescribeInstances"])
    refusals.expect("no permission to look", [occurred("UnauthorizedOperation", "DescribeInstances"), "ec2:DescribeInstances"],
                    config("tag:Name=bastion"))
    refusals.verdict()
