// SPDX-License-Identifier: MIT
/*
 * ssm_version_test.c - what the versions of ssm-protocol 5.4 switch
 *
 * Cases: each switch on both sides of its version, for agents and for clients; what only the client's rule
 * refuses (other counts of parts, no numbers); what the agent's rule makes of odd versions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/util.h"
#include "proto/ssm_version.h"

static void agents(void **state)
{
	static const struct {
		const char *version;
		bool terminate, mux, keepalive;
	} cases[] = {
		{ "2.3.722.0", false, false, true },
		{ "2.3.722.1", true, false, true },
		{ "2.3.1000.0", true, false, true },
		{ "3.0.196.0", true, false, true },
		{ "3.0.197.0", true, true, true },
		{ "3.1.1511.0", true, true, true },
		{ "3.1.1512.0", true, true, false },
		{ "3.3.0.0", true, true, false },
		{ "03.03.00.00", true, true, false },
		{ "4.0.0.0", true, true, false },
		{ "99999999999999999999999.0.0.0", true, true, false },
		/* not certainly above */
		{ "3.3.0", false, false, true },
		{ "3.3.0.0.0", false, false, true },
		{ "4", false, false, true },
		{ "4.0.0.x", false, false, true },
		{ "4.0.0.", false, false, true },
		{ "x.0.0.0", false, false, true },
		{ "4.0.0.-1", false, false, true },
		{ "", false, false, true },
		{ "...", false, false, true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ssm_features f = ssm_features_of_agent(cases[i].version);

		if (f.terminate_flag != cases[i].terminate || f.mux != cases[i].mux ||
		    f.mux_keepalive != cases[i].keepalive)
			fail_msg("%s: terminate %d mux %d keepalive %d", cases[i].version,
				 f.terminate_flag, f.mux, f.mux_keepalive);
	}
}

static void clients(void **state)
{
	static const struct {
		const char *version;
		bool mux, keepalive, separate;
	} cases[] = {
		{ "", false, true, false },
		{ "1.1.69", false, true, false },
		{ "1.1.69.9", false, true, false },
		{ "1.1.70", true, true, false },
		{ "1.1.70.0", true, true, false },
		{ "1.2.0.0", true, true, false },
		{ "1.2.295", true, true, false },
		{ "1.2.295.0", true, true, true },
		{ "1.2.312.0", true, true, true },
		{ "1.2.331.0", true, true, true },
		{ "1.2.331.1", true, false, true },
		{ "1.2.707.0", true, false, true },
		{ "1.2.0331.1", true, false, true },
		{ "1.2.99999999999999999999999", true, false, true },
		{ "2", true, false, true },
		{ "1", false, true, false },
		{ "abc", true, false, true },
		{ "1.1.7x", true, true, false },
		{ "1.1.", false, true, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct ssm_features f = ssm_features_of_client(cases[i].version);

		assert_true(f.terminate_flag);
		if (f.mux != cases[i].mux || f.mux_keepalive != cases[i].keepalive ||
		    f.separate_output != cases[i].separate)
			fail_msg("%s: mux %d keepalive %d separate %d", cases[i].version, f.mux,
				 f.mux_keepalive, f.separate_output);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(agents),
		cmocka_unit_test(clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
