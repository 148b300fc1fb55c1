/* The executor's other half: calls in the background, kept workers, states of workers, failure policies with and without workers. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

/* No workers, where they cannot be watched. */
static int without_workers;

struct shared {
    int64_t calls;
    int64_t made;
    int64_t dropped;
    int32_t tries;
    int32_t in_master;
};

static struct shared *shared;

static shm_pool_t pool_of(uint64_t workers, uint64_t retries, uint32_t flags)
{
    shm_pool_options_t options = SHM_POOL_OPTIONS_INIT;
    shm_pool_t pool;
    options.workers = workers;
    options.retries = retries;
    options.flags = flags | SHM_POOL_THREADS_OK | (without_workers || workers == 0 ? SHM_POOL_SERIAL : 0);
    OK(shm_pool_create(&options, &pool));
    return pool;
}

/* What went wrong in the last run: its item and what the function returned. */
static void failed_at(int64_t item, int32_t returned)
{
    shm_pool_failure_t failure = SHM_POOL_FAILURE_INIT;
    const char *text;
    char number[32];
    CHECK(shm_pool_failure_count() == 1);
    OK(shm_pool_failure(0, &failure, &text));
    CHECK(failure.item == item && failure.returned == returned && failure.status == SHM_STATUS_CALLBACK_FAILED);
    snprintf(number, sizeof number, "item %lld", (long long)item);
    CHECK(item < 0 || strstr(text, number) != NULL);
    CHECK(strcmp(text, shm_last_error()) == 0);
}

static int32_t fail_at(void *which, uint64_t item)
{
    return item == *(uint64_t *)which ? 17 : 0;
}

static int32_t fail_twice(void *which, uint64_t item)
{
    return item == *(uint64_t *)which && __sync_fetch_and_add(&shared->tries, 1) < 2 ? 4 : 0;
}

static int32_t fail_odd(void *unused, uint64_t item)
{
    (void)unused;
    return (int32_t)(item % 2);
}

/* A range that does not begin at 0: all numbers are those of the range. The same with workers and without. */
static void numbers(uint64_t workers)
{
    uint64_t which = 107, first, end;
    shm_pool_failure_t failure = SHM_POOL_FAILURE_INIT;
    const char *text;
    shm_pool_t pool = pool_of(workers, 0, 0);
    IS(SHM_STATUS_CALLBACK_FAILED, shm_pool_for(pool, 100, 120, fail_at, &which));
    SAYS("item 107");
    SAYS("17");
    failed_at(107, 17);
    OK(shm_pool_unfinished(0, &first, &end));
    CHECK(first >= 100 && first <= 107 && 107 < end && end <= 120);
    OK(shm_pool_for(pool, 100, 107, fail_at, &which));
    CHECK(shm_pool_failure_count() == 0);
    IS(SHM_STATUS_NOT_FOUND, shm_pool_unfinished(0, &first, &end));
    OK(shm_pool_free(pool));

    pool = pool_of(workers, 1, 0);
    shared->tries = 0;
    IS(SHM_STATUS_CALLBACK_FAILED, shm_pool_for(pool, 100, 120, fail_twice, &which));
    CHECK(shared->tries == 2);
    OK(shm_pool_free(pool));
    pool = pool_of(workers, 2, 0);
    shared->tries = 0;
    OK(shm_pool_for(pool, 100, 120, fail_twice, &which));
    CHECK(shared->tries == 3);
    OK(shm_pool_free(pool));

    pool = pool_of(workers, 0, SHM_POOL_SKIP_FAILED);
    OK(shm_pool_for(pool, 101, 111, fail_odd, NULL));
    CHECK(shm_pool_failure_count() == 5);
    for (uint64_t i = 0; i < 5; i++) {
        OK(shm_pool_failure(i, &failure, &text));
        CHECK(failure.item % 2 == 1 && failure.item >= 101 && failure.item < 111 && failure.returned == 1);
    }
    OK(shm_pool_free(pool));
}

static int32_t odd_words(void *unused, uint64_t item)
{
    (void)unused;
    OK(shm_result_append("ab", item));
    return (int32_t)(item % 2);
}

static int32_t only_even(void *sum, uint64_t item, const void *bytes, uint64_t length)
{
    CHECK(item % 2 == 0 && length == item && (length == 0 || memcmp(bytes, "ab", length) == 0));
    *(uint64_t *)sum += length;
    return 0;
}

static int32_t never(void *unused, uint64_t item, const void *bytes, uint64_t length)
{
    (void)unused, (void)item, (void)bytes, (void)length;
    return 9;
}

static void skipped_results(uint64_t workers)
{
    uint64_t sum = 0;
    shm_pool_t pool = pool_of(workers, 0, SHM_POOL_SKIP_FAILED);
    OK(shm_pool_map_bytes(pool, 3, odd_words, NULL, only_even, &sum));
    CHECK(sum == 2 && shm_pool_failure_count() == 1);
    IS(SHM_STATUS_CALLBACK_FAILED, shm_pool_map_bytes(pool, 3, odd_words, NULL, never, NULL));
    SAYS("9");
    OK(shm_pool_free(pool));
}

/* ---- states ---- */

static int32_t make_state(void *user, void **state)
{
    uint64_t rank;
    CHECK(user == shared && *state == NULL);
    OK(shm_worker_rank(&rank, NULL));
    __sync_fetch_and_add(&shared->made, 1);
    *state = calloc(1, sizeof(int64_t));
    return *state == NULL;
}

static void drop_state(void *user, void *state)
{
    CHECK(user == shared);
    __sync_fetch_and_add(&shared->calls, *(int64_t *)state);
    __sync_fetch_and_add(&shared->dropped, 1);
    free(state);
}

static int32_t no_state(void *user, void **state)
{
    (void)user, (void)state;
    return 5;
}

static int32_t use_state(void *user, uint64_t item)
{
    int64_t *state;
    (void)user, (void)item;
    OK(shm_worker_state((void **)&state));
    ++*state;
    return 0;
}

static int32_t use_state_for_result(void *user, uint64_t item, void *result)
{
    (void)result;
    return use_state(user, item);
}

static int32_t count_items(void *user, const void *item, uint64_t length)
{
    int64_t *state;
    (void)user, (void)item, (void)length;
    OK(shm_worker_state((void **)&state));
    ++*state;
    OK(shm_result_append(state, sizeof *state));
    return 0;
}

static int32_t lacks_state(void *user, uint64_t item)
{
    void *state = &state;
    (void)user, (void)item;
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_worker_state(&state));
    CHECK(state == NULL);
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_worker_state(NULL));
    return 0;
}

static void states(uint64_t workers)
{
    shm_pool_options_t options = SHM_POOL_OPTIONS_INIT;
    shm_pool_t pool;
    void *state;
    IS(SHM_STATUS_NOT_IN_POOL, shm_worker_state(&state));
    options.workers = workers;
    options.flags = SHM_POOL_THREADS_OK | (workers == 0 ? SHM_POOL_SERIAL : 0);
    options.user = shared;
    options.drop_state = drop_state;
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_pool_create(&options, &pool));
    options.make_state = make_state;
    OK(shm_pool_create(&options, &pool));
    memset(shared, 0, sizeof *shared);
    OK(shm_pool_for(pool, 0, 100, use_state, NULL));
    CHECK(shared->calls == 100 && shared->made >= 1 && shared->made <= (workers ? (int64_t)workers : 1));
    CHECK(shared->dropped == shared->made);
    memset(shared, 0, sizeof *shared);
    OK(shm_pool_map(pool, 50, use_state_for_result, NULL, 0, NULL));
    CHECK(shared->calls == 50 && shared->dropped == shared->made);

    shm_kept_t kept;
    int64_t counts[10], most = 0;
    memset(shared, 0, sizeof *shared);
    OK(shm_pool_keep(pool, count_items, NULL, &kept));
    OK(shm_pool_free(pool)); /* what was made of it stays */
    for (int run = 0; run < 3; run++) {
        OK(shm_kept_map(kept, NULL, 0, 10, counts, sizeof(int64_t)));
        for (int i = 0; i < 10; i++)
            most = counts[i] > most ? counts[i] : most;
    }
    CHECK(most >= 15); /* of 30, by two workers at most: no state began anew */
    OK(shm_kept_free(kept));
    CHECK(shared->calls == 30 && shared->dropped == shared->made);

    options.make_state = no_state;
    options.drop_state = NULL;
    OK(shm_pool_create(&options, &pool));
    IS(SHM_STATUS_CALLBACK_FAILED, shm_pool_for(pool, 7, 8, use_state, NULL));
    failed_at(7, 5);
    OK(shm_pool_free(pool));
    pool = pool_of(workers, 0, 0);
    OK(shm_pool_for(pool, 0, 3, lacks_state, NULL));
    OK(shm_pool_free(pool));
}

/* ---- in the background ---- */

static int32_t answer(void *number)
{
    uint64_t rank;
    void *state;
    IS(SHM_STATUS_NOT_IN_POOL, shm_worker_rank(&rank, NULL));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_worker_state(&state));
    OK(shm_result_append(number, sizeof(int)));
    OK(shm_result_append("!", 2));
    shared->in_master = getpid();
    return 0;
}

static int32_t refuse(void *unused)
{
    (void)unused;
    __sync_fetch_and_add(&shared->tries, 1);
    return -3;
}

static int32_t succeed_at_second(void *unused)
{
    (void)unused;
    return __sync_fetch_and_add(&shared->tries, 1) == 1 ? 0 : 6;
}

static int32_t die(void *unused)
{
    (void)unused;
    kill(getpid(), SIGKILL);
    return 0;
}

static int32_t sleep_long(void *unused)
{
    (void)unused;
    for (;;)
        pause();
    return 0;
}

static void *wait_there(void *background)
{
    shm_status_t status;
    do /* until the other thread is not just asking */
        status = shm_background_wait(*(shm_background_t *)background, NULL, NULL);
    while (status == SHM_STATUS_BUSY);
    IS(SHM_STATUS_WORKER_DIED, status);
    return NULL;
}

static void background(uint64_t workers)
{
    shm_background_t call;
    shm_pool_failure_t failure = SHM_POOL_FAILURE_INIT;
    const char *text;
    void *result;
    uint64_t length;
    int64_t pid;
    int number = 42;
    shm_pool_t pool = pool_of(workers, 0, 0);
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_pool_background(pool, NULL, NULL, &call));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_pool_background(pool, answer, &number, NULL));
    OK(shm_pool_background(pool, answer, &number, &call));
    for (int again = 0; again < 2; again++) {
        OK(shm_background_wait(call, &result, &length));
        CHECK(length == sizeof(int) + 2 && *(int *)result == 42 && strcmp((char *)result + sizeof(int), "!") == 0);
        shm_free(result);
    }
    CHECK((shared->in_master == getpid()) == (workers == 0));
    OK(shm_background_try_wait(call, NULL, &length));
    CHECK(length == sizeof(int) + 2);
    OK(shm_background_wait_timeout_ns(call, 0, NULL, NULL));
    OK(shm_background_wait_until_ns(call, 0, NULL, NULL));
    OK(shm_background_pid(call, &pid));
    CHECK(pid == -1);
    OK(shm_background_kill(call)); /* it has ended */
    OK(shm_background_wait(call, NULL, NULL));
    IN_CHILD({
        IS(SHM_STATUS_INHERITED, shm_background_wait(call, NULL, NULL));
        IS(SHM_STATUS_INHERITED, shm_background_kill(call));
        IS(SHM_STATUS_INHERITED, shm_background_pid(call, &pid));
        OK(shm_background_free(call));
    });
    OK(shm_background_free(call));
    IS(SHM_STATUS_INVALID_HANDLE, shm_background_wait(call, NULL, NULL));

    shared->tries = 0;
    OK(shm_pool_background(pool, refuse, NULL, &call));
    for (int again = 0; again < 2; again++) {
        result = &number;
        IS(SHM_STATUS_CALLBACK_FAILED, shm_background_wait(call, &result, &length));
        CHECK(result == NULL && length == 0);
        SAYS("-3");
        failed_at(-1, -3);
    }
    CHECK(shared->tries == 1);
    OK(shm_background_free(call));
    OK(shm_pool_free(pool));

    pool = pool_of(workers, 1, 0);
    shared->tries = 0;
    OK(shm_pool_background(pool, succeed_at_second, NULL, &call));
    OK(shm_background_wait(call, NULL, NULL));
    CHECK(shared->tries == 2);
    OK(shm_background_free(call));
    OK(shm_pool_free(pool));
    if (workers == 0)
        return;

    pool = pool_of(workers, 0, 0);
    OK(shm_pool_background(pool, die, NULL, &call));
    IS(SHM_STATUS_WORKER_DIED, shm_background_wait_timeout_ns(call, SHM_FOREVER, NULL, NULL));
    SAYS("SIGKILL");
    OK(shm_pool_failure(0, &failure, &text));
    CHECK(failure.exit == SHM_EXIT_SIGNAL && failure.exit_value == SIGKILL && failure.pid > 0 && failure.item == -1);
    OK(shm_background_free(call));

    OK(shm_pool_background(pool, sleep_long, NULL, &call));
    IS(SHM_STATUS_BUSY, shm_background_try_wait(call, NULL, NULL));
    IS(SHM_STATUS_TIMED_OUT, shm_background_wait_timeout_ns(call, 1000000, NULL, NULL));
    IS(SHM_STATUS_TIMED_OUT, shm_background_wait_until_ns(call, shm_clock_ns() + 1000000, NULL, NULL));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_background_wait_timeout_ns(call, -1, NULL, NULL));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_background_wait_until_ns(call, INT64_MIN, NULL, NULL));
    OK(shm_background_pid(call, &pid));
    CHECK(pid > 0 && kill((pid_t)pid, 0) == 0);
    /* A child of this process gives its copy back, and the call goes on. */
    IN_CHILD({ OK(shm_background_free(call)); });
    IS(SHM_STATUS_BUSY, shm_background_try_wait(call, NULL, NULL));
    /* While one thread waits, another one is told so. */
    pthread_t there;
    shm_status_t status;
    CHECK(pthread_create(&there, NULL, wait_there, &call) == 0);
    while ((status = shm_background_wait_timeout_ns(call, 0, NULL, NULL)) == SHM_STATUS_TIMED_OUT)
        sched_yield();
    CHECK(status == SHM_STATUS_BUSY);
    IS(SHM_STATUS_BUSY, shm_background_kill(call));
    CHECK(kill((pid_t)pid, SIGKILL) == 0);
    CHECK(pthread_join(there, NULL) == 0);
    IS(SHM_STATUS_WORKER_DIED, shm_background_wait(call, NULL, NULL));
    OK(shm_background_free(call));

    OK(shm_pool_background(pool, sleep_long, NULL, &call));
    OK(shm_background_kill(call));
    IS(SHM_STATUS_WORKER_DIED, shm_background_wait(call, NULL, NULL));
    OK(shm_background_free(call));
    OK(shm_pool_background(pool, sleep_long, NULL, &call));
    OK(shm_background_free(call)); /* kills it */
    int how;
    CHECK(waitpid(-1, &how, WNOHANG) == -1); /* nobody is left */
    OK(shm_pool_free(pool));
}

/* ---- kept workers ---- */

static int32_t reversed(void *user, const void *item, uint64_t length)
{
    CHECK(user == shared);
    for (uint64_t i = length; i > 0; i--)
        OK(shm_result_append((const char *)item + i - 1, 1));
    return length == 13 ? 13 : 0;
}

static int32_t collect(void *texts, uint64_t item, const void *bytes, uint64_t length)
{
    char *place = ((char(*)[32])texts)[item];
    CHECK(length < 32 && place[0] == 0);
    memcpy(place, bytes, length);
    return 0;
}

static int32_t twice(void *user, const void *item, uint64_t length)
{
    int64_t number;
    (void)user;
    CHECK(length == sizeof number);
    memcpy(&number, item, sizeof number);
    if (number == -1)
        return 8;
    if (number == -2)
        kill(getpid(), SIGKILL);
    number *= 2;
    OK(shm_result_append(&number, number == 66 ? 4 : number == 88 ? sizeof number + 1 - 1 : sizeof number));
    if (number == 88)
        OK(shm_result_append("?", 1));
    return 0;
}

static void kept_workers(uint64_t workers)
{
    shm_kept_t kept;
    shm_pool_t pool = pool_of(workers, 0, 0);
    int64_t numbers_[100], doubles[100], pid;
    uint64_t count;
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_pool_keep(pool, NULL, NULL, &kept));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_pool_keep(pool, twice, NULL, NULL));
    OK(shm_pool_keep(pool, twice, NULL, &kept));
    OK(shm_kept_worker_count(kept, &count));
    CHECK(count == workers);
    for (uint64_t rank = 0; rank < workers; rank++) {
        OK(shm_kept_pid(kept, rank, &pid));
        CHECK(pid > 0 && pid != getpid());
    }
    IS(SHM_STATUS_NOT_FOUND, shm_kept_pid(kept, workers, &pid));
    CHECK(pid == 0);
    for (int run = 0; run < 5; run++) {
        for (int i = 0; i < 100; i++)
            numbers_[i] = 1000 * run + i + 100;
        OK(shm_kept_map(kept, numbers_, sizeof(int64_t), 100, doubles, sizeof(int64_t)));
        for (int i = 0; i < 100; i++)
            CHECK(doubles[i] == 2 * numbers_[i]);
    }
    OK(shm_kept_map(kept, NULL, sizeof(int64_t), 0, NULL, sizeof(int64_t)));
    /* Bad input sends nothing and changes nothing. */
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_kept_map(kept, NULL, sizeof(int64_t), 3, doubles, sizeof(int64_t)));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_kept_map(kept, numbers_, sizeof(int64_t), 3, NULL, sizeof(int64_t)));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_kept_map(kept, numbers_, UINT64_MAX, 3, doubles, sizeof(int64_t)));
    IS(SHM_STATUS_SIZE_OVERFLOW, shm_kept_map(kept, numbers_, (uint64_t)INT64_MAX, 3, doubles, sizeof(int64_t)));
    IS(SHM_STATUS_SIZE_OVERFLOW, shm_kept_map(kept, numbers_, 8, 3, doubles, (uint64_t)INT64_MAX));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_kept_map_bytes(kept, NULL, 3, collect, NULL));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_kept_map_bytes(kept, NULL, 0, NULL, NULL));
    /* A result that is shorter leaves zeros, one that is longer is cut, and told. */
    numbers_[0] = 33;
    numbers_[1] = 44;
    numbers_[2] = 55;
    memset(doubles, 0xAA, sizeof doubles);
    IS(SHM_STATUS_LIMIT_EXCEEDED, shm_kept_map(kept, numbers_, sizeof(int64_t), 3, doubles, sizeof(int64_t)));
    SAYS("item 1 has 9 bytes");
    CHECK(doubles[0] == 66 && doubles[1] == 88 && doubles[2] == 110);
    IN_CHILD({
        IS(SHM_STATUS_INHERITED, shm_kept_map(kept, numbers_, sizeof(int64_t), 3, doubles, sizeof(int64_t)));
        IS(SHM_STATUS_INHERITED, shm_kept_worker_count(kept, &count));
        IS(SHM_STATUS_INHERITED, shm_kept_pid(kept, 0, &pid));
        OK(shm_kept_free(kept));
    });
    OK(shm_kept_map(kept, numbers_ + 2, sizeof(int64_t), 1, doubles, sizeof(int64_t)));
    numbers_[2] = -1;
    IS(SHM_STATUS_CALLBACK_FAILED, shm_kept_map(kept, numbers_, sizeof(int64_t), 4, doubles, sizeof(int64_t)));
    failed_at(2, 8);
    numbers_[0] = 1;
    IS(workers == 0 ? SHM_STATUS_OK : SHM_STATUS_ENDED,
       shm_kept_map(kept, numbers_, sizeof(int64_t), 1, doubles, sizeof(int64_t)));
    OK(shm_kept_free(kept));
    IS(SHM_STATUS_INVALID_HANDLE, shm_kept_worker_count(kept, &count));
    OK(shm_pool_free(pool));

    /* With the pool's policy they survive: skipped, and with workers killed items too. */
    pool = pool_of(workers, 0, SHM_POOL_SKIP_FAILED);
    OK(shm_pool_keep(pool, twice, NULL, &kept));
    for (int i = 0; i < 100; i++)
        numbers_[i] = i % 10 == 7 ? -1 : i % 50 == 20 && workers > 0 ? -2 : i + 100;
    for (int run = 0; run < 3; run++) {
        OK(shm_kept_map(kept, numbers_, sizeof(int64_t), 100, doubles, sizeof(int64_t)));
        CHECK(shm_pool_failure_count() == (workers > 0 ? 12 : 10));
        for (int i = 0; i < 100; i++)
            CHECK(doubles[i] == (numbers_[i] < 0 ? 0 : 2 * numbers_[i]));
    }
    OK(shm_kept_free(kept));
    OK(shm_pool_free(pool));
    pool = pool_of(workers, 0, 0);
    OK(shm_pool_keep(pool, reversed, shared, &kept));
    char texts[3][32];
    const shm_bytes_t words[3] = { { "drawer", 6 }, { NULL, 0 }, { "pool", 4 } };
    const shm_bytes_t nothing[2] = { { "x", 1 }, { NULL, 1 } };
    memset(texts, 0, sizeof texts);
    OK(shm_kept_map_bytes(kept, words, 3, collect, texts));
    CHECK(strcmp(texts[0], "reward") == 0 && texts[1][0] == 0 && strcmp(texts[2], "loop") == 0);
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_kept_map_bytes(kept, nothing, 2, collect, texts));
    SAYS("items[1]");
    IS(SHM_STATUS_CALLBACK_FAILED, shm_kept_map_bytes(kept, words, 3, never, NULL));
    OK(shm_kept_free(kept));
    OK(shm_pool_free(pool));
    shm_pool_options_t ordered = SHM_POOL_OPTIONS_INIT;
    ordered.flags = SHM_POOL_ORDERED;
    OK(shm_pool_create(&ordered, &pool));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_pool_keep(pool, reversed, shared, &kept));
    OK(shm_pool_free(pool));
}

static int32_t in_turn(void *unused)
{
    (void)unused;
    return 0;
}

static int32_t two_turns(void *unused, uint64_t item)
{
    (void)unused, (void)item;
    OK(shm_worker_ordered(in_turn, NULL));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_worker_ordered(in_turn, NULL));
    return 0;
}

/* The struct of options may be older than the library, or newer. */
static void sizes_of_options(void)
{
    unsigned char bytes[sizeof(shm_pool_options_t) + 16];
    shm_pool_options_t options = SHM_POOL_OPTIONS_INIT;
    shm_pool_t pool;
    uint64_t count, size = 96; /* without the states of workers */
    options.workers = 3;
    memset(bytes, 0xAA, sizeof bytes);
    memcpy(bytes, &options, sizeof options);
    memcpy(bytes, &size, sizeof size);
    memset(bytes + 96, 0xAA, sizeof bytes - 96);
    OK(shm_pool_create((shm_pool_options_t *)(void *)bytes, &pool));
    OK(shm_pool_worker_count(pool, &count));
    CHECK(count == 3);
    OK(shm_pool_free(pool));
    size = 95;
    memcpy(bytes, &size, sizeof size);
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_pool_create((shm_pool_options_t *)(void *)bytes, &pool));
    memcpy(bytes, &options, sizeof options);
    size = sizeof bytes;
    memcpy(bytes, &size, sizeof size);
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_pool_create((shm_pool_options_t *)(void *)bytes, &pool));
    SAYS("does not have");
    memset(bytes + sizeof options, 0, sizeof bytes - sizeof options);
    OK(shm_pool_create((shm_pool_options_t *)(void *)bytes, &pool));
    OK(shm_pool_free(pool));
}

int main(void)
{
    without_workers = !can_watch_processes();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    for (uint64_t workers = 0; workers <= (without_workers ? 0 : 2); workers += 2) {
        numbers(workers);
        skipped_results(workers);
        states(workers);
        background(workers);
        kept_workers(workers);
        shm_pool_t pool = pool_of(workers, 0, SHM_POOL_ORDERED);
        OK(shm_pool_for(pool, 0, 20, two_turns, NULL));
        OK(shm_pool_free(pool));
    }
    sizes_of_options();
    puts("executor: all well");
    return 0;
}
