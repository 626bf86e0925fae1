/* Records as bodies of POST requests, a few at once over connections that are kept.
 *
 *     Content-Type: application/json
 *     X-Lathe-Id: 0123456789abcdef          the event: the same in all its records
 *     Idempotency-Key: 0123456789abcdef-2   this record: the same however often it comes
 *     X-Lathe-Signature: sha256=..          HMAC-SHA256 of the body with the secret
 *
 * 2xx: taken. 408, 429, 5xx, 3xx (redirects are not followed: whom they lead to was not asked
 * for), a connection that breaks or says nothing in time: again. Other 4xx: refused. Where no
 * connection can be made, the link is broken. */
#include "watch/sink_link.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/heap.h"

enum { WINDOW = 4 };

typedef struct Slot { /* a request */
    CURL *curl;
    struct curl_slist *header;
    SinkItem *item;      /* NULL: free */
    char error[CURL_ERROR_SIZE];
} Slot;

typedef struct Hook {
    const SinkSpec *spec;
    int wake;
    CURLM *multi;
    Slot slot[WINDOW];
} Hook;

/* libcurl wants to be told once in a process that there will be threads. */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void init(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

static int check(const SinkSpec *spec, Error *e)
{
    pthread_once(&once, init);
    CURLU *const u = curl_url();
    char *scheme = NULL;
    const CURLUcode bad = u ? curl_url_set(u, CURLUPART_URL, spec->url, 0) : CURLUE_OUT_OF_MEMORY;
    bool http = bad == 0 && curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) == 0;
    http = http && (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    curl_url_cleanup(u);
    if (bad)
        return error_set(e, ERR_INVALID, "url: %s", curl_url_strerror(bad));
    return http ? 0 : error_set(e, ERR_INVALID, "url: a webhook is http:// or https://");
}

static size_t ignore(char *at, size_t size, size_t n, void *arg)
{
    (void)at, (void)arg;
    return size * n;
}

/* What is the same in all requests. */
static void prepare(const Hook *h, Slot *s)
{
    CURL *const c = s->curl;
    curl_easy_setopt(c, CURLOPT_URL, h->spec->url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
    if (h->spec->ca)
        curl_easy_setopt(c, CURLOPT_CAINFO, h->spec->ca);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)((h->spec->timeout + 999) / 1000));
    curl_easy_setopt(c, CURLOPT_USERAGENT, "lathe/" LATHE_VERSION);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, s->error);
    curl_easy_setopt(c, CURLOPT_PRIVATE, s);
    curl_easy_setopt(c, CURLOPT_POST, 1L);
}

static void close_hook(void *link)
{
    Hook *const h = link;
    for (int i = 0; i < WINDOW; i++) {
        if (h->slot[i].item)
            curl_multi_remove_handle(h->multi, h->slot[i].curl);
        curl_easy_cleanup(h->slot[i].curl);
        curl_slist_free_all(h->slot[i].header);
    }
    curl_multi_cleanup(h->multi);
    heap_free(h);
}

static int open_hook(const SinkSite *site, void **link, Error *e)
{
    Hook *const h = heap_alloc(sizeof *h, 8);
    if (h == NULL)
        return error_set(e, ERR_MEMORY, "out of memory");
    h->spec = site->spec;
    h->wake = site->wake;
    h->multi = curl_multi_init();
    bool made = h->multi != NULL;
    for (int i = 0; i < WINDOW && made; i++) {
        h->slot[i].curl = curl_easy_init();
        made = h->slot[i].curl != NULL;
        if (made)
            prepare(h, &h->slot[i]);
    }
    if (!made) {
        close_hook(h);
        return error_set(e, ERR_MEMORY, "out of memory");
    }
    *link = h;
    return 0;
}

/* ---- requests ---- */

static bool add_header(Slot *s, const char *line)
{
    struct curl_slist *const more = curl_slist_append(s->header, line);
    if (more)
        s->header = more;
    return more != NULL;
}

static bool sign(const char *secret, const OutboxRecord *r, char *line, size_t size)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    if (HMAC(EVP_sha256(), secret, (int)strlen(secret), (const unsigned char *)r->json, r->size,
             mac, &len) == NULL)
        return false;
    int at = snprintf(line, size, "X-Lathe-Signature: sha256=");
    for (unsigned int i = 0; i < len; i++)
        at += snprintf(line + at, size - (size_t)at, "%02x", mac[i]);
    return true;
}

static bool set_headers(const Hook *h, Slot *s, const OutboxRecord *r)
{
    char id[64], key[64], signature[128];
    snprintf(id, sizeof id, "X-Lathe-Id: %016" PRIx64, r->id);
    snprintf(key, sizeof key, "Idempotency-Key: %016" PRIx64 "-%d", r->id, r->rev);
    curl_slist_free_all(s->header);
    s->header = NULL;
    bool good = add_header(s, "Content-Type: application/json") && add_header(s, id) &&
                add_header(s, key) && add_header(s, "Expect:");
    if (good && h->spec->secret)
        good = sign(h->spec->secret, r, signature, sizeof signature) && add_header(s, signature);
    return good;
}

static int send_request(void *link, SinkItem *item, Error *e)
{
    Hook *const h = link;
    Slot *s = h->slot;
    while (s->item) /* the window is as large */
        s++;
    if (!set_headers(h, s, item->record))
        return error_set(e, ERR_MEMORY, "out of memory");
    s->error[0] = '\0';
    curl_easy_setopt(s->curl, CURLOPT_HTTPHEADER, s->header);
    curl_easy_setopt(s->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)item->record->size);
    curl_easy_setopt(s->curl, CURLOPT_POSTFIELDS, item->record->json);
    const CURLMcode bad = curl_multi_add_handle(h->multi, s->curl);
    if (bad)
        return error_set(e, ERR_IO, "%s", curl_multi_strerror(bad));
    s->item = item;
    return 0;
}

/* ---- answers ---- */

static void judge_status(Slot *s)
{
    SinkItem *const item = s->item;
    long status = 0;
    curl_off_t after = 0;
    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(s->curl, CURLINFO_RETRY_AFTER, &after);
    if (status >= 200 && status < 300)
        item->verdict = SINK_TAKEN;
    else if (status >= 400 && status < 500 && status != 408 && status != 429)
        item->verdict = SINK_REFUSED;
    else
        item->verdict = SINK_AGAIN;
    item->retry_after = after > 0 && after < 1000000 ? (int64_t)after * 1000000 : 0;
    snprintf(item->why, sizeof item->why, "HTTP status %ld%s", status,
             status >= 300 && status < 400 ? ": redirects are not followed" : "");
}

/* Nobody was reached, so that no record can be at fault. */
static bool is_away(const Hook *h, Slot *s, CURLcode code)
{
    const bool tls = strncasecmp(h->spec->url, "https:", 6) == 0;
    curl_off_t connected = 0; /* when it was, us; 0: never */
    curl_easy_getinfo(s->curl, tls ? CURLINFO_APPCONNECT_TIME_T : CURLINFO_CONNECT_TIME_T,
                      &connected);
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE: return true;
    default: return code == CURLE_OPERATION_TIMEDOUT && connected == 0;
    }
}

/* 0, or the link is broken. *settled: answers that came. */
static int take_answers(Hook *h, int *settled, Error *e)
{
    int left, code = 0;
    for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &left)) != NULL;) {
        if (m->msg != CURLMSG_DONE)
            continue;
        const CURLcode result = m->data.result; /* m does not outlive what follows */
        Slot *s;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &s);
        curl_multi_remove_handle(h->multi, s->curl);
        SinkItem *const item = s->item;
        const char *const why = s->error[0] ? s->error : curl_easy_strerror(result);
        if (result == CURLE_OK) {
            judge_status(s);
        } else if (is_away(h, s, result)) {
            code = error_set(e, ERR_IO, "%s", why);
        } else {
            item->verdict = SINK_AGAIN;
            snprintf(item->why, sizeof item->why, "%.*s", (int)sizeof item->why - 1, why);
        }
        s->item = NULL;
        *settled += 1;
    }
    return code;
}

static int wait_answers(void *link, int64_t timeout, Error *e)
{
    Hook *const h = link;
    int running, settled = 0, fds;
    for (int turn = 0; turn < 2; turn++) {
        const CURLMcode bad = curl_multi_perform(h->multi, &running);
        if (bad)
            return error_set(e, ERR_IO, "%s", curl_multi_strerror(bad));
        const int code = take_answers(h, &settled, e);
        if (code != 0 || settled > 0 || turn > 0)
            return code;
        struct curl_waitfd wake = {.fd = h->wake, .events = CURL_WAIT_POLLIN};
        curl_multi_poll(h->multi, &wake, 1, (int)((timeout + 999) / 1000), &fds);
        sink_pause(h->wake, -1, 0); /* read empty */
    }
    return 0;
}

const SinkLinkKind sink_webhook = {
    .window = WINDOW, .check = check, .open = open_hook, .send = send_request, .wait = wait_answers,
    .close = close_hook,
};
