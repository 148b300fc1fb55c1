/*
 * shm/base.hpp: errors, handles that give themselves back, options.
 *
 * A part of shm.hpp: include that one.
 */
#ifndef SHM_BASE_HPP
#define SHM_BASE_HPP

#include <chrono>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <utility>

#include <shm.h>

namespace shm {

/// What a call that failed throws: the status, and the complete text of the error.
class error : public std::runtime_error {
public:
    error(shm_status_t status, const std::string &text) : std::runtime_error(text), status_(status), errno_(shm_last_errno()) {}

    shm_status_t status() const noexcept { return status_; }
    const char *status_name() const noexcept { return shm_status_name(status_); }

    /// The errno of the system call behind it, or 0.
    int system_errno() const noexcept { return errno_; }

private:
    shm_status_t status_;
    std::int32_t errno_;
};

/// A deadline has passed.
struct timed_out : error {
    using error::error;
};

/// The name leads to nothing.
struct not_found : error {
    using error::error;
};

/// The name is taken.
struct already_exists : error {
    using error::error;
};

/// The lock *is held*, and its last holder died with it.
struct owner_died : error {
    using error::error;
};

namespace detail {

/// Throws what belongs to a status.
[[noreturn]] inline void raise(shm_status_t status, const std::string &text)
{
    switch (status) {
    case SHM_STATUS_TIMED_OUT:
        throw timed_out(status, text);
    case SHM_STATUS_NOT_FOUND:
        throw not_found(status, text);
    case SHM_STATUS_ALREADY_EXISTS:
        throw already_exists(status, text);
    case SHM_STATUS_OWNER_DIED:
        throw owner_died(status, text);
    default:
        throw error(status, text);
    }
}

}  // namespace detail

/// Throws unless the status is SHM_STATUS_OK.
inline void check(shm_status_t status)
{
    if (status != SHM_STATUS_OK)
        detail::raise(status, shm_last_error());
}

/// A handle that is given back by `end` when this goes, unless that has been done already.
template <class Handle, shm_status_t (*end)(Handle)>
class owned {
public:
    owned() noexcept = default;
    explicit owned(Handle handle) noexcept : handle_(handle) {}
    owned(owned &&other) noexcept : handle_(other.release()) {}
    owned(const owned &) = delete;
    owned &operator=(const owned &) = delete;

    owned &operator=(owned &&other) noexcept
    {
        if (this != &other) {
            reset();
            handle_ = other.release();
        }
        return *this;
    }

    ~owned() { reset(); }

    /// The handle, for the functions of shm.h.
    Handle get() const noexcept { return handle_; }

    explicit operator bool() const noexcept { return handle_.id != 0; }

    /// Leaves the handle to the caller.
    Handle release() noexcept { return std::exchange(handle_, Handle{0}); }

    /// Gives the handle back now; an error is an exception, and the handle stays good.
    void detach()
    {
        check(end(handle_));
        handle_ = Handle{0};
    }

    /// Where a function of shm.h puts a handle. What was there is given back.
    Handle *put() noexcept
    {
        reset();
        return &handle_;
    }

private:
    void reset() noexcept
    {
        if (handle_.id != 0)
            (void)end(release());
    }

    Handle handle_{0};
};

/// How something is created or attached: shm_options_t with a setter for each field.
class options {
public:
    options &mode(std::uint32_t mode) { return set(given_.mode, mode); }
    options &lifetime(shm_lifetime_t lifetime) { return set(given_.lifetime, lifetime); }
    options &access(shm_access_t access) { return set(given_.access, access); }
    options &flags(std::uint32_t flags) { return set(given_.flags, flags); }
    options &alignment(std::uint64_t bytes) { return set(given_.alignment, bytes); }
    options &reserve_max(std::uint64_t bytes) { return set(given_.reserve_max, bytes); }

    const shm_options_t *get() const noexcept { return &given_; }

private:
    template <class T>
    options &set(T &field, T value)
    {
        field = value;
        return *this;
    }

    shm_options_t given_ = SHM_OPTIONS_INIT;
};

namespace detail {

/// The name as C takes it: none is NULL.
inline const char *or_null(const std::string &name)
{
    return name.empty() ? nullptr : name.c_str();
}

/// A time as C takes it: never negative, and too long is for ever.
template <class Rep, class Period>
std::int64_t nanoseconds(const std::chrono::duration<Rep, Period> &time)
{
    const double seconds = std::chrono::duration<double>(time).count();
    if (!(seconds > 0))
        return 0;
    return seconds < 9e9 ? static_cast<std::int64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(time).count())
                         : static_cast<std::int64_t>(SHM_FOREVER);
}

/// False for the status that says no, true for success, and an exception for the others.
inline bool unless(shm_status_t no, shm_status_t status)
{
    if (status == no)
        return false;
    check(status);
    return true;
}

/// A point in time as C takes it: of CLOCK_MONOTONIC, which steady_clock is here, and others by what is left until then.
template <class Clock, class Duration>
std::int64_t deadline_of(const std::chrono::time_point<Clock, Duration> &deadline)
{
    const std::int64_t left = nanoseconds(deadline - Clock::now());
    const std::int64_t now = shm_clock_ns();
    return left >= static_cast<std::int64_t>(SHM_FOREVER) - now ? static_cast<std::int64_t>(SHM_FOREVER) : now + left;
}

/// Calls a function of C++'s from C: what it throws must not get into C, and is thrown again by `rethrow`.
template <class Function>
class guarded {
public:
    explicit guarded(Function &function) : function_(function) {}

    static std::int32_t call(void *self)
    {
        guarded &me = *static_cast<guarded *>(self);
        try {
            me.function_();
            return 0;
        } catch (...) {
            me.thrown_ = std::current_exception();
            return 1;
        }
    }

    /// Throws what the function has thrown, or else what the status says.
    void finish(shm_status_t status)
    {
        if (thrown_)
            std::rethrow_exception(thrown_);
        check(status);
    }

private:
    Function &function_;
    std::exception_ptr thrown_;
};

}  // namespace detail

/// How an interruptible wait has ended.
enum class wait_status {
    done,         ///< with what was waited for
    timed_out,    ///< at the deadline
    interrupted,  ///< a signal handler has run in this thread
};

namespace detail {

inline wait_status ended(shm_status_t status)
{
    if (status == SHM_STATUS_TIMED_OUT)
        return wait_status::timed_out;
    if (status == SHM_STATUS_INTERRUPTED)
        return wait_status::interrupted;
    check(status);
    return wait_status::done;
}

}  // namespace detail

}  // namespace shm

#endif  // SHM_BASE_HPP
