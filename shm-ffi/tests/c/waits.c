/* What is waited for: semaphores, events, latches, condition variables, barriers, a once, turns, messages. */
#include "check.h"
#include <signal.h>

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

/* A child that does `work` beside this process, until `JOIN`. */
#define BESIDE(child, work)                                              \
    pid_t child = fork();                                                \
    CHECK(child >= 0);                                                   \
    if (child == 0) {                                                    \
        work;                                                            \
        _exit(0);                                                        \
    }

#define JOIN(child)                                                      \
    do {                                                                 \
        int how_ = -1;                                                   \
        CHECK(waitpid(child, &how_, 0) == child);                        \
        CHECK(WIFEXITED(how_) && WEXITSTATUS(how_) == 0);                \
    } while (0)

static void semaphores(void)
{
    const char *name = unique("semaphore");
    shm_semaphore_t a, b;
    uint32_t permits;
    OK(shm_semaphore_create(name, NULL, 2, &a));
    OK(shm_semaphore_attach(name, &b));
    OK(shm_semaphore_acquire(a));
    IN_CHILD({ OK(shm_semaphore_try_acquire(b)); });
    IS(SHM_STATUS_BUSY, shm_semaphore_try_acquire(a));
    IS(SHM_STATUS_TIMED_OUT, shm_semaphore_acquire_timeout_ns(a, 1000000));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_semaphore_acquire_timeout_ns(a, -1));
    BESIDE(waiter, { OK(shm_semaphore_acquire(a)); });
    OK(shm_semaphore_release(b, 1));
    JOIN(waiter);
    OK(shm_semaphore_release(b, 7));
    OK(shm_semaphore_available(a, &permits));
    CHECK(permits == 7);
    IS(SHM_STATUS_OVERFLOW, shm_semaphore_release(b, 2147483647u));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_semaphore_available(a, NULL));
    shm_bounded_semaphore_t bounded;
    IS(SHM_STATUS_MISMATCH, shm_bounded_semaphore_attach(name, &bounded));
    OK(shm_semaphore_detach(a));
    OK(shm_semaphore_detach(b));
    OK(shm_delete(name));

    IS(SHM_STATUS_INVALID_ARGUMENT, shm_bounded_semaphore_create(NULL, NULL, 0, &bounded));
    OK(shm_bounded_semaphore_create(NULL, NULL, 3, &bounded));
    OK(shm_bounded_semaphore_acquire(bounded));
    IS(SHM_STATUS_OVERFLOW, shm_bounded_semaphore_release(bounded, 2));
    OK(shm_bounded_semaphore_release(bounded, 1));
    OK(shm_bounded_semaphore_bound(bounded, &permits));
    CHECK(permits == 3);
    OK(shm_bounded_semaphore_detach(bounded));
}

static void events(void)
{
    shm_event_t event;
    int32_t is_set;
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_event_create(NULL, NULL, 2, &event));
    OK(shm_event_create(NULL, NULL, 0, &event));
    IS(SHM_STATUS_BUSY, shm_event_try_wait(event));
    IS(SHM_STATUS_TIMED_OUT, shm_event_wait_until_ns(event, 0));
    BESIDE(waiter, { OK(shm_event_wait(event)); });
    OK(shm_event_set(event));
    JOIN(waiter);
    OK(shm_event_is_set(event, &is_set));
    CHECK(is_set == 1);
    OK(shm_event_wait_timeout_ns(event, 0));
    OK(shm_event_clear(event));
    IS(SHM_STATUS_BUSY, shm_event_try_wait(event));
    OK(shm_event_detach(event));
    IS(SHM_STATUS_INVALID_HANDLE, shm_event_set(event));
}

static void latches(void)
{
    shm_latch_t latch;
    uint32_t arrivals;
    OK(shm_latch_create(NULL, NULL, 3, &latch));
    BESIDE(waiter, { OK(shm_latch_arrive_and_wait(latch)); });
    OK(shm_latch_count_down(latch, 2));
    OK(shm_latch_wait(latch));
    JOIN(waiter);
    IS(SHM_STATUS_OVERFLOW, shm_latch_count_down(latch, 1));
    OK(shm_latch_remaining(latch, &arrivals));
    CHECK(arrivals == 0);
    OK(shm_latch_parties(latch, &arrivals));
    CHECK(arrivals == 3);
    OK(shm_latch_detach(latch));
}

/* Two mutexes at once, given up in either order, and a child whose own locks are not mistaken for its parent's, whichever those are. */
static void two_mutexes(void)
{
    shm_mutex_t mutexes[2];
    void *value;
    for (int i = 0; i < 2; i++)
        OK(shm_mutex_create(NULL, NULL, sizeof(int), &mutexes[i]));
    for (int first = 0; first < 2; first++) {
        OK(shm_mutex_lock(mutexes[0]));
        OK(shm_mutex_lock(mutexes[1]));
        OK(shm_mutex_unlock(mutexes[first]));
        shm_mutex_t left = mutexes[1 - first];
        IS(SHM_STATUS_NOT_HELD, shm_mutex_value(mutexes[first], &value, NULL));
        OK(shm_mutex_value(left, &value, NULL));
        BESIDE(child, {
            IS(SHM_STATUS_INHERITED, shm_mutex_value(left, &value, NULL));
            OK(shm_mutex_lock_timeout_ns(left, 60000000000)); /* once its parent has unlocked */
            OK(shm_mutex_value(left, &value, NULL));
            OK(shm_mutex_lock(mutexes[first]));
            OK(shm_mutex_unlock(left));
            OK(shm_mutex_unlock(mutexes[first]));
            IS(SHM_STATUS_INHERITED, shm_mutex_unlock(left));
            IS(SHM_STATUS_NOT_HELD, shm_mutex_unlock(left));
        });
        OK(shm_mutex_unlock(left));
        JOIN(child);
    }
    for (int i = 0; i < 2; i++)
        OK(shm_mutex_detach(mutexes[i]));
}

static void condition_variables(void)
{
    shm_condvar_t condvar;
    shm_mutex_t mutex;
    void *value;
    OK(shm_condvar_create(NULL, NULL, &condvar));
    OK(shm_mutex_create(NULL, NULL, sizeof(int), &mutex));
    IS(SHM_STATUS_NOT_HELD, shm_condvar_wait(condvar, mutex));
    BESIDE(changer, {
        OK(shm_mutex_lock(mutex));
        OK(shm_mutex_value(mutex, &value, NULL));
        *(int *)value = 1;
        OK(shm_mutex_unlock(mutex));
        OK(shm_condvar_notify_all(condvar));
    });
    OK(shm_mutex_lock(mutex));
    OK(shm_mutex_value(mutex, &value, NULL));
    while (*(int *)value == 0)
        OK(shm_condvar_wait(condvar, mutex));
    JOIN(changer);
    IS(SHM_STATUS_TIMED_OUT, shm_condvar_wait_timeout_ns(condvar, mutex, 1000000));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_condvar_wait_timeout_ns(condvar, mutex, -1));
    IN_CHILD({ IS(SHM_STATUS_INHERITED, shm_condvar_wait(condvar, mutex)); });
    /* While somebody waits with this mutex, nobody can with another one, which stays as it was. */
    shm_mutex_t other;
    OK(shm_mutex_create(NULL, NULL, 0, &other));
    OK(shm_mutex_lock(other));
    BESIDE(waits, {
        OK(shm_mutex_lock(mutex));
        OK(shm_mutex_value(mutex, &value, NULL));
        *(int *)value = 2;
        OK(shm_condvar_wait(condvar, mutex));
        OK(shm_mutex_unlock(mutex));
    });
    OK(shm_mutex_unlock(mutex));
    for (int is_there = 0; !is_there;) {
        OK(shm_mutex_lock(mutex)); /* with the 2 in it and the mutex free, it waits */
        OK(shm_mutex_value(mutex, &value, NULL));
        is_there = *(int *)value == 2;
        OK(shm_mutex_unlock(mutex));
    }
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_condvar_wait(condvar, other));
    SAYS("another mutex");
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_condvar_wait_timeout_ns(condvar, other, 1000000));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_condvar_wait_until_ns(condvar, other, SHM_FOREVER));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_condvar_wait_interruptible_ns(condvar, other, SHM_FOREVER));
    IN_CHILD({ IS(SHM_STATUS_BUSY, shm_mutex_try_lock(other)); });
    OK(shm_condvar_notify_all(condvar));
    JOIN(waits);
    OK(shm_mutex_unlock(other));
    OK(shm_mutex_detach(other));
    OK(shm_mutex_lock(mutex));
    /* Whoever wakes us dies with the mutex. */
    BESIDE(killer, {
        OK(shm_mutex_lock(mutex));
        OK(shm_condvar_notify_one(condvar));
    });
    IS(SHM_STATUS_OWNER_DIED, shm_condvar_wait(condvar, mutex));
    JOIN(killer);
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_condvar_wait(condvar, mutex));
    SAYS("shm_mutex_recover");
    OK(shm_mutex_recover(mutex));
    OK(shm_mutex_unlock(mutex));
    OK(shm_condvar_notify_n(condvar, 2));
    OK(shm_mutex_detach(mutex));
    OK(shm_condvar_detach(condvar));
}

static int32_t count(void *counter)
{
    ++*(int *)counter;
    return 0;
}

static int32_t fail(void *code)
{
    return *(int *)code;
}

static void barriers(void)
{
    shm_barrier_t barrier;
    shm_arrival_t arrival;
    shm_barrier_state_t state;
    int counter = 0;
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_barrier_create(NULL, NULL, 0, &barrier));
    OK(shm_barrier_create(NULL, NULL, 2, &barrier));
    IS(SHM_STATUS_BUSY, shm_barrier_try_wait(barrier, NULL));
    BESIDE(other, {
        for (int i = 0; i < 10; i++)
            OK(shm_barrier_wait(barrier, NULL));
    });
    for (int i = 0; i < 10; i++) {
        OK(shm_barrier_wait_with(barrier, count, &counter, &arrival));
        CHECK(arrival.index < 2);
    }
    JOIN(other);
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_barrier_wait_with(barrier, NULL, NULL, NULL));
    OK(shm_barrier_join(barrier));
    IS(SHM_STATUS_DEADLOCK, shm_barrier_join(barrier));
    IS(SHM_STATUS_LOCK_HELD, shm_barrier_detach(barrier));
    BESIDE(party, {
        IS(SHM_STATUS_INHERITED, shm_barrier_wait(barrier, NULL));
        IS(SHM_STATUS_INHERITED, shm_barrier_leave(barrier));
        OK(shm_barrier_join(barrier));
        OK(shm_barrier_wait(barrier, NULL));
        kill(getpid(), SIGKILL); /* between two rounds */
    });
    OK(shm_barrier_wait(barrier, &arrival));
    IS(SHM_STATUS_BROKEN, shm_barrier_wait(barrier, NULL));
    int how;
    CHECK(waitpid(party, &how, 0) == party && WIFSIGNALED(how));
    OK(shm_barrier_state(barrier, &state));
    CHECK(state.parties == 2 && state.is_broken == 1);
    OK(shm_barrier_leave(barrier));
    IS(SHM_STATUS_NOT_HELD, shm_barrier_leave(barrier));
    OK(shm_barrier_reset(barrier));
    IS(SHM_STATUS_TIMED_OUT, shm_barrier_wait_timeout_ns(barrier, 1000000, NULL));
    OK(shm_barrier_reset(barrier));
    OK(shm_barrier_abort(barrier));
    IS(SHM_STATUS_BROKEN, shm_barrier_wait(barrier, NULL));
    OK(shm_barrier_detach(barrier));

    int code = 42;
    OK(shm_barrier_create(NULL, NULL, 1, &barrier));
    IS(SHM_STATUS_CALLBACK_FAILED, shm_barrier_wait_with(barrier, fail, &code, NULL));
    SAYS("42");
    IS(SHM_STATUS_BROKEN, shm_barrier_wait(barrier, NULL));
    OK(shm_barrier_detach(barrier));
}

static int32_t die(void *unused)
{
    (void)unused;
    kill(getpid(), SIGKILL);
    return 0;
}

static int32_t mend(void *seen, int32_t previous_died)
{
    *(int *)seen = previous_died;
    return 0;
}

static void onces(void)
{
    shm_once_t once;
    int counter = 0, code = 5, seen = -1;
    int32_t done;
    OK(shm_once_create(NULL, NULL, &once));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_once_call(once, NULL, NULL));
    KILLED({ OK(shm_once_call(once, die, NULL)); });
    IS(SHM_STATUS_RUNNER_DIED, shm_once_call(once, count, &counter));
    CHECK(counter == 0);
    OK(shm_once_call_force(once, mend, &seen));
    CHECK(seen == 1);
    OK(shm_once_call(once, count, &counter));
    CHECK(counter == 0);
    OK(shm_once_is_completed(once, &done));
    CHECK(done == 1);
    OK(shm_once_detach(once));
    OK(shm_once_create(NULL, NULL, &once));
    IS(SHM_STATUS_CALLBACK_FAILED, shm_once_try_call(once, fail, &code));
    IS(SHM_STATUS_RUNNER_DIED, shm_once_call(once, count, &counter));
    OK(shm_once_detach(once));
}

static void sequencers(void)
{
    shm_sequencer_t sequencer;
    uint64_t current;
    int32_t broken;
    OK(shm_sequencer_create(NULL, NULL, 10, &sequencer));
    OK(shm_sequencer_turn(sequencer, 10));
    IS(SHM_STATUS_DEADLOCK, shm_sequencer_turn(sequencer, 11));
    IN_CHILD({
        IS(SHM_STATUS_BUSY, shm_sequencer_try_turn(sequencer, 11));
        IS(SHM_STATUS_INHERITED, shm_sequencer_end(sequencer));
    });
    OK(shm_sequencer_end(sequencer));
    IS(SHM_STATUS_NOT_HELD, shm_sequencer_end(sequencer));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_sequencer_turn(sequencer, 10));
    KILLED({ OK(shm_sequencer_turn(sequencer, 11)); });
    IS(SHM_STATUS_BROKEN, shm_sequencer_turn(sequencer, 12));
    OK(shm_sequencer_state(sequencer, &current, &broken));
    CHECK(current == 11 && broken == 1);
    OK(shm_sequencer_recover(sequencer, 11));
    OK(shm_sequencer_end(sequencer));
    OK(shm_sequencer_skip(sequencer, 12));
    OK(shm_sequencer_turn_timeout_ns(sequencer, 13, 0));
    OK(shm_sequencer_end(sequencer));
    OK(shm_sequencer_reset(sequencer, 0));
    OK(shm_sequencer_state(sequencer, &current, NULL));
    CHECK(current == 0);
    OK(shm_sequencer_detach(sequencer));
}

static void channels(void)
{
    const char *name = unique("channel");
    shm_byte_channel_t channel, there;
    shm_channel_state_t state;
    void *message;
    uint64_t length;
    int32_t was_open;
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_byte_channel_create(name, NULL, (uint64_t)-1, &channel));
    OK(shm_byte_channel_create(name, NULL, 64, &channel));
    OK(shm_byte_channel_attach(name, &there));
    IS(SHM_STATUS_EMPTY, shm_byte_channel_try_recv(channel, &message, &length));
    IS(SHM_STATUS_TIMED_OUT, shm_byte_channel_recv_timeout_ns(channel, 1000000, &message, &length));
    CHECK(message == NULL && length == 0);
    BESIDE(sender, {
        for (int i = 0; i < 100; i++)
            OK(shm_byte_channel_send(there, &i, sizeof i));
        OK(shm_byte_channel_send(there, NULL, 0));
    });
    for (int i = 0; i < 100; i++) {
        OK(shm_byte_channel_recv(channel, &message, &length));
        CHECK(length == sizeof i && memcmp(message, &i, sizeof i) == 0);
        shm_free(message);
    }
    OK(shm_byte_channel_recv(channel, &message, &length));
    CHECK(length == 0 && message != NULL);
    shm_free(message);
    JOIN(sender);
    char large[200];
    memset(large, 'x', sizeof large);
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_byte_channel_send(channel, large, sizeof large));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_byte_channel_send(channel, NULL, 1));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_byte_channel_recv(channel, NULL, &length));
    while (shm_byte_channel_try_send(channel, large, 8) == SHM_STATUS_OK)
        ;
    IS(SHM_STATUS_FULL, shm_byte_channel_try_send(channel, large, 8));
    OK(shm_byte_channel_state(channel, &state));
    CHECK(state.messages > 0 && state.capacity >= 64 && state.is_closed == 0);
    OK(shm_byte_channel_close(there, &was_open));
    CHECK(was_open == 1);
    IS(SHM_STATUS_CLOSED, shm_byte_channel_send(channel, large, 8));
    for (; state.messages > 0; state.messages--) {
        OK(shm_byte_channel_recv(channel, &message, &length));
        shm_free(message);
    }
    IS(SHM_STATUS_CLOSED, shm_byte_channel_recv(channel, &message, &length));
    OK(shm_byte_channel_detach(channel));
    OK(shm_byte_channel_detach(there));
    OK(shm_delete(name));
}

int main(void)
{
    semaphores();
    events();
    latches();
    two_mutexes();
    condition_variables();
    barriers();
    onces();
    sequencers();
    channels();
    puts("waits: all well");
    return 0;
}
