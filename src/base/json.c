/* json.c - prints twice: first to know how long it gets. */
#include "base/json.h"

#include <stdlib.h>

char *json_print(const json_t *doc)
{
	size_t n = doc ? json_dumpb(doc, NULL, 0, JSON_COMPACT) : 0;
	char *text = n ? malloc(n + 1) : NULL;

	if (!text)
		return NULL;
	if (json_dumpb(doc, text, n, JSON_COMPACT) != n) {
		free(text);
		return NULL;
	}
	text[n] = '\0';
	return text;
}
