/* What C programs do: processes, threads, pipes, signals, timers, shared memory, sockets, locks, temporary files. */
#define _GNU_SOURCE
#include "stack.h"
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static volatile sig_atomic_t caught;
static void on_signal(int number) { caught = number; }
#define NEED(condition) do { if (!(condition)) err(1, "%s:%d: %s", __FILE__, __LINE__, #condition); } while (0)

static void *count(void *argument) {
    struct stack *stack = argument;
    for (long n = 0; n < 50; n++) push(stack, n);
    return NULL;
}

static void threads(void) {
    struct stack stack = {.used = 0};
    pthread_t thread;
    NEED(pthread_create(&thread, NULL, count, &stack) == 0);
    NEED(pthread_setname_np(pthread_self(), "counter") == 0);
    NEED(pthread_join(thread, NULL) == 0);
    NEED(pop(&stack) == 49);
    cpu_set_t set;
    NEED(sched_getaffinity(0, sizeof set, &set) == 0);
    NEED(sched_setaffinity(0, sizeof set, &set) == 0);
    sched_yield();
}

static void processes(void) {
    int ends[2], status;
    char byte;
    NEED(pipe2(ends, O_CLOEXEC) == 0);
    pid_t child = fork();
    if (child == 0) { NEED(write(ends[1], "x", 1) == 1); _exit(7); }
    NEED(read(ends[0], &byte, 1) == 1 && byte == 'x');
    NEED(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
    char *words[] = {"true", NULL};
    NEED(posix_spawnp(&child, "true", NULL, NULL, words, environ) == 0);
    siginfo_t info;
    NEED(waitid(P_PID, (id_t)child, &info, WEXITED) == 0 && info.si_status == 0);
    NEED(system("exit 0") == 0);
}

static void signals(void) {
    struct sigaction action = {.sa_handler = on_signal};
    sigset_t set, old;
    NEED(sigaction(SIGUSR1, &action, NULL) == 0 && sigaction(SIGALRM, &action, NULL) == 0);
    NEED(raise(SIGUSR1) == 0 && caught == SIGUSR1);
    stack_t spare = {.ss_sp = malloc(65536), .ss_size = 65536};
    NEED(sigaltstack(&spare, NULL) == 0);
    struct itimerval soon = {.it_value = {.tv_usec = 1000}};
    NEED(setitimer(ITIMER_REAL, &soon, NULL) == 0);
    while (caught != SIGALRM) pause();
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    NEED(sigprocmask(SIG_BLOCK, &set, &old) == 0);
    int descriptor = signalfd(-1, &set, SFD_CLOEXEC);
    NEED(descriptor >= 0 && sigqueue(getpid(), SIGUSR2, (union sigval){.sival_int = 1}) == 0);
    struct signalfd_siginfo info;
    NEED(read(descriptor, &info, sizeof info) == sizeof info && info.ssi_signo == SIGUSR2);
    NEED(kill(getpid(), SIGUSR2) == 0);
    NEED(sigtimedwait(&set, NULL, &(struct timespec){.tv_sec = 1}) == SIGUSR2);
    NEED(sigprocmask(SIG_SETMASK, &old, NULL) == 0);
}

static void timers(void) {
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_NONE};
    struct itimerspec when = {.it_value = {.tv_nsec = 1000}}, left;
    NEED(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 && timer_settime(timer, 0, &when, NULL) == 0);
    NEED(timer_gettime(timer, &left) == 0 && timer_getoverrun(timer) >= 0 && timer_delete(timer) == 0);
    int descriptor = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    NEED(timerfd_settime(descriptor, 0, &when, NULL) == 0);
    unsigned long long expired;
    NEED(read(descriptor, &expired, sizeof expired) == sizeof expired);
    NEED(nanosleep(&(struct timespec){.tv_nsec = 1000}, NULL) == 0);
    NEED(clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){.tv_nsec = 1000}, NULL) == 0);
}

static void memory(void) {
    int descriptor = memfd_create("shared", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    NEED(ftruncate(descriptor, 8192) == 0 && fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
    char *place = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    NEED(place != MAP_FAILED);
    place[4096] = 1;
    NEED(msync(place, 8192, MS_SYNC) == 0 && madvise(place, 8192, MADV_NORMAL) == 0);
    NEED(mprotect(place, 4096, PROT_READ) == 0 && mlock(place, 4096) == 0 && munlock(place, 4096) == 0);
    unsigned char resident[2];
    NEED(mincore(place, 8192, resident) == 0);
    place = mremap(place, 8192, 4096, 0);
    NEED(place != MAP_FAILED && munmap(place, 4096) == 0);
    int segment = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600);
    NEED(segment >= 0);
    char *shared = shmat(segment, NULL, 0);
    NEED(shared != (char *)-1 && shmdt(shared) == 0 && shmctl(segment, IPC_RMID, NULL) == 0);
    int semaphore = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600);
    struct sembuf up = {.sem_op = 1};
    NEED(semaphore >= 0 && semop(semaphore, &up, 1) == 0 && semctl(semaphore, 0, IPC_RMID) == 0);
    int queue = msgget(IPC_PRIVATE, IPC_CREAT | 0600);
    struct { long type; char text[4]; } message = {1, "abc"};
    NEED(queue >= 0 && msgsnd(queue, &message, 4, 0) == 0 && msgrcv(queue, &message, 4, 0, 0) == 4);
    NEED(msgctl(queue, IPC_RMID, NULL) == 0);
}

static void sockets(void) {
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, pair[2];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    NEED(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0);
    NEED(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 5) == 0);
    NEED(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    NEED(connect(client, (struct sockaddr *)&address, length) == 0);
    int server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    char text[8] = "";
    NEED(send(client, "hello", 5, 0) == 5 && recv(server, text, sizeof text, 0) == 5);
    NEED(getpeername(client, (struct sockaddr *)&address, &length) == 0 && shutdown(client, SHUT_RDWR) == 0);
    NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    struct iovec part = {.iov_base = "hi", .iov_len = 2};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    NEED(sendmsg(pair[0], &message, 0) == 2);
    part.iov_base = text;
    NEED(recvmsg(pair[1], &message, 0) == 2);
    struct pollfd wait = {.fd = pair[1], .events = POLLIN};
    NEED(poll(&wait, 1, 0) == 0);
    fd_set set;
    FD_ZERO(&set);
    FD_SET(pair[1], &set);
    NEED(select(pair[1] + 1, &set, NULL, NULL, &(struct timeval){0}) == 0);
    int events = epoll_create1(EPOLL_CLOEXEC), wake = eventfd(1, EFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    NEED(epoll_ctl(events, EPOLL_CTL_ADD, wake, &event) == 0 && epoll_wait(events, &event, 1, 100) == 1);
}

static void files(void) {
    char name[] = "work-XXXXXX", text[8];
    NEED(mkdtemp(name) && chdir(name) == 0);
    int file = open("a", O_RDWR | O_CREAT | O_CLOEXEC, 0644), copy = open("b", O_RDWR | O_CREAT, 0644);
    struct iovec parts[2] = {{"ab", 2}, {"cd", 2}};
    NEED(writev(file, parts, 2) == 4 && pwrite(file, "x", 1, 1) == 1 && pread(file, text, 4, 0) == 4);
    NEED(lseek(file, 0, SEEK_SET) == 0 && readv(file, &(struct iovec){text, 4}, 1) == 4);
    NEED(pwritev(file, parts, 2, 0) == 4 && preadv(file, &(struct iovec){text, 4}, 1, 0) == 4);
    NEED(posix_fallocate(copy, 0, 4096) == 0 && posix_fadvise(file, 0, 0, POSIX_FADV_SEQUENTIAL) == 0);
    /* gVisor lacks it, as old kernels did: ENOSYS is what every caller expects */
    NEED(copy_file_range(file, &(off_t){0}, copy, &(off_t){0}, 4, 0) == 4 || errno == ENOSYS);
    NEED(sendfile(copy, file, &(off_t){0}, 4) == 4);
    NEED(flock(file, LOCK_EX) == 0 && lockf(copy, F_TLOCK, 0) == 0 && fsync(file) == 0 && fdatasync(copy) == 0);
    NEED(fchmod(file, 0600) == 0 && chmod("b", 0600) == 0 && fchown(file, getuid(), getgid()) == 0);
    NEED(truncate("b", 10) == 0 && link("a", "c") == 0 && symlink("a", "d") == 0 && readlink("d", text, 8) == 1);
    NEED(mkfifo("fifo", 0600) == 0);
    NEED(rename("c", "e") == 0);
    /* filesystems without the flag say EINVAL, as mv(1) expects; gVisor's bind mounts are such */
    if (renameat2(AT_FDCWD, "e", AT_FDCWD, "f", RENAME_NOREPLACE) != 0) {
        NEED(errno == EINVAL);
        NEED(rename("e", "f") == 0);
    }
    struct stat status;
    struct statvfs space;
    struct statx extended;
    NEED(stat("a", &status) == 0 && lstat("d", &status) == 0 && fstat(file, &status) == 0 && statvfs(".", &space) == 0);
    NEED(statx(AT_FDCWD, "a", 0, STATX_BTIME, &extended) == 0 && access("a", R_OK) == 0);
    NEED(utimensat(AT_FDCWD, "a", NULL, 0) == 0 && mkdir("x", 0755) == 0 && rmdir("x") == 0);
    NEED(unlink("a") == 0 && unlink("b") == 0 && unlink("d") == 0 && unlink("f") == 0 && unlink("fifo") == 0);
    NEED(chdir("..") == 0 && rmdir(name) == 0);
}

static void facts(void) {
    struct rusage usage;
    struct rlimit limit;
    NEED(getrusage(RUSAGE_SELF, &usage) == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0);
    NEED(setrlimit(RLIMIT_NOFILE, &limit) == 0 && getpriority(PRIO_PROCESS, 0) >= -20 && nice(1) >= -20);
    NEED(getpgid(0) >= 0 && getsid(0) >= 0 && getppid() >= 0 && umask(022) <= 0777);
}

int main(void) {
    threads();
    processes();
    signals();
    timers();
    memory();
    sockets();
    files();
    facts();
    puts("all done");
    return 0;
}
