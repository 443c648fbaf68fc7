// SPDX-License-Identifier: MIT
/*
 * dns_fake.h - the map of names and fake addresses, kept over restarts
 *
 * A name has one index, 0 to DNS_FAKES_MAX - 1, and by it an address of each family. It keeps it until the map is full and the name is the
 * least recently used one to whose address no flow goes.
 */
#ifndef DNS_DNS_FAKE_H
#define DNS_DNS_FAKE_H

#include "dns/dns_internal.h"

struct dns_fakes;

/** dns_fakes_new() - reads the map of @opts->map_path; one of another range, or too large, is told, renamed to PATH.old and begun anew, damaged lines are
 * left out and told once; one that may not be read is told and then not kept. Return: 0; ST_ENOMEM */
int dns_fakes_new(struct dns_fakes **out, const struct dns_opts *opts);
void dns_fakes_free(struct dns_fakes *f); /* writes the map if it has changed; NULL is fine */

/** dns_fakes_get() - the index of @name, a new one if it has none, which then stands in the file before this returns; marks it as used
 * @name: a plain host name of at most DNS_NAME_MAX - 1 bytes. Return: the index; ST_EFULL: all are in use; ST_ENOMEM */
int dns_fakes_get(struct dns_fakes *f, const char *name);
/** dns_fakes_find() - the index of @name. Return: ST_ENOENT: it has none */
int dns_fakes_find(const struct dns_fakes *f, const char *name);
/** dns_fakes_addr() - the address of @index. Return: 0; ST_ENOENT: there are none of @family */
int dns_fakes_addr(const struct dns_fakes *f, unsigned index, uint8_t family, struct net_addr *out);
bool dns_fakes_has(const struct dns_fakes *f, const struct net_addr *a); /* is it in the range? */
/** dns_fakes_name() - whose address is @a? Marks it as used. NULL: nobody's. Valid until the next dns_fakes_get() */
const char *dns_fakes_name(struct dns_fakes *f, const struct net_addr *a);
uint32_t dns_fakes_count(const struct dns_fakes *f);

/* ---- between dns_fake.c and dns_fake_file.c */

struct dns_fakes_file;
/* Takes one line of the file: @name is to have @index, whatever said otherwise before. Return: 0; ST_EFORMAT; ST_ENOMEM */
typedef int dns_fakes_line_fn(void *arg, unsigned index, const char *name);
/* The next name to be written, in the order of use; NULL: that was all. *@pos is NULL at first */
typedef const char *dns_fakes_next_fn(void *arg, const void **pos, unsigned *index);

/** dns_fakes_file_new() - reads @path, calls @line for each name. Return: 0 and *@out, NULL if nothing can be kept; ST_ENOMEM */
int dns_fakes_file_new(struct dns_fakes_file **out, const char *path,
		       const struct net_prefix *range, struct loop *loop, dns_fakes_line_fn *line,
		       dns_fakes_next_fn *next, void *arg);
void dns_fakes_file_free(struct dns_fakes_file *file);
/** dns_fakes_file_add() - @name has got @index: a line at the file's end, in the file when this returns */
void dns_fakes_file_add(struct dns_fakes_file *file, unsigned index, const char *name);

#endif
