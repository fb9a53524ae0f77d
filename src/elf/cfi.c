#include "elf/cfi.h"
#include <string.h>
#if defined(__x86_64__)
#include "arch/x86_64/regs.h"
#endif

/* DWARF 5, 6.4.2, and the LSB's pointer encodings */
enum {
	CFA_NOP = 0,
	CFA_SET_LOC,
	CFA_ADVANCE_LOC1,
	CFA_ADVANCE_LOC2,
	CFA_ADVANCE_LOC4,
	CFA_OFFSET_EXTENDED,
	CFA_RESTORE_EXTENDED,
	CFA_UNDEFINED,
	CFA_SAME_VALUE,
	CFA_REGISTER,
	CFA_REMEMBER_STATE,
	CFA_RESTORE_STATE,
	CFA_DEF_CFA,
	CFA_DEF_CFA_REGISTER,
	CFA_DEF_CFA_OFFSET,
	CFA_DEF_CFA_EXPRESSION,
	CFA_EXPRESSION,
	CFA_OFFSET_EXTENDED_SF,
	CFA_DEF_CFA_SF,
	CFA_DEF_CFA_OFFSET_SF,
	CFA_VAL_OFFSET,
	CFA_VAL_OFFSET_SF,
	CFA_VAL_EXPRESSION,
	CFA_GNU_ARGS_SIZE = 0x2e,
	CFA_ADVANCE_LOC = 0x40,
	CFA_OFFSET = 0x80,
	CFA_RESTORE = 0xc0,
	OP_DEREF = 0x06,
	OP_BREG0 = 0x70,
	PE_PCREL = 0x10,
	PE_APPLICATION = 0x70,
};

struct reader {
	const uint8_t *p, *end; /* beyond the end there are zeros */
};

static uint8_t byte(struct reader *r)
{
	return r->p < r->end ? *r->p++ : 0;
}

static uint64_t fixed(struct reader *r, unsigned n)
{
	uint64_t v = 0;
	for (unsigned i = 0; i < n; i++)
		v |= (uint64_t)byte(r) << 8 * i;
	return v;
}

static uint64_t leb(struct reader *r, bool is_signed)
{
	uint64_t v = 0;
	unsigned shift = 0;
	uint8_t b;
	do {
		b = byte(r);
		if (shift < 64)
			v |= (uint64_t)(b & 0x7f) << shift;
		shift += 7;
	} while (b & 0x80);
	if (is_signed && shift < 64 && b & 0x40)
		v |= ~0ull << shift;
	return v;
}

static uint64_t uleb(struct reader *r)
{
	return leb(r, false);
}

static int64_t sleb(struct reader *r)
{
	return (int64_t)leb(r, true);
}

static void skip(struct reader *r, uint64_t n)
{
	r->p = n < (size_t)(r->end - r->p) ? r->p + n : r->end;
}

/* A pointer, absolute or relative to its own place; other kinds do not occur in FDEs. */
static bool pointer(struct reader *r, uint8_t encoding, uint64_t *v)
{
	uintptr_t at = (uintptr_t)r->p;
	switch (encoding & 0x0f) {
	case 0x00:
	case 0x04:
	case 0x0c:
		*v = fixed(r, 8);
		break;
	case 0x03:
		*v = fixed(r, 4);
		break;
	case 0x0b:
		*v = (uint64_t)(int32_t)fixed(r, 4);
		break;
	default:
		return false;
	}
	if ((encoding & PE_APPLICATION) == PE_PCREL)
		*v += at;
	return (encoding & PE_APPLICATION) <= PE_PCREL && !(encoding & 0x80);
}

/* The length that a record begins with; its end. False: one of more than 4 GiB, or none. */
static bool record(struct reader *r, uintptr_t at)
{
	uint32_t length;
	memcpy(&length, (const void *)at, 4);
	r->p = (const uint8_t *)at + 4;
	r->end = r->p + length;
	return length > 4 && length < 0xfffffff0u;
}

struct cie {
	struct reader program;
	uint64_t code_align;
	int64_t data_align;
	uint8_t fde_encoding;
	bool augmented, is_signal;
};

static bool read_cie(struct cie *c, uintptr_t at)
{
	struct reader r;
	memset(c, 0, sizeof *c);
	if (!record(&r, at) || fixed(&r, 4) != 0)
		return false;
	uint8_t version = byte(&r);
	if (version != 1 && version != 3)
		return false;
	const char *augmentation = (const char *)r.p;
	skip(&r, strnlen(augmentation, (size_t)(r.end - r.p)) + 1);
	c->code_align = uleb(&r);
	c->data_align = sleb(&r);
	if ((version == 1 ? byte(&r) : uleb(&r)) != GRT_REG_PC)
		return false;
	if (*augmentation == 'z') {
		uint64_t length = uleb(&r), ignored;
		struct reader a = r;
		skip(&r, length);
		c->augmented = true;
		for (const char *s = augmentation + 1; *s; s++) {
			if (*s == 'R')
				c->fde_encoding = byte(&a);
			else if (*s == 'L')
				byte(&a);
			else if (*s == 'P')
				pointer(&a, byte(&a) & 0x0f, &ignored);
			else if (*s == 'S')
				c->is_signal = true;
			else
				break;
		}
	} else if (*augmentation) {
		return false;
	}
	c->program = r;
	return true;
}

/* ---- rows ---- */

enum { FP, BX, RA, FOLLOWED, NOT_FOLLOWED = FOLLOWED };
enum how { SAME, AT_CFA, AT_FP, UNDEFINED, UNKNOWN };

struct rules {
	uint8_t base, deref;
	uint8_t how[FOLLOWED + 1];
	int64_t cfa, at[FOLLOWED + 1];
};

static unsigned followed(uint64_t reg)
{
	return reg == GRT_REG_FP ? FP : reg == GRT_REG_RBX ? BX : reg == GRT_REG_PC ? RA : NOT_FOLLOWED;
}

static uint8_t base_of(uint64_t reg)
{
	return reg == GRT_REG_SP    ? GRT_CFI_SP
	       : reg == GRT_REG_FP  ? GRT_CFI_FP
	       : reg == GRT_REG_RBX ? GRT_CFI_BX
	                            : GRT_CFI_NO_BASE;
}

static void set(struct rules *s, uint64_t reg, enum how how, int64_t at)
{
	s->how[followed(reg)] = (uint8_t)how;
	s->at[followed(reg)] = at;
}

/* "register + offset", perhaps what is stored there. */
static uint8_t expression(struct reader *r, int64_t *offset, bool *deref)
{
	uint64_t length = uleb(r);
	struct reader e = *r;
	skip(r, length);
	e.end = r->p;
	uint8_t op = byte(&e);
	*offset = sleb(&e);
	*deref = e.p < e.end && byte(&e) == OP_DEREF;
	return e.p == e.end && op >= OP_BREG0 && op < OP_BREG0 + 32 ? base_of(op - OP_BREG0) : GRT_CFI_NO_BASE;
}

static void set_by_expression(struct rules *s, struct reader *r)
{
	uint64_t reg = uleb(r);
	int64_t offset;
	bool deref;
	uint8_t base = expression(r, &offset, &deref);
	set(s, reg, base == GRT_CFI_FP && !deref ? AT_FP : UNKNOWN, offset);
}

enum { DEPTH = 6 };

struct machine {
	const struct cie *cie;
	struct rules now, first, stack[DEPTH];
	unsigned depth;
	uint64_t loc;
};

static void define_cfa(struct rules *s, uint64_t reg, int64_t offset)
{
	s->base = base_of(reg);
	s->deref = 0;
	s->cfa = offset;
}

/* What moves the location, remembers, or tells where the CFA is. False: no such thing. */
static bool step_row(struct machine *m, struct reader *r, uint8_t op)
{
	struct rules *s = &m->now;
	bool deref;
	uint64_t reg;
	switch (op) {
	case CFA_NOP:
		return true;
	case CFA_ADVANCE_LOC1:
	case CFA_ADVANCE_LOC2:
	case CFA_ADVANCE_LOC4:
		m->loc += fixed(r, 1u << (op - CFA_ADVANCE_LOC1)) * m->cie->code_align;
		return true;
	case CFA_SET_LOC:
		return pointer(r, m->cie->fde_encoding, &m->loc);
	case CFA_REMEMBER_STATE:
		if (m->depth == DEPTH)
			return false;
		m->stack[m->depth++] = *s;
		return true;
	case CFA_RESTORE_STATE:
		if (!m->depth)
			return false;
		*s = m->stack[--m->depth];
		return true;
	case CFA_DEF_CFA:
		reg = uleb(r);
		define_cfa(s, reg, (int64_t)uleb(r));
		return true;
	case CFA_DEF_CFA_SF:
		reg = uleb(r);
		define_cfa(s, reg, sleb(r) * m->cie->data_align);
		return true;
	case CFA_DEF_CFA_REGISTER:
		define_cfa(s, uleb(r), s->cfa);
		return true;
	case CFA_DEF_CFA_OFFSET:
		s->cfa = (int64_t)uleb(r);
		return true;
	case CFA_DEF_CFA_OFFSET_SF:
		s->cfa = sleb(r) * m->cie->data_align;
		return true;
	case CFA_DEF_CFA_EXPRESSION:
		s->base = expression(r, &s->cfa, &deref);
		s->deref = deref;
		return true;
	case CFA_GNU_ARGS_SIZE:
		uleb(r);
		return true;
	default:
		return false;
	}
}

/* What tells where a register is. False: unknown. */
static bool step_register(struct machine *m, struct reader *r, uint8_t op)
{
	struct rules *s = &m->now;
	uint64_t reg;
	switch (op) {
	case CFA_OFFSET_EXTENDED:
		reg = uleb(r);
		set(s, reg, AT_CFA, (int64_t)uleb(r) * m->cie->data_align);
		return true;
	case CFA_OFFSET_EXTENDED_SF:
		reg = uleb(r);
		set(s, reg, AT_CFA, sleb(r) * m->cie->data_align);
		return true;
	case CFA_RESTORE_EXTENDED:
		reg = uleb(r);
		set(s, reg, m->first.how[followed(reg)], m->first.at[followed(reg)]);
		return true;
	case CFA_UNDEFINED:
		set(s, uleb(r), UNDEFINED, 0);
		return true;
	case CFA_SAME_VALUE:
		set(s, uleb(r), SAME, 0);
		return true;
	case CFA_EXPRESSION:
		set_by_expression(s, r);
		return true;
	case CFA_REGISTER:
	case CFA_VAL_OFFSET:
	case CFA_VAL_OFFSET_SF:
		set(s, uleb(r), UNKNOWN, 0);
		uleb(r);
		return true;
	case CFA_VAL_EXPRESSION:
		set(s, uleb(r), UNKNOWN, 0);
		skip(r, uleb(r));
		return true;
	default:
		return false;
	}
}

static bool run(struct machine *m, struct reader r, uint64_t pc)
{
	while (r.p < r.end && m->loc <= pc) {
		uint8_t op = byte(&r), low = op & 0x3f;
		switch (op & 0xc0) {
		case CFA_ADVANCE_LOC:
			m->loc += low * m->cie->code_align;
			break;
		case CFA_OFFSET:
			set(&m->now, low, AT_CFA, (int64_t)uleb(&r) * m->cie->data_align);
			break;
		case CFA_RESTORE:
			set(&m->now, low, m->first.how[followed(low)], m->first.at[followed(low)]);
			break;
		default:
			if (!step_row(m, &r, op) && !step_register(m, &r, op))
				return false;
		}
	}
	return true;
}

static uint8_t flags_of(const struct rules *s, unsigned reg, uint8_t saved, uint8_t by_fp)
{
	return s->how[reg] == AT_CFA ? saved : s->how[reg] == AT_FP ? by_fp : 0;
}

static struct grt_cfi row_of(const struct rules *s)
{
	struct grt_cfi row = {.flags = GRT_CFI_NONE};
	if (s->how[RA] == UNDEFINED) {
		row.flags = GRT_CFI_BOTTOM;
		return row;
	}
	if (s->base == GRT_CFI_NO_BASE || s->how[RA] != AT_CFA || s->at[RA] != -8 || s->cfa != (int32_t)s->cfa)
		return row;
	row.base = s->base;
	row.cfa = (int32_t)s->cfa;
	row.fp = (int32_t)s->at[FP];
	row.bx = (int32_t)s->at[BX];
	row.flags = (uint8_t)((s->deref ? GRT_CFI_DEREF : 0) | flags_of(s, FP, GRT_CFI_FP_SAVED, GRT_CFI_FP_BY_FP) |
	                      flags_of(s, BX, GRT_CFI_BX_SAVED, GRT_CFI_BX_BY_FP));
	return row;
}

/* ---- the table ---- */

static int32_t word(const uint8_t *p)
{
	int32_t v;
	memcpy(&v, p, sizeof v);
	return v;
}

/* The last FDE that begins at or before pc; 0: none. The header is of the kind that module.c knows. */
static uintptr_t find_fde(uintptr_t hdr, uintptr_t pc)
{
	const uint8_t *h = (const uint8_t *)hdr;
	if (!hdr || h[0] != 1 || h[2] != 0x03 || h[3] != 0x3b)
		return 0;
	size_t pointer = (h[1] & 0x0f) == 0x0c || (h[1] & 0x0f) == 0x04 || h[1] == 0 ? 8 : 4;
	const uint8_t *table = h + 8 + pointer;
	size_t lo = 0, hi = (uint32_t)word(table - 4);
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		if (hdr + (uintptr_t)(intptr_t)word(table + 8 * mid) <= pc)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo ? hdr + (uintptr_t)(intptr_t)word(table + 8 * (lo - 1) + 4) : 0;
}

struct grt_cfi grt__cfi_find(uintptr_t eh_hdr, uintptr_t pc)
{
	struct grt_cfi none = {.flags = GRT_CFI_NONE}, signal = {.flags = GRT_CFI_SIGNAL};
	uintptr_t fde = find_fde(eh_hdr, pc);
	struct reader r;
	struct cie cie;
	uint64_t begin, length;
	if (!fde || !record(&r, fde))
		return none;
	uintptr_t at = (uintptr_t)r.p;
	if (!read_cie(&cie, at - (uintptr_t)fixed(&r, 4)) || !pointer(&r, cie.fde_encoding, &begin) ||
	    !pointer(&r, cie.fde_encoding & 0x0f, &length) || pc - begin >= length)
		return none;
	if (cie.is_signal)
		return signal;
	if (cie.augmented)
		skip(&r, uleb(&r));
	struct machine m = {.cie = &cie, .loc = begin};
	if (!run(&m, cie.program, UINT64_MAX))
		return none;
	m.first = m.now;
	m.loc = begin;
	return run(&m, r, pc) ? row_of(&m.now) : none;
}
