/* lang_en.c - English as spoken by the recordings of prompts/en: "minus two hundred twenty one", "March fifth twenty
 * twenty six at nine oh five a.m."
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "call/lang.h"

#define NUMBER_MAX 999999999 /* beyond it numbers are spelled */

static void digits_phrase(struct say *s, const char *prefix, int n)
{
	char phrase[32];

	snprintf(phrase, sizeof(phrase), "digits/%s%d", prefix, n);
	say_phrase(s, phrase);
}

/* 1 to 999 */
static void below_thousand(struct say *s, int n)
{
	if (n >= 100) {
		digits_phrase(s, "", n / 100);
		say_phrase(s, "digits/hundred");
		n %= 100;
	}
	if (n > 20) {
		digits_phrase(s, "", n / 10 * 10);
		n %= 10;
	}
	if (n)
		digits_phrase(s, "", n);
}

static void number(struct say *s, int64_t n)
{
	char spelled[24];

	if (n < -NUMBER_MAX || n > NUMBER_MAX) {
		if (n < 0)
			say_phrase(s, "digits/minus");
		snprintf(spelled, sizeof(spelled), "%" PRIu64, n < 0 ? -(uint64_t)n : (uint64_t)n);
		say_digits(s, spelled);
		return;
	}
	if (n < 0) {
		say_phrase(s, "digits/minus");
		n = -n;
	}
	if (n == 0)
		digits_phrase(s, "", 0);
	if (n >= 1000000) {
		below_thousand(s, (int)(n / 1000000));
		say_phrase(s, "digits/million");
		n %= 1000000;
	}
	if (n >= 1000) {
		below_thousand(s, (int)(n / 1000));
		say_phrase(s, "digits/thousand");
		n %= 1000;
	}
	below_thousand(s, (int)n);
}

static void digit(struct say *s, char c)
{
	char phrase[] = "letters/a";

	if (c >= '0' && c <= '9')
		digits_phrase(s, "", c - '0');
	else if (c == '*')
		say_phrase(s, "digits/star");
	else if (c == '#')
		say_phrase(s, "digits/pound");
	else if (c == '+')
		say_phrase(s, "letters/plus");
	else if (toupper((unsigned char)c) >= 'A' && toupper((unsigned char)c) <= 'D') {
		phrase[sizeof(phrase) - 2] = (char)tolower((unsigned char)c);
		say_phrase(s, phrase);
	}
}

static void messages(struct say *s, unsigned n, bool is_new)
{
	say_phrase(s, "vm-youhave");
	if (n)
		number(s, n);
	else
		say_phrase(s, "vm-no");
	say_phrase(s, is_new ? "vm-INBOX" : "vm-saved");
	say_phrase(s, n == 1 ? "vm-message" : "vm-messages");
}

static void ordinal_day(struct say *s, int day)
{
	if (day > 20 && day % 10) {
		digits_phrase(s, "", day / 10 * 10);
		day %= 10;
	}
	digits_phrase(s, "h-", day);
}

static void year(struct say *s, int y)
{
	if (y < 1100 || y > 9999 || (y >= 2000 && y < 2010)) {
		number(s, y);
		return;
	}
	below_thousand(s, y / 100);
	if (y % 100 == 0)
		say_phrase(s, "digits/hundred");
	else if (y % 100 < 10)
		say_phrase(s, "digits/oh");
	below_thousand(s, y % 100);
}

static void clock_time(struct say *s, const struct tm *t)
{
	digits_phrase(s, "", t->tm_hour % 12 ? t->tm_hour % 12 : 12);
	if (t->tm_min && t->tm_min < 10)
		say_phrase(s, "digits/oh");
	below_thousand(s, t->tm_min);
	say_phrase(s, t->tm_hour < 12 ? "digits/a-m" : "digits/p-m");
}

static void datetime(struct say *s, const struct tm *then, const struct tm *now, int64_t days)
{
	if (days == 0)
		say_phrase(s, "digits/today");
	else if (days == 1)
		say_phrase(s, "digits/yesterday");
	else if (days > 0 && days < 7)
		digits_phrase(s, "day-", then->tm_wday);
	else {
		digits_phrase(s, "mon-", then->tm_mon);
		ordinal_day(s, then->tm_mday);
		if (then->tm_year != now->tm_year)
			year(s, then->tm_year + 1900);
	}
	say_phrase(s, "digits/at");
	clock_time(s, then);
}

static void duration(struct say *s, uint32_t seconds)
{
	uint32_t minutes = seconds / 60;

	/* There is no recording of "hour": one is spoken in minutes. */
	if (minutes >= 120) {
		number(s, minutes / 60);
		say_phrase(s, "hours");
		minutes %= 60;
	}
	if (minutes) {
		number(s, minutes);
		say_phrase(s, minutes == 1 ? "minute" : "minutes");
	}
	if (seconds % 60 || seconds < 60) {
		number(s, seconds % 60);
		say_phrase(s, seconds % 60 == 1 ? "second" : "seconds");
	}
}

static void absent(struct say *s, const char *who, const char *name_file, bool is_busy)
{
	if (name_file) {
		say_file(s, name_file);
	} else {
		say_phrase(s, "vm-theperson");
		say_digits(s, who);
	}
	say_phrase(s, is_busy ? "vm-isonphone" : "vm-isunavail");
}

static void envelope(struct say *s, unsigned position, const char *caller, int64_t unix_s, const char *zone)
{
	say_phrase(s, "vm-message");
	number(s, position);
	say_phrase(s, "vm-received");
	say_datetime(s, unix_s, zone);
	if (!caller) {
		say_phrase(s, "vm-unknown-caller");
		return;
	}
	say_phrase(s, "vm-from");
	say_digits(s, caller);
}

const struct lang lang_en = {
	.code = "en",
	.number = number,
	.digit = digit,
	.messages = messages,
	.datetime = datetime,
	.duration = duration,
	.absent = absent,
	.envelope = envelope,
};
