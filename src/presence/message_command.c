/* message_command.c - text messages that a command sends, in the name of a number of the domain. To the phones of an extension at once; one that is
 * away gets it later, as that of another extension would.
 */
#include <errno.h>
#include <stdlib.h>
#include <utlist.h>

#include "presence/message_int.h"

#define KEEP_S (7 * 24 * 3600)

struct sent {
	struct sent *prev, *next;
	struct messages *ms;
	struct command *command;
};

static struct text text_of(const struct command *c)
{
	const char *sender = command_text(c, "sender"), *body = command_text(c, "text");

	return (struct text){ .sender = sender ? sender : "", .sender_name = "", .ctype = "text/plain;charset=UTF-8", .body = str_from(body ? body : "") };
}

static const char *reader_of(const struct command *c)
{
	const char *number = command_text(c, "number");

	return number ? number : "";
}

static void on_stored(uint64_t id, const struct db_answer *a, void *arg)
{
	struct command *c = arg;

	(void)id;
	switch (message_stored_status(a)) {
	case 202:
		command_done(c, "%s is away, and gets it later", reader_of(c));
		break;
	case 480:
		command_fail(c, "congestion", "too many wait for %s", reader_of(c));
		break;
	default:
		command_fail(c, "congestion", "it couldn't be stored");
	}
}

static void store(struct messages *ms, struct command *c)
{
	struct text t = text_of(c);

	if (!message_store(ms, command_domain(c), reader_of(c), &t, KEEP_S, on_stored, c))
		command_fail(c, "congestion", "it couldn't be stored");
}

static void on_delivered(int status, void *arg)
{
	struct sent *sent = arg, s = *sent;

	DL_DELETE(s.ms->sent, sent);
	free(sent);
	if (status / 100 == 2)
		command_done(s.command, "%s has it", reader_of(s.command));
	else if (status == 480)
		store(s.ms, s.command);
	else
		command_fail(s.command, "refused", "the phones of %s refuse it: %d", reader_of(s.command), status);
}

void message_command(struct command *c, void *arg)
{
	struct messages *ms = arg;
	struct text t = text_of(c);
	struct sent *s = malloc(sizeof(*s));
	int err = -ENOMEM;

	if (s) {
		*s = (struct sent){ .ms = ms, .command = c };
		err = delivery_start(ms, command_domain(c), reader_of(c), &t, on_delivered, s);
	}
	if (!err) {
		DL_APPEND(ms->sent, s);
		return;
	}
	free(s);
	if (err == -ENOENT)
		store(ms, c);
	else
		command_fail(c, "impossible", "%s", err == -EMSGSIZE ? "it is too long for its phones" : "no memory");
}

void message_commands_free(struct messages *ms)
{
	struct sent *s, *next;

	DL_FOREACH_SAFE(ms->sent, s, next)
		free(s);
	ms->sent = NULL;
}
