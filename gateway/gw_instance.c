// SPDX-License-Identifier: MIT
/*
 * gw_instance.c - who a stock agent is: an instance id that its access key may use
 *
 * Theory of operation: a stock agent proves itself by the signature of each call, and the key's glob
 * says which instance ids it may be. The first call for an unknown id enrols it, at once or pending,
 * as --enrol says. An id whose host runs ssm-tun-agent is never taken over, nor the other way round
 * (gw_register). What UpdateInstanceInformation tells is kept in the host's platform and network.
 */
#include "gateway/gw_instance.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "gateway/gw_envelope.h"
#include "proto/ssm_chan.h"

#define ORG "amazon-ssm-agent" /* ours: these agents know no org_id */
#define SEEN_S 60 /* ours: last_seen is written so often at most; each write is an fsync */

bool gwi_may(const struct gw_key_rec *key, const char *id)
{
	return key->kind == GW_KEY_AGENT && fnmatch(key->targets, id, 0) == 0;
}

static int enrol(struct gw *gw, const struct gw_key_rec *key, const char *id,
		 struct gw_agent_rec *rec)
{
	struct gw_agent_tokens nobodys = { 0 };
	uint8_t raw[CODEC_UUID_LEN];
	int r = gw_store_agent_count(gw->store, GW_AGENT_STOCK);

	if (r < 0)
		return r;
	if ((uint32_t)r >= GWI_INSTANCES_MAX)
		return ST_EFULL;
	*rec = (struct gw_agent_rec){
		.kind = GW_AGENT_STOCK,
		.org_id = ORG,
		.platform = "{}",
		.network = "{}",
		.approved = !gwr_must_approve(gw->reg),
		.max_payload = SSM_CHUNK,
		.created = gw_unix_s(),
		.last_seen = gw_unix_s(),
	};
	codec_uuid4(raw);
	codec_uuid_str(rec->uid, raw);
	text_copy(rec->host_id, sizeof(rec->host_id), id);
	/* Tokens of ssm-tun-agent: hashes of what nobody knows. */
	codec_random(raw, sizeof(raw));
	codec_b64url_encode(nobodys.bootstrap, raw, sizeof(raw));
	codec_random(raw, sizeof(raw));
	codec_b64url_encode(nobodys.session, raw, sizeof(raw));
	r = gw_store_agent_put(gw->store, rec, &nobodys, key->name);
	codec_wipe(&nobodys, sizeof(nobodys));
	if (r == 0)
		log_info("instance %s: enrolled by key %s%s", id, key->name,
			 rec->approved ? "" : ", waits for approval");
	return r;
}

int gwi_seen(struct gw *gw, const struct gw_key_rec *key, const char *id, struct gw_agent_rec *rec)
{
	int r;

	if (!gwr_name_ok(id))
		return ST_EINVAL;
	if (!gwi_may(key, id))
		return ST_EPERM;
	if ((r = gw_store_agent_by_host(gw->store, id, rec)) == ST_ENOENT)
		return enrol(gw, key, id, rec);
	return r < 0 ? r : rec->kind == GW_AGENT_STOCK ? 0 : ST_EPERM;
}

/* ---- what it tells ---- */

static const char *const platform_members[] = { "PlatformType", "PlatformName", "PlatformVersion" };
static const char *const network_members[] = { "IPAddress", "ComputerName" };

/* The members of @in that are named, in place of those of the JSON text @text. Return: was anything new? */
static bool members_take(char text[GW_JSON_MAX], const json_t *in, const char *const *names,
			 size_t n)
{
	json_t *had = json_loads(text, 0, NULL), *now;
	bool changed = false;
	size_t len;

	now = json_is_object(had) ? json_copy(had) : json_object();
	for (size_t i = 0; i < n; i++) {
		const char *v = json_str(in, names[i]);

		if (v && *v)
			json_object_set_new(now, names[i], json_string(text_safe(v).s));
	}
	if (!json_equal(had, now)) {
		len = json_dumpb(now, text, GW_JSON_MAX - 1, JSON_COMPACT);
		changed = len > 0 && len < GW_JSON_MAX; /* three short texts always fit */
		text[changed ? len : 0] = '\0';
	}
	json_decref(had);
	json_decref(now);
	return changed;
}

int gwi_update(struct gw *gw, struct gw_agent_rec *rec, const json_t *in)
{
	const char *version = json_str(in, "AgentVersion");
	char shown[sizeof(rec->version)];
	bool changed;

	text_copy(shown, sizeof(shown), version ? text_safe(version).s : rec->version);
	changed = strcmp(shown, rec->version) != 0;
	text_copy(rec->version, sizeof(rec->version), shown);
	changed |= members_take(rec->platform, in, platform_members, ARRAY_LEN(platform_members));
	changed |= members_take(rec->network, in, network_members, ARRAY_LEN(network_members));
	if (!changed && gw_unix_s() - rec->last_seen < SEEN_S)
		return 0;
	rec->last_seen = gw_unix_s();
	return gw_store_agent_info(gw->store, rec);
}

char *gwi_text(const struct gw_agent_rec *rec, const char *member, const char *fallback)
{
	const char *const texts[] = { rec->platform, rec->network };
	char *found = NULL;

	for (size_t i = 0; i < ARRAY_LEN(texts) && rec->kind == GW_AGENT_STOCK && !found; i++) {
		json_t *o = json_loads(texts[i], 0, NULL);
		const char *v = json_str(o, member);

		found = v ? strdup(v) : NULL;
		json_decref(o);
	}
	return found ? found : strdup(fallback);
}

const char *gwi_platform_type(const struct gw_agent_rec *rec)
{
	static const char *const types[] = { "Linux", "Windows", "MacOS" };
	char *v = gwi_text(rec, "PlatformType", types[0]);
	const char *found = types[0];

	for (size_t i = 0; v && i < ARRAY_LEN(types); i++)
		if (strcmp(v, types[i]) == 0)
			found = types[i];
	free(v);
	return found;
}
