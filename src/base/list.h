/*
 * Intrusive doubly linked circular list. A head and an unlinked node point to themselves, so unlinking twice is safe.
 */
#ifndef GRT_BASE_LIST_H
#define GRT_BASE_LIST_H

#include "base/compiler.h"

struct grt_list {
	struct grt_list *next, *prev;
};

static inline void grt_list_init(struct grt_list *l)
{
	l->next = l->prev = l;
}

static inline bool grt_list_empty(const struct grt_list *l)
{
	return l->next == l;
}

static inline void grt_list_push_tail(struct grt_list *head, struct grt_list *node)
{
	node->prev = head->prev;
	node->next = head;
	head->prev->next = node;
	head->prev = node;
}

static inline void grt_list_unlink(struct grt_list *node)
{
	node->prev->next = node->next;
	node->next->prev = node->prev;
	grt_list_init(node);
}

#define grt_list_for(pos, head) for (struct grt_list *pos = (head)->next; pos != (head); pos = pos->next)
#define grt_list_for_safe(pos, tmp, head)                                                                              \
	for (struct grt_list *pos = (head)->next, *tmp = pos->next; pos != (head); pos = tmp, tmp = pos->next)

#endif
