/* Every kind of primitive in the same ways: at a place of the caller's beside the data, in every form of waiting, and inherited by a child. */
#include "check.h"
#include <signal.h>
#include <sys/time.h>

#define MS INT64_C(1000000)

static volatile sig_atomic_t alarms;

static void note_alarm(int signal)
{
    (void)signal;
    alarms++;
}

/* From now on a signal comes every 2 ms: one that comes before a wait begins is not noticed by it, the next one is. */
static void alarm_often(int on)
{
    struct sigaction action;
    struct itimerval often = { { 0, on ? 2000 : 0 }, { 0, on ? 2000 : 0 } };
    memset(&action, 0, sizeof action);
    action.sa_handler = note_alarm;
    action.sa_flags = SA_RESTART;
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    CHECK(setitimer(ITIMER_REAL, &often, NULL) == 0);
}

/* All forms of a call that has to wait, and that nobody helps: each ends in its own way, with nothing changed. The first argument of the
 * timed forms' `CALL` is the name's end, the second the time. */
#define WAITS_IN_VAIN(refused, TRY, CALL)                                               \
    do {                                                                                \
        IS(refused, TRY);                                                               \
        IS(SHM_STATUS_TIMED_OUT, CALL(timeout_ns, 0));                                  \
        IS(SHM_STATUS_TIMED_OUT, CALL(timeout_ns, MS));                                 \
        IS(SHM_STATUS_TIMED_OUT, CALL(until_ns, 0));                                    \
        IS(SHM_STATUS_TIMED_OUT, CALL(until_ns, shm_clock_ns() + MS));                  \
        IS(SHM_STATUS_TIMED_OUT, CALL(interruptible_ns, 0));                            \
        IS(SHM_STATUS_TIMED_OUT, CALL(interruptible_ns, shm_clock_ns() + MS));          \
        IS(SHM_STATUS_INVALID_ARGUMENT, CALL(timeout_ns, -1));                          \
        IS(SHM_STATUS_INVALID_ARGUMENT, CALL(until_ns, -1));                            \
        IS(SHM_STATUS_INVALID_ARGUMENT, CALL(interruptible_ns, INT64_MIN));             \
        alarm_often(1);                                                                 \
        IS(SHM_STATUS_INTERRUPTED, CALL(interruptible_ns, SHM_FOREVER));                \
        const sig_atomic_t before_ = alarms;                                            \
        IS(SHM_STATUS_TIMED_OUT, CALL(timeout_ns, 20 * MS));                            \
        IS(SHM_STATUS_TIMED_OUT, CALL(until_ns, shm_clock_ns() + 20 * MS));             \
        CHECK(alarms != before_); /* signals came, and ended neither */                 \
        alarm_often(0);                                                                 \
    } while (0)

/* All forms where there is nothing to wait for: each takes what is there, `undo` gives it back. */
#define WAITS_FOR_NOTHING(TRY, PLAIN, CALL, undo)                                       \
    do {                                                                                \
        OK(TRY);                                                                        \
        undo;                                                                           \
        OK(PLAIN);                                                                      \
        undo;                                                                           \
        OK(CALL(timeout_ns, 0));                                                        \
        undo;                                                                           \
        OK(CALL(timeout_ns, SHM_FOREVER));                                              \
        undo;                                                                           \
        OK(CALL(until_ns, 0));                                                          \
        undo;                                                                           \
        OK(CALL(until_ns, SHM_FOREVER));                                                \
        undo;                                                                           \
        OK(CALL(interruptible_ns, 0));                                                  \
        undo;                                                                           \
        OK(CALL(interruptible_ns, SHM_FOREVER));                                        \
        undo;                                                                           \
    } while (0)

/* An array in shared memory, and after its elements room for one primitive at a time. */
static shm_array_t array;
static unsigned char *beside;
static uint64_t room;

static void make_array(void)
{
    static const int64_t shape[1] = { 64 * 1024 };
    void *data;
    OK(shm_array_create(unique("beside"), NULL, shm_dtype(SHM_TYPE_UINT, 8), shape, 1, SHM_ORDER_C, &array));
    OK(shm_array_data(array, &data));
    CHECK(((uintptr_t)data & 63) == 0);
    memset(data, 7, 4096); /* the data */
    beside = (unsigned char *)data + 4096;
    room = (uint64_t)shape[0] - 4096;
}

/* Makes a primitive beside the data of an array, attaches it a second time, and sees to it that what is wrong is refused. `a` and `b` are the two
 * handles, for what is done with them. */
#define BESIDE_DATA(object, SIZE, CREATE, ATTACH, ...)                                                     \
    do {                                                                                                   \
        shm_##object##_t a, b;                                                                             \
        uint64_t size_;                                                                                    \
        memset(beside, 0, room);                                                                           \
        OK(SIZE(&size_));                                                                                  \
        CHECK(size_ >= 64 && size_ <= room);                                                               \
        IS(SHM_STATUS_INVALID_ARGUMENT, SIZE(NULL));                                                       \
        IS(SHM_STATUS_MISALIGNED, CREATE(NULL, room, &a));                                                 \
        IS(SHM_STATUS_MISALIGNED, CREATE(beside + 8, room - 64, &a));                                      \
        IS(SHM_STATUS_MISALIGNED, ATTACH(beside + 8, room - 64, &a));                                      \
        IS(SHM_STATUS_MISMATCH, CREATE(beside, size_ - 1, &a));                                            \
        IS(SHM_STATUS_INVALID_ARGUMENT, CREATE(beside, UINT64_MAX, &a));                                   \
        IS(SHM_STATUS_INVALID_ARGUMENT, CREATE(beside, size_, NULL));                                      \
        for (uint64_t i_ = 0; i_ < room; i_++)                                                             \
            CHECK(beside[i_] == 0); /* nothing was changed */                                              \
        OK(CREATE(beside, size_, &a));                                                                     \
        IS(SHM_STATUS_IN_USE, CREATE(beside, size_, &b));                                                  \
        CHECK(b.id == 0);                                                                                  \
        OK(ATTACH(beside, size_, &b));                                                                     \
        shm_event_t other_;                                                                                \
        shm_latch_t another_;                                                                              \
        if (strcmp(#object, "event") != 0)                                                                 \
            IS(SHM_STATUS_MISMATCH, shm_event_attach_at(beside, room, &other_));                           \
        else                                                                                               \
            IS(SHM_STATUS_MISMATCH, shm_latch_attach_at(beside, room, &another_));                         \
        __VA_ARGS__;                                                                                       \
        for (uint64_t i_ = size_; i_ < room; i_++)                                                         \
            CHECK(beside[i_] == 0); /* nothing behind it */                                                \
        for (int i_ = 1; i_ <= 4096; i_++)                                                                 \
            CHECK(beside[-i_] == 7); /* nor before it */                                                   \
        OK(shm_##object##_detach(a));                                                                      \
        IS(SHM_STATUS_INVALID_HANDLE, shm_##object##_detach(a));                                           \
        OK(shm_##object##_detach(b));                                                                      \
    } while (0)

static void mutexes(void)
{
#define SIZE(size) shm_mutex_size(8, size)
#define CREATE(at, length, to) shm_mutex_create_at(at, length, 8, to)
#define ATTACH(at, length, to) shm_mutex_attach_at(at, length, 8, to)
#define CALL_A(form, time) shm_mutex_lock_##form(a, time)
#define CALL_B(form, time) shm_mutex_lock_##form(b, time)
    BESIDE_DATA(mutex, SIZE, CREATE, ATTACH, {
        shm_mutex_t larger;
        IS(SHM_STATUS_MISMATCH, shm_mutex_attach_at(beside, room, 1 << 20, &larger));
        WAITS_FOR_NOTHING(shm_mutex_try_lock(a), shm_mutex_lock(a), CALL_A, OK(shm_mutex_unlock(a)));
        OK(shm_mutex_lock(a));
        IN_CHILD({
            WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_mutex_try_lock(b), CALL_B);
            IS(SHM_STATUS_INHERITED, shm_mutex_unlock(a));
            IS(SHM_STATUS_NOT_HELD, shm_mutex_unlock(b));
        });
        OK(shm_mutex_unlock(a));
    });
#undef CALL_A
#undef CALL_B
#undef SIZE
#undef CREATE
#undef ATTACH
}

static void recursive_mutexes(void)
{
#define SIZE(size) shm_recursive_mutex_size(8, size)
#define CREATE(at, length, to) shm_recursive_mutex_create_at(at, length, 8, to)
#define ATTACH(at, length, to) shm_recursive_mutex_attach_at(at, length, 8, to)
#define CALL_A(form, time) shm_recursive_mutex_lock_##form(a, time)
#define CALL_B(form, time) shm_recursive_mutex_lock_##form(b, time)
    BESIDE_DATA(recursive_mutex, SIZE, CREATE, ATTACH, {
        void *value;
        OK(shm_recursive_mutex_lock(a));
        WAITS_FOR_NOTHING(shm_recursive_mutex_try_lock(a), shm_recursive_mutex_lock(a), CALL_A,
                          OK(shm_recursive_mutex_unlock(a)));
        IN_CHILD({
            WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_recursive_mutex_try_lock(b), CALL_B);
            IS(SHM_STATUS_INHERITED, shm_recursive_mutex_value(a, &value, NULL));
            IS(SHM_STATUS_INHERITED, shm_recursive_mutex_unlock(a));
        });
        OK(shm_recursive_mutex_unlock(a));
        IS(SHM_STATUS_NOT_HELD, shm_recursive_mutex_unlock(a));
    });
#undef CALL_A
#undef CALL_B
#undef SIZE
#undef CREATE
#undef ATTACH
}

static void process_mutexes(void)
{
#define SIZE(size) shm_process_mutex_size(size)
#define CREATE(at, length, to) shm_process_mutex_create_at(at, length, to)
#define ATTACH(at, length, to) shm_process_mutex_attach_at(at, length, to)
#define CALL_A(form, time) shm_process_mutex_lock_##form(a, time)
#define CALL_B(form, time) shm_process_mutex_lock_##form(b, time)
    BESIDE_DATA(process_mutex, SIZE, CREATE, ATTACH, {
        WAITS_FOR_NOTHING(shm_process_mutex_try_lock(a), shm_process_mutex_lock(a), CALL_A, OK(shm_process_mutex_unlock(b)));
        OK(shm_process_mutex_lock(a));
        WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_process_mutex_try_lock(b), CALL_B);
        IN_CHILD({ WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_process_mutex_try_lock(b), CALL_B); });
        OK(shm_process_mutex_unlock(b));
    });
#undef CALL_A
#undef CALL_B
#undef SIZE
#undef CREATE
#undef ATTACH
}

static void rwlocks(void)
{
#define SIZE(size) shm_rwlock_size(8, size)
#define CREATE(at, length, to) shm_rwlock_create_at(at, length, 8, to)
#define ATTACH(at, length, to) shm_rwlock_attach_at(at, length, 8, to)
#define READ_A(form, time) shm_rwlock_read_##form(a, time)
#define WRITE_A(form, time) shm_rwlock_write_##form(a, time)
#define READ_B(form, time) shm_rwlock_read_##form(b, time)
#define WRITE_B(form, time) shm_rwlock_write_##form(b, time)
    BESIDE_DATA(rwlock, SIZE, CREATE, ATTACH, {
        WAITS_FOR_NOTHING(shm_rwlock_try_write(a), shm_rwlock_write(a), WRITE_A, OK(shm_rwlock_unlock(a)));
        WAITS_FOR_NOTHING(shm_rwlock_try_read(a), shm_rwlock_read(a), READ_A, OK(shm_rwlock_unlock(a)));
        OK(shm_rwlock_read(a));
        IN_CHILD({
            WAITS_FOR_NOTHING(shm_rwlock_try_read(b), shm_rwlock_read(b), READ_B, OK(shm_rwlock_unlock(b)));
            WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_rwlock_try_write(b), WRITE_B);
            IS(SHM_STATUS_INHERITED, shm_rwlock_unlock(a));
        });
        OK(shm_rwlock_unlock(a));
        OK(shm_rwlock_write(a));
        IN_CHILD({
            WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_rwlock_try_read(b), READ_B);
            WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_rwlock_try_write(b), WRITE_B);
            IS(SHM_STATUS_INHERITED, shm_rwlock_downgrade(a));
        });
        OK(shm_rwlock_unlock(a));
    });
#undef READ_A
#undef WRITE_A
#undef READ_B
#undef WRITE_B
#undef SIZE
#undef CREATE
#undef ATTACH
}

static void condvars(void)
{
#define SIZE(size) shm_condvar_size(size)
#define CREATE(at, length, to) shm_condvar_create_at(at, length, to)
#define ATTACH(at, length, to) shm_condvar_attach_at(at, length, to)
#define CALL(form, time) shm_condvar_wait_##form(a, mutex, time)
    shm_mutex_t mutex;
    OK(shm_mutex_create(NULL, NULL, 0, &mutex));
    BESIDE_DATA(condvar, SIZE, CREATE, ATTACH, {
        OK(shm_mutex_lock(mutex));
        /* There is no form that does not wait: the first argument is one that waits for no time. */
        WAITS_IN_VAIN(SHM_STATUS_TIMED_OUT, shm_condvar_wait_timeout_ns(b, mutex, 0), CALL);
        IN_CHILD({
            IS(SHM_STATUS_INHERITED, shm_condvar_wait(a, mutex));
            IS(SHM_STATUS_INHERITED, CALL(timeout_ns, 0));
            IS(SHM_STATUS_INHERITED, CALL(until_ns, 0));
            IS(SHM_STATUS_INHERITED, CALL(interruptible_ns, 0));
        });
        OK(shm_mutex_unlock(mutex));
        OK(shm_condvar_notify_one(b));
        OK(shm_condvar_notify_n(b, 2));
        OK(shm_condvar_notify_all(b));
    });
    OK(shm_mutex_detach(mutex));
#undef CALL
#undef SIZE
#undef CREATE
#undef ATTACH
}

static void semaphores(void)
{
#define SIZE(size) shm_semaphore_size(1, size)
#define CREATE(at, length, to) shm_semaphore_create_at(at, length, 1, to)
#define ATTACH(at, length, to) shm_semaphore_attach_at(at, length, to)
#define CALL(form, time) shm_semaphore_acquire_##form(a, time)
    BESIDE_DATA(semaphore, SIZE, CREATE, ATTACH, {
        WAITS_FOR_NOTHING(shm_semaphore_try_acquire(a), shm_semaphore_acquire(a), CALL, OK(shm_semaphore_release(b, 1)));
        OK(shm_semaphore_acquire(b));
        WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_semaphore_try_acquire(a), CALL);
        IN_CHILD({ OK(shm_semaphore_release(a, 1)); }); /* permits belong to nobody */
        OK(shm_semaphore_acquire(a));
    });
#undef CALL
#undef SIZE
#undef CREATE
#undef ATTACH
#define SIZE(size) shm_bounded_semaphore_size(1, size)
#define CREATE(at, length, to) shm_bounded_semaphore_create_at(at, length, 1, to)
#define ATTACH(at, length, to) shm_bounded_semaphore_attach_at(at, length, to)
#define CALL(form, time) shm_bounded_semaphore_acquire_##form(a, time)
    BESIDE_DATA(bounded_semaphore, SIZE, CREATE, ATTACH, {
        WAITS_FOR_NOTHING(shm_bounded_semaphore_try_acquire(a), shm_bounded_semaphore_acquire(a), CALL,
                          OK(shm_bounded_semaphore_release(b, 1)));
        OK(shm_bounded_semaphore_acquire(b));
        WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_bounded_semaphore_try_acquire(a), CALL);
        IN_CHILD({
            OK(shm_bounded_semaphore_release(a, 1));
            IS(SHM_STATUS_OVERFLOW, shm_bounded_semaphore_release(a, 1));
        });
        OK(shm_bounded_semaphore_acquire(a));
    });
#undef CALL
#undef SIZE
#undef CREATE
#undef ATTACH
}

static void events_and_latches(void)
{
#define SIZE(size) shm_event_size(0, size)
#define CREATE(at, length, to) shm_event_create_at(at, length, 0, to)
#define ATTACH(at, length, to) shm_event_attach_at(at, length, to)
#define CALL(form, time) shm_event_wait_##form(a, time)
    BESIDE_DATA(event, SIZE, CREATE, ATTACH, {
        WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_event_try_wait(a), CALL);
        IN_CHILD({ OK(shm_event_set(b)); });
        WAITS_FOR_NOTHING(shm_event_try_wait(a), shm_event_wait(a), CALL, (void)0);
    });
#undef CALL
#undef SIZE
#undef CREATE
#undef ATTACH
#define SIZE(size) shm_latch_size(2, size)
#define CREATE(at, length, to) shm_latch_create_at(at, length, 2, to)
#define ATTACH(at, length, to) shm_latch_attach_at(at, length, to)
#define CALL(form, time) shm_latch_wait_##form(a, time)
    BESIDE_DATA(latch, SIZE, CREATE, ATTACH, {
        OK(shm_latch_count_down(a, 1));
        WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_latch_try_wait(a), CALL);
        IN_CHILD({ OK(shm_latch_arrive_and_wait(b)); });
        WAITS_FOR_NOTHING(shm_latch_try_wait(a), shm_latch_wait(a), CALL, (void)0);
    });
#undef CALL
#undef SIZE
#undef CREATE
#undef ATTACH
}

static void barriers(void)
{
#define CREATE(at, length, to) shm_barrier_create_at(at, length, parties, to)
#define SIZE(size) shm_barrier_size(parties, size)
#define ATTACH(at, length, to) shm_barrier_attach_at(at, length, to)
#define CALL(form, time) shm_barrier_wait_##form(a, time, NULL)
    uint32_t parties = 2;
    BESIDE_DATA(barrier, SIZE, CREATE, ATTACH, {
        WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_barrier_try_wait(a, NULL), CALL);
        OK(shm_barrier_join(a));
        WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_barrier_try_wait(a, NULL), CALL);
        IN_CHILD({
            IS(SHM_STATUS_INHERITED, shm_barrier_try_wait(a, NULL));
            IS(SHM_STATUS_INHERITED, shm_barrier_wait(a, NULL));
            IS(SHM_STATUS_INHERITED, CALL(timeout_ns, 0));
            IS(SHM_STATUS_INHERITED, CALL(until_ns, 0));
            IS(SHM_STATUS_INHERITED, CALL(interruptible_ns, 0));
            IS(SHM_STATUS_INHERITED, shm_barrier_leave(a));
        });
        OK(shm_barrier_leave(a));
    });
    parties = 1;
    BESIDE_DATA(barrier, SIZE, CREATE, ATTACH, {
        WAITS_FOR_NOTHING(shm_barrier_try_wait(a, NULL), shm_barrier_wait(a, NULL), CALL, (void)0);
    });
#undef CALL
#undef SIZE
#undef CREATE
#undef ATTACH
}

static int32_t nothing(void *user)
{
    (void)user;
    return 0;
}

static int32_t nothing_after(void *user, int32_t died)
{
    (void)died;
    ++*(int *)user;
    return 0;
}

static int32_t slow(void *pipes)
{
    char byte = 1;
    const int *in_out = pipes;
    CHECK(write(in_out[1], &byte, 1) == 1);
    CHECK(read(in_out[0], &byte, 1) == 1);
    return 0;
}

static void onces(void)
{
#define SIZE(size) shm_once_size(size)
#define CREATE(at, length, to) shm_once_create_at(at, length, to)
#define ATTACH(at, length, to) shm_once_attach_at(at, length, to)
#define CALL(form, time) shm_once_call_##form(a, nothing, NULL, time)
#define FORCE(form, time) shm_once_call_force_##form(a, nothing_after, &calls, time)
    int calls = 0, to_child[2], to_parent[2];
    char byte = 0;
    CHECK(pipe(to_child) == 0 && pipe(to_parent) == 0);
    BESIDE_DATA(once, SIZE, CREATE, ATTACH, {
        /* Somebody runs it, and takes its time. */
        struct pipes {
            int in, out;
        } pipes = { to_child[0], to_parent[1] };
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            OK(shm_once_call(b, slow, &pipes));
            _exit(0);
        }
        CHECK(read(to_parent[0], &byte, 1) == 1);
        WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_once_try_call(a, nothing, NULL), CALL);
        WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_once_try_call_force(a, nothing_after, &calls), FORCE);
        CHECK(write(to_child[1], &byte, 1) == 1);
        int how;
        CHECK(waitpid(child, &how, 0) == child && WIFEXITED(how) && WEXITSTATUS(how) == 0);
        WAITS_FOR_NOTHING(shm_once_try_call(a, nothing, NULL), shm_once_call(a, nothing, NULL), CALL, (void)0);
        WAITS_FOR_NOTHING(shm_once_try_call_force(a, nothing_after, &calls), shm_once_call_force(a, nothing_after, &calls),
                          FORCE, (void)0);
        CHECK(calls == 0);
    });
#undef CALL
#undef FORCE
#undef SIZE
#undef CREATE
#undef ATTACH
}

static void sequencers(void)
{
#define SIZE(size) shm_sequencer_size(5, size)
#define CREATE(at, length, to) shm_sequencer_create_at(at, length, 5, to)
#define ATTACH(at, length, to) shm_sequencer_attach_at(at, length, to)
#define VAIN(form, time) shm_sequencer_turn_##form(a, 6, time)
#define NEXT(form, time) shm_sequencer_turn_##form(a, turn, time)
    uint64_t turn = 5;
    BESIDE_DATA(sequencer, SIZE, CREATE, ATTACH, {
        WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_sequencer_try_turn(a, 6), VAIN);
        OK(shm_sequencer_turn(b, 5));
        IN_CHILD({
            WAITS_IN_VAIN(SHM_STATUS_BUSY, shm_sequencer_try_turn(a, 6), VAIN);
            IS(SHM_STATUS_INHERITED, shm_sequencer_end(b));
        });
        OK(shm_sequencer_end(b));
        turn++;
        WAITS_FOR_NOTHING(shm_sequencer_try_turn(a, turn), shm_sequencer_turn(a, turn), NEXT, {
            OK(shm_sequencer_end(a));
            turn++;
        });
    });
#undef VAIN
#undef NEXT
#undef SIZE
#undef CREATE
#undef ATTACH
}

static void channels(void)
{
#define SIZE(size) shm_byte_channel_size(8, size)
#define CREATE(at, length, to) shm_byte_channel_create_at(at, length, 8, to)
#define ATTACH(at, length, to) shm_byte_channel_attach_at(at, length, to)
#define SEND(form, time) shm_byte_channel_send_##form(a, "message", 8, time)
#define RECV(form, time) shm_byte_channel_recv_##form(b, time, &message, &length)
    void *message;
    uint64_t length, size;
    char item[12] = "fixed items", got[12];
    BESIDE_DATA(byte_channel, SIZE, CREATE, ATTACH, {
        WAITS_IN_VAIN(SHM_STATUS_EMPTY, shm_byte_channel_try_recv(b, &message, &length), RECV);
        CHECK(message == NULL && length == 0);
        WAITS_FOR_NOTHING(shm_byte_channel_try_send(a, "message", 8), shm_byte_channel_send(a, "message", 8), SEND, {
            OK(shm_byte_channel_recv(b, &message, &length));
            CHECK(length == 8 && strcmp(message, "message") == 0);
            shm_free(message);
        });
        OK(shm_byte_channel_send(a, "message", 8));
        WAITS_IN_VAIN(SHM_STATUS_FULL, shm_byte_channel_try_send(a, "message", 8), SEND);
        WAITS_FOR_NOTHING(shm_byte_channel_try_recv(b, &message, &length), shm_byte_channel_recv(b, &message, &length), RECV, {
            shm_free(message);
            IN_CHILD({ OK(shm_byte_channel_send(a, "message", 8)); });
        });
    });
#undef SEND
#undef RECV
#undef SIZE
#undef CREATE
#undef ATTACH
#define SIZE(size) shm_channel_size(12, 2, size)
#define CREATE(at, length, to) shm_channel_create_at(at, length, 12, 2, to)
#define ATTACH(at, length, to) shm_channel_attach_at(at, length, 12, to)
#define SEND(form, time) shm_channel_send_##form(a, item, time)
#define RECV(form, time) shm_channel_recv_##form(b, time, got)
    BESIDE_DATA(channel, SIZE, CREATE, ATTACH, {
        shm_channel_t wrong;
        IS(SHM_STATUS_MISMATCH, shm_channel_attach_at(beside, room, 16, &wrong));
        SAYS("12 bytes");
        OK(shm_channel_item_size(b, &size));
        CHECK(size == 12);
        memset(got, 'x', sizeof got);
        WAITS_IN_VAIN(SHM_STATUS_EMPTY, shm_channel_try_recv(b, got), RECV);
        CHECK(got[0] == 0 && got[11] == 0);
        IS(SHM_STATUS_INVALID_ARGUMENT, shm_channel_send(a, NULL));
        IS(SHM_STATUS_INVALID_ARGUMENT, shm_channel_recv(a, NULL));
        OK(shm_channel_send(a, item));
        WAITS_FOR_NOTHING(shm_channel_try_send(a, item), shm_channel_send(a, item), SEND, {
            memset(got, 0, sizeof got);
            OK(shm_channel_recv(b, got));
            CHECK(memcmp(item, got, sizeof item) == 0);
        });
        OK(shm_channel_send(a, item));
        WAITS_IN_VAIN(SHM_STATUS_FULL, shm_channel_try_send(a, item), SEND);
        WAITS_FOR_NOTHING(shm_channel_try_recv(b, got), shm_channel_recv(b, got), RECV,
                          IN_CHILD({ OK(shm_channel_send(a, item)); }));
    });
#undef SEND
#undef RECV
#undef SIZE
#undef CREATE
#undef ATTACH
}

/* Items of one size under a name, in a segment, and between processes. */
static void items(void)
{
    const char *name = unique("items");
    shm_channel_t channel, there;
    shm_channel_state_t state;
    shm_contents_t plan;
    shm_segment_t segment;
    int32_t was_open;
    double point[3] = { 1.0, 2.0, 3.0 }, sum = 0.0;
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_channel_create(name, NULL, sizeof point, 0, &channel));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_channel_create(name, NULL, sizeof point, (uint64_t)-1, &channel));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_channel_create(name, NULL, (uint64_t)-1, 1, &channel));
    OK(shm_channel_create(name, NULL, sizeof point, 4, &channel));
    IS(SHM_STATUS_MISMATCH, shm_channel_attach(name, 8, &there));
    IS(SHM_STATUS_MISMATCH, shm_channel_create_or_attach(name, 8, 4, &there));
    IS(SHM_STATUS_MISMATCH, shm_channel_create_or_attach(name, sizeof point, 5, &there));
    OK(shm_channel_create_or_attach(name, sizeof point, 4, &there));
    OK(shm_channel_detach(there));
    OK(shm_channel_attach(name, sizeof point, &there));
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        for (int i = 0; i < 1000; i++) {
            point[0] = i;
            OK(shm_channel_send(there, point));
        }
        OK(shm_channel_close(there, &was_open));
        CHECK(was_open == 1);
        _exit(0);
    }
    shm_status_t status;
    while ((status = shm_channel_recv(channel, point)) == SHM_STATUS_OK)
        sum += point[0] + point[2];
    CHECK(status == SHM_STATUS_CLOSED && sum == 999 * 500 + 3 * 1000);
    int how;
    CHECK(waitpid(child, &how, 0) == child && WIFEXITED(how) && WEXITSTATUS(how) == 0);
    OK(shm_channel_state(channel, &state));
    CHECK(state.messages == 0 && state.capacity == 4 && state.is_closed == 1);
    IS(SHM_STATUS_CLOSED, shm_channel_try_send(channel, point));
    OK(shm_channel_close(channel, NULL));
    OK(shm_channel_detach(channel));
    OK(shm_channel_detach(there));
    OK(shm_delete(name));

    OK(shm_contents_create(&plan));
    OK(shm_contents_add_channel(plan, "points", sizeof point, 4));
    OK(shm_contents_add_bytes(plan, "notes", 100, 0));
    OK(shm_segment_create(NULL, NULL, plan, &segment));
    OK(shm_contents_free(plan));
    IS(SHM_STATUS_MISMATCH, shm_channel_attach_in(segment, "points", 8, &channel));
    IS(SHM_STATUS_MISMATCH, shm_channel_attach_in(segment, "notes", sizeof point, &channel));
    IS(SHM_STATUS_NO_SUCH_ENTRY, shm_channel_attach_in(segment, "none", sizeof point, &channel));
    OK(shm_channel_attach_in(segment, "points", sizeof point, &channel));
    OK(shm_segment_detach(segment));
    OK(shm_channel_send(channel, point));
    OK(shm_channel_recv(channel, point));
    OK(shm_channel_detach(channel));
}

int main(void)
{
    make_array();
    mutexes();
    recursive_mutexes();
    process_mutexes();
    rwlocks();
    condvars();
    semaphores();
    events_and_latches();
    barriers();
    onces();
    sequencers();
    channels();
    OK(shm_array_detach(array));
    OK(shm_delete(unique("beside")));
    items();
    puts("kinds: all well");
    return 0;
}
