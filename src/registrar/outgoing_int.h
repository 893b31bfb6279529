/* outgoing_int.h - between outgoing.c (the machine of a registration) and outgoing_row.c (what a row of pbx.trunk says of it). */
#pragma once

#include "directory/directory.h"

#define REG_LINE_LEN 16
#define REG_URI_MAX 400

/* What of a row makes a registration: texts in one block. */
struct reg_settings {
	char aor[REG_URI_MAX], registrar[REG_URI_MAX], route[REG_URI_MAX]; /* route: "" or a value of Route */
	char contact_user[64], auth_user[128], auth_password[256];
	bool has_auth, is_secure, is_outbound, is_bulk;
	uint32_t keepalive_s;
	uint32_t expires_s;
};

/* Names of ours that stay the same over restarts and tell nobody anything. */
struct reg_names { char line[REG_LINE_LEN + 1], instance[48]; };

/* All of *s is set, so that two can be compared as memory. -EINVAL, -ENAMETOOLONG: the row makes no address. */
int reg_settings_read(const struct dir_trunk *t, struct reg_settings *s);
void reg_names_make(struct reg_names *n, const unsigned char key[32], const char *node, const char *domain, const char *trunk);
