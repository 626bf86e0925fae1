/* A NATS server of a test. */
#include "check.h"

#include "sinks/nats.h"

#include <stdio.h>

#include "sinks/scratch.h"

pid_t nats_run(int port, bool jetstream, const char *option)
{
    char number[16];
    snprintf(number, sizeof number, "%d", port);
    const char *argv[16] = {"nats-server", "-a",  "127.0.0.1",         "-p",
                            number,        "-sd", scratch_path("nats")};
    int n = 7;
    if (jetstream)
        argv[n++] = "-js";
    if (option)
        argv[n++] = option;
    return broker_start(port, scratch_path("nats.log"), argv);
}

static void on_message(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *arg)
{
    (void)nc, (void)sub;
    arrivals_take(arg, natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m));
    natsMsg_Destroy(m);
}

void ear_open(Ear *ear, int port, Arrivals *a)
{
    char url[64];
    snprintf(url, sizeof url, "nats://127.0.0.1:%d", port);
    *ear = (Ear){.arrivals = a};
    assert_int_equal(natsConnection_ConnectTo(&ear->connection, url), NATS_OK);
    if (a) {
        assert_int_equal(natsConnection_Subscribe(&ear->subscription, ear->connection, "lathe.>",
                                                  on_message, a),
                         NATS_OK);
        assert_int_equal(natsConnection_Flush(ear->connection), NATS_OK);
    }
}

void ear_close(Ear *ear)
{
    natsSubscription_Destroy(ear->subscription);
    natsConnection_Destroy(ear->connection);
}

static jsStreamConfig config(int64_t max)
{
    static const char *subjects[] = {"lathe.>"};
    jsStreamConfig c;
    jsStreamConfig_Init(&c);
    c.Name = "EVENTS";
    c.Subjects = subjects;
    c.SubjectsLen = 1;
    c.MaxMsgs = max;
    c.Discard = js_DiscardNew;
    return c;
}

static jsCtx *context(Ear *ear)
{
    jsCtx *js;
    assert_int_equal(natsConnection_JetStream(&js, ear->connection, NULL), NATS_OK);
    return js;
}

void ear_make_stream(Ear *ear, int64_t max)
{
    jsCtx *const js = context(ear);
    jsStreamConfig c = config(max);
    jsErrCode code = 0;
    assert_int_equal(js_AddStream(NULL, js, &c, NULL, &code), NATS_OK);
    jsCtx_Destroy(js);
}

void ear_change_stream(Ear *ear, int64_t max)
{
    jsCtx *const js = context(ear);
    jsStreamConfig c = config(max);
    assert_int_equal(js_UpdateStream(NULL, js, &c, NULL, NULL), NATS_OK);
    jsCtx_Destroy(js);
}

uint64_t ear_stream_length(Ear *ear)
{
    jsCtx *const js = context(ear);
    jsStreamInfo *info;
    assert_int_equal(js_GetStreamInfo(&info, js, "EVENTS", NULL, NULL), NATS_OK);
    const uint64_t n = info->State.Msgs;
    jsStreamInfo_Destroy(info);
    jsCtx_Destroy(js);
    return n;
}

void ear_read_stream(Ear *ear, Arrivals *a)
{
    jsCtx *const js = context(ear);
    const uint64_t n = ear_stream_length(ear);
    for (uint64_t i = 1; i <= n; i++) {
        natsMsg *m = NULL;
        assert_int_equal(js_GetMsg(&m, js, "EVENTS", i, NULL, NULL), NATS_OK);
        arrivals_take(a, natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m));
        natsMsg_Destroy(m);
    }
    jsCtx_Destroy(js);
}
