/* Each check uses one system call and looks at what it did. Those that gVisor does not have are left out there. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/times.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static int failures;
static int gvisor;

static void check(const char *name, int good)
{
    if (!good) {
        printf("%s: %s\n", name, strerror(errno));
        failures++;
    }
}

static void noted(int number)
{
    (void)number;
}

/* A child that ends with what `act` returns; 2 if it does not end within five seconds. */
static int in_child(int (*act)(void))
{
    pid_t child = fork();
    int status;
    if (child == 0) {
        alarm(5);
        _exit(act());
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}

static int waits_for_a_signal(void)
{
    signal(SIGUSR1, noted);
    pid_t child = fork();
    if (child == 0) {
        usleep(100000);
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    return syscall(SYS_pause) == -1 && errno == EINTR ? 0 : 1;
}

static int suspends_for_a_signal(void)
{
    sigset_t one, none;
    sigemptyset(&none);
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    sigprocmask(SIG_BLOCK, &one, NULL);
    signal(SIGUSR1, noted);
    kill(getpid(), SIGUSR1);
    return sigsuspend(&none) == -1 && errno == EINTR ? 0 : 1;
}

static int sleeps_through_a_stop(void)
{
    pid_t child = fork();
    int status;
    if (child == 0) {
        struct timespec wanted = {0, 600000000};
        _exit(nanosleep(&wanted, NULL) == 0 ? 0 : 1);
    }
    usleep(150000);
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    kill(child, SIGCONT);
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int leads_a_group(void)
{
    return setpgid(0, 0) == 0 && getpgrp() == getpid() ? 0 : 1;
}

static int inherits_a_lock(void)
{
    pthread_mutex_t *lock = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(lock, &attributes);
    pid_t child = fork();
    if (child == 0) {
        pthread_mutex_lock(lock);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    return pthread_mutex_lock(lock) == EOWNERDEAD ? 0 : 1;
}

static void ids(void)
{
    uid_t uid[3] = {1, 2, 3};
    gid_t gid[3] = {1, 2, 3};
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    check("getegid", getegid() == getgid());
    check("getresuid", getresuid(&uid[0], &uid[1], &uid[2]) == 0 && uid[1] == getuid());
    check("getresgid", getresgid(&gid[0], &gid[1], &gid[2]) == 0 && gid[1] == getgid());
    check("capget", syscall(SYS_capget, &header, data) == 0);
}

static void files(void)
{
    int file = open("file", O_CREAT | O_RDWR, 0600);
    int watching = inotify_init1(0);
    int watch = inotify_add_watch(watching, "file", IN_MODIFY);
    char names[256];
    int unknown;
    check("faccessat2", syscall(SYS_faccessat2, AT_FDCWD, "file", R_OK, AT_EACCESS) == 0);
    check("renameat", syscall(SYS_renameat, AT_FDCWD, "file", AT_FDCWD, "renamed") == 0);
    check("inotify_rm_watch", inotify_rm_watch(watching, watch) == 0);
    unknown = lgetxattr("renamed", "user.x", names, sizeof names) == -1 && (errno == ENODATA || errno == ENOTSUP);
    check("lgetxattr", unknown);
    check("llistxattr", llistxattr("renamed", names, sizeof names) >= 0 || errno == ENOTSUP);
    check("flistxattr", flistxattr(file, names, sizeof names) >= 0 || errno == ENOTSUP);
    check("close_range", close_range(file, file, 0) == 0 && fcntl(file, F_GETFD) == -1);
}

static void scheduling(void)
{
    struct sched_param parameters;
    unsigned long nodes[64];
    int mode;
    check("sched_getscheduler", sched_getscheduler(0) >= 0);
    check("sched_getparam", sched_getparam(0, &parameters) == 0);
    check("sched_get_priority_min", sched_get_priority_min(SCHED_OTHER) == 0);
    check("sched_yield", sched_yield() == 0);
    check("get_mempolicy", syscall(SYS_get_mempolicy, &mode, nodes, sizeof nodes * 8, NULL, 0) == 0);
    if (!gvisor) /* who, this process, best effort */
        check("ioprio_set", syscall(SYS_ioprio_set, 1, 0, 2 << 13 | 4) == 0);
}

static void resources(void)
{
    struct rlimit limit;
    struct sysinfo information;
    struct timespec fine;
    struct tms used;
    int word = 0;
    check("getrlimit", syscall(SYS_getrlimit, RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur > 0);
    check("sysinfo", sysinfo(&information) == 0 && information.totalram > 0);
    check("times", syscall(SYS_times, &used) != -1);
    check("clock_getres", clock_getres(CLOCK_PROCESS_CPUTIME_ID, &fine) == 0 && fine.tv_nsec > 0);
    check("brk", sbrk(1 << 16) != (void *)-1);
    check("personality", personality(0xffffffff) >= 0 || (gvisor && errno == EINVAL)); /* gVisor knows only one */
    check("set_tid_address", syscall(SYS_set_tid_address, &word) == gettid());
    /* without the hardware the kernel has none left */
    if (!gvisor)
        check("pkey_alloc", syscall(SYS_pkey_alloc, 0, 0) >= 0 || errno == ENOSPC || errno == EINVAL);
    if (!gvisor) /* glibc has registered already, so a second time is refused as such */
        check("rseq", syscall(SYS_rseq, NULL, 0, 0, 0) == -1 && errno == EINVAL);
}

int main(void)
{
    char version[256] = "";
    FILE *file = fopen("/proc/version", "r");
    gvisor = file && fgets(version, sizeof version, file) && strstr(version, "Linux version 4.") != NULL;
    ids();
    files();
    scheduling();
    check("pause", in_child(waits_for_a_signal) == 0);
    check("rt_sigsuspend", in_child(suspends_for_a_signal) == 0);
    check("restart_syscall", in_child(sleeps_through_a_stop) == 0);
    check("setpgid", in_child(leads_a_group) == 0);
    check("set_robust_list", in_child(inherits_a_lock) == 0);
    resources();
    return failures != 0;
}
