/* The spotlight, as JSON and as metrics. */
#include "net/metrics.h"
#include "watch/json_write.h"
#include "watch/page_parts.h"

static void add_rank(Str *out, const SpotlightRank *r)
{
    str_add(out, "{\"stream\":");
    json_add_string(out, r->name);
    str_add(out, ",\"score\":");
    if (r->scored)
        json_add_number(out, r->score);
    else
        str_add(out, "null");
    str_addf(out, ",\"standing\":\"%s\",\"shown\":%s}", spotlight_standing_text(r->standing),
             r->shown ? "true" : "false");
}

void page_spotlight_json(Str *out, const SpotlightStatus *s)
{
    str_add(out, "{\"shown\":");
    json_add_string(out, s->shown);
    str_add(out, ",\"seconds\":");
    json_add_number(out, s->seconds);
    str_addf(out, ",\"changes\":%lld,\"streams\":%d,\"rank\":[", (long long)s->changes, s->nrank);
    for (int i = 0; i < s->nrank && i < PAGE_RANKS; i++) {
        str_add(out, i ? "," : "");
        add_rank(out, &s->rank[i]);
    }
    str_add(out, "]}\n");
}

/* Nothing, where no stream competes. */
void page_spotlight_metrics(Str *out, const SpotlightStatus *s)
{
    static const char shown[] = "lathe_watch_spotlight", score[] = "lathe_watch_spotlight_score",
                      changes[] = "lathe_watch_spotlight_changes_total";
    if (s->nrank == 0)
        return;
    metrics_family(out, shown, "gauge", "1 for the stream that is on the spotlight.");
    for (int i = 0; i < s->nrank; i++)
        metrics_value(out, shown, 1, (MetricLabel[]){{"stream", s->rank[i].name}},
                      s->rank[i].shown);
    metrics_family(out, score, "gauge", "Score of each stream that may be shown.");
    for (int i = 0; i < s->nrank; i++)
        if (s->rank[i].standing == SPOTLIGHT_CAN)
            metrics_value(out, score, 1, (MetricLabel[]){{"stream", s->rank[i].name}},
                          s->rank[i].score);
    metrics_family(out, changes, "counter",
                   "Times at which it went from one stream to another, or to none.");
    metrics_value(out, changes, 0, NULL, (double)s->changes);
}
