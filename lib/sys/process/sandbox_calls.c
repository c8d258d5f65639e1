#include "sys/process/sandbox_calls.h"

#include <errno.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#include "sys/process/sandbox.h"

#define QUEUED	 SANDBOX_QUEUED
#define JOURNAL	 SANDBOX_JOURNAL
#define CLUSTERD SANDBOX_CLUSTERD
#define GATED	 SANDBOX_GATED
#define ALL	 (QUEUED | JOURNAL | CLUSTERD | GATED)
#define LOOPS	 (QUEUED | CLUSTERD | GATED)
/* Users may be looked up by the queue daemon too. */
#define NAMES LOOPS

/*
 * Whose calls they are, by what for.  Beside what strace(1) shows there are the calls that other
 * versions of the C library, libuv and LMDB make for the same; a name that libseccomp does not know
 * is passed over.  Calls that are allowed with some arguments only are below.
 */
static const struct {
	unsigned programs;
	const char *calls;
} lists[] = {
    /* descriptors */
    {ALL,
	"read readv write writev close close_range fcntl dup dup2 dup3 lseek poll ppoll pipe pipe2 "
	"fstat newfstatat stat lstat statx"},
    /* the streams between the daemons, and of clients */
    {ALL,
	"sendto sendmsg recvfrom recvmsg shutdown getsockopt setsockopt getsockname getpeername"},
    /* files that are read */
    {ALL,
	"open openat openat2 access faccessat faccessat2 readlink readlinkat getdents64 pread64 "
	"preadv preadv2 flock statfs fstatfs getcwd fadvise64"},
    /* memory; what becomes executable is below */
    {ALL, "brk munmap mremap madvise mincore"},
    /* time, signals, threads, and the process itself */
    {ALL,
	"clock_gettime clock_getres gettimeofday time nanosleep clock_nanosleep rt_sigaction "
	"rt_sigprocmask rt_sigreturn rt_sigpending rt_sigtimedwait sigaltstack restart_syscall "
	"futex futex_wait futex_wake set_robust_list get_robust_list rseq membarrier sched_yield "
	"sched_getaffinity getrandom getpid gettid getppid getuid geteuid getgid getegid tgkill tkill "
	"getrlimit prlimit64 getrusage uname sysinfo getcpu exit exit_group"},
    /* files that are written */
    {JOURNAL,
	"pwrite64 pwritev pwritev2 fsync fdatasync msync sync_file_range ftruncate fallocate "
	"rename renameat renameat2 unlink unlinkat fchmod fchown"},
    /* LMDB's table of readers */
    {QUEUED | CLUSTERD, "ftruncate"},
    /* libuv */
    {LOOPS, "epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 eventfd2 "
	    "timerfd_create timerfd_settime signalfd4"},
    /* another file in the place of a socket, or of the data file */
    {ALL, "inotify_init1 inotify_add_watch inotify_rm_watch"},
    /* clients: who they are, and the socket that they connect to */
    {LOOPS,
	"accept accept4 bind listen connect socketpair pidfd_open chmod fchmodat unlink unlinkat "
	"rmdir"},
    /* children */
    {QUEUED | CLUSTERD, "wait4 waitid kill pidfd_send_signal"},
    /* keys stay out of the swap */
    {CLUSTERD | GATED, "mlock mlock2 munlock"},
    /* names are looked up */
    {NAMES, "sendmmsg recvmmsg"},
    /* the queue daemon is started; it starts, and enters its own sandbox */
    {CLUSTERD,
	"execve execveat umask setrlimit arch_prctl set_tid_address landlock_create_ruleset "
	"landlock_add_rule landlock_restrict_self seccomp"},
};

static const int families[] = {AF_UNIX, AF_INET, AF_INET6};

static const int prctls[] = {PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_GET_NO_NEW_PRIVS,
    PR_GET_SECCOMP, PR_SET_SECCOMP, PR_CAPBSET_READ};

static const unsigned long ioctls[] = {FIONBIO, FIOCLEX, FIONREAD, TIOCOUTQ, TCGETS};

#define NAMESPACES \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | \
	    CLONE_NEWPID | CLONE_NEWNET)

/* Where clone() has its flags. */
#ifdef __s390__
#define CLONE_ARG 1
#else
#define CLONE_ARG 0
#endif

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What fails is kept, and rules after it change nothing. */
struct filter {
	scmp_filter_ctx all;
	int err;
};

static void allow(struct filter *f, int call)
{
	if (!f->err)
		f->err = seccomp_rule_add(f->all, SCMP_ACT_ALLOW, call, 0);
}

static void allow_if(struct filter *f, int call, struct scmp_arg_cmp argument)
{
	if (!f->err)
		f->err = seccomp_rule_add_array(f->all, SCMP_ACT_ALLOW, call, 1, &argument);
}

static void allow_list(struct filter *f, const char *calls)
{
	char name[32];

	for (size_t len; *calls; calls += len + strspn(calls + len, " ")) {
		len = strcspn(calls, " ");
		snprintf(name, sizeof(name), "%.*s", (int)len, calls);
		int call = seccomp_syscall_resolve_name(name);
		if (call != __NR_SCMP_ERROR)
			allow(f, call);
	}
}

/* Nothing is executable that was writable.  Modules that look up names are loaded late. */
static void allow_memory(struct filter *f, unsigned program)
{
	const int calls[] = {SCMP_SYS(mmap), SCMP_SYS(mprotect)};

	for (size_t i = 0; i < COUNT(calls); i++) {
		allow_if(f, calls[i], SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
		if (program & NAMES)
			allow_if(f, calls[i],
			    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC));
	}
}

static void allow_some(struct filter *f, unsigned program)
{
	size_t count = program & (CLUSTERD | GATED) ? COUNT(families)
		       : program & QUEUED	    ? 1
						    : 0;

	for (size_t i = 0; i < count; i++)
		allow_if(f, SCMP_SYS(socket), SCMP_A0(SCMP_CMP_EQ, (unsigned)families[i]));
	for (size_t i = 0; i < COUNT(ioctls); i++)
		allow_if(f, SCMP_SYS(ioctl), SCMP_A1(SCMP_CMP_EQ, ioctls[i]));
	for (size_t i = 0; program & CLUSTERD && i < COUNT(prctls); i++)
		allow_if(f, SCMP_SYS(prctl), SCMP_A0(SCMP_CMP_EQ, (unsigned)prctls[i]));
	/* Threads; where a program is started, processes too.  There is no clone3(), whose arguments are
	 * in memory: the C library uses this one then. */
	if (program & CLUSTERD)
		allow_if(
		    f, SCMP_SYS(clone), SCMP_CMP(CLONE_ARG, SCMP_CMP_MASKED_EQ, NAMESPACES, 0));
	if (program & GATED)
		allow_if(f, SCMP_SYS(clone),
		    SCMP_CMP(CLONE_ARG, SCMP_CMP_MASKED_EQ, NAMESPACES | CLONE_THREAD,
			CLONE_THREAD));
}

/* Machines of 32 bits have other calls. */
#define LISTED (UINTPTR_MAX > UINT32_MAX)

int sandbox_calls_enter(unsigned program)
{
	struct filter f = {.all = LISTED ? seccomp_init(SCMP_ACT_ERRNO(ENOSYS)) : NULL};

	if (!f.all)
		return ENOSYS;
	f.err = seccomp_attr_set(f.all, SCMP_FLTATR_CTL_TSYNC, 1);
	if (!f.err)
		f.err = seccomp_attr_set(f.all, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
	for (size_t i = 0; i < COUNT(lists); i++)
		if (lists[i].programs & program)
			allow_list(&f, lists[i].calls);
	allow_memory(&f, program);
	allow_some(&f, program);
	if (!f.err)
		f.err = seccomp_load(f.all);
	seccomp_release(f.all);
	return -f.err;
}
