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
#include <net/if.h>
#include <stddef.h>
#include <sys/ioctl.h>
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

/* Sets of roles. */
#define IN(role) (1u << (role))
#define CUTTERS (IN(ISOLATED_CUTTER) | IN(ISOLATED_FILE_CUTTER))
#define READERS (IN(ISOLATED_SOURCE) | IN(ISOLATED_FILE_CUTTER)) /* of files */
#define NETWORK IN(ISOLATED_SOURCE)
#define THREADS (NETWORK | CUTTERS)
#define ALL (THREADS | IN(ISOLATED_CODEC))

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
    if (!(IN(role) & CUTTERS)) /* at whose file the service looks */
        limit(RLIMIT_FSIZE, 0); /* memory that is shared, too: the service alone makes it larger */
    limit(RLIMIT_NOFILE, IN(role) & READERS ? SOURCE_FILES : ISOLATED_SHARED + 1);
    if (!SANITIZED)
        limit(RLIMIT_DATA, (rlim_t)memory);
}

#ifdef OUR_AUDIT

typedef struct CallRow {
    int number;
    unsigned who; /* set of roles */
} CallRow;

static const CallRow calls[] = {
    /* memory, time, ending; and what the socket to the service takes */
    {__NR_read, ALL},
    {__NR_write, ALL},
    {__NR_readv, ALL},
    {__NR_writev, ALL},
    {__NR_recvfrom, ALL},
    {__NR_sendto, ALL},
    {__NR_recvmsg, ALL},
    {__NR_sendmsg, ALL},
    {__NR_ppoll, ALL},
    {__NR_close, ALL},
    {__NR_fstat, ALL},
    {__NR_lseek, ALL},
    {__NR_munmap, ALL},
    {__NR_mremap, ALL},
    {__NR_madvise, ALL},
    {__NR_brk, ALL},
    {__NR_futex, ALL},
    {__NR_exit, ALL},
    {__NR_exit_group, ALL},
    {__NR_rt_sigreturn, ALL},
    {__NR_rt_sigprocmask, ALL},
    {__NR_rt_sigaction, ALL},
    {__NR_sigaltstack, ALL},
    {__NR_clock_gettime, ALL},
    {__NR_clock_getres, ALL},
    {__NR_clock_nanosleep, ALL},
    {__NR_nanosleep, ALL},
    {__NR_gettimeofday, ALL},
    {__NR_getrandom, ALL},
    {__NR_sched_yield, ALL},
    {__NR_sched_getaffinity, ALL},
    {__NR_getpid, ALL},
    {__NR_gettid, ALL},
    {__NR_getrusage, ALL},
    {__NR_sysinfo, ALL},
    {__NR_restart_syscall, ALL},
    {__NR_membarrier, ALL},
    {__NR_set_robust_list, ALL},
#ifdef __NR_poll
    {__NR_poll, ALL},
#endif
#ifdef __NR_time
    {__NR_time, ALL},
#endif
#ifdef __NR_rseq
    {__NR_rseq, ALL},
#endif
    /* a clip that is written */
    {__NR_pread64, READERS | CUTTERS},
    {__NR_pwrite64, CUTTERS},
    /* files that are read */
    {__NR_newfstatat, READERS},
    {__NR_statx, READERS},
    {__NR_statfs, READERS},
    {__NR_fstatfs, READERS},
    {__NR_readlinkat, READERS},
    {__NR_faccessat, READERS},
    {__NR_getdents64, READERS},
    {__NR_getcwd, READERS},
    {__NR_dup, READERS},
    {__NR_dup3, READERS},
    {__NR_pipe2, READERS},
    {__NR_fadvise64, READERS},
#ifdef __NR_faccessat2
    {__NR_faccessat2, READERS},
#endif
#ifdef __NR_open
    {__NR_stat, READERS},
    {__NR_lstat, READERS},
    {__NR_access, READERS},
    {__NR_readlink, READERS},
    {__NR_dup2, READERS},
    {__NR_pipe, READERS},
#endif
    /* the network */
    {__NR_socketpair, NETWORK},
    {__NR_connect, NETWORK},
    {__NR_bind, NETWORK},
    {__NR_listen, NETWORK},
    {__NR_accept4, NETWORK},
    {__NR_getsockname, NETWORK},
    {__NR_getpeername, NETWORK},
    {__NR_setsockopt, NETWORK},
    {__NR_getsockopt, NETWORK},
    {__NR_shutdown, NETWORK},
    {__NR_sendmmsg, NETWORK},
    {__NR_recvmmsg, NETWORK},
    {__NR_pselect6, NETWORK},
    {__NR_epoll_create1, NETWORK},
    {__NR_epoll_ctl, NETWORK},
    {__NR_epoll_pwait, NETWORK},
    {__NR_eventfd2, NETWORK},
    {__NR_uname, NETWORK},
#ifdef __NR_open
    {__NR_accept, NETWORK},
    {__NR_select, NETWORK},
    {__NR_epoll_wait, NETWORK},
    {__NR_epoll_create, NETWORK},
    {__NR_eventfd, NETWORK},
#endif
    /* who it is, for libraries of cryptography */
    {__NR_getuid, THREADS},
    {__NR_geteuid, THREADS},
    {__NR_getgid, THREADS},
    {__NR_getegid, THREADS},
    {__NR_getppid, THREADS},
    {__NR_set_tid_address, THREADS},
    {__NR_sched_getparam, THREADS},
    {__NR_sched_getscheduler, THREADS},
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

/* Argument i has to be one of these. */
static void add_one_of(Filter *f, int number, int i, int n, const unsigned *value)
{
    add(f, IS(number, 0, (unsigned char)(n + 3)));
    add(f, LOAD(ARG(i)));
    for (int k = 0; k < n; k++)
        add(f, IS(value[k], (unsigned char)(n - k), 0));
    add(f, GIVE(REFUSE));
    add(f, GIVE(SECCOMP_RET_ALLOW));
}

/* None that says whom to signal: F_SETOWN, FIOSETOWN. */
static const unsigned fcntls[] = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL};
static const unsigned ioctls[] = {FIONBIO,      FIONREAD,     TIOCOUTQ,     TCGETS,
                                  SIOCGIFCONF,  SIOCGIFFLAGS, SIOCGIFADDR,  SIOCGIFINDEX};
#define N(list) ((int)(sizeof(list) / sizeof *(list)))

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
        if (calls[i].who & IN(role)) {
            add(f, IS(calls[i].number, 0, 1));
            add(f, GIVE(SECCOMP_RET_ALLOW));
        }
    add_checked(f, __NR_mmap, 2, PROT_EXEC, false);
    add_checked(f, __NR_mprotect, 2, PROT_EXEC, false);
    if (IN(role) & READERS) {
        add_checked(f, __NR_openat, 2, writes, false);
#ifdef __NR_open
        add_checked(f, __NR_open, 1, writes, false);
#endif
        add_one_of(f, __NR_fcntl, 1, N(fcntls), fcntls);
    }
    if (IN(role) & THREADS) {
        add_checked(f, __NR_clone, 0, CLONE_THREAD, true);
        add_checked(f, __NR_prlimit64, 0, ~0u, false); /* of nobody else */
    }
    if (IN(role) & NETWORK) {
        add_socket(f);
        add_one_of(f, __NR_ioctl, 1, N(ioctls), ioctls);
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
