/*
 * Contexts of grt.h: Go's package context.
 *
 * One lock for the shape of all trees; it is held for a few instructions a node. Who ends a context collects it and all below it that have not
 * ended yet, marked and taken out of the tree, under the lock, and closes their channels after it. `busy` keeps one that is being closed from
 * being freed. A deadline is a timer whose firing does just that: closing a channel does not park.
 */
#include "api/boot.h"
#include "api/timer_api.h"
#include "grt.h"
#include "os/os.h"
#include <errno.h>
#include <stdlib.h>

struct grt_context {
	struct grt_context *parent;                 /* tree lock */
	struct grt_context *children, *next, *prev; /* tree lock */
	struct grt_context *ending;                 /* whoever ends it */
	struct grt_chan *done;                      /* own; NULL: it ends with its parent only, or never */
	int err;                                    /* atomic: written under the tree lock */
	uint32_t busy;                              /* atomic */
	uint32_t epoch;                             /* grt__chan_epoch when it was made: a fork since has lost its timer */
	int64_t deadline;
	struct grt_timer timer;
	const void *key;
	void *value;
};

static struct grt_lock tree = GRT_LOCK_INIT(GRT_RANK_USER);
static struct grt_context background = {.deadline = GRT_FOREVER};

static inline void enter(void)
{
	if (grt_likely(grt__self.g != NULL))
		grt__enter();
	grt_lock(&tree);
}

static inline void leave(void)
{
	grt_unlock(&tree);
	if (grt_likely(grt__self.g != NULL))
		grt__leave();
}

static void unlink_locked(struct grt_context *c)
{
	if (!c->parent)
		return;
	*(c->prev ? &c->prev->next : &c->parent->children) = c->next;
	if (c->next)
		c->next->prev = c->prev;
	c->prev = c->next = NULL;
}

/* c and what is below, those that have not ended, as a list; each is marked. Values stay reachable: parent is kept. */
static struct grt_context *end_locked(struct grt_context *c, int err)
{
	struct grt_context *list = NULL, **end = &list, *at = c;
	if (c->err)
		return NULL;
	for (;;) { /* in the order of a walk, without a stack: down, else along, else up */
		if (!at->err) {
			grt_store_release(&at->err, err);
			grt_add_relaxed(&at->busy, 1);
			at->ending = NULL;
			*end = at;
			end = &at->ending;
		}
		if (at->children) {
			at = at->children;
			continue;
		}
		while (at != c && !at->next)
			at = at->parent;
		if (at == c)
			return list;
		at = at->next;
	}
}

static void close_all(struct grt_context *list)
{
	struct grt_context *c;
	while ((c = list)) {
		list = c->ending;
		if (c->done)
			grt__chan_close(c->done);
		grt_add_seqcst(&c->busy, -1); /* it may be gone after this */
	}
}

static void end(struct grt_context *c, int err)
{
	enter();
	struct grt_context *list = end_locked(c, err);
	leave();
	close_all(list);
}

static void fire(struct grt_timer *t)
{
	end(grt_container_of(t, struct grt_context, timer), ETIMEDOUT);
}

static struct grt_context *make(struct grt_context *parent, int64_t deadline, bool ends)
{
	if (!parent)
		parent = &background;
	grt__boot();
	struct grt_context *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	if (ends && !(c->done = grt_chan_make(0, 0))) {
		free(c);
		return NULL;
	}
	c->epoch = grt__chan_epoch;
	c->deadline = deadline < parent->deadline ? deadline : parent->deadline;
	enter();
	c->parent = parent;
	c->next = parent->children;
	if (c->next)
		c->next->prev = c;
	parent->children = c;
	int err = parent->err;
	struct grt_context *list = err ? end_locked(c, err) : NULL;
	leave();
	close_all(list);
	if (!err && deadline < parent->deadline) {
		if (deadline <= grt__nanotime())
			end(c, ETIMEDOUT);
		else
			grt__timer_start_any(&c->timer, deadline, fire);
	}
	return c;
}

GRT_EXPORT grt_context *grt_context_background(void)
{
	return &background;
}

GRT_EXPORT grt_context *grt_context_with_cancel(grt_context *parent)
{
	return make(parent, GRT_FOREVER, true);
}

GRT_EXPORT grt_context *grt_context_with_deadline(grt_context *parent, int64_t deadline)
{
	return make(parent, deadline, true);
}

GRT_EXPORT grt_context *grt_context_with_timeout(grt_context *parent, int64_t timeout)
{
	int64_t deadline = grt__api_deadline(timeout);
	return make(parent, deadline == INT64_MIN ? grt__nanotime() : deadline, true);
}

GRT_EXPORT grt_context *grt_context_with_value(grt_context *parent, const void *key, void *value)
{
	struct grt_context *c = make(parent, GRT_FOREVER, false);
	if (c) {
		c->key = key;
		c->value = value;
	}
	return c;
}

GRT_EXPORT void grt_context_cancel(grt_context *ctx)
{
	if (ctx && ctx != &background)
		end(ctx, ECANCELED);
}

GRT_EXPORT grt_chan *grt_context_done(grt_context *ctx)
{
	grt_chan *done = NULL;
	enter();
	for (; ctx && !done; ctx = ctx->parent)
		done = ctx->done;
	leave();
	return done;
}

GRT_EXPORT int grt_context_err(grt_context *ctx)
{
	return ctx ? grt_load_acquire(&ctx->err) : 0;
}

GRT_EXPORT bool grt_context_deadline(grt_context *ctx, int64_t *deadline)
{
	if (!ctx || ctx->deadline == GRT_FOREVER)
		return false;
	*deadline = ctx->deadline;
	return true;
}

GRT_EXPORT void *grt_context_value(grt_context *ctx, const void *key)
{
	void *value = NULL;
	enter();
	for (; ctx && !value; ctx = ctx->parent)
		if (ctx->key == key && key)
			value = ctx->value;
	leave();
	return value;
}

GRT_EXPORT void grt_context_free(grt_context *ctx)
{
	if (!ctx || ctx == &background)
		return;
	if (ctx->epoch == grt__chan_epoch)
		grt__timer_stop(&ctx->timer);
	end(ctx, ECANCELED);
	enter();
	unlink_locked(ctx);
	struct grt_context *child = ctx->children, *next;
	for (; child; child = next) {
		next = child->next;
		child->parent = child->next = child->prev = NULL;
	}
	leave();
	for (unsigned i = 0; grt_load_acquire(&ctx->busy); i++)
		grt__os_pause(i);
	grt_chan_free(ctx->done);
	free(ctx);
}

void grt__context_fork_child(void)
{
	grt_lock_init(&tree, GRT_RANK_USER);
}
