/*
 * shm/signals.hpp: semaphores, events, latches, barriers, and turns.
 *
 * A part of shm.hpp: include that one.
 */
#ifndef SHM_SIGNALS_HPP
#define SHM_SIGNALS_HPP

#include <chrono>
#include <cstdint>
#include <exception>
#include <string>
#include <utility>

#include <shm/locks.hpp>

namespace shm {

namespace detail {

/// What all semaphores have.
template <class Self, class Handle, shm_status_t (*end)(Handle), shm_status_t (*acquire_)(Handle), shm_status_t (*try_)(Handle),
          shm_status_t (*until_)(Handle, std::int64_t), shm_status_t (*interruptible_)(Handle, std::int64_t),
          shm_status_t (*release_)(Handle, std::uint32_t),
          shm_status_t (*available_)(Handle, std::uint32_t *)>
class permits : public primitive<Self, Handle, end> {
public:
    void acquire() { check(acquire_(this->get())); }
    bool try_acquire() { return unless(SHM_STATUS_BUSY, try_(this->get())); }

    template <class Rep, class Period>
    bool try_acquire_for(const std::chrono::duration<Rep, Period> &time)
    {
        return try_acquire_until(std::chrono::steady_clock::now() + time);
    }

    template <class Clock, class Duration>
    bool try_acquire_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return unless(SHM_STATUS_TIMED_OUT, until_(this->get(), deadline_of(deadline)));
    }

    wait_status acquire_interruptible(std::int64_t deadline_ns = SHM_FOREVER)
    {
        return ended(interruptible_(this->get(), deadline_ns));
    }

    void release(std::uint32_t number = 1) { check(release_(this->get(), number)); }

    std::uint32_t available() const
    {
        std::uint32_t number = 0;
        check(available_(this->get(), &number));
        return number;
    }
};

}  // namespace detail

/// Permits that threads of all processes take and give back.
class semaphore : public detail::permits<semaphore, shm_semaphore_t, shm_semaphore_detach, shm_semaphore_acquire,
                                         shm_semaphore_try_acquire, shm_semaphore_acquire_until_ns, shm_semaphore_acquire_interruptible_ns, shm_semaphore_release,
                                         shm_semaphore_available> {
public:
    static semaphore create(std::uint32_t permits, const std::string &name = "", const options &how = options())
    {
        return made([&](shm_semaphore_t *to) { return shm_semaphore_create(detail::or_null(name), how.get(), permits, to); });
    }

    static semaphore attach(const std::string &name)
    {
        return made([&](shm_semaphore_t *to) { return shm_semaphore_attach(name.c_str(), to); });
    }

    static semaphore create_or_attach(std::uint32_t permits, const std::string &name)
    {
        return made([&](shm_semaphore_t *to) { return shm_semaphore_create_or_attach(name.c_str(), permits, to); });
    }

    static semaphore attach_in(const segment &in, const std::string &entry)
    {
        return made([&](shm_semaphore_t *to) { return shm_semaphore_attach_in(in.get(), entry.c_str(), to); });
    }

    /// In zero bytes of the caller's, a multiple of 64, which all who use it map shared.
    static semaphore create_at(void *address, std::uint64_t length, std::uint32_t permits)
    {
        return made([&](shm_semaphore_t *to) { return shm_semaphore_create_at(address, length, permits, to); });
    }

    static semaphore attach_at(void *address, std::uint64_t length)
    {
        return made([&](shm_semaphore_t *to) { return shm_semaphore_attach_at(address, length, to); });
    }

    /// How many bytes that takes.
    static std::uint64_t size_at(std::uint32_t permits)
    {
        std::uint64_t size = 0;
        check(shm_semaphore_size(permits, &size));
        return size;
    }
};

/// The same, with as many permits at most as at first.
class bounded_semaphore
    : public detail::permits<bounded_semaphore, shm_bounded_semaphore_t, shm_bounded_semaphore_detach,
                             shm_bounded_semaphore_acquire, shm_bounded_semaphore_try_acquire,
                             shm_bounded_semaphore_acquire_until_ns, shm_bounded_semaphore_acquire_interruptible_ns, shm_bounded_semaphore_release,
                             shm_bounded_semaphore_available> {
public:
    static bounded_semaphore create(std::uint32_t bound, const std::string &name = "", const options &how = options())
    {
        return made([&](shm_bounded_semaphore_t *to) { return shm_bounded_semaphore_create(detail::or_null(name), how.get(), bound, to); });
    }

    static bounded_semaphore attach(const std::string &name)
    {
        return made([&](shm_bounded_semaphore_t *to) { return shm_bounded_semaphore_attach(name.c_str(), to); });
    }

    static bounded_semaphore create_or_attach(std::uint32_t bound, const std::string &name)
    {
        return made([&](shm_bounded_semaphore_t *to) { return shm_bounded_semaphore_create_or_attach(name.c_str(), bound, to); });
    }

    static bounded_semaphore attach_in(const segment &in, const std::string &entry)
    {
        return made([&](shm_bounded_semaphore_t *to) { return shm_bounded_semaphore_attach_in(in.get(), entry.c_str(), to); });
    }

    /// In zero bytes of the caller's, a multiple of 64, which all who use it map shared.
    static bounded_semaphore create_at(void *address, std::uint64_t length, std::uint32_t bound)
    {
        return made([&](shm_bounded_semaphore_t *to) { return shm_bounded_semaphore_create_at(address, length, bound, to); });
    }

    static bounded_semaphore attach_at(void *address, std::uint64_t length)
    {
        return made([&](shm_bounded_semaphore_t *to) { return shm_bounded_semaphore_attach_at(address, length, to); });
    }

    /// How many bytes that takes.
    static std::uint64_t size_at(std::uint32_t bound)
    {
        std::uint64_t size = 0;
        check(shm_bounded_semaphore_size(bound, &size));
        return size;
    }

    /// How many permits there are at most.
    std::uint32_t bound() const
    {
        std::uint32_t number = 0;
        check(shm_bounded_semaphore_bound(get(), &number));
        return number;
    }
};

/// A flag to wait for, set and cleared by hand.
class event : public detail::primitive<event, shm_event_t, shm_event_detach> {
public:
    static event create(bool is_set = false, const std::string &name = "", const options &how = options())
    {
        return made([&](shm_event_t *to) { return shm_event_create(detail::or_null(name), how.get(), is_set ? 1 : 0, to); });
    }

    static event attach(const std::string &name)
    {
        return made([&](shm_event_t *to) { return shm_event_attach(name.c_str(), to); });
    }

    static event create_or_attach(bool is_set, const std::string &name)
    {
        return made([&](shm_event_t *to) { return shm_event_create_or_attach(name.c_str(), is_set ? 1 : 0, to); });
    }

    static event attach_in(const segment &in, const std::string &entry)
    {
        return made([&](shm_event_t *to) { return shm_event_attach_in(in.get(), entry.c_str(), to); });
    }

    /// In zero bytes of the caller's, a multiple of 64, which all who use it map shared.
    static event create_at(void *address, std::uint64_t length, bool is_set = false)
    {
        return made([&](shm_event_t *to) { return shm_event_create_at(address, length, is_set ? 1 : 0, to); });
    }

    static event attach_at(void *address, std::uint64_t length)
    {
        return made([&](shm_event_t *to) { return shm_event_attach_at(address, length, to); });
    }

    /// How many bytes that takes.
    static std::uint64_t size_at(bool is_set = false)
    {
        std::uint64_t size = 0;
        check(shm_event_size(is_set ? 1 : 0, &size));
        return size;
    }
    void set() { check(shm_event_set(get())); }
    void clear() { check(shm_event_clear(get())); }
    bool try_wait() const { return detail::unless(SHM_STATUS_BUSY, shm_event_try_wait(get())); }
    void wait() const { check(shm_event_wait(get())); }

    template <class Rep, class Period>
    bool wait_for(const std::chrono::duration<Rep, Period> &time) const
    {
        return wait_until(std::chrono::steady_clock::now() + time);
    }

    template <class Clock, class Duration>
    bool wait_until(const std::chrono::time_point<Clock, Duration> &deadline) const
    {
        return detail::unless(SHM_STATUS_TIMED_OUT, shm_event_wait_until_ns(get(), detail::deadline_of(deadline)));
    }

    wait_status wait_interruptible(std::int64_t deadline_ns = SHM_FOREVER) const
    {
        return detail::ended(shm_event_wait_interruptible_ns(get(), deadline_ns));
    }

    bool is_set() const
    {
        std::int32_t is = 0;
        check(shm_event_is_set(get(), &is));
        return is != 0;
    }
};

/// Opens, once and for all, when a given number of arrivals was counted.
class latch : public detail::primitive<latch, shm_latch_t, shm_latch_detach> {
public:
    static latch create(std::uint32_t parties, const std::string &name = "", const options &how = options())
    {
        return made([&](shm_latch_t *to) { return shm_latch_create(detail::or_null(name), how.get(), parties, to); });
    }

    static latch attach(const std::string &name)
    {
        return made([&](shm_latch_t *to) { return shm_latch_attach(name.c_str(), to); });
    }

    static latch create_or_attach(std::uint32_t parties, const std::string &name)
    {
        return made([&](shm_latch_t *to) { return shm_latch_create_or_attach(name.c_str(), parties, to); });
    }

    static latch attach_in(const segment &in, const std::string &entry)
    {
        return made([&](shm_latch_t *to) { return shm_latch_attach_in(in.get(), entry.c_str(), to); });
    }

    /// In zero bytes of the caller's, a multiple of 64, which all who use it map shared.
    static latch create_at(void *address, std::uint64_t length, std::uint32_t parties)
    {
        return made([&](shm_latch_t *to) { return shm_latch_create_at(address, length, parties, to); });
    }

    static latch attach_at(void *address, std::uint64_t length)
    {
        return made([&](shm_latch_t *to) { return shm_latch_attach_at(address, length, to); });
    }

    /// How many bytes that takes.
    static std::uint64_t size_at(std::uint32_t parties)
    {
        std::uint64_t size = 0;
        check(shm_latch_size(parties, &size));
        return size;
    }
    void count_down(std::uint32_t arrivals = 1) { check(shm_latch_count_down(get(), arrivals)); }
    void arrive_and_wait() { check(shm_latch_arrive_and_wait(get())); }
    void wait() const { check(shm_latch_wait(get())); }
    bool try_wait() const { return detail::unless(SHM_STATUS_BUSY, shm_latch_try_wait(get())); }

    template <class Rep, class Period>
    bool wait_for(const std::chrono::duration<Rep, Period> &time) const
    {
        return wait_until(std::chrono::steady_clock::now() + time);
    }

    template <class Clock, class Duration>
    bool wait_until(const std::chrono::time_point<Clock, Duration> &deadline) const
    {
        return detail::unless(SHM_STATUS_TIMED_OUT, shm_latch_wait_until_ns(get(), detail::deadline_of(deadline)));
    }

    wait_status wait_interruptible(std::int64_t deadline_ns = SHM_FOREVER) const
    {
        return detail::ended(shm_latch_wait_interruptible_ns(get(), deadline_ns));
    }

    /// How many arrivals are missing.
    std::uint32_t remaining() const
    {
        std::uint32_t number = 0;
        check(shm_latch_remaining(get(), &number));
        return number;
    }

    /// How many arrivals it was made for.
    std::uint32_t parties() const
    {
        std::uint32_t number = 0;
        check(shm_latch_parties(get(), &number));
        return number;
    }
};

/// Parties that wait for each other, round after round. If one dies the others are told at once: error with SHM_STATUS_BROKEN.
class barrier : public detail::primitive<barrier, shm_barrier_t, shm_barrier_detach> {
public:
    static barrier create(std::uint32_t parties, const std::string &name = "", const options &how = options())
    {
        return made([&](shm_barrier_t *to) { return shm_barrier_create(detail::or_null(name), how.get(), parties, to); });
    }

    static barrier attach(const std::string &name)
    {
        return made([&](shm_barrier_t *to) { return shm_barrier_attach(name.c_str(), to); });
    }

    static barrier create_or_attach(std::uint32_t parties, const std::string &name)
    {
        return made([&](shm_barrier_t *to) { return shm_barrier_create_or_attach(name.c_str(), parties, to); });
    }

    static barrier attach_in(const segment &in, const std::string &entry)
    {
        return made([&](shm_barrier_t *to) { return shm_barrier_attach_in(in.get(), entry.c_str(), to); });
    }

    /// In zero bytes of the caller's, a multiple of 64, which all who use it map shared.
    static barrier create_at(void *address, std::uint64_t length, std::uint32_t parties)
    {
        return made([&](shm_barrier_t *to) { return shm_barrier_create_at(address, length, parties, to); });
    }

    static barrier attach_at(void *address, std::uint64_t length)
    {
        return made([&](shm_barrier_t *to) { return shm_barrier_attach_at(address, length, to); });
    }

    /// How many bytes that takes.
    static std::uint64_t size_at(std::uint32_t parties)
    {
        std::uint64_t size = 0;
        check(shm_barrier_size(parties, &size));
        return size;
    }
    shm_arrival_t wait()
    {
        shm_arrival_t arrival{};
        check(shm_barrier_wait(get(), &arrival));
        return arrival;
    }

    /// Whether all came in time; otherwise this party's arrival is taken back.
    template <class Rep, class Period>
    bool wait_for(const std::chrono::duration<Rep, Period> &time)
    {
        return wait_until(std::chrono::steady_clock::now() + time);
    }

    template <class Clock, class Duration>
    bool wait_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return detail::unless(SHM_STATUS_TIMED_OUT, shm_barrier_wait_until_ns(get(), detail::deadline_of(deadline), nullptr));
    }

    wait_status wait_interruptible(std::int64_t deadline_ns = SHM_FOREVER)
    {
        return detail::ended(shm_barrier_wait_interruptible_ns(get(), deadline_ns, nullptr));
    }

    /// Whether all others had arrived already.
    bool try_wait() { return detail::unless(SHM_STATUS_BUSY, shm_barrier_try_wait(get(), nullptr)); }

    /// Waits; the last to arrive calls `action` before the others go on. What that throws breaks the barrier, and is thrown here.
    template <class Action>
    shm_arrival_t wait_with(Action action)
    {
        shm_arrival_t arrival{};
        detail::guarded<Action> call(action);
        call.finish(shm_barrier_wait_with(get(), detail::guarded<Action>::call, &call, &arrival));
        return arrival;
    }

    shm_barrier_state_t state() const
    {
        shm_barrier_state_t state{};
        check(shm_barrier_state(get(), &state));
        return state;
    }

    void join() { check(shm_barrier_join(get())); }
    void leave() { check(shm_barrier_leave(get())); }
    void abort() { check(shm_barrier_abort(get())); }
    void reset() { check(shm_barrier_reset(get())); }
};

/// Something that is done by whoever comes first. If that one dies half-way, the next one is told: error with SHM_STATUS_RUNNER_DIED.
class once : public detail::primitive<once, shm_once_t, shm_once_detach> {
public:
    static once create(const std::string &name = "", const options &how = options())
    {
        return made([&](shm_once_t *to) { return shm_once_create(detail::or_null(name), how.get(), to); });
    }

    static once attach(const std::string &name)
    {
        return made([&](shm_once_t *to) { return shm_once_attach(name.c_str(), to); });
    }

    static once create_or_attach(const std::string &name)
    {
        return made([&](shm_once_t *to) { return shm_once_create_or_attach(name.c_str(), to); });
    }

    static once attach_in(const segment &in, const std::string &entry)
    {
        return made([&](shm_once_t *to) { return shm_once_attach_in(in.get(), entry.c_str(), to); });
    }

    /// In zero bytes of the caller's, a multiple of 64, which all who use it map shared.
    static once create_at(void *address, std::uint64_t length)
    {
        return made([&](shm_once_t *to) { return shm_once_create_at(address, length, to); });
    }

    static once attach_at(void *address, std::uint64_t length)
    {
        return made([&](shm_once_t *to) { return shm_once_attach_at(address, length, to); });
    }

    /// How many bytes that takes.
    static std::uint64_t size_at()
    {
        std::uint64_t size = 0;
        check(shm_once_size(&size));
        return size;
    }

    /// Calls `action` unless it was done; waits for whoever is doing it. What it throws is thrown here, and counts as a death half-way.
    template <class Action>
    void call(Action action)
    {
        detail::guarded<Action> call(action);
        call.finish(shm_once_call(get(), detail::guarded<Action>::call, &call));
    }

    /// The same, also after a runner's death: `action(previous_died)`.
    template <class Action>
    void call_force(Action action)
    {
        forced<Action> call(action);
        call.finish(shm_once_call_force(get(), forced<Action>::call, &call));
    }

    /// Whether it was done, by this call or before, also after a runner's death; false if somebody else is at it.
    template <class Action>
    bool try_call_force(Action action)
    {
        forced<Action> call(action);
        const shm_status_t status = shm_once_try_call_force(get(), forced<Action>::call, &call);
        if (status == SHM_STATUS_BUSY)
            return false;
        call.finish(status);
        return true;
    }

    /// Whether it was done in time, also after a runner's death; false if somebody else is at it at the deadline.
    template <class Action, class Clock, class Duration>
    bool call_force_until(Action action, const std::chrono::time_point<Clock, Duration> &deadline)
    {
        forced<Action> call(action);
        const shm_status_t status = shm_once_call_force_until_ns(get(), forced<Action>::call, &call, detail::deadline_of(deadline));
        if (status == SHM_STATUS_TIMED_OUT)
            return false;
        call.finish(status);
        return true;
    }

    template <class Action, class Rep, class Period>
    bool call_force_for(Action action, const std::chrono::duration<Rep, Period> &time)
    {
        return call_force_until(std::move(action), std::chrono::steady_clock::now() + time);
    }

    template <class Action>
    wait_status call_force_interruptible(Action action, std::int64_t deadline_ns = SHM_FOREVER)
    {
        forced<Action> call(action);
        const shm_status_t status = shm_once_call_force_interruptible_ns(get(), forced<Action>::call, &call, deadline_ns);
        if (status == SHM_STATUS_TIMED_OUT || status == SHM_STATUS_INTERRUPTED)
            return detail::ended(status);
        call.finish(status);
        return wait_status::done;
    }

    /// Whether it was done, by this call or before; false if somebody else is at it.
    template <class Action>
    bool try_call(Action action)
    {
        detail::guarded<Action> call(action);
        const shm_status_t status = shm_once_try_call(get(), detail::guarded<Action>::call, &call);
        if (status == SHM_STATUS_BUSY)
            return false;
        call.finish(status);
        return true;
    }

    /// Whether it was done in time; false if somebody else is at it at the deadline.
    template <class Action, class Clock, class Duration>
    bool call_until(Action action, const std::chrono::time_point<Clock, Duration> &deadline)
    {
        detail::guarded<Action> call(action);
        const shm_status_t status = shm_once_call_until_ns(get(), detail::guarded<Action>::call, &call, detail::deadline_of(deadline));
        if (status == SHM_STATUS_TIMED_OUT)
            return false;
        call.finish(status);
        return true;
    }

    template <class Action, class Rep, class Period>
    bool call_for(Action action, const std::chrono::duration<Rep, Period> &time)
    {
        return call_until(std::move(action), std::chrono::steady_clock::now() + time);
    }

    template <class Action>
    wait_status call_interruptible(Action action, std::int64_t deadline_ns = SHM_FOREVER)
    {
        detail::guarded<Action> call(action);
        const shm_status_t status = shm_once_call_interruptible_ns(get(), detail::guarded<Action>::call, &call, deadline_ns);
        if (status == SHM_STATUS_TIMED_OUT || status == SHM_STATUS_INTERRUPTED)
            return detail::ended(status);
        call.finish(status);
        return wait_status::done;
    }

    bool is_completed() const
    {
        std::int32_t is = 0;
        check(shm_once_is_completed(get(), &is));
        return is != 0;
    }

private:
    /// What detail::guarded is, for an action that is told whether a runner died.
    template <class Action>
    class forced {
    public:
        explicit forced(Action &action) : bound_{action, false}, guarded_(bound_) {}

        static std::int32_t call(void *self, std::int32_t previous_died)
        {
            forced &me = *static_cast<forced *>(self);
            me.bound_.previous_died = previous_died != 0;
            return detail::guarded<bound>::call(&me.guarded_);
        }

        void finish(shm_status_t status) { guarded_.finish(status); }

    private:
        struct bound {
            Action &action;
            bool previous_died;

            void operator()() { action(previous_died); }
        };

        bound bound_;
        detail::guarded<bound> guarded_;
    };
};

/// Turns in the order of their numbers. The death of whoever has the turn is told to all who wait: error with SHM_STATUS_BROKEN.
class sequencer : public detail::primitive<sequencer, shm_sequencer_t, shm_sequencer_detach> {
public:
    static sequencer create(const std::string &name = "", const options &how = options(), std::uint64_t first = 0)
    {
        return made([&](shm_sequencer_t *to) { return shm_sequencer_create(detail::or_null(name), how.get(), first, to); });
    }

    static sequencer attach(const std::string &name)
    {
        return made([&](shm_sequencer_t *to) { return shm_sequencer_attach(name.c_str(), to); });
    }

    static sequencer create_or_attach(const std::string &name, std::uint64_t first = 0)
    {
        return made([&](shm_sequencer_t *to) { return shm_sequencer_create_or_attach(name.c_str(), first, to); });
    }

    static sequencer attach_in(const segment &in, const std::string &entry)
    {
        return made([&](shm_sequencer_t *to) { return shm_sequencer_attach_in(in.get(), entry.c_str(), to); });
    }

    /// In zero bytes of the caller's, a multiple of 64, which all who use it map shared.
    static sequencer create_at(void *address, std::uint64_t length, std::uint64_t first = 0)
    {
        return made([&](shm_sequencer_t *to) { return shm_sequencer_create_at(address, length, first, to); });
    }

    static sequencer attach_at(void *address, std::uint64_t length)
    {
        return made([&](shm_sequencer_t *to) { return shm_sequencer_attach_at(address, length, to); });
    }

    /// How many bytes that takes.
    static std::uint64_t size_at(std::uint64_t first = 0)
    {
        std::uint64_t size = 0;
        check(shm_sequencer_size(first, &size));
        return size;
    }

    /// Takes a turn when all before it are over; end() passes it on.
    void turn(std::uint64_t number) { check(shm_sequencer_turn(get(), number)); }
    bool try_turn(std::uint64_t number) { return detail::unless(SHM_STATUS_BUSY, shm_sequencer_try_turn(get(), number)); }

    template <class Rep, class Period>
    bool turn_for(std::uint64_t number, const std::chrono::duration<Rep, Period> &time)
    {
        return turn_until(number, std::chrono::steady_clock::now() + time);
    }

    template <class Clock, class Duration>
    bool turn_until(std::uint64_t number, const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return detail::unless(SHM_STATUS_TIMED_OUT, shm_sequencer_turn_until_ns(get(), number, detail::deadline_of(deadline)));
    }

    wait_status turn_interruptible(std::uint64_t number, std::int64_t deadline_ns = SHM_FOREVER)
    {
        return detail::ended(shm_sequencer_turn_interruptible_ns(get(), number, deadline_ns));
    }

    void end() { check(shm_sequencer_end(get())); }

    /// Takes over the turn of somebody who died.
    void recover(std::uint64_t number) { check(shm_sequencer_recover(get(), number)); }
    void skip(std::uint64_t number) { check(shm_sequencer_skip(get(), number)); }
    void reset(std::uint64_t number) { check(shm_sequencer_reset(get(), number)); }

    /// The number of the turn that it is now, and whether its holder died.
    std::pair<std::uint64_t, bool> state() const
    {
        std::uint64_t number = 0;
        std::int32_t is_broken = 0;
        check(shm_sequencer_state(get(), &number, &is_broken));
        return {number, is_broken != 0};
    }
};

}  // namespace shm

#endif  // SHM_SIGNALS_HPP
