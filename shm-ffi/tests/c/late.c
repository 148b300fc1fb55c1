/* Calls when a thread's variables have been destroyed: in the destructors of its keys, in exit handlers, and in those of the program. */
#include "check.h"

#include <pthread.h>

static pthread_key_t key;
static shm_mutex_t mutex;
static int without_workers;
static char rounds[2];

static int32_t fails_at_seven(void *user, uint64_t item)
{
    (void)user;
    return item == 7 ? 5 : 0;
}

/* Errors, with their texts, and locks. */
static void use(void)
{
    shm_array_t array;
    shm_rwlock_t lock;
    shm_list_t list;
    uint64_t count;
    IS(SHM_STATUS_NOT_FOUND, shm_array_attach(unique("never"), NULL, &array));
    SAYS("never: no segment has this name");
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_delete(NULL));
    SAYS("NULL");
    CHECK(shm_last_errno() == 0);
    IS(SHM_STATUS_SYSTEM, shm_list("/no/such/folder", &list, &count));
    CHECK(shm_last_errno() == 2);
    OK(shm_mutex_lock(mutex));
    IS(SHM_STATUS_DEADLOCK, shm_mutex_lock(mutex));
    OK(shm_mutex_unlock(mutex));
    OK(shm_rwlock_create(NULL, NULL, 0, &lock));
    OK(shm_rwlock_read(lock));
    OK(shm_rwlock_unlock(lock));
    OK(shm_rwlock_detach(lock));
}

/* Runs whose failure is looked up afterwards. */
static void run(void)
{
    for (uint32_t serial = (uint32_t)without_workers; serial < 2; serial++) {
        shm_pool_options_t options = SHM_POOL_OPTIONS_INIT;
        shm_pool_failure_t failure = SHM_POOL_FAILURE_INIT;
        const char *text;
        shm_pool_t pool;
        options.workers = 2;
        options.flags = SHM_POOL_THREADS_OK | (serial ? SHM_POOL_SERIAL : 0);
        OK(shm_pool_create(&options, &pool));
        IS(SHM_STATUS_CALLBACK_FAILED, shm_pool_for(pool, 0, 20, fails_at_seven, NULL));
        CHECK(shm_pool_failure_count() == 1);
        OK(shm_pool_failure(0, &failure, &text));
        CHECK(failure.item == 7 && strstr(text, "returned 5") != NULL);
        OK(shm_pool_for(pool, 0, 7, fails_at_seven, NULL));
        CHECK(shm_pool_failure_count() == 0);
        OK(shm_pool_free(pool));
    }
}

static void end_of_key(void *value)
{
    use();
    if (value == &rounds[0]) /* once more, behind the destructors of all other keys */
        pthread_setspecific(key, &rounds[1]);
}

static void *thread(void *unused)
{
    (void)unused;
    use();
    CHECK(pthread_setspecific(key, &rounds[0]) == 0);
    return NULL;
}

static void at_exit(void)
{
    use();
    run();
    puts("late: all well");
}

__attribute__((destructor)) static void at_the_very_end(void)
{
    if (getenv("SHM_TEST_PREFIX") != NULL && mutex.id != 0) {
        use();
        run();
        OK(shm_mutex_detach(mutex));
    }
}

int main(void)
{
    without_workers = !can_watch_processes();
    OK(shm_mutex_create(NULL, NULL, 0, &mutex));
    CHECK(atexit(at_exit) == 0 && pthread_key_create(&key, end_of_key) == 0);
    for (int i = 0; i < 4; i++) {
        pthread_t one;
        CHECK(pthread_create(&one, NULL, thread, NULL) == 0 && pthread_join(one, NULL) == 0);
    }
    use();
    run();
    return 0;
}
