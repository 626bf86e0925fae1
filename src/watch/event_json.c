/* Records as lines of JSON. */
#include "watch/json_write.h"

#include "watch/event.h"

static void add_list(Str *out, const RuleValue *v)
{
    str_addc(out, '[');
    for (int i = 0; i < v->n; i++) {
        str_add(out, i ? ",{\"label\":" : "{\"label\":");
        json_add_string(out, v->list[i].label);
        str_add(out, ",\"score\":");
        json_add_float(out, v->list[i].score);
        str_add(out, ",\"box\":");
        json_add_box(out, &v->list[i].box);
        if (v->list[i].track)
            str_addf(out, ",\"track\":%lld", (long long)v->list[i].track);
        str_addc(out, '}');
    }
    str_addc(out, ']');
}

static void add_value(Str *out, const RuleValue *v)
{
    switch (v->kind) {
    case VALUE_UNKNOWN: str_add(out, "null"); break;
    case VALUE_TRUTH: str_add(out, v->number != 0 ? "true" : "false"); break;
    case VALUE_NUMBER: json_add_number(out, v->number); break;
    case VALUE_TEXT: json_add_string(out, v->text); break;
    case VALUE_LIST: add_list(out, v); break;
    }
}

static void add_times(Str *out, const EventRecord *r)
{
    str_add(out, ",\"t_start\":");
    json_add_seconds(out, r->t_start);
    str_add(out, ",\"t_detect\":");
    json_add_seconds(out, r->t_detect);
    str_add(out, ",\"t_end\":");
    if (r->kind == RECORD_END)
        json_add_seconds(out, r->t_end);
    else
        str_add(out, "null");
    str_add(out, ",\"wall\":");
    if (r->wall)
        json_add_wall(out, r->wall);
    else
        str_add(out, "null");
}

const char *record_kind_name(RecordKind k)
{
    static const char *const name[] = {
        [RECORD_START] = "start", [RECORD_END] = "end", [RECORD_POINT] = "point"};
    return name[k];
}

void event_json(Str *out, const EventRecord *r)
{
    str_addf(out, "{\"v\":1,\"id\":\"%016llx\",\"rev\":%d,\"kind\":\"%s\",\"stream\":",
             (unsigned long long)r->id, r->rev, record_kind_name(r->kind));
    json_add_string(out, r->stream);
    str_add(out, ",\"watch\":");
    json_add_string(out, r->watch->name);
    str_add(out, ",\"event\":");
    json_add_string(out, r->rule->name);
    str_add(out, ",\"key\":");
    json_add_string(out, r->key);
    str_addf(out, ",\"epoch\":%d", r->epoch);
    add_times(out, r);
    str_addf(out, ",\"clock\":\"%s\",\"reason\":", clock_text(r->clock));
    json_add_string(out, r->reason);
    str_addf(out, ",\"severity\":%d,\"score\":", r->rule->severity);
    if (r->score != 0)
        json_add_float(out, r->score);
    else
        str_add(out, "null");
    str_addf(out, ",\"frame\":%lld,\"box\":", (long long)r->frame);
    if (r->box.width > 0)
        json_add_box(out, &r->box);
    else
        str_add(out, "null");
    if (r->evidence) {
        str_add(out, ",\"evidence\":");
        json_add_string(out, r->evidence);
    }
    if (r->clip) {
        str_add(out, ",\"clip\":");
        json_add_string(out, r->clip);
    }
    str_add(out, ",\"data\":{");
    for (int i = 0; i < r->ndata; i++) {
        str_add(out, i ? "," : "");
        json_add_string(out, rule_text(r->rule->data[i]));
        str_addc(out, ':');
        add_value(out, &r->data[i]);
    }
    str_add(out, "}}");
}
