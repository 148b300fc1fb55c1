/* The locks: values behind them, every way of waiting, holders that are killed, misuse. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

/* A child that does `work` and then is killed in the middle of whatever it holds. */
#define KILLED(work)                                                     \
    do {                                                                 \
        pid_t child_ = fork();                                           \
        CHECK(child_ >= 0);                                              \
        if (child_ == 0) {                                               \
            work;                                                        \
            kill(getpid(), SIGKILL);                                     \
        }                                                                \
        int how_ = -1;                                                   \
        CHECK(waitpid(child_, &how_, 0) == child_);                      \
        CHECK(WIFSIGNALED(how_) && WTERMSIG(how_) == SIGKILL);           \
    } while (0)

static void *unlock_mutex(void *mutex)
{
    IS(SHM_STATUS_NOT_HELD, shm_mutex_unlock(*(shm_mutex_t *)mutex));
    IS(SHM_STATUS_BUSY, shm_mutex_try_lock(*(shm_mutex_t *)mutex));
    IS(SHM_STATUS_TIMED_OUT, shm_mutex_lock_timeout_ns(*(shm_mutex_t *)mutex, 1000000));
    IS(SHM_STATUS_TIMED_OUT, shm_mutex_lock_until_ns(*(shm_mutex_t *)mutex, shm_clock_ns() + 1000000));
    void *value;
    IS(SHM_STATUS_NOT_HELD, shm_mutex_value(*(shm_mutex_t *)mutex, &value, NULL));
    return NULL;
}

static void on_signal(int signal)
{
    (void)signal;
}

static void mutexes(void)
{
    const char *name = unique("mutex");
    shm_mutex_t a, b;
    OK(shm_mutex_create(name, NULL, sizeof(double), &a));
    IS(SHM_STATUS_ALREADY_EXISTS, shm_mutex_create(name, NULL, sizeof(double), &b));
    IS(SHM_STATUS_MISMATCH, shm_mutex_attach(name, 4, &b));
    SAYS("8 bytes");
    CHECK(b.id == 0);
    IS(SHM_STATUS_MISMATCH, shm_mutex_create_or_attach(name, 9, &b));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_mutex_create(NULL, NULL, (uint64_t)-1, &b));
    OK(shm_mutex_create_or_attach(name, sizeof(double), &b));
    OK(shm_mutex_detach(b));
    OK(shm_mutex_attach(name, sizeof(double), &b));

    void *value;
    uint64_t size;
    IS(SHM_STATUS_NOT_HELD, shm_mutex_value(a, &value, &size));
    OK(shm_mutex_lock(a));
    OK(shm_mutex_value(a, &value, &size));
    CHECK(size == sizeof(double) && *(double *)value == 0.0 && (uintptr_t)value % 64 == 0);
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_mutex_value(a, NULL, &size));
    *(double *)value = 1.5;
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, unlock_mutex, &b) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    IN_CHILD({
        IS(SHM_STATUS_INHERITED, shm_mutex_value(a, &value, NULL));
        IS(SHM_STATUS_INHERITED, shm_mutex_recover(a));
        IS(SHM_STATUS_INHERITED, shm_mutex_unlock(a));
        IS(SHM_STATUS_BUSY, shm_mutex_try_lock(b));
    });
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_mutex_lock_timeout_ns(b, -1));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_mutex_lock_until_ns(b, -1));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_mutex_lock_interruptible_ns(b, -5));
    OK(shm_mutex_unlock(a));
    OK(shm_mutex_lock_timeout_ns(b, SHM_FOREVER));
    OK(shm_mutex_value(b, &value, NULL));
    CHECK(*(double *)value == 1.5);
    OK(shm_mutex_unlock(b));
    OK(shm_mutex_lock_interruptible_ns(b, SHM_FOREVER));
    OK(shm_mutex_unlock(b));

    KILLED({
        OK(shm_mutex_lock(a));
        OK(shm_mutex_value(a, &value, NULL));
        *(double *)value = 7.0;
    });
    IS(SHM_STATUS_OWNER_DIED, shm_mutex_lock(b));
    OK(shm_mutex_value(b, &value, NULL));
    CHECK(*(double *)value == 7.0);
    *(double *)value = 0.0;
    OK(shm_mutex_recover(b));
    OK(shm_mutex_unlock(b));
    OK(shm_mutex_lock(a));
    OK(shm_mutex_unlock(a));
    KILLED({ OK(shm_mutex_lock(a)); });
    IS(SHM_STATUS_OWNER_DIED, shm_mutex_lock_timeout_ns(a, 0));
    OK(shm_mutex_unlock(a));
    IS(SHM_STATUS_POISONED, shm_mutex_lock(b));
    OK(shm_mutex_repair(b));
    OK(shm_mutex_recover(b));
    OK(shm_mutex_unlock(b));

    /* A signal ends a wait only where that was asked for. */
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_signal;
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    OK(shm_mutex_lock(a));
    pid_t waiter = fork();
    CHECK(waiter >= 0);
    if (waiter == 0) {
        IS(SHM_STATUS_INTERRUPTED, shm_mutex_lock_interruptible_ns(b, SHM_FOREVER));
        _exit(0);
    }
    int how = -1;
    while (waitpid(waiter, &how, WNOHANG) == 0) { /* one that comes before the wait is not noticed */
        kill(waiter, SIGUSR1);
        usleep(2000);
    }
    CHECK(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    OK(shm_mutex_unlock(a));
    OK(shm_mutex_detach(a));
    OK(shm_mutex_detach(b));
    OK(shm_delete(name));
}

static void at_addresses(void)
{
    uint64_t size;
    OK(shm_mutex_size(100, &size));
    CHECK(size >= 164);
    char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED);
    shm_mutex_t mutex, same;
    IS(SHM_STATUS_MISALIGNED, shm_mutex_create_at(pages + 8, 4096, 100, &mutex));
    IS(SHM_STATUS_MISALIGNED, shm_mutex_create_at(NULL, 4096, 100, &mutex));
    IS(SHM_STATUS_MISMATCH, shm_mutex_create_at(pages, 64, 100, &mutex));
    IS(SHM_STATUS_MISMATCH, shm_mutex_attach_at(pages, 64, 100, &mutex));
    OK(shm_mutex_create_at(pages + 4096, size, 100, &mutex));
    IS(SHM_STATUS_IN_USE, shm_mutex_create_at(pages + 4096, size, 100, &same));
    IS(SHM_STATUS_MISMATCH, shm_mutex_attach_at(pages + 4096, size, 99, &same));
    OK(shm_mutex_attach_at(pages + 4096, 4096, 100, &same));
    shm_rwlock_t other;
    IS(SHM_STATUS_MISMATCH, shm_rwlock_attach_at(pages + 4096, 4096, 100, &other));
    KILLED({ OK(shm_mutex_lock(mutex)); });
    IS(SHM_STATUS_OWNER_DIED, shm_mutex_lock(same));
    OK(shm_mutex_recover(same));
    OK(shm_mutex_unlock(same));
    OK(shm_mutex_detach(mutex));
    OK(shm_mutex_detach(same));
    OK(shm_mutex_attach_at(pages, 4096, 100, &mutex)); /* zero bytes are one */
    OK(shm_mutex_lock(mutex));
    OK(shm_mutex_unlock(mutex));
    OK(shm_mutex_detach(mutex));
    CHECK(munmap(pages, 8192) == 0);
}

static void recursive_mutexes(void)
{
    shm_recursive_mutex_t mutex;
    OK(shm_recursive_mutex_create(NULL, NULL, 16, &mutex));
    OK(shm_recursive_mutex_lock(mutex));
    OK(shm_recursive_mutex_try_lock(mutex));
    OK(shm_recursive_mutex_lock_timeout_ns(mutex, 0));
    void *value;
    OK(shm_recursive_mutex_value(mutex, &value, NULL));
    strcpy(value, "three times");
    IN_CHILD({
        IS(SHM_STATUS_INHERITED, shm_recursive_mutex_unlock(mutex));
        IS(SHM_STATUS_BUSY, shm_recursive_mutex_try_lock(mutex));
    });
    IS(SHM_STATUS_LOCK_HELD, shm_recursive_mutex_detach(mutex));
    OK(shm_recursive_mutex_unlock(mutex));
    OK(shm_recursive_mutex_unlock(mutex));
    IN_CHILD({ IS(SHM_STATUS_BUSY, shm_recursive_mutex_try_lock(mutex)); });
    OK(shm_recursive_mutex_unlock(mutex));
    IS(SHM_STATUS_NOT_HELD, shm_recursive_mutex_unlock(mutex));
    KILLED({
        OK(shm_recursive_mutex_lock(mutex));
        OK(shm_recursive_mutex_lock(mutex));
    });
    IS(SHM_STATUS_OWNER_DIED, shm_recursive_mutex_lock(mutex));
    OK(shm_recursive_mutex_value(mutex, &value, NULL));
    CHECK(strcmp(value, "three times") == 0);
    OK(shm_recursive_mutex_recover(mutex));
    OK(shm_recursive_mutex_unlock(mutex));
    OK(shm_recursive_mutex_repair(mutex));
    OK(shm_recursive_mutex_unlock(mutex)); /* given up */
    IS(SHM_STATUS_POISONED, shm_recursive_mutex_lock(mutex));
    OK(shm_recursive_mutex_detach(mutex));
}

static void reader_writer_locks(void)
{
    shm_rwlock_t lock;
    OK(shm_rwlock_create(NULL, NULL, 8, &lock));
    OK(shm_rwlock_write(lock));
    void *value;
    OK(shm_rwlock_value(lock, &value, NULL));
    memcpy(value, "written", 8);
    IS(SHM_STATUS_DEADLOCK, shm_rwlock_read(lock));
    IN_CHILD({
        IS(SHM_STATUS_BUSY, shm_rwlock_try_read(lock));
        IS(SHM_STATUS_TIMED_OUT, shm_rwlock_read_timeout_ns(lock, 1000000));
    });
    OK(shm_rwlock_downgrade(lock));
    IS(SHM_STATUS_NOT_HELD, shm_rwlock_downgrade(lock));
    IN_CHILD({
        OK(shm_rwlock_try_read(lock));
        OK(shm_rwlock_value(lock, &value, NULL));
        CHECK(strcmp(value, "written") == 0);
        OK(shm_rwlock_unlock(lock));
        IS(SHM_STATUS_BUSY, shm_rwlock_try_write(lock));
        IS(SHM_STATUS_TIMED_OUT, shm_rwlock_write_timeout_ns(lock, 1000000));
    });
    OK(shm_rwlock_unlock(lock));
    IS(SHM_STATUS_NOT_HELD, shm_rwlock_unlock(lock));
    KILLED({ OK(shm_rwlock_read(lock)); }); /* simply gone */
    OK(shm_rwlock_write(lock));
    OK(shm_rwlock_unlock(lock));
    KILLED({ OK(shm_rwlock_write(lock)); });
    IS(SHM_STATUS_OWNER_DIED, shm_rwlock_read(lock));
    OK(shm_rwlock_recover(lock));
    IN_CHILD({ OK(shm_rwlock_try_read(lock)); });
    OK(shm_rwlock_unlock(lock));
    KILLED({ OK(shm_rwlock_write(lock)); });
    IS(SHM_STATUS_OWNER_DIED, shm_rwlock_write(lock));
    OK(shm_rwlock_unlock(lock));
    IS(SHM_STATUS_POISONED, shm_rwlock_read(lock));
    OK(shm_rwlock_repair(lock));
    OK(shm_rwlock_recover(lock));
    OK(shm_rwlock_unlock(lock));
    OK(shm_rwlock_detach(lock));
}

static void *unlock_for_others(void *mutex)
{
    OK(shm_process_mutex_unlock(*(shm_process_mutex_t *)mutex));
    return NULL;
}

static void process_mutexes(void)
{
    shm_process_mutex_t mutex;
    uint32_t pid;
    OK(shm_process_mutex_create(NULL, NULL, &mutex));
    IS(SHM_STATUS_NOT_HELD, shm_process_mutex_unlock(mutex));
    OK(shm_process_mutex_lock(mutex));
    OK(shm_process_mutex_holder(mutex, &pid));
    CHECK(pid == (uint32_t)getpid());
    IS(SHM_STATUS_BUSY, shm_process_mutex_try_lock(mutex));
    IS(SHM_STATUS_TIMED_OUT, shm_process_mutex_lock_timeout_ns(mutex, 1000000));
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, unlock_for_others, &mutex) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    OK(shm_process_mutex_try_lock(mutex));
    IN_CHILD({ OK(shm_process_mutex_unlock(mutex)); }); /* any process may */
    OK(shm_process_mutex_holder(mutex, &pid));
    CHECK(pid == 0);
    KILLED({ OK(shm_process_mutex_lock(mutex)); });
    IS(SHM_STATUS_OWNER_DIED, shm_process_mutex_lock(mutex));
    OK(shm_process_mutex_recover(mutex));
    OK(shm_process_mutex_unlock(mutex));
    KILLED({ OK(shm_process_mutex_lock(mutex)); });
    IS(SHM_STATUS_OWNER_DIED, shm_process_mutex_lock(mutex));
    OK(shm_process_mutex_unlock(mutex));
    IS(SHM_STATUS_POISONED, shm_process_mutex_lock(mutex));
    OK(shm_process_mutex_repair(mutex));
    OK(shm_process_mutex_recover(mutex));
    OK(shm_process_mutex_unlock(mutex));
    OK(shm_process_mutex_detach(mutex));
    IS(SHM_STATUS_INVALID_HANDLE, shm_process_mutex_lock(mutex));
}

int main(void)
{
    mutexes();
    at_addresses();
    recursive_mutexes();
    reader_writer_locks();
    process_mutexes();
    puts("locks: all well");
    return 0;
}
