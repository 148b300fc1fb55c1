/*
 * shm/locks.hpp: mutexes, and the condition variable.
 *
 * A part of shm.hpp: include that one.
 */
#ifndef SHM_LOCKS_HPP
#define SHM_LOCKS_HPP

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

#include <shm/arrays.hpp>

namespace shm {

namespace detail {

/// Where the bytes are that a lock guards.
template <class Handle>
void *value_of(shm_status_t (*ask)(Handle, void **, std::uint64_t *), Handle handle)
{
    void *value = nullptr;
    check(ask(handle, &value, nullptr));
    return value;
}

/// What all primitives have.
template <class Self, class Handle, shm_status_t (*end)(Handle)>
class primitive {
public:
    Handle get() const noexcept { return handle_.get(); }

    /// Gives the handle back now; the primitive stays where it is, for others.
    void detach() { handle_.detach(); }

protected:
    primitive() = default;

    template <class Make>
    static Self made(Make make)
    {
        Self self;
        check(make(self.handle_.put()));
        return self;
    }

    owned<Handle, end> handle_;
};

/// What all locks have that one holds alone; for std::lock_guard, std::unique_lock and std::scoped_lock.
template <class Self, class Handle, shm_status_t (*end)(Handle), shm_status_t (*lock_)(Handle), shm_status_t (*try_)(Handle),
          shm_status_t (*until_)(Handle, std::int64_t), shm_status_t (*interruptible_)(Handle, std::int64_t),
          shm_status_t (*unlock_)(Handle), shm_status_t (*recover_)(Handle), shm_status_t (*repair_)(Handle)>
class lockable : public primitive<Self, Handle, end> {
public:
    /// Takes the lock. owner_died: it is held all the same.
    void lock() { check(lock_(this->get())); }
    bool try_lock() { return unless(SHM_STATUS_BUSY, try_(this->get())); }

    template <class Rep, class Period>
    bool try_lock_for(const std::chrono::duration<Rep, Period> &time)
    {
        return try_lock_until(std::chrono::steady_clock::now() + time);
    }

    template <class Clock, class Duration>
    bool try_lock_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return unless(SHM_STATUS_TIMED_OUT, until_(this->get(), deadline_of(deadline)));
    }

    /// Takes the lock, unless a signal handler runs meanwhile or the deadline (of shm_clock_ns) passes.
    wait_status lock_interruptible(std::int64_t deadline_ns = SHM_FOREVER)
    {
        return ended(interruptible_(this->get(), deadline_ns));
    }

    void unlock() { check(unlock_(this->get())); }

    /// Declares what the lock guards sound again.
    void recover() { check(recover_(this->get())); }

    /// Takes the lock in whatever state what it guards is, to mend it.
    void repair() { check(repair_(this->get())); }
};

}  // namespace detail

/// A mutex that threads of all processes share, owned by the thread that locks it.
class mutex : public detail::lockable<mutex, shm_mutex_t, shm_mutex_detach, shm_mutex_lock, shm_mutex_try_lock,
                                      shm_mutex_lock_until_ns, shm_mutex_lock_interruptible_ns, shm_mutex_unlock, shm_mutex_recover, shm_mutex_repair> {
public:
    static mutex create(const std::string &name = "", const options &how = options(), std::uint64_t value_size = 0)
    {
        return made([&](shm_mutex_t *to) { return shm_mutex_create(detail::or_null(name), how.get(), value_size, to); });
    }

    static mutex attach(const std::string &name, std::uint64_t value_size = 0)
    {
        return made([&](shm_mutex_t *to) { return shm_mutex_attach(name.c_str(), value_size, to); });
    }

    static mutex create_or_attach(const std::string &name, std::uint64_t value_size = 0)
    {
        return made([&](shm_mutex_t *to) { return shm_mutex_create_or_attach(name.c_str(), value_size, to); });
    }

    static mutex attach_in(const segment &in, const std::string &entry, std::uint64_t value_size = 0)
    {
        return made([&](shm_mutex_t *to) { return shm_mutex_attach_in(in.get(), entry.c_str(), value_size, to); });
    }

    /// In zero bytes of the caller's, a multiple of 64, which all who use it map shared.
    static mutex create_at(void *address, std::uint64_t length, std::uint64_t value_size = 0)
    {
        return made([&](shm_mutex_t *to) { return shm_mutex_create_at(address, length, value_size, to); });
    }

    static mutex attach_at(void *address, std::uint64_t length, std::uint64_t value_size = 0)
    {
        return made([&](shm_mutex_t *to) { return shm_mutex_attach_at(address, length, value_size, to); });
    }

    /// How many bytes that takes.
    static std::uint64_t size_at(std::uint64_t value_size = 0)
    {
        std::uint64_t size = 0;
        check(shm_mutex_size(value_size, &size));
        return size;
    }
    /// The bytes that the lock guards, for as long as this thread holds it.
    void *value() const { return detail::value_of(shm_mutex_value, get()); }
};

/// A mutex that its holder can lock again.
class recursive_mutex
    : public detail::lockable<recursive_mutex, shm_recursive_mutex_t, shm_recursive_mutex_detach, shm_recursive_mutex_lock,
                              shm_recursive_mutex_try_lock, shm_recursive_mutex_lock_until_ns, shm_recursive_mutex_lock_interruptible_ns, shm_recursive_mutex_unlock,
                              shm_recursive_mutex_recover, shm_recursive_mutex_repair> {
public:
    static recursive_mutex create(const std::string &name = "", const options &how = options(), std::uint64_t value_size = 0)
    {
        return made([&](shm_recursive_mutex_t *to) { return shm_recursive_mutex_create(detail::or_null(name), how.get(), value_size, to); });
    }

    static recursive_mutex attach(const std::string &name, std::uint64_t value_size = 0)
    {
        return made([&](shm_recursive_mutex_t *to) { return shm_recursive_mutex_attach(name.c_str(), value_size, to); });
    }

    static recursive_mutex create_or_attach(const std::string &name, std::uint64_t value_size = 0)
    {
        return made([&](shm_recursive_mutex_t *to) { return shm_recursive_mutex_create_or_attach(name.c_str(), value_size, to); });
    }

    static recursive_mutex attach_in(const segment &in, const std::string &entry, std::uint64_t value_size = 0)
    {
        return made([&](shm_recursive_mutex_t *to) { return shm_recursive_mutex_attach_in(in.get(), entry.c_str(), value_size, to); });
    }

    /// In zero bytes of the caller's, a multiple of 64, which all who use it map shared.
    static recursive_mutex create_at(void *address, std::uint64_t length, std::uint64_t value_size = 0)
    {
        return made([&](shm_recursive_mutex_t *to) { return shm_recursive_mutex_create_at(address, length, value_size, to); });
    }

    static recursive_mutex attach_at(void *address, std::uint64_t length, std::uint64_t value_size = 0)
    {
        return made([&](shm_recursive_mutex_t *to) { return shm_recursive_mutex_attach_at(address, length, value_size, to); });
    }

    /// How many bytes that takes.
    static std::uint64_t size_at(std::uint64_t value_size = 0)
    {
        std::uint64_t size = 0;
        check(shm_recursive_mutex_size(value_size, &size));
        return size;
    }
    /// The bytes that the lock guards, for as long as this thread holds it.
    void *value() const { return detail::value_of(shm_recursive_mutex_value, get()); }
};

/// A mutex that belongs to the process that locks it; any thread of any process may unlock it.
class process_mutex
    : public detail::lockable<process_mutex, shm_process_mutex_t, shm_process_mutex_detach, shm_process_mutex_lock,
                              shm_process_mutex_try_lock, shm_process_mutex_lock_until_ns, shm_process_mutex_lock_interruptible_ns, shm_process_mutex_unlock,
                              shm_process_mutex_recover, shm_process_mutex_repair> {
public:
    static process_mutex create(const std::string &name = "", const options &how = options())
    {
        return made([&](shm_process_mutex_t *to) { return shm_process_mutex_create(detail::or_null(name), how.get(), to); });
    }

    static process_mutex attach(const std::string &name)
    {
        return made([&](shm_process_mutex_t *to) { return shm_process_mutex_attach(name.c_str(), to); });
    }

    static process_mutex create_or_attach(const std::string &name)
    {
        return made([&](shm_process_mutex_t *to) { return shm_process_mutex_create_or_attach(name.c_str(), to); });
    }

    static process_mutex attach_in(const segment &in, const std::string &entry)
    {
        return made([&](shm_process_mutex_t *to) { return shm_process_mutex_attach_in(in.get(), entry.c_str(), to); });
    }

    /// In zero bytes of the caller's, a multiple of 64, which all who use it map shared.
    static process_mutex create_at(void *address, std::uint64_t length)
    {
        return made([&](shm_process_mutex_t *to) { return shm_process_mutex_create_at(address, length, to); });
    }

    static process_mutex attach_at(void *address, std::uint64_t length)
    {
        return made([&](shm_process_mutex_t *to) { return shm_process_mutex_attach_at(address, length, to); });
    }

    /// How many bytes that takes.
    static std::uint64_t size_at()
    {
        std::uint64_t size = 0;
        check(shm_process_mutex_size(&size));
        return size;
    }

    /// The process that holds it; 0 if nobody does.
    std::uint32_t holder() const
    {
        std::uint32_t pid = 0;
        check(shm_process_mutex_holder(get(), &pid));
        return pid;
    }
};

/// A lock that many can hold to read, or one to write; for std::shared_lock too.
class shared_mutex
    : public detail::lockable<shared_mutex, shm_rwlock_t, shm_rwlock_detach, shm_rwlock_write, shm_rwlock_try_write,
                              shm_rwlock_write_until_ns, shm_rwlock_write_interruptible_ns, shm_rwlock_unlock, shm_rwlock_recover, shm_rwlock_repair> {
public:
    static shared_mutex create(const std::string &name = "", const options &how = options(), std::uint64_t value_size = 0)
    {
        return made([&](shm_rwlock_t *to) { return shm_rwlock_create(detail::or_null(name), how.get(), value_size, to); });
    }

    static shared_mutex attach(const std::string &name, std::uint64_t value_size = 0)
    {
        return made([&](shm_rwlock_t *to) { return shm_rwlock_attach(name.c_str(), value_size, to); });
    }

    static shared_mutex create_or_attach(const std::string &name, std::uint64_t value_size = 0)
    {
        return made([&](shm_rwlock_t *to) { return shm_rwlock_create_or_attach(name.c_str(), value_size, to); });
    }

    static shared_mutex attach_in(const segment &in, const std::string &entry, std::uint64_t value_size = 0)
    {
        return made([&](shm_rwlock_t *to) { return shm_rwlock_attach_in(in.get(), entry.c_str(), value_size, to); });
    }

    /// In zero bytes of the caller's, a multiple of 64, which all who use it map shared.
    static shared_mutex create_at(void *address, std::uint64_t length, std::uint64_t value_size = 0)
    {
        return made([&](shm_rwlock_t *to) { return shm_rwlock_create_at(address, length, value_size, to); });
    }

    static shared_mutex attach_at(void *address, std::uint64_t length, std::uint64_t value_size = 0)
    {
        return made([&](shm_rwlock_t *to) { return shm_rwlock_attach_at(address, length, value_size, to); });
    }

    /// How many bytes that takes.
    static std::uint64_t size_at(std::uint64_t value_size = 0)
    {
        std::uint64_t size = 0;
        check(shm_rwlock_size(value_size, &size));
        return size;
    }
    /// Takes the lock to read. owner_died: a writer has died, and the lock is held all the same, alone, to mend what it guards.
    void lock_shared() { check(shm_rwlock_read(get())); }
    bool try_lock_shared() { return detail::unless(SHM_STATUS_BUSY, shm_rwlock_try_read(get())); }

    template <class Rep, class Period>
    bool try_lock_shared_for(const std::chrono::duration<Rep, Period> &time)
    {
        return try_lock_shared_until(std::chrono::steady_clock::now() + time);
    }

    template <class Clock, class Duration>
    bool try_lock_shared_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return detail::unless(SHM_STATUS_TIMED_OUT, shm_rwlock_read_until_ns(get(), detail::deadline_of(deadline)));
    }

    /// As lock_interruptible, to read.
    wait_status lock_shared_interruptible(std::int64_t deadline_ns = SHM_FOREVER)
    {
        return detail::ended(shm_rwlock_read_interruptible_ns(get(), deadline_ns));
    }

    void unlock_shared() { check(shm_rwlock_unlock(get())); }

    /// From writing to reading, without letting another writer in.
    void downgrade() { check(shm_rwlock_downgrade(get())); }

    /// The bytes that the lock guards, for as long as this thread holds it.
    void *value() const { return detail::value_of(shm_rwlock_value, get()); }
};

/// Waiting, with a mutex, for a change of what it guards.
class condition_variable : public detail::primitive<condition_variable, shm_condvar_t, shm_condvar_detach> {
public:
    static condition_variable create(const std::string &name = "", const options &how = options())
    {
        return made([&](shm_condvar_t *to) { return shm_condvar_create(detail::or_null(name), how.get(), to); });
    }

    static condition_variable attach(const std::string &name)
    {
        return made([&](shm_condvar_t *to) { return shm_condvar_attach(name.c_str(), to); });
    }

    static condition_variable create_or_attach(const std::string &name)
    {
        return made([&](shm_condvar_t *to) { return shm_condvar_create_or_attach(name.c_str(), to); });
    }

    static condition_variable attach_in(const segment &in, const std::string &entry)
    {
        return made([&](shm_condvar_t *to) { return shm_condvar_attach_in(in.get(), entry.c_str(), to); });
    }

    /// In zero bytes of the caller's, a multiple of 64, which all who use it map shared.
    static condition_variable create_at(void *address, std::uint64_t length)
    {
        return made([&](shm_condvar_t *to) { return shm_condvar_create_at(address, length, to); });
    }

    static condition_variable attach_at(void *address, std::uint64_t length)
    {
        return made([&](shm_condvar_t *to) { return shm_condvar_attach_at(address, length, to); });
    }

    /// How many bytes that takes.
    static std::uint64_t size_at()
    {
        std::uint64_t size = 0;
        check(shm_condvar_size(&size));
        return size;
    }
    /// Waits for a notification. owner_died: the mutex is held all the same.
    void wait(std::unique_lock<mutex> &lock) { held_after(lock, shm_condvar_wait(get(), lock.mutex()->get())); }

    template <class Condition>
    void wait(std::unique_lock<mutex> &lock, Condition condition)
    {
        while (!condition())
            wait(lock);
    }

    /// Whether it was notified in time.
    template <class Rep, class Period>
    bool wait_for(std::unique_lock<mutex> &lock, const std::chrono::duration<Rep, Period> &time)
    {
        return wait_until(lock, std::chrono::steady_clock::now() + time);
    }

    template <class Clock, class Duration>
    bool wait_until(std::unique_lock<mutex> &lock, const std::chrono::time_point<Clock, Duration> &deadline)
    {
        const shm_status_t status = shm_condvar_wait_until_ns(get(), lock.mutex()->get(), detail::deadline_of(deadline));
        if (status == SHM_STATUS_TIMED_OUT)
            return false;
        held_after(lock, status);
        return true;
    }

    /// Waits until a notification, a signal or a deadline (of shm_clock_ns).
    wait_status wait_interruptible(std::unique_lock<mutex> &lock, std::int64_t deadline_ns = SHM_FOREVER)
    {
        const shm_status_t status = shm_condvar_wait_interruptible_ns(get(), lock.mutex()->get(), deadline_ns);
        if (status == SHM_STATUS_TIMED_OUT || status == SHM_STATUS_INTERRUPTED)
            return detail::ended(status);
        held_after(lock, status);
        return wait_status::done;
    }

    /// Whether the condition came true in time.
    template <class Rep, class Period, class Condition>
    bool wait_for(std::unique_lock<mutex> &lock, const std::chrono::duration<Rep, Period> &time, Condition condition)
    {
        const auto deadline = std::chrono::steady_clock::now() + time;
        while (!condition())
            if (!wait_until(lock, deadline))
                return condition();
        return true;
    }

    void notify_one() { check(shm_condvar_notify_one(get())); }
    void notify_n(std::uint32_t waiters) { check(shm_condvar_notify_n(get(), waiters)); }
    void notify_all() { check(shm_condvar_notify_all(get())); }

private:
    /// After some errors the mutex is not held any more, and the lock must not give it up.
    static void held_after(std::unique_lock<mutex> &lock, shm_status_t status)
    {
        if (status == SHM_STATUS_OK)
            return;
        if (status != SHM_STATUS_OWNER_DIED) {
            const std::string why = shm_last_error();
            void *value = nullptr;
            if (shm_mutex_value(lock.mutex()->get(), &value, nullptr) == SHM_STATUS_NOT_HELD)
                (void)lock.release();
            detail::raise(status, why);
        }
        check(status);
    }
};

/// A lock held until the end of a scope, whose holder's death calls for `mend`: it is called with the lock, and what it guards is sound when it returns.
template <class Lock>
class mending_guard {
public:
    template <class Mend>
    mending_guard(Lock &lock, Mend mend) : lock_(lock)
    {
        try {
            lock_.lock();
        } catch (const owner_died &) {
            try {
                mend();
                lock_.recover();
            } catch (...) {
                lock_.unlock();
                throw;
            }
        }
    }

    mending_guard(const mending_guard &) = delete;
    mending_guard &operator=(const mending_guard &) = delete;

    /// A lock that cannot be given up was not held: the program has unlocked it by hand.
    ~mending_guard()
    {
        try {
            lock_.unlock();
        } catch (const error &) {
        }
    }

private:
    Lock &lock_;
};

}  // namespace shm

#endif  // SHM_LOCKS_HPP
