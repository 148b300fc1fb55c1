/* How long calls take, in nanoseconds: timing NAME, where NAME is an array to attach. The best of many rounds, one line for each. */
#include "check.h"
#include <time.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

#define BEST_OF(rounds, calls, work)                           \
    do {                                                       \
        double best_ = 1e18;                                   \
        for (int round_ = 0; round_ < (rounds); round_++) {    \
            double start_ = now();                             \
            for (int call_ = 0; call_ < (calls); call_++) {    \
                work;                                          \
            }                                                  \
            double each_ = (now() - start_) / (double)(calls); \
            best_ = each_ < best_ ? each_ : best_;             \
        }                                                      \
        printf("%s %.1f\n", #work, best_);                     \
    } while (0)

static shm_mutex_t mutex;

static void lock_and_unlock(void)
{
    if (shm_mutex_lock(mutex) != SHM_STATUS_OK || shm_mutex_unlock(mutex) != SHM_STATUS_OK)
        exit(1);
}

static const char *name;

static void attach_and_detach(void)
{
    shm_array_t array;
    if (shm_array_attach(name, NULL, &array) != SHM_STATUS_OK || shm_array_detach(array) != SHM_STATUS_OK)
        exit(1);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return 2;
    name = argv[1];
    OK(shm_mutex_create(NULL, NULL, 0, &mutex));
    BEST_OF(200, 20000, lock_and_unlock());
    BEST_OF(200, 500, attach_and_detach());
    OK(shm_mutex_detach(mutex));
    return 0;
}
