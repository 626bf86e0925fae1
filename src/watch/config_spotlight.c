/* spotlight: {score: "100 - alive", require: "screen == 'play'", min_dwell: 20s, margin: 8, stale:
 * 10s} */
#include "watch/config_spotlight.h"

#include "watch/rule.h"

const SpotlightRule *config_spotlight(const Yaml *y, const YamlNode *node, const Watch *w)
{
    if (!node)
        return NULL;
    SpotlightRule *const out = arena_new_of(y->ctx->arena, SpotlightRule);
    YamlMap m = yaml_map(y, node, "'spotlight'");
    const YamlNode *const score = yaml_need(&m, "score"), *const require = yaml_get(&m, "require");
    out->score = rule_parse_number(y->ctx, w, y->name, yaml_text_place(score),
                                   yaml_node_text(y, score, "'score'"));
    if (require)
        out->require = rule_parse_condition(y->ctx, w, y->name, yaml_text_place(require),
                                            yaml_node_text(y, require, "'require'"), -1);
    out->by = (SpotlightBy){
        .min_dwell = yaml_duration(&m, "min_dwell", 20000000),
        .stale = yaml_duration(&m, "stale", 10000000),
        .margin = yaml_number(&m, "margin", 0, 0, 1e300),
    };
    yaml_done(&m);
    return out;
}
