/* Webhooks against a server with faults. */
#include "check.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <unistd.h>

#include "base/file.h"
#include "sinks/http_server.h"
#include "sinks/records.h"
#include "sinks/scratch.h"

typedef struct Hook { /* the other side */
    Arrivals *arrivals;
    HttpServer *server;
    pthread_mutex_t lock;
    HttpReply reply;     /* to all but: */
    int special;         /* record; -1: none */
    HttpReply to_special; /* for the first `times` of it */
    int times;
    int requests, most, now; /* most: at once */
    bool bad_signature, bad_header;
    double last_special[16];
    int nspecial;
    char url[64];
} Hook;

static bool signed_right(const HttpRequest *r)
{
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned int len;
    char want[128] = "sha256=";
    HMAC(EVP_sha256(), "secret", 6, (const unsigned char *)r->body, r->size, mac, &len);
    for (unsigned int i = 0; i < len; i++)
        snprintf(want + 7 + 2 * i, 3, "%02x", mac[i]);
    return strcmp(want, r->signature) == 0;
}

static HttpReply on_request(void *arg, const HttpRequest *r)
{
    Hook *const h = arg;
    const char *const at = strstr(r->body, "\"n\":");
    const int i = at ? atoi(at + 4) : -1;
    char text[RECORD_TEXT], name[64], id[64], key[96];
    const SinkRecord want = record_make(i < 0 ? 0 : i, text, name);
    snprintf(id, sizeof id, "%016llx", (unsigned long long)want.id);
    snprintf(key, sizeof key, "%s-%d", id, want.rev);
    pthread_mutex_lock(&h->lock);
    h->requests++;
    h->bad_signature |= !signed_right(r);
    h->bad_header |= strcmp(r->id, id) != 0 || strcmp(r->key, key) != 0 ||
                     strcmp(r->type, "application/json") != 0 ||
                     strcmp(r->line, "POST /hook?a=b HTTP/1.1") != 0;
    HttpReply reply = h->reply;
    if (i == h->special) {
        if (h->nspecial < 16)
            h->last_special[h->nspecial] = time_now();
        if (h->nspecial++ < h->times)
            reply = h->to_special;
    }
    pthread_mutex_unlock(&h->lock);
    if (reply.status >= 200 && reply.status < 300)
        arrivals_take(h->arrivals, r->body, r->size);
    return reply;
}

static void begin(Hook *h)
{
    *h = (Hook){.arrivals = arrivals_new(), .special = -1, .reply.status = 200};
    pthread_mutex_init(&h->lock, NULL);
    h->server = http_start(0, on_request, h);
    snprintf(h->url, sizeof h->url, "http://127.0.0.1:%d/hook?a=b", http_port(h->server));
}

static void end(Hook *h)
{
    if (h->server)
        http_stop(h->server);
    arrivals_free(h->arrivals);
    pthread_mutex_destroy(&h->lock);
}

static SinkSpec spec_of(const Hook *h)
{
    return (SinkSpec){
        .name = "hook", .kind = SINK_WEBHOOK, .url = h->url, .secret = "secret", .timeout = 30000000};
}

static void test_delivers(void **state)
{
    (void)state;
    Hook h;
    begin(&h);
    const SinkSpec spec = spec_of(&h);
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 100);
    scratch_arrived(h.arrivals, 100);
    sinks_close(s, 2000000);
    assert_false(h.bad_signature);
    assert_false(h.bad_header);
    assert_int_equal(h.requests, 100);
    assert_in_range(http_connections(h.server), 1, 4); /* kept */
    end(&h);
}

static bool fails_and_is_old(const SinkCounts *c)
{
    return scratch_fails(c) && c->oldest >= 250000;
}

/* The server is not there; then it is. */
static void test_away(void **state)
{
    (void)state;
    Hook h;
    begin(&h);
    const SinkSpec spec = spec_of(&h);
    const int port = http_port(h.server);
    http_stop(h.server);
    h.server = NULL;
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 30);
    SinkCounts c = scratch_until(s, fails_and_is_old);
    assert_int_equal(c.waiting, 30);
    assert_true(fails_and_is_old(&c) && c.error[0]);
    h.server = http_start(port, on_request, &h);
    scratch_arrived(h.arrivals, 30);
    c = scratch_until(s, scratch_is_empty);
    assert_true(c.connected);
    assert_int_equal(c.waiting, 0);
    assert_int_equal(c.delivered, 30);
    assert_int_equal(c.oldest, 0);
    sinks_close(s, 0);
    end(&h);
}

/* What fails for a while holds up its own key, and no other. */
static void fails_for_a_while(HttpReply reply, int times)
{
    Hook h;
    begin(&h);
    h.special = 0;
    h.to_special = reply;
    h.times = times;
    SinkSpec spec = spec_of(&h);
    if (reply.delay_ms > 0)
        spec.timeout = reply.delay_ms * 500;
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 20);
    scratch_arrived(h.arrivals, 20);
    for (int i = 1; i < RECORD_KEYS; i++)
        assert_true(h.arrivals->first[i] < h.arrivals->first[0]);
    assert_int_equal(sinks_counts(s, 0).failures, times);
    sinks_close(s, 1000000);
    if (reply.retry_after > 0)
        assert_true(h.last_special[1] - h.last_special[0] >= reply.retry_after);
    end(&h);
}

static void test_500(void **state)
{
    (void)state;
    fails_for_a_while((HttpReply){.status = 500}, 2);
}

static void test_429(void **state)
{
    (void)state;
    fails_for_a_while((HttpReply){.status = 429, .retry_after = 1}, 1);
}

static void test_408(void **state)
{
    (void)state;
    fails_for_a_while((HttpReply){.status = 408}, 1);
}

static void test_redirect(void **state)
{
    (void)state;
    fails_for_a_while((HttpReply){.status = 302, .location = "/elsewhere"}, 1);
}

static void test_cut(void **state)
{
    (void)state;
    fails_for_a_while((HttpReply){.status = 0}, 1);
}

static void test_garbage(void **state)
{
    (void)state;
    fails_for_a_while((HttpReply){.garbage = true}, 1);
}

static void test_silent(void **state)
{
    (void)state;
    fails_for_a_while((HttpReply){.status = 500, .delay_ms = 4000}, 1);
}

/* Refused for good: a dead letter, and the key goes on. */
static void test_refused(void **state)
{
    (void)state;
    Hook h;
    begin(&h);
    h.special = 5;
    h.to_special = (HttpReply){.status = 410};
    h.times = 1000;
    const SinkSpec spec = spec_of(&h);
    Sinks *s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 20);
    for (int i = 0; i < 20; i++)
        if (i != 5)
            assert_true(arrivals_wait(h.arrivals, i, 1, 60));
    sinks_close(s, 2000000);
    s = scratch_sinks(1, &spec);
    const SinkCounts c = sinks_counts(s, 0);
    assert_int_equal(c.dead, 1);
    assert_int_equal(c.waiting, 0);
    sinks_close(s, 0);
    assert_int_equal(h.nspecial, 1); /* not tried again */
    end(&h);
}

/* What never works dies by its age; with the server away, too. */
static void test_give_up(void **state)
{
    (void)state;
    for (int away = 0; away < 2; away++) {
        Hook h;
        begin(&h);
        h.reply.status = 503;
        SinkSpec spec = spec_of(&h);
        spec.give_up = 700000;
        if (away) {
            http_stop(h.server);
            h.server = NULL;
        }
        Sinks *const s = scratch_sinks(1, &spec);
        scratch_add(s, 0, 12);
        SinkCounts c = {0};
        for (int i = 0; i < 6000 && c.dead < 12; i++) {
            usleep(10000);
            c = sinks_counts(s, 0);
        }
        assert_int_equal(c.dead, 12);
        assert_int_equal(c.waiting, 0);
        sinks_close(s, 1000000);
        end(&h);
        scratch_remove(state);
        scratch_make(state);
    }
}

static void fails(const SinkSpec *spec, const char *why)
{
    Sinks *const s = scratch_sinks(1, spec);
    SinkCounts c = {0};
    /* a busy machine may be late first */
    for (int i = 0; i < 4000 && strstr(c.error, why) == NULL; i++) {
        usleep(10000);
        c = sinks_counts(s, 0);
    }
    assert_true(c.failures > 0 && c.waiting == 20 && !c.connected);
    if (strstr(c.error, why) == NULL)
        FAIL_MSG("not about %s: %s", why, c.error);
    sinks_close(s, 0);
}

/* Certificates are looked at: who vouches for them, and for whom. */
static void test_tls(void **state)
{
    (void)state;
    Hook h;
    begin(&h);
    SinkSpec spec = spec_of(&h);
    char url[64];
    snprintf(url, sizeof url, "https://localhost:%d/hook?a=b", http_port(h.server));
    spec.url = url;
    spec.timeout = 2000000;
    Sinks *const s = scratch_sinks(1, &spec);
    scratch_add(s, 0, 20);
    sinks_close(s, 0);
    fails(&spec, "time"); /* no TLS there */
    http_stop(h.server);
    scratch_certificate("elsewhere");
    scratch_certificate("localhost");
    h.server = https_start(0, scratch_path("elsewhere.pem"), scratch_path("elsewhere.key"),
                           on_request, &h);
    snprintf(url, sizeof url, "https://localhost:%d/hook?a=b", http_port(h.server));
    fails(&spec, "certificate"); /* nobody vouches for it */
    spec.ca = scratch_path("elsewhere.pem");
    fails(&spec, "host name"); /* it is another's */
    http_stop(h.server);
    h.server = https_start(0, scratch_path("localhost.pem"), scratch_path("localhost.key"),
                           on_request, &h);
    snprintf(url, sizeof url, "https://localhost:%d/hook?a=b", http_port(h.server));
    spec.ca = scratch_path("localhost.pem");
    sinks_close(scratch_sinks(1, &spec), 10000000);
    scratch_arrived(h.arrivals, 20);
    end(&h);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, scratch_make, scratch_remove)

int main(void)
{
    unsetenv("http_proxy");
    const struct CMUnitTest tests[] = {
        TEST(test_delivers), TEST(test_away),     TEST(test_500),     TEST(test_429),
        TEST(test_408),      TEST(test_redirect), TEST(test_cut),     TEST(test_garbage),
        TEST(test_silent),   TEST(test_refused),  TEST(test_give_up), TEST(test_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
