// SPDX-License-Identifier: MIT
/*
 * tnl_wire.h - the way to the service: the target found, StartSession or ResumeSession, the name looked up, the WebSocket, the open message
 *
 * A wire may go down and be started again: the session (its id and its stream URL) stays. Events come from the loop, never
 * from inside a call but tnl_wire_distrust().
 */
#ifndef TUNNEL_TNL_WIRE_H
#define TUNNEL_TNL_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tunnel/tnl_internal.h"

struct tnl_wire;

struct tnl_wire_events {
	/* the open message is queued. @max_payload: announced by our own gateway, else 0 */
	void (*up)(void *arg, uint32_t max_payload);
	void (*message)(void *arg, const uint8_t *p, size_t len); /* borrowed until return */
	void (*writable)(void *arg);				  /* tnl_wire_room() again */
	/* could not come up, or is down again; after tnl_wire_close(): all was sent (@f NULL) */
	void (*down)(void *arg, const struct tnl_fault *f);
};

/** tnl_wire_new() - @u and @target are borrowed for life. Return: 0; ST_ENOMEM */
int tnl_wire_new(struct tnl_wire **out, struct tnl_upstream *u, struct tnl_target *target,
		 const struct tnl_wire_events *events, void *arg);
void tnl_wire_free(struct tnl_wire *w); /* no event follows; NULL is fine */

/** tnl_wire_start() - only while down: StartSession the first time, ResumeSession from then on; up() or down() follows */
void tnl_wire_start(struct tnl_wire *w);
/** tnl_wire_room() - may a message be sent now? If not, writable() follows */
bool tnl_wire_room(const struct tnl_wire *w);
/** tnl_wire_send() - one binary message, copied. Return as ws_send() */
int tnl_wire_send(struct tnl_wire *w, const uint8_t *p, size_t len);
/** tnl_wire_close() - send what is queued and close; down() follows, also if it was down */
void tnl_wire_close(struct tnl_wire *w);

/** tnl_wire_distrust() - this machine slept, so the path may be dead without knowing. If the wire is up it is dropped and down()
 * comes, from inside this call; else nothing happens */
void tnl_wire_distrust(struct tnl_wire *w);
/** tnl_wire_probe() - the network has changed: if the wire is up and nothing is heard on it within TNL_PROBE_MS, down() follows */
void tnl_wire_probe(struct tnl_wire *w);

/** tnl_wire_found() - what the target was found to be; good from the first up() on */
const struct tnl_found *tnl_wire_found(const struct tnl_wire *w);
/** tnl_wire_label() - the target's name for people, with the instance once it is known; made safe */
const char *tnl_wire_label(const struct tnl_wire *w);
const char *tnl_wire_state_name(const struct tnl_wire *w);
const char *
tnl_wire_session_id(const struct tnl_wire *w); /* "" before StartSession answered; foreign text */

#endif
