// SPDX-License-Identifier: MIT
/*
 * tnl_eic_test.c - EC2 Instance Connect: a service that puts keys where a real sshd looks
 *
 * a pair as OpenSSH reads it; a log-in by a pushed key; one push for the sessions of a minute, a fresh pair for the next; sshd
 * forgot the shared key: one more push; sshd takes none: which package to look for; what each error of the service says and
 * whether it is final; throttled: the log-in goes on waiting; expired credentials wait for a person; the gateway's endpoint
 */
#include "small_world.h"

#include <jansson.h>

#include "tunnel/ssh_key.h"
#include "tunnel/ssh_pair.h"

#define ID "i-0123456789abcdef0"

/* The Instance Connect of the test. */
static struct {
	uint32_t pushes, throttle; /* so many are throttled first */
	bool keeps;		   /* what it is given into authorized_keys */
	const char *error;	   /* the code that it answers; NULL: success */
	char user[64], instance[64], region[64], last[256];
	uint32_t changes; /* keys that differed from the one before */
} eic;

static void keys_write(const char *line)
{
	FILE *f = fopen(sshd_path(&d, "authorized_keys"), "w");

	assert_non_null(f);
	fprintf(f, "%s\n", line);
	fclose(f);
}

static void pushed(const struct fakesvc_call *c)
{
	json_t *in = json_loads(c->body, 0, NULL);
	const char *user, *instance, *key;
	char text[160];

	assert_string_equal(c->op, "SendSSHPublicKey");
	assert_int_equal(json_unpack(in, "{s:s, s:s, s:s!}", "InstanceOSUser", &user, "InstanceId",
				     &instance, "SSHPublicKey", &key),
			 0);
	assert_true(strlen(key) >= 80 && strncmp(key, "ssh-ed25519 ", 12) == 0);
	eic.pushes++;
	eic.changes += strcmp(eic.last, key) != 0;
	text_copy(eic.last, sizeof(eic.last), key);
	text_copy(eic.user, sizeof(eic.user), user);
	text_copy(eic.instance, sizeof(eic.instance), instance);
	text_copy(eic.region, sizeof(eic.region), c->region);
	if (eic.keeps)
		keys_write(key);
	json_decref(in);
	snprintf(text, sizeof(text), "{\"__type\":\"%s\",\"message\":\"no\"}",
		 eic.pushes <= eic.throttle ? "ThrottlingException"
		 : eic.error		    ? eic.error
					    : "");
	if (eic.pushes <= eic.throttle || eic.error)
		fakesvc_reply(c, 400, text);
	else
		fakesvc_reply(c, 200, "{\"RequestId\":\"r\",\"Success\":true}");
}

static struct fakesvc_conf conf(void)
{
	return (struct fakesvc_conf){ .ssh_port = d.port, .other = pushed };
}

static void up(const char *target, uint32_t sessions)
{
	const struct tnl_opts o = { .instance_connect = true, .sessions_min = sessions };

	world_up(&target, 1, o);
}

static void begin(void)
{
	const struct fakesvc_conf c = conf();

	memset(&eic, 0, sizeof(eic));
	eic.keeps = true;
	keys_write("");
	world_begin(&c);
}

static uint32_t ready(void)
{
	struct tnl_status st;
	uint32_t n = 0;

	tnl_upstream_status(w.u, &st);
	for (uint32_t i = 0; i < st.sessions; i++)
		n += strcmp(st.session[i].state, "ready") == 0;
	return n;
}

/* ---- tests ---- */

static void pair(void **state)
{
	char line[SSH_KEY_LINE], small[64];
	uint8_t blob[SSH_PAIR_BLOB], scratch[512];
	struct tnl_key *k, *other;
	size_t len;
	FILE *f;

	(void)state;
	assert_int_equal(ssh_key_make(&k, "x"), 0);
	assert_int_equal(ssh_key_make(&other, "x"), 0);
	assert_string_not_equal(ssh_key_private(k, &len), ssh_key_private(other, &len));
	assert_int_equal(strlen(ssh_key_private(k, &len)), len);
	f = fopen(sshd_path(&d, "made"), "w");
	assert_non_null(f);
	fputs(ssh_key_private(k, &len), f);
	fclose(f);
	f = fopen(sshd_path(&d, "line"), "w");
	assert_non_null(f);
	fprintf(f, "%s\n", ssh_key_line(line, k));
	fclose(f);
	run_cmd("cd %s && chmod 600 made && test \"$(ssh-keygen -y -f made)\" = \"$(cat line)\"",
		d.dir);
	assert_int_equal(ssh_pair_make(small, sizeof(small), blob, scratch, sizeof(scratch)),
			 ST_EFULL);
	assert_int_equal(ssh_pair_make(small, sizeof(small), blob, scratch, 511), ST_EFULL);
	tnl_key_free(k);
	tnl_key_free(other);
}

static void logs_in(void **state)
{
	(void)state;
	begin();
	up(ID "--eu-central-1", 1);
	AWAIT(w.state == TNL_UP);
	assert_int_equal(eic.pushes, 1);
	assert_string_equal(eic.user, d.user);
	assert_string_equal(eic.instance, ID);
	assert_string_equal(eic.region, "eu-central-1");
	run_cmd("grep -q '^" ID " ' %s/known_hosts", d.dir);
	world_end();
}

static void shared(void **state)
{
	(void)state;
	begin();
	up(ID, 4);
	AWAIT(w.state == TNL_UP && ready() == 4);
	assert_int_equal(eic.pushes, 1);
	world_end();
}

static void forget_keys(void)
{
	keys_write("");
}

static void forgotten(void **state)
{
	(void)state;
	begin();
	w.on_up = forget_keys;
	up(ID, 3);
	AWAIT(w.state == TNL_UP && ready() == 3);
	/* two log-ins shared the one that sshd forgot; the second push served both */
	assert_int_equal(eic.pushes, 2);
	assert_int_equal(eic.changes, 2);
	world_end();
}

static void not_installed(void **state)
{
	(void)state;
	begin();
	eic.keeps = false;
	up(ID, 1);
	AWAIT(w.state == TNL_FAILED);
	assert_int_equal(w.err, ST_EAUTH);
	assert_non_null(strstr(w.text, "is the package ec2-instance-connect installed on " ID));
	assert_int_equal(eic.pushes, 1);
	world_end();
}

static void errors(void **state)
{
	static const struct {
		const char *code;
		int err;
		const char *says;
	} cases[] = {
		{ "EC2InstanceNotFoundException", ST_ENOENT, "nodes outside of EC2" },
		{ "EC2InstanceStateInvalidException", ST_ECLOSED, "not running" },
		{ "EC2InstanceTypeInvalidException", ST_EINVAL, "set ssh.key" },
		{ "InvalidArgsException", ST_EINVAL, "ssh.user" },
		{ "AuthException", ST_EPERM, "ec2-instance-connect:SendSSHPublicKey" },
		{ "AccessDeniedException", ST_EPERM, "ec2:osuser" },
		{ "UnsupportedOperation", ST_EUNSUPPORTED, "--authorized-keys-dir" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		begin();
		eic.error = cases[i].code;
		up(ID, 1);
		AWAIT(w.state == TNL_FAILED);
		assert_int_equal(w.err, cases[i].err);
		if (strstr(w.text, cases[i].says) == NULL ||
		    strstr(w.text, "when calling the SendSSHPublicKey operation") == NULL ||
		    strncmp(w.text, "prod: ", 6) != 0)
			fail_msg("%s: %s", cases[i].code, w.text);
		assert_int_equal(eic.pushes, 1);
		world_end();
	}
}

static void throttled(void **state)
{
	uint64_t t;

	(void)state;
	begin();
	eic.throttle = 3; /* one call's attempts */
	t = now_ms();
	up(ID, 1);
	AWAIT(w.state == TNL_UP);
	assert_int_equal(eic.pushes, 4);
	assert_true(now_ms() - t >= 1000); /* half of the first bound */
	assert_int_equal(fakesvc_counts(w.svc).start, 1);
	world_end();
}

static void expired(void **state)
{
	(void)state;
	begin();
	eic.error = "ExpiredTokenException";
	up(ID, 1);
	AWAIT(w.state == TNL_WAITING);
	assert_non_null(strstr(w.text, "ExpiredTokenException"));
	world_end();
}

/* It announces MaxPayloadBytes, and takes the push where it takes StartSession. */
static void own_gateway(void **state)
{
	struct fakesvc_conf c = conf();

	(void)state;
	begin();
	c.max_payload = 32768;
	fakesvc_conf_set(w.svc, &c);
	w.elsewhere = "AWS_ENDPOINT_URL_EC2_INSTANCE_CONNECT";
	up("host-1", 1);
	AWAIT(w.state == TNL_UP);
	assert_string_equal(eic.instance, "host-1");
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
		cmocka_unit_test(pair),	       cmocka_unit_test(logs_in),
		cmocka_unit_test(shared),      cmocka_unit_test(forgotten),
		cmocka_unit_test(errors),      cmocka_unit_test(not_installed),
		cmocka_unit_test(throttled),   cmocka_unit_test(expired),
		cmocka_unit_test(own_gateway),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
