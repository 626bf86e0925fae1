/* Kernels: loops in, image out. LLVM's objects live inside one nested job, so that a failure
 * disposes of them before it goes on to the caller's entry. */
#include "codegen/codegen.h"

#include <assert.h>
#include <pthread.h>
#include <string.h>

#include <llvm-c/Analysis.h>
#include <llvm-c/Support.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include "base/file.h"
#include "base/log.h"
#include "codegen/fork.h"
#include "codegen/gen.h"
#include "codegen/link.h"

/* Enough: the expanded form has its vectors, unrolled loops and hoisted invariants already. With
 * MemorySSA, or a store to one buffer would forget the loads of all others. */
static const char passes[] = "function(sroa,early-cse<memssa>)";

typedef struct Job {
    int n;
    const Loops *const *l;
    const Target *target;
    const CodegenOptions *options;
    CodegenResult result;
    Gen g;
    LLVMTargetMachineRef machine;
    LLVMPassBuilderOptionsRef pass_options;
    LLVMMemoryBufferRef object, assembly;
} Job;

static void init_llvm(void)
{
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    /* Sums of integers would be made into trees, more parts than there are registers. (Of the
     * process: LLVM has no such option for one target machine.) */
    static const char *const options[] = {"lathe", "-x86-machine-combiner=false"};
    LLVMParseCommandLineOptions(2, options, NULL);
}

static void make_machine(Context *ctx, Job *job)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_llvm);
    static const char triple[] = "x86_64-unknown-linux-gnu"; /* ELF and System V calls everywhere */
    LLVMTargetRef llvm_target;
    char *why = NULL;
    if (LLVMGetTargetFromTriple(triple, &llvm_target, &why))
        fail(ctx, ERR_INTERNAL, "codegen: LLVM has no target %s: %s", triple, why);
    /* "Less" has everything that counts but a second scheduling after registers are allocated,
     * which gains nothing on vectors that are in the right order. */
    job->machine = LLVMCreateTargetMachine(llvm_target, triple, "x86-64", job->target->features,
                                           LLVMCodeGenLevelLess, LLVMRelocPIC, LLVMCodeModelSmall);
    LLVMSetTarget(job->g.m, triple);
    LLVMTargetDataRef layout = LLVMCreateTargetDataLayout(job->machine);
    LLVMSetModuleDataLayout(job->g.m, layout);
    LLVMDisposeTargetData(layout);
}

static void start(Context *ctx, Job *job)
{
    Gen *g = &job->g;
    g->ctx = ctx;
    g->target = job->target;
    g->any_address = job->options && job->options->any_address;
    g->c = LLVMContextCreate();
    LLVMContextSetDiscardValueNames(g->c, !(job->options && job->options->want_ir));
    g->m = LLVMModuleCreateWithNameInContext(job->l[0]->name, g->c);
    g->b = LLVMCreateBuilderInContext(g->c);
    g->scope_kind = LLVMGetMDKindIDInContext(g->c, "alias.scope", 11);
    g->noalias_kind = LLVMGetMDKindIDInContext(g->c, "noalias", 7);
    gen_init_types(g);
    make_machine(ctx, job);
}

/* Its functions, one a phase, get names that no other kernel of the module has. */
static void gen_kernel(Job *job, int i, const char **name)
{
    Gen *g = &job->g;
    Arena *a = g->ctx->arena;
    const Loops *l = g->l = job->l[i];
    g->x = l->x;
    g->buffer = arena_array_of(a, l->buffer.len + 1, GenBuffer);
    g->reg = arena_array_of(a, l->reg.len + 1, LLVMValueRef);
    g->memo = arena_array_of(a, l->x->node.len + 1, Memoised);
    for (int k = 0; k < l->phase.len; k++) {
        name[k] = i == 0 ? arena_printf(a, "%s_p%d", l->name, k)
                         : arena_printf(a, "%s_k%d_p%d", l->name, i, k);
        gen_phase(g, k, name[k]);
    }
}

/* A copy of a message of LLVM's, which is then freed. */
static const char *keep_message(Context *ctx, char *message)
{
    const char *copy = arena_strdup(ctx->arena, message ? message : "");
    LLVMDisposeMessage(message);
    return copy;
}

static void optimise(Context *ctx, Job *job)
{
    Gen *g = &job->g;
    char *why = NULL;
    if (LLVMVerifyModule(g->m, LLVMReturnStatusAction, &why))
        fail(ctx, ERR_INTERNAL, "codegen: '%s' is no valid IR: %s", g->l->name,
             keep_message(ctx, why));
    LLVMDisposeMessage(why);
    job->pass_options = LLVMCreatePassBuilderOptions();
    LLVMErrorRef error = LLVMRunPasses(g->m, passes, job->machine, job->pass_options);
    if (error) {
        char *message = LLVMGetErrorMessage(error);
        const char *copy = arena_strdup(ctx->arena, message);
        LLVMDisposeErrorMessage(message);
        fail(ctx, ERR_INTERNAL, "codegen: passes on '%s': %s", g->l->name, copy);
    }
    if (job->options && job->options->want_ir)
        job->result.ir = keep_message(ctx, LLVMPrintModuleToString(g->m));
}

static LLVMMemoryBufferRef emit(Context *ctx, Job *job, LLVMModuleRef m, LLVMCodeGenFileType type)
{
    LLVMMemoryBufferRef out = NULL;
    char *why = NULL;
    if (LLVMTargetMachineEmitToMemoryBuffer(job->machine, m, type, &why, &out))
        fail(ctx, ERR_INTERNAL, "codegen: '%s': %s", job->l[0]->name, keep_message(ctx, why));
    return out;
}

/* Of a clone: emitting changes a module. */
static void emit_assembly(Context *ctx, Job *job)
{
    LLVMModuleRef clone = LLVMCloneModule(job->g.m);
    job->assembly = emit(ctx, job, clone, LLVMAssemblyFile);
    LLVMDisposeModule(clone);
    job->result.assembly = arena_strndup(ctx->arena, LLVMGetBufferStart(job->assembly),
                                         LLVMGetBufferSize(job->assembly));
}

static void compile(Context *ctx, void *arg)
{
    Job *job = arg;
    const double t0 = time_now();
    start(ctx, job);
    int nphases = 0;
    for (int i = 0; i < job->n; i++)
        nphases += job->l[i]->phase.len;
    const char **name = arena_array_of(ctx->arena, nphases + 1, const char *);
    for (int i = 0, at = 0; i < job->n; at += job->l[i++]->phase.len)
        gen_kernel(job, i, name + at);
    const double t1 = time_now();
    optimise(ctx, job);
    if (job->options && job->options->want_assembly)
        emit_assembly(ctx, job);
    const double t2 = time_now();
    job->object = emit(ctx, job, job->g.m, LLVMObjectFile);
    Error error;
    const int code =
        link_image(ctx->arena, (const uint8_t *)LLVMGetBufferStart(job->object),
                   LLVMGetBufferSize(job->object), nphases, name, &job->result.image, &error);
    if (code != ERR_OK)
        fail(ctx, code, "codegen: '%s': %s", job->l[0]->name, error.message);
    log_line(2, "codegen: %s, %d kernels: IR %.1f ms, passes %.1f ms, code %.1f ms, %zu bytes",
             job->l[0]->name, job->n, (t1 - t0) * 1e3, (t2 - t1) * 1e3, (time_now() - t2) * 1e3,
             job->result.image.size);
}

static void dispose(Job *job)
{
    if (job->object)
        LLVMDisposeMemoryBuffer(job->object);
    if (job->assembly)
        LLVMDisposeMemoryBuffer(job->assembly);
    if (job->pass_options)
        LLVMDisposePassBuilderOptions(job->pass_options);
    if (job->g.b)
        LLVMDisposeBuilder(job->g.b);
    if (job->g.m)
        LLVMDisposeModule(job->g.m);
    if (job->machine)
        LLVMDisposeTargetMachine(job->machine);
    if (job->g.c)
        LLVMContextDispose(job->g.c);
}

CodegenResult codegen_compile_all(Context *ctx, int n, const Loops *const *expanded,
                                  const Target *target, const CodegenOptions *options)
{
    assert(n > 0);
    for (int i = 0; i < n; i++)
        assert(expanded[i]->expanded);
    Job job = {.n = n, .l = expanded, .target = target, .options = options};
    Error error = {0};
    llvm_enter();
    const int code = job_run(ctx->arena, compile, &job, &error, NULL);
    dispose(&job);
    llvm_leave();
    if (code != ERR_OK)
        fail(ctx, code, "%s", error.message);
    return job.result;
}

CodegenResult codegen_compile(Context *ctx, const Loops *expanded, const Target *target,
                              const CodegenOptions *options)
{
    return codegen_compile_all(ctx, 1, &expanded, target, options);
}

int codegen_version(void)
{
    unsigned major, minor, patch;
    LLVMGetVersion(&major, &minor, &patch);
    return (int)(major * 10000 + minor * 100 + patch);
}
