/* sound.c - the cache of prepared sounds (see sound.h).
 *
 * A request names files; each file in the wanted codec is one struct sound, found in the cache or made by a job on
 * libuv's pool: libsndfile reads, the channels are mixed to one, the resampler and the encoder follow. Requests that
 * need a sound which is being made wait for the same job, and so do those that come first when its file hasn't been looked at
 * for a while: the job compares, and makes it anew only when the file has changed. References: the cache holds one on each sound in it, each
 * playlist one on each of its sounds.
 */
#define LOG_MODULE "sound"
#include "media/sound.h"

#include <errno.h>
#include <fcntl.h>
#include <sndfile.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <uthash.h>
#include <utlist.h>

#include "base/str.h"
#include "media/resample.h"

#define SOUND_MAX_S 7200     /* refuse what would take gigabytes */
#define BLOCK_FRAMES 4096
#define CHECK_MS 1000        /* who asks for a sound so long after the last look at its file has it looked at again */

struct sound {
	_Atomic unsigned refs;
	uint32_t nframes;
	size_t len;
	uint8_t *data;
	uint32_t *at;            /* where each frame begins, and the end; NULL: all are of one length */
};

struct waiting {                 /* a request waits for an entry */
	struct waiting *next;
	struct sound_request *request;
	unsigned index;
};

struct entry {                   /* in the cache, or on its way */
	UT_hash_handle hh;
	struct sounds *ss;
	struct sound *sound;     /* NULL while it is made */
	struct sound *made;      /* the job's, until the loop takes it over: a new one */
	struct waiting *waiting;
	uint64_t used_ms, checked_ms;
	struct stat seen;        /* of the file that sound is of; the job's while there is one */
	bool is_busy;            /* a job makes it, or looks whether the file has changed */
	bool is_forgotten;       /* no longer in the table: dies with its job */
	uv_work_t work;
	enum codec_id codec;
	int err;
	char key[];              /* codec and path */
};

struct sounds {
	uv_loop_t *loop;
	const struct log *log;
	struct entry *table;
	size_t bytes, bytes_max;
	uint64_t nmade;
	unsigned njobs;
	_Atomic bool is_closing;
	void (*done)(void *arg);
	void *arg;
};

struct playlist {
	_Atomic unsigned refs;
	enum codec_id codec;
	unsigned n;
	uint32_t nframes;
	struct sound *sounds[];
};

struct sound_request {
	struct playlist *list;
	unsigned pending;
	int err;
	bool is_cancelled;
	void (*ready)(struct playlist *list, int err, void *arg);
	void *arg;
	struct sound_request **out;
};

/* ---- any thread ---- */

static void sound_free(struct sound *s)
{
	if (!s)
		return;
	free(s->data);
	free(s->at);
	free(s);
}

static void sound_unref(struct sound *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	sound_free(s);
}

struct playlist *playlist_ref(struct playlist *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void playlist_unref(struct playlist *p)
{
	if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < p->n; i++)
		sound_unref(p->sounds[i]);
	free(p);
}

enum codec_id playlist_codec(const struct playlist *p) { return p->codec; }
uint32_t playlist_nframes(const struct playlist *p) { return p->nframes; }

const uint8_t *playlist_frame(const struct playlist *p, uint32_t i, size_t *len)
{
	const struct sound *s;
	unsigned k = 0;

	while (k + 1 < p->n && i >= p->sounds[k]->nframes)
		i -= p->sounds[k++]->nframes;
	s = p->sounds[k];
	if (s->at) {
		*len = s->at[i + 1] - s->at[i];
		return s->data + s->at[i];
	}
	*len = s->len / s->nframes;
	return s->data + i * *len;
}

/* ---- on the pool: file -> frames ---- */

struct maker {
	const struct sounds *ss;
	const struct codec *codec;
	uint32_t rate_hz;        /* of the encoder */
	SNDFILE *file;
	SF_INFO info;
	struct resampler *resampler;
	struct encoder *encoder;
	int16_t *pcm;            /* mono, at the encoder's rate; starts on a frame boundary */
	size_t npcm, size;
	struct sound *sound;
	size_t room, room_at;    /* of its data, and of its frames */
};

/* Room for one frame more. */
static int make_room(struct maker *m, size_t frame_bytes)
{
	struct sound *s = m->sound;

	if (s->len + frame_bytes > m->room) {
		size_t room = (s->len + frame_bytes) * 2;
		uint8_t *data = realloc(s->data, room);

		if (!data)
			return -ENOMEM;
		s->data = data;
		m->room = room;
	}
	if (!m->codec->group_bytes && s->nframes + 2 > m->room_at) {
		size_t room = ((size_t)s->nframes + 2) * 2;
		uint32_t *at = realloc(s->at, room * sizeof(*at));

		if (!at)
			return -ENOMEM;
		s->at = at;
		m->room_at = room;
	}
	return 0;
}

static int encode_frame(struct maker *m, const int16_t *pcm, size_t nsamples)
{
	struct sound *s = m->sound;
	size_t max = codec_bytes(m->codec, m->codec->frame_ms);
	int err = make_room(m, max);

	if (err < 0)
		return err;
	if (s->at)
		s->at[s->nframes] = (uint32_t)s->len;
	s->len += encoder_run(m->encoder, pcm, nsamples, s->data + s->len, max);
	s->nframes++;
	if (s->at)
		s->at[s->nframes] = (uint32_t)s->len;
	return 0;
}

/* Encodes whole frames of what is in pcm; at the end also the last part, padded with silence. */
static int encode(struct maker *m, bool last)
{
	size_t frame = m->rate_hz / 1000 * m->codec->frame_ms, at = 0;
	int err = 0;

	if (last && m->npcm % frame) {
		size_t pad = frame - m->npcm % frame;

		memset(m->pcm + m->npcm, 0, pad * sizeof(*m->pcm));
		m->npcm += pad;
	}
	for (; err == 0 && m->npcm - at >= frame; at += frame)
		err = encode_frame(m, m->pcm + at, frame);
	m->npcm -= at;
	memmove(m->pcm, m->pcm + at, m->npcm * sizeof(*m->pcm));
	return err;
}

static void mix_down(int16_t *pcm, size_t n, int channels)
{
	for (size_t i = 0; channels > 1 && i < n; i++) {
		int32_t sum = 0;

		for (int c = 0; c < channels; c++)
			sum += pcm[i * (size_t)channels + (size_t)c];
		pcm[i] = (int16_t)(sum / channels);
	}
}

static int read_all(struct maker *m)
{
	static const int16_t silence[32];
	int16_t *in = malloc((size_t)BLOCK_FRAMES * (size_t)m->info.channels * sizeof(*in));
	sf_count_t n;
	int err = 0;

	if (!in)
		return -ENOMEM;
	while (err == 0 && (n = sf_readf_short(m->file, in, BLOCK_FRAMES)) > 0) {
		mix_down(in, (size_t)n, m->info.channels);
		if (m->resampler) {
			m->npcm += resampler_run(m->resampler, in, (size_t)n, m->pcm + m->npcm, m->size - m->npcm);
		} else {
			memcpy(m->pcm + m->npcm, in, (size_t)n * sizeof(*in));
			m->npcm += (size_t)n;
		}
		err = m->ss->is_closing ? -ECANCELED : encode(m, false);
	}
	free(in);
	if (err == 0 && m->resampler) /* what it still holds back */
		m->npcm += resampler_run(m->resampler, silence, ARRAY_LEN(silence), m->pcm + m->npcm, m->size - m->npcm);
	return err < 0 ? err : encode(m, true);
}

/* seen: what the file was when it was opened. */
static int make_sound(const struct sounds *ss, const char *path, enum codec_id codec, struct sound **out, struct stat *seen)
{
	struct maker m = { .ss = ss, .codec = codec_get(codec) };
	int err = -ENOMEM, fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (fstat(fd, seen) < 0) {
		err = -errno;
		close(fd);
		return err;
	}
	m.file = sf_open_fd(fd, SFM_READ, &m.info, SF_TRUE);
	if (!m.file) {
		close(fd);
		return -EBADMSG;
	}
	if (m.info.samplerate < 1000 || m.info.channels < 1 || m.info.channels > 64 ||
	    m.info.frames / m.info.samplerate > SOUND_MAX_S) {
		err = -EBADMSG;
		goto out;
	}
	m.rate_hz = codec_rate(m.codec, (uint32_t)m.info.samplerate);
	m.encoder = encoder_new(codec, m.rate_hz);
	if (m.encoder)
		encoder_for_sounds(m.encoder);
	m.sound = calloc(1, sizeof(*m.sound));
	/* What a block becomes, what remained of the one before, and the padding. */
	m.size = (size_t)((uint64_t)BLOCK_FRAMES * m.rate_hz / (uint32_t)m.info.samplerate) + m.rate_hz / 25;
	if ((uint32_t)m.info.samplerate == m.rate_hz)
		m.size = BLOCK_FRAMES + m.rate_hz / 25;
	else
		m.resampler = resampler_new((uint32_t)m.info.samplerate, m.rate_hz);
	if (m.resampler)
		resampler_skip_start(m.resampler);
	m.pcm = malloc(m.size * sizeof(*m.pcm));
	if (!m.encoder || !m.sound || !m.pcm || (!m.resampler && (uint32_t)m.info.samplerate != m.rate_hz))
		goto out;
	atomic_init(&m.sound->refs, 1);
	err = read_all(&m);
	if (err == 0) {
		*out = m.sound;
		m.sound = NULL;
	}
out:
	sound_free(m.sound);
	free(m.pcm);
	resampler_free(m.resampler);
	encoder_free(m.encoder);
	sf_close(m.file);
	return err;
}

static bool is_same(const struct stat *a, const struct stat *b)
{
	return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void on_work(uv_work_t *work)
{
	struct entry *e = work->data;
	struct stat now;

	e->err = 0;
	if (e->sound && stat(e->key + 1, &now) == 0 && is_same(&e->seen, &now))
		return;
	e->err = make_sound(e->ss, e->key + 1, e->codec, &e->made, &e->seen);
}

/* ---- requests ---- */

static void request_end(struct sound_request *r)
{
	struct playlist *list = r->list;

	for (unsigned i = 0; i < list->n; i++)
		list->nframes += list->sounds[i] ? list->sounds[i]->nframes : 0;
	if (r->err < 0 || r->is_cancelled) {
		playlist_unref(list);
		list = NULL;
	}
	if (!r->is_cancelled) {
		if (r->out)
			*r->out = NULL;
		r->ready(list, r->err, r->arg);
	}
	free(r);
}

static void request_take(struct sound_request *r, unsigned index, struct entry *e)
{
	if (!e->sound) {
		r->err = e->err;
		return;
	}
	atomic_fetch_add_explicit(&e->sound->refs, 1, memory_order_relaxed);
	r->list->sounds[index] = e->sound;
}

/* ---- the cache ---- */

/* Out of the table; it lives on while its job runs. */
static void entry_remove(struct sounds *ss, struct entry *e)
{
	HASH_DEL(ss->table, e);
	e->is_forgotten = true;
	if (e->sound)
		ss->bytes -= e->sound->len;
}

static void entry_free(struct entry *e)
{
	sound_unref(e->sound);
	free(e);
}

static bool entry_is_in_use(const struct entry *e)
{
	return e->is_busy || atomic_load_explicit(&e->sound->refs, memory_order_relaxed) > 1;
}

/* Frees what has not been used for the longest time, until there is room. */
static void cache_trim(struct sounds *ss)
{
	while (ss->bytes > ss->bytes_max) {
		struct entry *e, *next, *oldest = NULL;

		HASH_ITER(hh, ss->table, e, next) {
			if (!entry_is_in_use(e) && (!oldest || e->used_ms < oldest->used_ms))
				oldest = e;
		}
		if (!oldest)
			return;
		entry_remove(ss, oldest);
		entry_free(oldest);
	}
}

static void sounds_end(struct sounds *ss)
{
	void (*done)(void *) = ss->done;
	void *arg = ss->arg;

	free(ss);
	if (done)
		done(arg);
}

/* What the job made takes the place of what there was; who plays that, plays it to the end. */
static void entry_renew(struct sounds *ss, struct entry *e)
{
	if (e->sound && !e->is_forgotten)
		ss->bytes -= e->sound->len;
	sound_unref(e->sound);
	e->sound = e->made;
	e->made = NULL;
	if (e->sound)
		ss->nmade++;
	if (e->sound && !e->is_forgotten)
		ss->bytes += e->sound->len;
}

static void on_made(uv_work_t *work, int status)
{
	struct entry *e = work->data;
	struct sounds *ss = e->ss;
	struct waiting *w = e->waiting, *next;

	if (status < 0)
		e->err = status;
	if (e->err < 0 && !ss->is_closing)
		log_warn(ss->log, "file=%s: %s", e->key + 1, uv_strerror(e->err));
	if (e->made || e->err < 0)
		entry_renew(ss, e);
	e->waiting = NULL;
	e->is_busy = false;
	e->checked_ms = uv_now(ss->loop);
	ss->njobs--;
	if (!e->sound && !e->is_forgotten)
		entry_remove(ss, e); /* failures are not remembered: the next request tries again */
	for (; w; w = next) {
		next = w->next;
		request_take(w->request, w->index, e);
		if (--w->request->pending == 0)
			request_end(w->request);
		free(w);
	}
	if (e->is_forgotten)
		entry_free(e);
	else
		cache_trim(ss);
	if (ss->is_closing && ss->njobs == 0)
		sounds_end(ss);
}

/* Has it made, or looked after. */
static bool entry_work(struct sounds *ss, struct entry *e)
{
	e->work.data = e;
	if (uv_queue_work(ss->loop, &e->work, on_work, on_made) < 0)
		return false;
	e->is_busy = true;
	ss->njobs++;
	return true;
}

static struct entry *entry_get(struct sounds *ss, const char *file, enum codec_id codec)
{
	size_t len = strlen(file);
	struct entry *e = malloc(sizeof(*e) + len + 2), *have;

	if (!e)
		return NULL;
	*e = (struct entry){ .ss = ss, .codec = codec, .used_ms = uv_now(ss->loop) };
	e->key[0] = (char)('0' + codec);
	memcpy(e->key + 1, file, len + 1);
	HASH_FIND(hh, ss->table, e->key, len + 1, have);
	if (have) {
		free(e);
		have->used_ms = uv_now(ss->loop);
		if (!have->is_busy && have->used_ms - have->checked_ms >= CHECK_MS)
			entry_work(ss, have);
		return have;
	}
	if (!entry_work(ss, e)) {
		free(e);
		return NULL;
	}
	HASH_ADD(hh, ss->table, key, len + 1, e);
	return e;
}

void sounds_get(struct sounds *ss, const char *const *files, unsigned n, enum codec_id codec,
		void (*ready)(struct playlist *list, int err, void *arg), void *arg, struct sound_request **out)
{
	struct sound_request *r = calloc(1, sizeof(*r));
	struct playlist *list = calloc(1, sizeof(*list) + n * sizeof(list->sounds[0]));
	int err = n == 0 || codec_get(codec)->id == CODEC_NONE || ss->is_closing ? -EINVAL : -ENOMEM;

	if (out)
		*out = NULL;
	if (!r || !list || err == -EINVAL) {
		free(r);
		free(list);
		ready(NULL, err, arg);
		return;
	}
	atomic_init(&list->refs, 1);
	list->codec = codec;
	list->n = n;
	*r = (struct sound_request){ .list = list, .ready = ready, .arg = arg, .out = out };
	for (unsigned i = 0; i < n; i++) {
		struct entry *e = entry_get(ss, files[i], codec);
		struct waiting *w;

		if (!e) {
			r->err = -ENOMEM;
			continue;
		}
		if (!e->is_busy) {
			request_take(r, i, e);
			continue;
		}
		w = malloc(sizeof(*w));
		if (!w) {
			r->err = -ENOMEM;
			continue;
		}
		*w = (struct waiting){ .request = r, .index = i };
		LL_APPEND(e->waiting, w);
		r->pending++;
	}
	if (r->pending == 0)
		request_end(r);
	else if (out)
		*out = r;
}

void sounds_cancel(struct sound_request *r)
{
	if (r->out)
		*r->out = NULL;
	r->is_cancelled = true; /* ends with the last job it waits for */
}

/* ---- life ---- */

int sounds_new(struct sounds **out, uv_loop_t *loop, const struct log *log, size_t cache_bytes)
{
	struct sounds *ss = calloc(1, sizeof(*ss));

	if (!ss)
		return -ENOMEM;
	ss->loop = loop;
	ss->log = log;
	ss->bytes_max = cache_bytes ? cache_bytes : SOUND_CACHE_BYTES;
	*out = ss;
	return 0;
}

void sounds_close(struct sounds *ss, void (*done)(void *arg), void *arg)
{
	struct entry *e, *next;
	struct waiting *w;

	ss->is_closing = true;
	ss->done = done;
	ss->arg = arg;
	HASH_ITER(hh, ss->table, e, next) {
		LL_FOREACH(e->waiting, w)
			w->request->is_cancelled = true;
		if (e->is_busy) {
			uv_cancel((uv_req_t *)&e->work); /* if it has not begun */
			entry_remove(ss, e);
			continue;
		}
		entry_remove(ss, e);
		entry_free(e);
	}
	if (ss->njobs == 0)
		sounds_end(ss);
}

void sounds_forget(struct sounds *ss, const char *file)
{
	struct entry *e, *next;

	HASH_ITER(hh, ss->table, e, next) {
		if (strcmp(e->key + 1, file) != 0)
			continue;
		entry_remove(ss, e);
		if (!e->is_busy)
			entry_free(e);
	}
}

void sounds_count(const struct sounds *ss, struct sounds_count *out)
{
	*out = (struct sounds_count){ .sounds = HASH_COUNT(ss->table), .bytes = ss->bytes, .made = ss->nmade };
}
