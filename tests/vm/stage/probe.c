/* Attempts one thing and prints how it ended: `done` or the error's name. Linked statically and named runsc-probe, so
 * that the profile of runsc lets it run: what it may not do, runsc may not do. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_unix(const char *name, int abstract)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int made = socket(AF_UNIX, SOCK_STREAM, 0);
    if (made < 0)
        return -1;
    strncpy(address.sun_path + abstract, name, sizeof address.sun_path - 2);
    return connect(made, (struct sockaddr *)&address,
                   offsetof(struct sockaddr_un, sun_path) + abstract + strlen(name) + !abstract);
}

/* A mount namespace of its own, as runsc makes one, whose mounts do not reach the host's. */
static int separate(void)
{
    return unshare(CLONE_NEWNS) || mount("", "/", NULL, MS_SLAVE | MS_REC, NULL) ? -1 : 0;
}

static int attempt(int count, char **words)
{
    const char *what = words[1], *first = count > 2 ? words[2] : "", *second = count > 3 ? words[3] : "";
    char byte;
    int file;

    if (!strcmp(what, "read"))
        return (file = open(first, O_RDONLY)) < 0 ? -1 : read(file, &byte, 1) < 0 ? -1 : 0;
    if (!strcmp(what, "write"))
        return open(first, O_WRONLY | O_CREAT, 0600);
    if (!strcmp(what, "socket"))
        return socket(atoi(first), atoi(second), 0);
    if (!strcmp(what, "unix"))
        return connect_unix(first, 0);
    if (!strcmp(what, "abstract"))
        return connect_unix(first, 1);
    if (!strcmp(what, "bind"))
        return separate() ? -1 : mount(first, second, NULL, MS_BIND | MS_REC, NULL);
    if (!strcmp(what, "mount"))
        return separate() ? -1 : mount("none", second, first, 0, NULL);
    if (!strcmp(what, "kill"))
        return kill(atoi(first), atoi(second));
    if (!strcmp(what, "ptrace"))
        return ptrace(PTRACE_SEIZE, atoi(first), NULL, NULL);
    if (!strcmp(what, "exec"))
        return execl(first, first, "-c", "echo ran", NULL);
    errno = EINVAL;
    return -1;
}

int main(int count, char **words)
{
    int result = attempt(count, words);
    puts(result < 0 ? strerrorname_np(errno) : "done");
    return result < 0;
}
