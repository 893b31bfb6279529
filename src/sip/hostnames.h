/* hostnames.h - names of hosts as small numbers, so that what says where a message goes can be copied like any value.
 *
 * A number stays with its name until HOSTNAMES_MAX others have been used since; then it stands for nothing any more, never for
 * another name. Letters count as small, a dot at the end as none.
 *
 * Owner:  the transport. Inside sip/ alone.
 * Thread: loop thread.
 */
#pragma once

#include <stdint.h>

#include "base/str.h"

#define HOSTNAMES_MAX 4096   /* servers that are called by name over TLS: far more than anybody has */
#define HOSTNAME_MAX 253     /* RFC 1035 §2.3.4, as text */

struct hostnames;

int hostnames_new(struct hostnames **out);
void hostnames_free(struct hostnames *h);
/* The number of a name, never 0; its use counts. -EINVAL no name; -ENOMEM. */
int hostnames_id(struct hostnames *h, struct str name, uint32_t *id);
/* The name; its use counts. NULL: nobody's number. */
const char *hostnames_text(struct hostnames *h, uint32_t id);
