/* What the test programs share: checks that say where they failed, children, and unique names. */
#ifndef CHECK_H
#define CHECK_H

#include <shm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                                              \
    do {                                                                                                              \
        if (!(condition)) {                                                                                           \
            fprintf(stderr, "%s:%d: not so: %s (last error: %s)\n", __FILE__, __LINE__, #condition, shm_last_error()); \
            exit(1);                                                                                                  \
        }                                                                                                             \
    } while (0)

/* The status of a call is the expected one. */
#define IS(expected, call)                                                                                           \
    do {                                                                                                             \
        shm_status_t found_ = (call);                                                                                \
        if (found_ != (expected)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s: %s instead of %s: %s\n", __FILE__, __LINE__, #call, shm_status_name(found_), \
                    shm_status_name(expected), shm_last_error());                                                    \
            exit(1);                                                                                                 \
        }                                                                                                            \
    } while (0)

#define OK(call) IS(SHM_STATUS_OK, call)

/* The text of the last error contains this. */
#define SAYS(text) CHECK(strstr(shm_last_error(), text) != NULL)

/* Runs `work` in a forked child, which has to end with 0. */
#define IN_CHILD(work)                                                                    \
    do {                                                                                  \
        pid_t child_ = fork();                                                            \
        CHECK(child_ >= 0);                                                               \
        if (child_ == 0) {                                                                \
            work;                                                                         \
            _exit(0);                                                                     \
        }                                                                                 \
        int how_ = -1;                                                                    \
        CHECK(waitpid(child_, &how_, 0) == child_);                                       \
        CHECK(WIFEXITED(how_) && WEXITSTATUS(how_) == 0);                                 \
    } while (0)

/* Whether there are pidfds. Valgrind before 3.21 answers for the kernel that there are none, and so it is known by that: workers come along without them,
 * but at the end of each valgrind looks for leaks through all that their control segment has reserved, for minutes. */
static inline int can_watch_processes(void)
{
#ifdef SYS_pidfd_open
    const long descriptor = syscall(SYS_pidfd_open, getpid(), 0);
    if (descriptor >= 0)
        close((int)descriptor);
    return descriptor >= 0;
#else
    return 1;
#endif
}

/* A name that no other program uses: the tests' prefix, which the runner cleans up after, and `what`. */
static inline const char *unique(const char *what)
{
    static char names[8][256];
    static int next;
    const char *prefix = getenv("SHM_TEST_PREFIX");
    char *name = names[next++ % 8];
    snprintf(name, sizeof names[0], "shm://%s%s", prefix != NULL ? prefix : "shmtest-by-hand-", what);
    return name;
}

#endif
