/* What a child of isolated.h may not do. First what every system has: limits of resources; then,
 * where there is seccomp, the system calls that its role needs and no others. What is not on the
 * list fails with EPERM: libraries that ask for more than they need go on without it. */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "watch/isolated_child.h"

#define SOURCE_FILES 64 /* open at once: an address may lead to playlists and their segments */

#if defined(__x86_64__)
#define OUR_AUDIT AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OUR_AUDIT AUDIT_ARCH_AARCH64
#endif

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1 /* the shadow of memory is larger than any limit */
#else
#define SANITIZED 0
#endif

static void limit(int what, rlim_t most)
{
    struct rlimit now;
    if (getrlimit(what, &now) == 0 && (now.rlim_max == RLIM_INFINITY || now.rlim_max > most))
        setrlimit(what, &(struct rlimit){most, most});
}

/* Of a service that runs as root. Without them /proc shows a child nothing of what the service has
 * in memory. */
static void drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};
    for (int c = 0; c < 32 * _LINUX_CAPABILITY_U32S_3; c++)
        prctl(PR_CAPBSET_DROP, c, 0, 0, 0);
    syscall(SYS_capset, &head, none);
}

static void limit_resources(IsolatedRole role, int64_t memory)
{
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_FSIZE, 0); /* memory that is shared, too: the service alone makes it larger */
    limit(RLIMIT_NOFILE, role == ISOLATED_CODEC ? ISOLATED_SHARED + 1 : SOURCE_FILES);
    if (!SANITIZED)
        limit(RLIMIT_DATA, (rlim_t)memory);
}

#ifdef OUR_AUDIT

typedef struct CallRow {
    int number;
    bool codec; /* else a source alone may call it */
} CallRow;

static const CallRow calls[] = {
    /* memory, time, ending; and what the socket to the service takes */
    {__NR_read, true},
    {__NR_write, true},
    {__NR_readv, true},
    {__NR_writev, true},
    {__NR_recvfrom, true},
    {__NR_sendto, true},
    {__NR_recvmsg, true},
    {__NR_sendmsg, true},
    {__NR_ppoll, true},
    {__NR_close, true},
    {__NR_fstat, true},
    {__NR_lseek, true},
    {__NR_munmap, true},
    {__NR_mremap, true},
    {__NR_madvise, true},
    {__NR_brk, true},
    {__NR_futex, true},
    {__NR_exit, true},
    {__NR_exit_group, true},
    {__NR_rt_sigreturn, true},
    {__NR_rt_sigprocmask, true},
    {__NR_rt_sigaction, true},
    {__NR_sigaltstack, true},
    {__NR_clock_gettime, true},
    {__NR_clock_getres, true},
    {__NR_clock_nanosleep, true},
    {__NR_nanosleep, true},
    {__NR_gettimeofday, true},
    {__NR_getrandom, true},
    {__NR_sched_yield, true},
    {__NR_sched_getaffinity, true},
    {__NR_getpid, true},
    {__NR_gettid, true},
    {__NR_getrusage, true},
    {__NR_sysinfo, true},
    {__NR_restart_syscall, true},
    {__NR_membarrier, true},
    {__NR_set_robust_list, true},
#ifdef __NR_poll
    {__NR_poll, true},
#endif
#ifdef __NR_time
    {__NR_time, true},
#endif
#ifdef __NR_rseq
    {__NR_rseq, true},
#endif
    /* files that are read */
    {__NR_newfstatat, false},
    {__NR_statx, false},
    {__NR_statfs, false},
    {__NR_fstatfs, false},
    {__NR_pread64, false},
    {__NR_readlinkat, false},
    {__NR_faccessat, false},
    {__NR_getdents64, false},
    {__NR_getcwd, false},
    {__NR_fcntl, false},
    {__NR_dup, false},
    {__NR_dup3, false},
    {__NR_pipe2, false},
    {__NR_fadvise64, false},
#ifdef __NR_faccessat2
    {__NR_faccessat2, false},
#endif
#ifdef __NR_open
    {__NR_stat, false},
    {__NR_lstat, false},
    {__NR_access, false},
    {__NR_readlink, false},
    {__NR_dup2, false},
    {__NR_pipe, false},
#endif
    /* the network */
    {__NR_socketpair, false},
    {__NR_connect, false},
    {__NR_bind, false},
    {__NR_listen, false},
    {__NR_accept4, false},
    {__NR_getsockname, false},
    {__NR_getpeername, false},
    {__NR_setsockopt, false},
    {__NR_getsockopt, false},
    {__NR_shutdown, false},
    {__NR_sendmmsg, false},
    {__NR_recvmmsg, false},
    {__NR_ioctl, false},
    {__NR_pselect6, false},
    {__NR_epoll_create1, false},
    {__NR_epoll_ctl, false},
    {__NR_epoll_pwait, false},
    {__NR_eventfd2, false},
    {__NR_uname, false},
#ifdef __NR_open
    {__NR_accept, false},
    {__NR_select, false},
    {__NR_epoll_wait, false},
    {__NR_epoll_create, false},
    {__NR_eventfd, false},
#endif
    /* who it is, for libraries of cryptography */
    {__NR_getuid, false},
    {__NR_geteuid, false},
    {__NR_getgid, false},
    {__NR_getegid, false},
    {__NR_getppid, false},
    {__NR_set_tid_address, false},
    {__NR_sched_getparam, false},
    {__NR_sched_getscheduler, false},
};

typedef struct Filter {
    struct sock_filter at[320];
    int n;
} Filter;

static void add(Filter *f, struct sock_filter s)
{
    assert(f->n < (int)(sizeof f->at / sizeof *f->at));
    f->at[f->n++] = s;
}

/* its low half: the machines are little-endian */
#define ARG(i) ((unsigned)offsetof(struct seccomp_data, args[i]))
#define LOAD(at) (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (at))
#define GIVE(what) (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, (what))
#define IS(value, yes, no)                                                                         \
    (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(value), (yes), (no))
#define HAS(bits, yes, no)                                                                         \
    (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, (unsigned)(bits), (yes), (no))
#define REFUSE (SECCOMP_RET_ERRNO | EPERM)

/* Where argument i has one of these bits, or with `must` none of them, the call is refused. */
static void add_checked(Filter *f, int number, int i, unsigned bits, bool must)
{
    add(f, IS(number, 0, 4));
    add(f, LOAD(ARG(i)));
    add(f, must ? HAS(bits, 0, 1) : HAS(bits, 1, 0));
    add(f, GIVE(SECCOMP_RET_ALLOW));
    add(f, GIVE(REFUSE));
}

/* Sockets but for those of this machine's own services. */
static void add_socket(Filter *f)
{
    add(f, IS(__NR_socket, 0, 4));
    add(f, LOAD(ARG(0)));
    add(f, IS(AF_UNIX, 1, 0));
    add(f, GIVE(SECCOMP_RET_ALLOW));
    add(f, GIVE(REFUSE));
}

static void build(Filter *f, IsolatedRole role)
{
    const unsigned writes = O_WRONLY | O_RDWR | O_CREAT | O_TRUNC | O_APPEND;
    add(f, LOAD((unsigned)offsetof(struct seccomp_data, arch)));
    add(f, IS(OUR_AUDIT, 1, 0));
    add(f, GIVE(SECCOMP_RET_KILL_PROCESS));
    add(f, LOAD((unsigned)offsetof(struct seccomp_data, nr)));
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (calls[i].codec || role == ISOLATED_SOURCE) {
            add(f, IS(calls[i].number, 0, 1));
            add(f, GIVE(SECCOMP_RET_ALLOW));
        }
    add_checked(f, __NR_mmap, 2, PROT_EXEC, false);
    add_checked(f, __NR_mprotect, 2, PROT_EXEC, false);
    if (role == ISOLATED_SOURCE) {
        add_checked(f, __NR_openat, 2, writes, false);
#ifdef __NR_open
        add_checked(f, __NR_open, 1, writes, false);
#endif
        add_checked(f, __NR_clone, 0, CLONE_THREAD, true);
        add_checked(f, __NR_prlimit64, 0, ~0u, false); /* of nobody else */
        add_socket(f);
    }
#ifdef __NR_clone3
    add(f, IS(__NR_clone3, 0, 1)); /* its flags cannot be seen: libc then takes clone */
    add(f, GIVE(SECCOMP_RET_ERRNO | ENOSYS));
#endif
    add(f, GIVE(REFUSE));
}

static void filter_calls(IsolatedRole role)
{
    Filter f = {.n = 0};
    build(&f, role);
    const struct sock_fprog program = {.len = (unsigned short)f.n, .filter = f.at};
    /* of all threads */
    syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);
}

#else

static void filter_calls(IsolatedRole role) { (void)role; }

#endif

void isolated_confine(IsolatedRole role, int64_t memory)
{
    drop_capabilities();
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    limit_resources(role, memory);
    if (!SANITIZED)
        filter_calls(role);
}
