/* say.c - a growing list of sound files, and the table of languages whose grammar fills it.
 *
 * What is out of memory or has no file is left out and the rest is spoken: a caller who misses a word is better off than
 * one who hears nothing.
 */
#define LOG_MODULE "say"
#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "call/lang.h"
#include "call/say.h"

#define PATH_LEN 512
#define DAY_S 86400

/* The first is spoken where another's grammar or folder is missing. */
static const struct lang *const languages[] = { &lang_en };

struct say {
	const struct log *log;
	struct zones *zones;
	const struct lang *lang;
	char *folder; /* <prompts>/<language> */
	char **files;
	unsigned n, size;
	int64_t now_s;
};

static char *folder_of(const char *prompts_dir, const char *language)
{
	char path[PATH_LEN];
	int n = snprintf(path, sizeof(path), "%s/%s", prompts_dir, language);

	return n < (int)sizeof(path) ? strdup(path) : NULL;
}

/* "de-AT" is spoken as "de". */
static const struct lang *lang_find(const char *language)
{
	size_t n = language ? strcspn(language, "-_") : 0;

	for (unsigned i = 0; i < ARRAY_LEN(languages); i++)
		if (strlen(languages[i]->code) == n && !strncmp(languages[i]->code, language, n))
			return languages[i];
	return languages[0];
}

struct say *say_new(const char *prompts_dir, const char *language, struct zones *zones, const struct log *log)
{
	struct say *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->log = log;
	s->zones = zones;
	s->now_s = time(NULL);
	s->lang = lang_find(language);
	s->folder = folder_of(prompts_dir, s->lang->code);
	if (s->folder && s->lang != languages[0] && access(s->folder, R_OK | X_OK) != 0) {
		free(s->folder);
		s->lang = languages[0];
		s->folder = folder_of(prompts_dir, s->lang->code);
	}
	if (!s->folder) {
		free(s);
		return NULL;
	}
	return s;
}

void say_free(struct say *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < s->n; i++)
		free(s->files[i]);
	free(s->files);
	free(s->folder);
	free(s);
}

void say_set_now(struct say *s, int64_t unix_s)
{
	s->now_s = unix_s;
}

void say_files(const struct say *s, const char *const **files, unsigned *n)
{
	*files = (const char *const *)s->files;
	*n = s->n;
}

void say_file(struct say *s, const char *path)
{
	if (s->n == s->size) {
		unsigned size = s->size ? s->size * 2 : 16;
		char **files = realloc(s->files, size * sizeof(*files));

		if (!files)
			return;
		s->files = files;
		s->size = size;
	}
	s->files[s->n] = strdup(path);
	if (s->files[s->n])
		s->n++;
}

void say_phrase(struct say *s, const char *phrase)
{
	char path[PATH_LEN];
	int n = snprintf(path, sizeof(path), "%s/%s.wav", s->folder, phrase);

	/* Names come from SQL too; none leads out of the folder. */
	if (n >= (int)sizeof(path) || phrase[0] == '/' || strstr(phrase, "..") || access(path, R_OK) != 0) {
		log_warn(s->log, "phrase=%s language=%s unknown", phrase, s->lang->code);
		return;
	}
	say_file(s, path);
}

void say_number(struct say *s, int64_t n)
{
	s->lang->number(s, n);
}

void say_digits(struct say *s, const char *digits)
{
	for (; *digits; digits++)
		s->lang->digit(s, *digits);
}

void say_messages(struct say *s, unsigned n, const char *kind)
{
	s->lang->messages(s, n, !strcmp(kind, "new"));
}

/* Midnights since 1970 of a local time. */
static int64_t day_number(const struct tm *local)
{
	struct tm noon = { .tm_year = local->tm_year, .tm_mon = local->tm_mon, .tm_mday = local->tm_mday, .tm_hour = 12 };
	int64_t t = timegm(&noon);

	return (t - DAY_S / 2) / DAY_S;
}

void say_datetime(struct say *s, int64_t unix_s, const char *zone)
{
	struct tm then, now;

	if (zone_local(s->zones, zone, unix_s, &then) != 0)
		log_warn(s->log, "timezone=%s unknown", zone);
	zone_local(s->zones, zone, s->now_s, &now);
	s->lang->datetime(s, &then, &now, day_number(&now) - day_number(&then));
}

void say_duration(struct say *s, uint32_t seconds)
{
	s->lang->duration(s, seconds);
}

void say_absent(struct say *s, const char *number, bool is_busy)
{
	s->lang->absent(s, number, NULL, is_busy);
}

void say_absent_named(struct say *s, const char *name_file, bool is_busy)
{
	s->lang->absent(s, NULL, name_file, is_busy);
}

/* Something to spell: digits, perhaps after a '+'. A SIP user name isn't. */
static bool is_spellable(const char *number)
{
	const char *p = number && *number == '+' ? number + 1 : number;

	return p && *p && strspn(p, "0123456789*#") == strlen(p);
}

void say_envelope(struct say *s, unsigned position, const char *caller, int64_t unix_s, const char *zone)
{
	s->lang->envelope(s, position, is_spellable(caller) ? caller : NULL, unix_s, zone);
}
