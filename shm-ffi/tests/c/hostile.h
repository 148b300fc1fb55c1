/* What the generated program of hostile.rs stands on: a good value for every type that a function takes. */
#ifndef HOSTILE_H
#define HOSTILE_H

#include "check.h"
#include <signal.h>

/* Functions of every kind. */
static int32_t a_shm_action_t(void *user) { (void)user; return 0; }
static int32_t a_shm_once_run_t(void *user, int32_t died) { (void)user; (void)died; return 0; }
static int32_t a_shm_item_t(void *user, uint64_t item) { (void)user; (void)item; return 0; }
static int32_t a_shm_item_result_t(void *user, uint64_t item, void *result) { (void)user; (void)item; (void)result; return 0; }
static int32_t a_shm_sent_item_t(void *user, const void *item, uint64_t length) { (void)user; (void)item; (void)length; return 0; }
static int32_t a_shm_reduce_t(void *user, uint64_t item, const void *bytes, uint64_t length)
{
    (void)user; (void)item; (void)bytes; (void)length;
    return 0;
}

/* Handles of every kind, as they are after a call of `create`; nothing has to be waited for. */
static shm_array_t good_shm_array_t(void)
{
    static const int64_t shape[1] = { 8 };
    shm_array_t array;
    OK(shm_array_create(NULL, NULL, shm_dtype(SHM_TYPE_INT, 8), shape, 1, SHM_ORDER_C, &array));
    return array;
}

static shm_segment_t good_shm_segment_t(void)
{
    shm_array_t array = good_shm_array_t();
    shm_segment_t segment;
    OK(shm_array_segment(array, &segment));
    OK(shm_array_detach(array));
    return segment;
}

static shm_contents_t good_shm_contents_t(void)
{
    shm_contents_t contents;
    OK(shm_contents_create(&contents));
    OK(shm_contents_add_bytes(contents, "bytes", 8, 0));
    return contents;
}

static shm_list_t good_shm_list_t(void)
{
    shm_list_t list;
    uint64_t count;
    OK(shm_list(getenv("SHM_TEST_FOLDER"), &list, &count));
    return list;
}

static shm_exclusive_t good_shm_exclusive_t(void)
{
    shm_array_t array = good_shm_array_t();
    shm_exclusive_t exclusive;
    OK(shm_array_exclusive(array, &exclusive));
    OK(shm_array_detach(array));
    return exclusive;
}

static shm_pool_t good_shm_pool_t(void)
{
    shm_pool_options_t options = SHM_POOL_OPTIONS_INIT;
    shm_pool_t pool;
    options.flags = SHM_POOL_SERIAL;
    OK(shm_pool_create(&options, &pool));
    return pool;
}

static shm_background_t good_shm_background_t(void)
{
    shm_pool_t pool = good_shm_pool_t();
    shm_background_t background;
    OK(shm_pool_background(pool, a_shm_action_t, NULL, &background));
    OK(shm_pool_free(pool));
    return background;
}

static shm_kept_t good_shm_kept_t(void)
{
    shm_pool_t pool = good_shm_pool_t();
    shm_kept_t kept;
    OK(shm_pool_keep(pool, a_shm_sent_item_t, NULL, &kept));
    OK(shm_pool_free(pool));
    return kept;
}

#define GOOD(type, create)               \
    static type good_##type(void)        \
    {                                    \
        type one;                        \
        OK(create);                      \
        return one;                      \
    }

GOOD(shm_mutex_t, shm_mutex_create(NULL, NULL, 8, &one))
GOOD(shm_recursive_mutex_t, shm_recursive_mutex_create(NULL, NULL, 8, &one))
GOOD(shm_process_mutex_t, shm_process_mutex_create(NULL, NULL, &one))
GOOD(shm_rwlock_t, shm_rwlock_create(NULL, NULL, 8, &one))
GOOD(shm_condvar_t, shm_condvar_create(NULL, NULL, &one))
GOOD(shm_semaphore_t, shm_semaphore_create(NULL, NULL, 8, &one))
GOOD(shm_bounded_semaphore_t, shm_bounded_semaphore_create(NULL, NULL, 8, &one))
GOOD(shm_event_t, shm_event_create(NULL, NULL, 1, &one))
GOOD(shm_latch_t, shm_latch_create(NULL, NULL, 1, &one))
GOOD(shm_barrier_t, shm_barrier_create(NULL, NULL, 1, &one))
GOOD(shm_once_t, shm_once_create(NULL, NULL, &one))
GOOD(shm_sequencer_t, shm_sequencer_create(NULL, NULL, 1, &one))
GOOD(shm_byte_channel_t, shm_byte_channel_create(NULL, NULL, 64, &one))
GOOD(shm_channel_t, shm_channel_create(NULL, NULL, 8, 4, &one))

/* Memory for results and bytes, aligned as primitives need it, and zero. */
static void *good_memory(void)
{
    static unsigned char memory[16][1 << 16] __attribute__((aligned(64)));
    static int next;
    void *one = memory[next++ % 16];
    memset(one, 0, sizeof memory[0]);
    return one;
}

/* What a call that was refused leaves untouched, and that the program goes on: each in a process of its own, which may do what it likes. */
#define ALONE(work)                                                                                       \
    do {                                                                                                  \
        pid_t child_ = fork();                                                                            \
        CHECK(child_ >= 0);                                                                               \
        if (child_ == 0) {                                                                                \
            alarm(60);                                                                                    \
            work;                                                                                         \
            exit(0);                                                                                      \
        }                                                                                                 \
        int how_ = -1;                                                                                    \
        CHECK(waitpid(child_, &how_, 0) == child_);                                                       \
        CHECK(WIFEXITED(how_) && WEXITSTATUS(how_) == 0);                                                 \
    } while (0)

/* The call is refused, for one of two reasons, and says why. */
#define REFUSED(one, other, call)                                                                         \
    do {                                                                                                  \
        shm_status_t found_ = (call);                                                                     \
        if (found_ != (one) && found_ != (other)) {                                                       \
            fprintf(stderr, "%s: %s instead of %s: %s\n", #call, shm_status_name(found_),                 \
                    shm_status_name(one), shm_last_error());                                              \
            exit(1);                                                                                      \
        }                                                                                                 \
        CHECK(strlen(shm_last_error()) > 10);                                                             \
    } while (0)

#endif
