// SPDX-License-Identifier: MIT
/*
 * tnl_target_test.c - targets that must be looked up, and sessions that are encrypted
 *
 * what is asked of EC2 for each kind of target, and what of its answer is said: one instance, none, a stopped one, terminated ones,
 * several (ten of them listed), two pages, a denial, nonsense; an upstream by tag: one look-up for its sessions, the instance in
 * known_hosts and status, another instance after that one has gone; a target's region; a data key from KMS, and none
 */
#include "small_world.h"

#include <jansson.h>

#include "base/codec.h"

#define ID "i-0123456789abcdef0"
#define ID2 "i-0123456789abcdef1"

static struct {
	uint32_t finds, keys;
	char body[1024], region[64], context[512];
	const char *answers[2]; /* by page; the last one stays */
	int status;		/* 0: 200 */
} ec2;

#define HEAD                                                                                       \
	"<DescribeInstancesResponse "                                                              \
	"xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r</requestId>"
#define TAIL "</DescribeInstancesResponse>"
#define SET(x) HEAD "<reservationSet>" x "</reservationSet>" TAIL
#define ONE(id, state)                                                                             \
	"<item><reservationId>r-1</reservationId><instancesSet><item><instanceId>" id              \
	"</instanceId><instanceState><code>16</code><name>" state                                  \
	"</name></instanceState><privateIpAddress>10.0.1.5</privateIpAddress><placement>"          \
	"<availabilityZone>eu-west-1a</availabilityZone></placement><tagSet><item><key>Name</key>" \
	"<value>bastion</value></item></tagSet></item></instancesSet></item>"

static void find_answer(const struct fakesvc_call *c)
{
	const uint32_t at = MIN(ec2.finds, 1U);

	text_copy(ec2.body, sizeof(ec2.body), c->body);
	text_copy(ec2.region, sizeof(ec2.region), c->region);
	ec2.finds++;
	fakesvc_reply(c, ec2.status ? ec2.status : 200,
		      ec2.answers[at] ? ec2.answers[at] : ec2.answers[0]);
}

static void key_answer(const struct fakesvc_call *c)
{
	json_t *in = json_loads(c->body, 0, NULL), *out;
	uint8_t key[64], cipher[64];
	char a[CODEC_B64_LEN(64)], b[CODEC_B64_LEN(64)], *text;

	ec2.keys++;
	assert_string_equal(json_string_value(json_object_get(in, "KeyId")),
			    "arn:aws:kms:eu-west-1:1:key/k");
	assert_int_equal(json_integer_value(json_object_get(in, "NumberOfBytes")), 64);
	text = json_dumps(json_object_get(in, "EncryptionContext"), JSON_SORT_KEYS | JSON_COMPACT);
	text_copy(ec2.context, sizeof(ec2.context), text);
	free(text);
	json_decref(in);
	if (ec2.status) {
		fakesvc_reply(c, ec2.status, ec2.answers[0]);
		return;
	}
	codec_random(key, sizeof(key));
	fakesvc_encrypt(cipher, key);
	codec_b64_encode(a, key, sizeof(key));
	codec_b64_encode(b, cipher, sizeof(cipher));
	out = json_pack("{s:s, s:s, s:s}", "Plaintext", a, "CiphertextBlob", b, "KeyId", "k");
	text = json_dumps(out, 0);
	fakesvc_reply(c, 200, text);
	free(text);
	json_decref(out);
}

static void other(const struct fakesvc_call *c)
{
	if (strcmp(c->op, "DescribeInstances") == 0)
		find_answer(c);
	else if (strcmp(c->op, "GenerateDataKey") == 0)
		key_answer(c);
	else
		fail_msg("%s was called", c->op);
}

static void begin(const char *kms_key_id)
{
	const struct fakesvc_conf c = { .ssh_port = d.port,
					.other = other,
					.kms_key_id = kms_key_id };

	memset(&ec2, 0, sizeof(ec2));
	world_begin(&c);
}

/* ---- looking up ---- */

static struct {
	bool done;
	struct aws_error error;
	char id[64], region[64], zone[64], name[64];
} got;

static void on_found(void *arg, const struct aws_error *e, const struct aws_found *found)
{
	(void)arg;
	got.done = true;
	if (e != NULL) {
		got.error = *e;
		return;
	}
	text_copy(got.id, sizeof(got.id), found->id);
	text_copy(got.region, sizeof(got.region), found->region);
	text_copy(got.zone, sizeof(got.zone), found->zone);
	text_copy(got.name, sizeof(got.name), found->name);
}

static void find(const char *text)
{
	struct aws_target t;
	struct aws_look look;

	memset(&got, 0, sizeof(got));
	ec2.finds = 0;
	assert_int_equal(aws_target_parse(&t, text), 0);
	assert_int_equal(aws_target_find(&look, w.account, &t, on_found, NULL), 0);
	AWAIT(got.done);
}

static void questions(void **state)
{
	static const struct {
		const char *target, *filter, *region;
	} cases[] = {
		{ "tag:Name=bas*", "Filter.1.Name=tag%3AName&Filter.1.Value.1=bas%2A",
		  "eu-west-1" },
		{ "tag:a b=c=d", "Filter.1.Name=tag%3Aa%20b&Filter.1.Value.1=c%3Dd", "eu-west-1" },
		{ "10.0.1.5", "Filter.1.Name=private-ip-address&Filter.1.Value.1=10.0.1.5",
		  "eu-west-1" },
		{ "10.0.1.5--us-east-2", "Filter.1.Value.1=10.0.1.5&", "us-east-2" },
		{ "fd77::5",
		  "Filter.1.Name=network-interface.ipv6-addresses.ipv6-address&Filter.1.Value.1="
		  "fd77%3A%3A5",
		  "eu-west-1" },
		{ "ip-10-0-1-5.eu-west-3.compute.internal",
		  "Filter.1.Name=private-dns-name&Filter.1.Value.1=ip-10-0-1-5.eu-west-3.compute."
		  "internal",
		  "eu-west-3" },
	};

	(void)state;
	begin(NULL);
	ec2.answers[0] = SET(ONE(ID, "running"));
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		find(cases[i].target);
		assert_string_equal(got.id, ID);
		assert_string_equal(got.zone, "eu-west-1a");
		assert_string_equal(got.name, "bastion");
		if (strstr(ec2.body, cases[i].filter) == NULL)
			fail_msg("%s: %s", cases[i].target, ec2.body);
		assert_string_equal(ec2.region, cases[i].region);
		if (strcmp(cases[i].region, "eu-west-1") != 0)
			assert_string_equal(got.region, cases[i].region);
	}
	world_end();
}

#define SIX(a, b, c, d, e, f)                                                                      \
	ONE(a, "running")                                                                          \
	ONE(b, "running") ONE(c, "running") ONE(d, "running") ONE(e, "running") ONE(f, "running")

static void answers(void **state)
{
	static const struct {
		const char *name, *pages[2];
		int status, err; /* err 0: ID was found */
		const char *says, *hints, *says_not;
	} cases[] = {
		{ "one of three",
		  { SET(ONE(ID2, "stopped") ONE(ID, "running") ONE(ID2, "terminated")) },
		  0,
		  0,
		  NULL,
		  NULL,
		  NULL },
		{ "second page",
		  { HEAD "<reservationSet/><nextToken>t</nextToken>" TAIL,
		    SET(ONE(ID, "running")) },
		  0,
		  0,
		  NULL,
		  NULL,
		  NULL },
		{ "none",
		  { SET("") },
		  0,
		  ST_ENOENT,
		  "no EC2 instance of this account has tag Name=bastion in region eu-west-1",
		  "the region and the profile",
		  NULL },
		{ "terminated",
		  { SET(ONE(ID, "terminated") ONE(ID, "shutting-down")) },
		  0,
		  ST_ENOENT,
		  "no EC2 instance of this account has",
		  NULL,
		  "found" },
		{ "stopped",
		  { SET(ONE(ID, "stopped")) },
		  0,
		  ST_ECLOSED,
		  "found " ID " but it is stopped",
		  "aws ec2 start-instances --region eu-west-1 --instance-ids " ID,
		  NULL },
		{ "two",
		  { SET(ONE(ID, "running") ONE(ID2, "running")) },
		  0,
		  ST_EINVAL,
		  "2 running EC2 instances have tag Name=bastion in region eu-west-1: " ID
		  " (bastion, 10.0.1.5, eu-west-1a), " ID2 " (bastion, 10.0.1.5, eu-west-1a)",
		  "under instances:",
		  "…" },
		{ "twelve",
		  { HEAD "<reservationSet>" SIX(
			    "i-00000001", "i-00000002", "i-00000003", "i-00000004", "i-00000005",
			    "i-00000006") "</reservationSet><nextToken>t</nextToken>" TAIL,
		    SET(SIX("i-00000007", "i-00000008", "i-00000009", "i-0000000a", "i-0000000b",
			    "i-0000000c")) },
		  0,
		  ST_EINVAL,
		  "i-0000000a (bastion, 10.0.1.5, eu-west-1a), …",
		  NULL,
		  "i-0000000b" },
		{ "denied",
		  { "<Response><Errors><Error><Code>UnauthorizedOperation</Code><Message>You are "
		    "not "
		    "authorized</Message></Error></Errors><RequestID>r</RequestID></Response>" },
		  403,
		  ST_EPERM,
		  "(UnauthorizedOperation) when calling the DescribeInstances operation",
		  "the IAM identity needs ec2:DescribeInstances on *",
		  NULL },
		{ "no members",
		  { SET("<item><instancesSet><item/><item><instanceId/></item>"
			"</instancesSet></item><item/>") },
		  0,
		  ST_ENOENT,
		  "no EC2 instance",
		  NULL,
		  NULL },
		{ "no XML", { "<Describe" }, 0, ST_EPEER, NULL, NULL, NULL },
	};

	(void)state;
	begin(NULL);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		ec2.answers[0] = cases[i].pages[0];
		ec2.answers[1] = cases[i].pages[1];
		ec2.status = cases[i].status;
		find("tag:Name=bastion");
		if (got.error.err != cases[i].err ||
		    (cases[i].says && !strstr(got.error.text, cases[i].says)) ||
		    (cases[i].hints && !strstr(got.error.hint, cases[i].hints)) ||
		    (cases[i].says_not && strstr(got.error.text, cases[i].says_not)))
			fail_msg("%s: %s: %s; %s", cases[i].name, st_strerror(got.error.err),
				 got.error.text, got.error.hint);
		if (cases[i].err == 0)
			assert_string_equal(got.id, ID);
	}
	world_end();
}

static void broken_off(void **state)
{
	struct aws_look look = { 0 };
	struct aws_target t;

	(void)state;
	begin(NULL);
	aws_target_find_cancel(&look);
	memset(&got, 0, sizeof(got));
	assert_int_equal(aws_target_parse(&t, ID), 0);
	assert_true(aws_target_is_found(&t));
	assert_int_equal(aws_target_find(&look, w.account, &t, on_found, NULL), ST_EINVAL);
	assert_int_equal(aws_target_parse(&t, "tag:a=b"), 0);
	assert_int_equal(aws_target_find(&look, w.account, &t, on_found, NULL), 0);
	assert_false(got.done);
	aws_target_find_cancel(&look);
	aws_target_find_cancel(&look);
	world_end();
	assert_false(got.done);
}

/* ---- upstreams ---- */

static void up(const char *const *targets, size_t n, uint32_t sessions)
{
	const struct tnl_opts o = { .key = key_must_load(&d, "id_ed25519"),
				    .sessions_min = sessions };

	world_up(targets, n, o);
}

static struct tnl_status status(void)
{
	struct tnl_status st;

	tnl_upstream_status(w.u, &st);
	return st;
}

static uint32_t ready(void)
{
	const struct tnl_status st = status();
	uint32_t n = 0;

	for (uint32_t i = 0; i < st.sessions; i++)
		n += strcmp(st.session[i].state, "ready") == 0;
	return n;
}

static void by_tag(void **state)
{
	static const char *const targets[] = { "tag:Name=bastion" };
	const char *region = NULL;

	(void)state;
	begin(NULL);
	ec2.answers[0] = SET(ONE(ID, "running"));
	up(targets, 1, 3);
	assert_null(tnl_upstream_target(w.u, NULL));
	assert_string_equal(status().session[0].state, "finding");
	assert_string_equal(status().session[0].target, "tag:Name=bastion");
	AWAIT(w.state == TNL_UP && ready() == 3);
	assert_int_equal(ec2.finds, 1);
	assert_string_equal(fakesvc_target(w.svc), ID);
	assert_string_equal(status().session[2].target, "tag:Name=bastion (" ID ")");
	assert_string_equal(tnl_upstream_target(w.u, &region), ID);
	assert_string_equal(region, "");
	run_cmd("grep -q '^" ID " ' %s/known_hosts", d.dir);
	world_end();
}

/* An auto-scaling group has replaced the instance that was found a moment ago. */
static void replaced(void **state)
{
	static const char *const targets[] = { "tag:Name=bastion" };
	struct fakesvc_conf c = { .ssh_port = d.port, .other = other };

	(void)state;
	begin(NULL);
	ec2.answers[0] = SET(ONE(ID, "running"));
	ec2.answers[1] = SET(ONE(ID2, "running"));
	up(targets, 1, 1);
	AWAIT(w.state == TNL_UP);
	c.bad_target = ID;
	fakesvc_conf_set(w.svc, &c);
	fakesvc_close(w.svc, "");
	AWAIT(w.state == TNL_UP && ec2.finds == 2 && ready() == 1);
	assert_string_equal(fakesvc_target(w.svc), ID2);
	assert_string_equal(tnl_upstream_target(w.u, NULL), ID2);
	world_end();
}

static void fails_for_good(void **state)
{
	static const char *const targets[] = { "tag:Name=bastion", "10.0.1.5" };

	(void)state;
	begin(NULL);
	ec2.answers[0] = SET("");
	up(targets, 2, 1);
	AWAIT(w.state == TNL_FAILED);
	assert_int_equal(w.err, ST_ENOENT);
	assert_non_null(strstr(w.text, "prod: no EC2 instance of this account has private address "
				       "10.0.1.5 in region eu-west-1; "));
	assert_int_equal(fakesvc_counts(w.svc).start, 0);
	world_end();
}

static void of_region(void **state)
{
	static const char *const targets[] = { "arn:aws:ec2:ap-south-1:123456789012:instance/" ID };
	const char *region;

	(void)state;
	begin(NULL);
	up(targets, 1, 1);
	AWAIT(w.state == TNL_UP);
	assert_string_equal(fakesvc_scope(w.svc), "ap-south-1");
	assert_string_equal(fakesvc_target(w.svc), ID);
	assert_string_equal(tnl_upstream_target(w.u, &region), ID);
	assert_string_equal(region, "ap-south-1");
	fakesvc_cut(w.svc);
	AWAIT(fakesvc_counts(w.svc).resume > 0);
	assert_string_equal(fakesvc_scope(w.svc), "ap-south-1");
	world_end();
}

static void stopped_while_finding(void **state)
{
	static const char *const targets[] = { "tag:Name=bastion" };

	(void)state;
	begin(NULL);
	ec2.answers[0] = SET(ONE(ID, "running"));
	up(targets, 1, 1);
	assert_string_equal(status().session[0].state, "finding");
	world_end();
	assert_int_equal(ec2.finds, 0);
}

static void bad_targets(void **state)
{
	static const char *const targets[] = { "tag:Name" };
	struct tnl_opts o = { .name = "prod",
			      .targets = targets,
			      .n_targets = 1,
			      .document = "d",
			      .ssh_user = "u",
			      .events = &events };

	(void)state;
	begin(NULL);
	o.account = w.account;
	assert_int_equal(tnl_upstream_new(&w.u, w.loop, w.ws, w.aws, fakesvc_svc(w.svc), &o),
			 ST_EINVAL);
	world_end();
}

/* ---- encrypted sessions ---- */

static void encrypted(void **state)
{
	static const char *const targets[] = { ID };
	char want[256];

	(void)state;
	begin("arn:aws:kms:eu-west-1:1:key/k");
	up(targets, 1, 1);
	AWAIT(w.state == TNL_UP);
	assert_int_equal(ec2.keys, 1);
	snprintf(want, sizeof(want),
		 "\"aws:ssm:SessionId\":\"%s\",\"aws:ssm:TargetId\":\"" ID "\"}",
		 status().session[0].session_id);
	if (strstr(ec2.context, want) == NULL)
		fail_msg("%s", ec2.context);
	world_end();
}

static void no_data_key(void **state)
{
	static const char *const targets[] = { ID };

	(void)state;
	begin("arn:aws:kms:eu-west-1:1:key/k");
	ec2.status = 400;
	ec2.answers[0] = "{\"__type\":\"AccessDeniedException\",\"message\":\"no\"}";
	up(targets, 1, 1);
	AWAIT(w.state == TNL_FAILED);
	assert_int_equal(w.err, ST_EPERM);
	assert_non_null(strstr(w.text, "is to be encrypted"));
	assert_non_null(strstr(w.text, "kms:GenerateDataKey on that key"));
	world_end();
	begin("arn:aws:kms:eu-west-1:1:key/k");
	ec2.status = 200;
	ec2.answers[0] = "{\"Plaintext\":\"AAAA\",\"CiphertextBlob\":\"AAAA\"}";
	up(targets, 1, 1);
	AWAIT(w.err == ST_EPEER);
	assert_non_null(strstr(w.text, "without a data key"));
	world_end();
}

static int setup(void **state)
{
	(void)state;
	sshd_dir(&d);
	sshd_start(&d, "ed25519", NULL);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sshd_stop(&d);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(questions),   cmocka_unit_test(answers),
		cmocka_unit_test(broken_off),  cmocka_unit_test(by_tag),
		cmocka_unit_test(replaced),    cmocka_unit_test(fails_for_good),
		cmocka_unit_test(of_region),   cmocka_unit_test(stopped_while_finding),
		cmocka_unit_test(bad_targets), cmocka_unit_test(encrypted),
		cmocka_unit_test(no_data_key),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
