/* What calls of libshm.so take from C: bench NAME, where NAME is an array to attach. Answers lines as `src/foreign.rs` says. */
#include "shm.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static shm_mutex_t mutex;
static shm_process_mutex_t process_mutex;
static const char *name;

static void check(shm_status_t status)
{
    if (status != SHM_STATUS_OK) {
        fprintf(stderr, "status %d: %s\n", (int)status, shm_last_error());
        exit(1);
    }
}

static inline void mutex_round(void)
{
    check(shm_mutex_lock(mutex));
    check(shm_mutex_unlock(mutex));
}

static inline void process_mutex_round(void)
{
    check(shm_process_mutex_lock(process_mutex));
    check(shm_process_mutex_unlock(process_mutex));
}

static inline void attach_round(void)
{
    shm_array_t array;
    check(shm_array_attach(name, NULL, &array));
    check(shm_array_detach(array));
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

/* A loop for each operation, so that the compiler sees what is in it. The first rounds are not counted: whoever has waited begins slowly. */
#define TIMED(operation)                                           \
    static uint64_t operation##_rounds(uint64_t rounds)            \
    {                                                              \
        for (uint64_t i = 0; i < (rounds < 100 ? rounds : 100); i++) \
            operation##_round();                                   \
        uint64_t start = now();                                    \
        for (uint64_t i = 0; i < rounds; i++)                      \
            operation##_round();                                   \
        return now() - start;                                      \
    }
TIMED(mutex)
TIMED(process_mutex)
TIMED(attach)

static const struct {
    const char *name;
    uint64_t (*rounds)(uint64_t);
} operations[] = {{"mutex", mutex_rounds}, {"process_mutex", process_mutex_rounds}, {"attach", attach_rounds}};

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    name = argv[1];
    check(shm_mutex_create(NULL, NULL, 0, &mutex));
    check(shm_process_mutex_create(NULL, NULL, &process_mutex));
    puts("ready");
    fflush(stdout);
    char asked[64];
    uint64_t rounds;
    while (scanf("%63s %" SCNu64, asked, &rounds) == 2) {
        size_t at = 0;
        while (at < sizeof operations / sizeof operations[0] && strcmp(operations[at].name, asked) != 0)
            at++;
        if (at == sizeof operations / sizeof operations[0]) {
            fprintf(stderr, "there is no operation %s\n", asked);
            return 1;
        }
        printf("%" PRIu64 "\n", operations[at].rounds(rounds));
        fflush(stdout);
    }
    check(shm_mutex_detach(mutex));
    check(shm_process_mutex_detach(process_mutex));
    return 0;
}
