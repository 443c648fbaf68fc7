// SPDX-License-Identifier: MIT
/*
 * tnl_resume.h - when a session whose wire is down asks for it again, and when it gives up
 *
 * Only arithmetic: the owner passes times, holds the timer and does the asking. Times are ms of one clock that runs on through
 * a suspend.
 */
#ifndef TUNNEL_TNL_RESUME_H
#define TUNNEL_TNL_RESUME_H

#include <stdbool.h>
#include <stdint.h>

#define TNL_RESUME_FIRST_MS 150U /* the second try; doubled from then on; ssm-protocol, 2.5 */
/* The longest step is a quarter of the time that the wire has been down, within these two (ours): nobody waits much longer than
 * the absence lasted, and a service that is away for long is asked three times a minute. */
#define TNL_RESUME_STEP_MIN_MS 2500U
#define TNL_RESUME_STEP_MAX_MS 20000U /* with its jitter 10 to 30 s */
/* Above what one try and the pause before it can last (40 s of ResumeSession, 6 s of names, 16 s of WebSocket, 30 s of pause);
 * time between two failures beyond it is a suspend, or a person who types a code, and does not count */
#define TNL_RESUME_GAP_MAX_MS 120000U
#define TNL_RESUME_HURRY_MS                                                                        \
	1000U /* ours: a change of the network brings the next try no nearer to the last one */
#define TNL_RESUME_BRIEF_MS 1000U /* ours: a wire that spoke and stood for so long was a good one */
#define TNL_RESUME_MOVED                                                                           \
	262144U /* bytes (ours): and so was one that brought so many to their ends, however soon it was cut */
#define TNL_RESUME_STEADY_MS                                                                       \
	10000U /* ours: one that stood for so long was, though nothing was said */
#define TNL_RESUME_NEVER UINT64_MAX

/* Zeroed: the wire is up, and a good one. A service that takes the open message and closes answers nothing, one that closes for what
 * we send again answers something first: such a wire is one more failure, so the steps go on, up to the limit, until one stands or
 * carries something. */
struct tnl_resume {
	uint64_t since_ms; /* when the wire was lost; 0: it is up */
	uint64_t up_ms;	   /* when it came up last */
	bool heard;	   /* something came since then */
	uint64_t first_bytes,
		last_bytes; /* of tnl_resume_heard(), the first and the last since then */
	uint64_t failed_ms; /* the last failure, or the last time that a person was waited for */
	uint64_t spent_ms;  /* of trying, without suspends and without waiting for a person */
	uint32_t tries;	    /* failures since a good wire, or since the network changed */
};

static inline bool tnl_resume_is_down(const struct tnl_resume *r)
{
	return r->since_ms != 0;
}

/**
 * tnl_resume_failed() - the wire was lost, or one more try failed
 * @limit_ms: how long it is tried; @random: for the jitter of half a step each way
 * Return: ms until the next try, 0 the first time; TNL_RESUME_NEVER: @limit_ms of trying are over
 */
uint64_t tnl_resume_failed(struct tnl_resume *r, uint64_t now_ms, uint64_t limit_ms,
			   uint32_t random);
/** tnl_resume_up() - there is a new wire. Return: ms that there was none */
uint64_t tnl_resume_up(struct tnl_resume *r, uint64_t now_ms);
/** tnl_resume_heard() - the wire is up and something came: once it has stood for TNL_RESUME_BRIEF_MS too, or moved
 * TNL_RESUME_MOVED, what was before is forgotten
 * @bytes: of the session so far, both ways, that are known to have arrived; never falls but by what is under way */
void tnl_resume_heard(struct tnl_resume *r, uint64_t bytes);
/** tnl_resume_waits() - the try ended because a person must act first: this time does not count */
void tnl_resume_waits(struct tnl_resume *r, uint64_t now_ms);
/** tnl_resume_hurry() - the network has changed. Return: when the next try is due at the latest; the steps are short again */
uint64_t tnl_resume_hurry(struct tnl_resume *r, uint64_t now_ms);

#endif
