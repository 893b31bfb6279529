/* ocsp.h - stapled answers of an authority, that a certificate isn't revoked (RFC 6960, RFC 6066 §8).
 *
 * A server shows with its certificate what its authority has said of that lately; whoever calls it need ask nobody. The administrator
 * keeps the answer in a file (DER, as `openssl ocsp -respout` writes it), current: nobody is asked here.
 *
 * Thread: loop thread.
 */
#pragma once

#include <openssl/ssl.h>
#include <stdbool.h>

struct ocsp_staple;

/* Reads a file. -ENOENT and the like; -EINVAL: it is no answer, or has none about this certificate (by its serial number). -ENOMEM. */
int ocsp_staple_read(struct ocsp_staple **out, const char *path, const X509 *cert);
void ocsp_staple_free(struct ocsp_staple *s); /* NULL allowed */
/* Has ssl show it to clients that ask, as long as it is current. It must live as long as handshakes with ssl may go on. */
void ocsp_staple_show(struct ocsp_staple *s, SSL_CTX *ssl);

enum ocsp_word { OCSP_SILENT, OCSP_GOOD, OCSP_REVOKED };
/* Client's side, after the handshake: what the server has shown of its certificate, if the authority has signed it, and it is current. */
enum ocsp_word ocsp_of_peer(const SSL *ssl);
