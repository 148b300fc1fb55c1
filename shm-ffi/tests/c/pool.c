/* The executor: loops, maps, reduction, sections, failures of every kind. */
#include "check.h"
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/mman.h>

struct shared {
    int64_t sum;
    int64_t order[64];
    int64_t next;
    int32_t tries;
};

static struct shared *shared;

static int32_t add_two(void *pair)
{
    shared->sum += *(int64_t *)pair; /* not atomic: the section is what guards it */
    return 0;
}

static int32_t sum_items(void *unused, uint64_t item)
{
    int64_t value = (int64_t)item;
    uint64_t rank, workers;
    (void)unused;
    OK(shm_worker_rank(&rank, &workers));
    CHECK(rank < workers);
    OK(shm_worker_critical(add_two, &value));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_worker_ordered(add_two, &value));
    IS(SHM_STATUS_NOT_IN_POOL, shm_result_append("x", 1));
    return 0;
}

static int32_t note(void *item)
{
    shared->order[shared->next++] = *(int64_t *)item;
    return 0;
}

static int32_t nested(void *item)
{
    IS(SHM_STATUS_DEADLOCK, shm_worker_critical(note, item));
    return 0;
}

static int32_t in_order(void *unused, uint64_t item)
{
    int64_t value = (int64_t)item;
    (void)unused;
    OK(shm_worker_critical(nested, &value));
    OK(shm_worker_ordered(note, &value));
    return 0;
}

static int32_t square(void *offset, uint64_t item, void *result)
{
    CHECK(*(double *)result == 0.0);
    *(double *)result = (double)item * (double)item + *(double *)offset;
    return 0;
}

static int32_t fail_at(void *which, uint64_t item)
{
    return item == *(uint64_t *)which ? 17 : 0;
}

static int32_t die_at(void *which, uint64_t item)
{
    if (item == *(uint64_t *)which)
        kill(getpid(), SIGKILL);
    return 0;
}

static int32_t fail_once(void *which, uint64_t item)
{
    return item == *(uint64_t *)which && __sync_fetch_and_add(&shared->tries, 1) == 0 ? 3 : 0;
}

static int32_t odd_results(void *unused, uint64_t item, void *result)
{
    (void)unused;
    *(int *)result = (int)item + 1;
    return item % 2 == 0 ? 0 : 1;
}

static int32_t words(void *unused, uint64_t item)
{
    (void)unused;
    for (uint64_t i = 0; i < item; i++)
        OK(shm_result_append("ab", 2));
    OK(shm_result_append(NULL, 0));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_result_append(NULL, 1));
    return 0;
}

static int32_t total_length(void *total, uint64_t item, const void *bytes, uint64_t length)
{
    CHECK(length == 2 * item && (length == 0 || ((const char *)bytes)[1] == 'b'));
    *(uint64_t *)total += length;
    return 0;
}

static int32_t refuse(void *unused, uint64_t item, const void *bytes, uint64_t length)
{
    (void)unused;
    (void)item;
    (void)bytes;
    (void)length;
    return 9;
}

static int forks, progressed;

static void before_fork(void *user)
{
    CHECK(user == &forks);
    forks++;
}

static void progress(void *user, uint64_t done, uint64_t total)
{
    CHECK(user == &forks && done <= total);
    progressed = (int)done;
}

static void in_worker(void *user)
{
    CHECK(user == &forks);
    shared->tries = 100;
}

/* From here on there are no pidfds, as on Linux before 5.3 and in some sandboxes. */
static void refuse_pidfds(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pidfd_open, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof rules / sizeof rules[0], rules };
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
    CHECK(!can_watch_processes());
}

int main(void)
{
    shm_pool_t pool;
    shm_pool_options_t options = SHM_POOL_OPTIONS_INIT;
    shm_pool_failure_t failure = SHM_POOL_FAILURE_INIT;
    const char *text;
    uint64_t count, first, end;
    if (!can_watch_processes()) {
        puts("pool: all well, as far as one comes under valgrind: not at all (executor.c does, without workers)");
        return 0;
    }
    if (getenv("SHM_TEST_SANDBOX") != NULL)
        refuse_pidfds();
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);

    IS(SHM_STATUS_NOT_IN_POOL, shm_worker_critical(note, NULL));
    IS(SHM_STATUS_NOT_IN_POOL, shm_worker_rank(&count, NULL));
    options.flags = 1u << 31;
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_pool_create(&options, &pool));
    options.flags = 0;
    options.schedule = 7;
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_pool_create(&options, &pool));
    options.schedule = SHM_SCHEDULE_STATIC;
    options.workers = 3;
    options.progress = progress;
    options.before_fork = before_fork;
    options.after_fork_child = in_worker;
    options.user = &forks;
    OK(shm_pool_create(&options, &pool));
    OK(shm_pool_worker_count(pool, &count));
    CHECK(count == 3);
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_pool_for(pool, 0, 10, NULL, NULL));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_pool_for(pool, 5, 4, sum_items, NULL));
    OK(shm_pool_for(pool, 5, 5, sum_items, NULL));
    OK(shm_pool_for(pool, 100, 1100, sum_items, NULL));
    CHECK(shared->sum == 599500);
    CHECK(forks == 3 && progressed == 1000 && shared->tries == 100);
    CHECK(shm_pool_failure_count() == 0);

    double offset = 0.5, squares[50];
    OK(shm_pool_map(pool, 50, square, &offset, sizeof(double), squares));
    for (int i = 0; i < 50; i++)
        CHECK(squares[i] == i * i + 0.5);
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_pool_map(pool, 50, square, &offset, sizeof(double), NULL));
    IS(SHM_STATUS_SIZE_OVERFLOW, shm_pool_map(pool, UINT64_MAX / 4, square, &offset, 1024, squares));

    uint64_t total = 0;
    OK(shm_pool_map_bytes(pool, 40, words, NULL, total_length, &total));
    CHECK(total == 40 * 39);
    IS(SHM_STATUS_CALLBACK_FAILED, shm_pool_map_bytes(pool, 40, words, NULL, refuse, NULL));
    SAYS("9");

    uint64_t which = 7;
    IS(SHM_STATUS_CALLBACK_FAILED, shm_pool_for(pool, 0, 20, fail_at, &which));
    SAYS("17");
    CHECK(shm_pool_failure_count() == 1);
    OK(shm_pool_failure(0, &failure, &text));
    CHECK(failure.item == 7 && failure.returned == 17 && failure.rank >= 0 && failure.pid > 0);
    CHECK(failure.status == SHM_STATUS_CALLBACK_FAILED && strstr(text, "17") != NULL);
    OK(shm_pool_unfinished(0, &first, &end));
    CHECK(first <= 7 && 7 < end);
    IS(SHM_STATUS_NOT_FOUND, shm_pool_failure(1, &failure, NULL));
    IS(SHM_STATUS_WORKER_DIED, shm_pool_for(pool, 10, 30, die_at, (which = 17, &which)));
    SAYS("SIGKILL");
    OK(shm_pool_failure(0, &failure, NULL));
    CHECK(failure.item == 17 && failure.exit == SHM_EXIT_SIGNAL && failure.exit_value == SIGKILL);
    OK(shm_pool_free(pool));
    IS(SHM_STATUS_INVALID_HANDLE, shm_pool_for(pool, 0, 1, sum_items, NULL));

    shm_pool_options_t fresh = SHM_POOL_OPTIONS_INIT;
    fresh.workers = 2;
    fresh.retries = 1;
    OK(shm_pool_create(&fresh, &pool));
    shared->tries = 0;
    OK(shm_pool_for(pool, 0, 20, fail_once, &which));
    CHECK(shared->tries == 2);
    OK(shm_pool_free(pool));

    fresh.retries = 0;
    fresh.flags = SHM_POOL_SKIP_FAILED;
    OK(shm_pool_create(&fresh, &pool));
    int results[10];
    OK(shm_pool_map(pool, 10, odd_results, NULL, sizeof(int), results));
    CHECK(shm_pool_failure_count() == 5);
    for (uint64_t i = 0; i < 10; i++)
        CHECK(results[i] == (i % 2 == 0 ? (int)i + 1 : 0));
    OK(shm_pool_failure(4, &failure, NULL));
    CHECK(failure.returned == 1);
    OK(shm_pool_free(pool));

    fresh.flags = SHM_POOL_ORDERED;
    OK(shm_pool_create(&fresh, &pool));
    OK(shm_pool_for(pool, 0, 64, in_order, NULL));
    for (int i = 0; i < 64; i++)
        CHECK(shared->order[i] == i);
    OK(shm_pool_free(pool));

    fresh.flags = SHM_POOL_SERIAL;
    OK(shm_pool_create(&fresh, &pool));
    OK(shm_pool_map(pool, 50, square, &offset, sizeof(double), squares));
    CHECK(squares[49] == 49 * 49 + 0.5);
    IS(SHM_STATUS_CALLBACK_FAILED, shm_pool_for(pool, 0, 20, fail_at, &which));
    OK(shm_pool_failure(0, &failure, NULL));
    CHECK(failure.returned == 17 && failure.pid == getpid());
    OK(shm_pool_free(pool));

    OK(shm_pool_create(NULL, &pool));
    OK(shm_pool_worker_count(pool, &count));
    CHECK(count >= 1);
    OK(shm_pool_free(pool));
    puts("pool: all well");
    return 0;
}
