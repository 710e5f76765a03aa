/* address.h - address lists of mail headers and command lines (RFC 5322 3.4, 4.4; RFC 6532).
 *
 * A state machine that takes a list in pieces of any size, and tells each address as soon as it is
 * complete. It understands display names, quoted strings, comments (nested), groups, routes
 * (skipped), folding, domain literals, and what people write: bare names without a domain,
 * semicolons or commas in any number, blanks alone between addresses that have a domain, a '>' that
 * is missing, dots where none should be. Nothing is recursive, nothing allocates.
 *
 *     address_list_init(&list, found, context);
 *     address_list_push(&list, text, size);  ... as often as there is text
 *     errors = address_list_end(&list);
 *
 * Cost: sizeof(struct address_list), some 700 bytes. Call from one context only.
 */
#ifndef TOCSIN_NET_ADDRESS_H
#define TOCSIN_NET_ADDRESS_H

#include "net/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_BYTES 321 /* 64 + '@' + 255 and NUL: RFC 5321 4.5.3.1. */

/* One address, NUL-terminated: "name@example.com", "name", or "\"a b\"@example.com" with its quotes
 * where they are needed. Lives during the call. Never empty; no control characters. */
typedef void address_found(void *context, const char *address);

#include "net/address_state.h" /* struct address_list; private. */

void address_list_init(struct address_list *list, address_found *found, void *context);
void address_list_push(struct address_list *list, const char *text, size_t size);

/* Ends the list. Returns how many addresses could not be understood (each left out whole: too long,
 * unbalanced, two words without a comma, characters that no address has). */
MUST_CHECK unsigned address_list_end(struct address_list *list);

/* Whether the last byte pushed ended an address, or none has begun since one did. */
bool address_list_between(const struct address_list *list);

/* Called by found(): how many bytes were pushed behind the last one of that address. */
size_t address_list_behind(const struct address_list *list);

/* Whether an addr-spec can be put into MAIL FROM or RCPT TO: a local part (dot-atom or quoted
 * string; UTF-8 counts as an atom's), optionally @ and a domain or an address literal, of at most
 * 254 bytes together (RFC 5321 4.5.3.1.3). A local part above 64 is none of our business: there are
 * some, and servers that take them. */
bool address_is_valid(const char *address);

/* The part behind the last '@' that is outside quotes; NULL: there is none. */
const char *address_domain(const char *address);

#endif
