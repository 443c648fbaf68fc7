// SPDX-License-Identifier: MIT
/* tnl_target.c - see tnl_target.h */
#include "tunnel/tnl_target.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "tunnel/tnl_internal.h"

int tnl_target_init(struct tnl_target *t, struct tnl_upstream *u, const char *text)
{
	*t = (struct tnl_target){ .u = u, .text = text };
	list_init(&t->waits);
	return aws_target_parse(&t->target, text);
}

void tnl_target_fini(struct tnl_target *t)
{
	if (t->u != NULL)
		aws_target_find_cancel(&t->look);
}

bool tnl_target_now(struct tnl_target *t, struct tnl_found *out)
{
	if (aws_target_is_found(&t->target)) {
		text_copy(out->id, sizeof(out->id), t->target.text);
		text_copy(out->region, sizeof(out->region), t->target.region);
		return true;
	}
	if (loop_now_ms(t->u->loop) >= t->until_ms)
		return false;
	*out = t->found;
	return true;
}

void tnl_target_forget(struct tnl_target *t)
{
	t->until_ms = 0;
}

void tnl_target_label(char out[TNL_LABEL_MAX], const struct tnl_target *t,
		      const struct tnl_found *found)
{
	const struct text_safe text = text_safe(t->text);

	if (found == NULL || strcmp(found->id, t->text) == 0)
		snprintf(out, TNL_LABEL_MAX, "%.250s", text.s);
	else
		snprintf(out, TNL_LABEL_MAX, "%.200s (%.40s)", text.s, text_safe(found->id).s);
}

/* Those who came while the answer was given are asked for anew. */
static void tell_all(struct tnl_target *t, const struct tnl_fault *f)
{
	struct list told;
	struct list_node *n;

	list_init(&told);
	list_splice_back(&told, &t->waits);
	while ((n = list_pop_front(&told)) != NULL) {
		struct tnl_target_wait *w = container_of(n, struct tnl_target_wait, node);

		w->done(w->arg, f);
	}
}

static void not_found(struct tnl_target *t, const struct aws_error *e)
{
	char text[TNL_TEXT_MAX];
	const struct tnl_fault f = {
		.err = e->err,
		.person = e->person,
		/* ST_ECLOSED: it is stopped; ST_EINVAL: several are meant. Who starts us wants to know now. */
		.for_good = !e->person && !e->retryable,
		.text = text,
	};

	aws_error_line(text, sizeof(text), t->u->o.name, e);
	tell_all(t, &f);
}

static void on_found(void *arg, const struct aws_error *e, const struct aws_found *found)
{
	struct tnl_target *t = arg;

	if (e != NULL) {
		not_found(t, e);
		return;
	}
	text_copy(t->found.id, sizeof(t->found.id), found->id);
	text_copy(t->found.region, sizeof(t->found.region), found->region);
	t->until_ms = loop_now_ms(t->u->loop) + TNL_FOUND_MS;
	log_debug("%s: %s is %s (%s) in %s", t->u->o.name, text_safe(t->text).s,
		  text_safe(found->id).s, text_safe(found->name).s, text_safe(found->zone).s);
	tell_all(t, NULL);
}

void tnl_target_wait_init(struct tnl_target_wait *w, struct tnl_target *t,
			  void (*done)(void *arg, const struct tnl_fault *f), void *arg)
{
	*w = (struct tnl_target_wait){ .t = t, .done = done, .arg = arg };
	list_node_init(&w->node);
}

int tnl_target_find(struct tnl_target_wait *w)
{
	struct tnl_target *t = w->t;
	int r = 0;

	if (list_empty(&t->waits))
		r = aws_target_find(&t->look, t->u->o.account, &t->target, on_found, t);
	if (r == 0)
		list_push_back(&t->waits, &w->node);
	return r;
}

void tnl_target_cancel(struct tnl_target_wait *w)
{
	if (!list_linked(&w->node))
		return;
	list_del(&w->node);
	if (list_empty(&w->t->waits))
		aws_target_find_cancel(&w->t->look);
}
