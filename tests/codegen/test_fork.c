/* Children that compile, of a process that is compiling: LLVM has lists of the whole process, and
 * what the parent's other threads had put there is none of the child's. */
#include "check.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codegen/fork.h"
#include "compile/compile.h"

enum { THREADS = 2, FORKS = 12, SECONDS = 60 };

static void compile_job(Context *ctx, void *arg)
{
    const char *text =
        "graph \"small\"\ninput x f32[64,64]\ninput w f32[64,8]\ny = matmul(x, w)\nz = softmax(y)\n"
        "t = transpose(z) perm=[1,0]\nv = matmul(t, x)\noutput v\n";
    /* threads of a child lie on the stacks of others */
    const CompileOptions opt = {.target = target_native(), .threads = 2};
    compile_graph(ctx, graph_parse(ctx, "small", text, strlen(text)), &opt);
    (void)arg;
}

static int compile_once(void)
{
    Error e;
    Arena *a = arena_new();
    const int code = job_run(a, compile_job, NULL, &e, NULL);
    arena_free(a);
    return code;
}

static void *compile_on(void *arg)
{
    const atomic_bool *stop = arg;
    while (!atomic_load(stop))
        if (compile_once() != 0)
            return arg;
    return NULL;
}

typedef struct Inside {
    atomic_int step; /* 1: within LLVM, 2: about to leave it */
} Inside;

static void *stay_inside(void *arg)
{
    Inside *in = arg;
    llvm_enter();
    atomic_store(&in->step, 1);
    usleep(50 * 1000);
    atomic_store(&in->step, 2);
    llvm_leave();
    return NULL;
}

/* The thread sanitizer refuses threads in a child of a process that had others, and asks it for its
 * parent's. */
static void where_children_have_threads(void)
{
#ifdef __SANITIZE_THREAD__
    skip();
#endif
}

/* A fork waits for who is inside, and both processes go on. */
static void fork_waits(void **state)
{
    (void)state;
    where_children_have_threads();
    for (int i = 0; i < 3; i++) {
        Inside in;
        pthread_t thread;
        atomic_init(&in.step, 0);
        assert_int_equal(pthread_create(&thread, NULL, stay_inside, &in), 0);
        while (atomic_load(&in.step) == 0)
            usleep(100);
        const pid_t child = fork();
        const int seen = atomic_load(&in.step);
        alarm(child == 0 ? SECONDS : 0);
        llvm_enter();
        llvm_leave();
        if (child == 0)
            _exit(seen);
        int status = -1;
        assert_true(child > 0 && waitpid(child, &status, 0) == child);
        pthread_join(thread, NULL);
        assert_int_equal(seen, 2);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 2);
    }
}

static void children_compile(void **state)
{
    (void)state;
    where_children_have_threads();
    pthread_t thread[THREADS];
    atomic_bool stop;
    atomic_init(&stop, false);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, compile_on, &stop), 0);
    int bad = 0;
    for (int i = 0; i < FORKS; i++) {
        usleep(1000 * (useconds_t)(i % 7));
        const pid_t child = fork();
        if (child == 0) {
            alarm(SECONDS); /* instead of a hang */
            _exit(compile_once() == 0 ? 0 : 1);
        }
        int status = -1;
        assert_true(child > 0 && waitpid(child, &status, 0) == child);
        bad += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    }
    atomic_store(&stop, true);
    for (int i = 0; i < THREADS; i++) {
        void *failed;
        pthread_join(thread[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(bad, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fork_waits),
                                       cmocka_unit_test(children_compile)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
