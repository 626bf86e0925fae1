/* Functions of the model, inlined at each call; opset versions. See importer.h.
 *
 * A call's body gets a scope without a parent, in which the formal inputs are bound to the call's
 * values. Its results get the names that they have at the call, everything else is prefixed
 * "call/". Attributes of body nodes may refer to attributes of the call (ref_attr_name), with the
 * function's defaults behind. */
#include <string.h>

#include "import/importer.h"

static const char *text(const char *s)
{
    return s ? s : "";
}

const char *domain_name(const char *domain)
{
    return domain && strcmp(domain, "ai.onnx") != 0 ? domain : "";
}

static const char *function_key(const Importer *im, const char *domain, const char *name,
                                const char *overload)
{
    return arena_printf(im->ctx->arena, "%s\x1f%s\x1f%s", domain_name(domain), text(name),
                        text(overload));
}

void import_functions(Importer *im)
{
    im->function = strmap_new(im->ctx->arena);
    for (size_t i = 0; i < im->model->n_functions; i++) {
        const Onnx__FunctionProto *const p = im->model->functions[i];
        if (!strmap_put(&im->function, function_key(im, p->domain, p->name, p->overload), (int)i))
            fail(im->ctx, ERR_INVALID, "function '%.200s' is defined twice", text(p->name));
    }
}

const Onnx__FunctionProto *find_function(const Importer *im, const Onnx__NodeProto *p)
{
    if (im->model->n_functions == 0)
        return NULL;
    const int k =
        strmap_get(&im->function, function_key(im, p->domain, p->op_type, p->overload), -1);
    return k >= 0 ? im->model->functions[k] : NULL;
}

int import_opset(const Importer *im, Onnx__OperatorSetId *const *set, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (domain_name(set[i]->domain)[0] != '\0')
            continue;
        if (set[i]->version < ONNX_MIN_OPSET)
            fail(im->ctx, ERR_INVALID, "opset version %lld", (long long)set[i]->version);
        if (set[i]->version > ONNX_MAX_OPSET)
            fail(im->ctx, ERR_UNSUPPORTED,
                 "opset %lld: the newest known is %d; export the model with that",
                 (long long)set[i]->version, ONNX_MAX_OPSET);
        return (int)set[i]->version;
    }
    return 0;
}

const Onnx__AttributeProto *frame_attr(const Frame *f, const Onnx__AttributeProto *a)
{
    if (!a->ref_attr_name || a->ref_attr_name[0] == '\0')
        return a;
    for (int i = 0; i < f->nattr; i++)
        if (strcmp(f->attr_name[i], a->ref_attr_name) == 0)
            return f->attr[i];
    return NULL;
}

/* The call's attributes first, then the function's defaults. */
static Frame call_frame(Importer *im, const Frame *f, const Onnx__NodeProto *p,
                        const Onnx__FunctionProto *function)
{
    Arena *const a = im->ctx->arena;
    const size_t most = p->n_attribute + function->n_attribute_proto;
    Frame callee = {
        .opset = import_opset(im, function->opset_import, function->n_opset_import),
        .attr_name = arena_array_of(a, most + 1, const char *),
        .attr = arena_array_of(a, most + 1, const Onnx__AttributeProto *),
    };
    for (size_t i = 0; i < most; i++) {
        const bool given = i < p->n_attribute;
        const Onnx__AttributeProto *const named =
            given ? p->attribute[i] : function->attribute_proto[i - p->n_attribute];
        const Onnx__AttributeProto *const value = given ? frame_attr(f, named) : named;
        if (!value || !named->name)
            continue;
        callee.attr_name[callee.nattr] = named->name;
        callee.attr[callee.nattr++] = value;
    }
    return callee;
}

void import_call(Importer *im, Scope *s, const Frame *f, const Onnx__NodeProto *p,
                 const Onnx__FunctionProto *function)
{
    Arena *const a = im->ctx->arena;
    if (p->n_input > function->n_input || p->n_output > function->n_output)
        import_fail(im, p, ERR_INVALID,
                    "function of %zu inputs and %zu outputs called with %zu and %zu",
                    function->n_input, function->n_output, p->n_input, p->n_output);
    const Frame callee = call_frame(im, f, p, function);
    Scope body = scope_new(im, NULL, s->block);
    body.depth = s->depth + 1;
    if (body.depth > IMPORT_MAX_DEPTH)
        import_fail(im, p, ERR_INVALID, "function calls nest more than %d deep", IMPORT_MAX_DEPTH);
    const char *const call = p->name && p->name[0] ? p->name : text(p->op_type);
    body.prefix = arena_printf(a, "%s%s/", s->prefix, call);
    for (size_t i = 0; i < function->n_input; i++) {
        const bool given = i < p->n_input && p->input[i][0] != '\0';
        const ValueId v = given ? import_read(im, s, p, p->input[i]) : -1;
        scope_define(im, &body, function->input[i], v, p);
    }
    body.renamed = arena_array_of(a, p->n_output + 1, const char *);
    for (size_t i = 0; i < p->n_output; i++)
        if (p->output[i][0] != '\0') {
            body.renamed[i] = scope_value_name(im, s, p->output[i]);
            strmap_put(&body.rename, function->output[i], (int)i);
        }
    import_nodes(im, &body, &callee, function->node, function->n_node);
    for (size_t i = 0; i < p->n_output; i++)
        if (p->output[i][0] != '\0')
            scope_define(im, s, p->output[i], import_read(im, &body, p, function->output[i]), p);
}
