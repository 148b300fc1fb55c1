/*
 * shm.hpp: libshm for C++17 and later. Header-only, on top of shm.h.
 *
 *     shm::array<double> a = shm::array<double>::create("shm://grid", {100, 100});
 *     a(3, 4) = 1.5;
 *
 *     shm::mutex m = shm::mutex::create_or_attach("shm://lock");
 *     std::lock_guard<shm::mutex> guard(m);
 *
 * Objects own their handles: they can be moved but not copied, and give the handle back when they go. What fails throws shm::error, which has the
 * status and the complete text. A lock that comes with the news of its last holder's death throws shm::owner_died from lock(): the lock *is held*
 * then; mend what it guards, call recover() and unlock(), or unlock() alone to give it up for good.
 */
#ifndef SHM_HPP
#define SHM_HPP

#include <array>
#include <chrono>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <shm.h>

namespace shm {

/// What a call that failed throws: the status, and the complete text of the error.
class error : public std::runtime_error {
public:
    error(shm_status_t status, const std::string &text) : std::runtime_error(text), status_(status) {}

    shm_status_t status() const noexcept { return status_; }
    const char *status_name() const noexcept { return shm_status_name(status_); }

private:
    shm_status_t status_;
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

/// The element type of a C++ type. Specialise it for your own: `static shm_dtype_t value()`.
template <class T, class = void>
struct dtype;

template <>
struct dtype<bool> {
    static shm_dtype_t value() { return shm_dtype(SHM_TYPE_BOOL, 8); }
};

template <class T>
struct dtype<T, std::enable_if_t<std::is_integral_v<T> && !std::is_same_v<T, bool>>> {
    static shm_dtype_t value()
    {
        return shm_dtype(std::is_signed_v<T> ? SHM_TYPE_INT : SHM_TYPE_UINT, static_cast<std::uint8_t>(8 * sizeof(T)));
    }
};

template <>
struct dtype<float> {
    static shm_dtype_t value() { return shm_dtype(SHM_TYPE_FLOAT, 32); }
};

template <>
struct dtype<double> {
    static shm_dtype_t value() { return shm_dtype(SHM_TYPE_FLOAT, 64); }
};

#if defined(__x86_64__)
template <>
struct dtype<long double> {
    static shm_dtype_t value() { return shm_dtype(SHM_TYPE_X87, 128); }
};
#elif defined(__aarch64__)
template <>
struct dtype<long double> {
    static shm_dtype_t value() { return shm_dtype(SHM_TYPE_QUAD, 128); }
};
#endif

template <>
struct dtype<std::complex<float>> {
    static shm_dtype_t value() { return shm_dtype(SHM_TYPE_COMPLEX, 64); }
};

template <>
struct dtype<std::complex<double>> {
    static shm_dtype_t value() { return shm_dtype(SHM_TYPE_COMPLEX, 128); }
};

/// An array of T in shared memory.
///
/// Elements are read and written where they lie; who does that when is the callers' business: agree on a lock. The shape is that of the last look:
/// refresh() takes over growth by others.
template <class T>
class array {
    static_assert(std::is_trivially_copyable_v<T>, "elements are bytes to other processes");

public:
    /// Creates an array of zeros; an empty name makes one without a name.
    static array create(const std::string &name, const std::vector<std::int64_t> &shape, const options &how = options(),
                        shm_order_t order = SHM_ORDER_C)
    {
        array made;
        check(shm_array_create(name.empty() ? nullptr : name.c_str(), how.get(), dtype<T>::value(), shape.data(),
                               static_cast<std::int32_t>(shape.size()), order, made.handle_.put()));
        made.look();
        return made;
    }

    /// Attaches an array; its elements have to be T.
    static array attach(const std::string &name, const options &how = options())
    {
        array found;
        check(shm_array_attach(name.c_str(), how.get(), found.handle_.put()));
        found.look();
        return found;
    }

    /// Attaches the array or creates it; tells whether it was created.
    static std::pair<array, bool> create_or_attach(const std::string &name, const std::vector<std::int64_t> &shape,
                                                   const options &how = options(), shm_order_t order = SHM_ORDER_C)
    {
        array found;
        std::int32_t created = 0;
        check(shm_array_create_or_attach(name.c_str(), how.get(), dtype<T>::value(), shape.data(),
                                         static_cast<std::int32_t>(shape.size()), order, found.handle_.put(), &created));
        found.look();
        return {std::move(found), created != 0};
    }

    /// Takes an array of a segment that holds several things.
    static array attach_in(shm_segment_t segment, const std::string &entry)
    {
        array found;
        check(shm_array_attach_in(segment, entry.c_str(), found.handle_.put()));
        found.look();
        return found;
    }

    /// Attaches the array behind a descriptor, which stays the caller's.
    static array attach_descriptor(int descriptor, const options &how = options())
    {
        array found;
        check(shm_array_attach_descriptor(descriptor, how.get(), found.handle_.put()));
        found.look();
        return found;
    }

    shm_array_t get() const noexcept { return handle_.get(); }
    void detach() { handle_.detach(); }

    /// A descriptor that leads to the array and keeps it; close(2) gives it back.
    int export_descriptor() const
    {
        std::int32_t descriptor = -1;
        check(shm_array_export(handle_.get(), &descriptor));
        return descriptor;
    }

    T *data() const noexcept { return static_cast<T *>(info_.data); }
    std::size_t size() const noexcept { return static_cast<std::size_t>(info_.length); }
    int ndim() const noexcept { return info_.ndim; }
    std::int64_t shape(int dimension) const noexcept { return info_.shape[dimension]; }

    /// Bytes from one element to the next along a dimension.
    std::int64_t stride(int dimension) const noexcept { return info_.strides[dimension]; }

    bool is_contiguous() const noexcept { return (info_.flags & (SHM_ARRAY_C_CONTIGUOUS | SHM_ARRAY_F_CONTIGUOUS)) != 0; }
    bool is_writable() const noexcept { return (info_.flags & SHM_ARRAY_WRITABLE) != 0; }
    const shm_array_info_t &info() const noexcept { return info_; }

    /// The element with these indices, one for each dimension; not checked.
    template <class... Index>
    T &operator()(Index... index) const noexcept
    {
        return *at_offset(offset(static_cast<std::int64_t>(index)...));
    }

    /// The same, checked.
    template <class... Index>
    T &at(Index... index) const
    {
        const std::array<std::int64_t, sizeof...(Index)> indices{static_cast<std::int64_t>(index)...};
        if (static_cast<int>(indices.size()) != info_.ndim)
            throw std::out_of_range("shm::array: the number of indices is not that of the dimensions");
        for (std::size_t i = 0; i < indices.size(); i++)
            if (indices[i] < 0 || indices[i] >= info_.shape[i])
                throw std::out_of_range("shm::array: index " + std::to_string(indices[i]) + " of dimension " + std::to_string(i));
        return (*this)(index...);
    }

    /// The elements in the order of memory; only for arrays without gaps.
    T *begin() const
    {
        if (!is_contiguous())
            throw std::logic_error("shm::array: the elements do not lie one after the other");
        return data();
    }

    T *end() const { return begin() + size(); }

    /// Lengthens the array along its first dimension, for everybody.
    void grow(std::int64_t extent)
    {
        check(shm_array_grow(handle_.get(), extent));
        look();
    }

    /// Takes over growth by others; tells whether there was any.
    bool refresh()
    {
        const std::uint64_t before = info_.generation;
        look();
        return info_.generation != before;
    }

    void sync(shm_sync_t mode = SHM_SYNC_WAIT) const { check(shm_array_sync(handle_.get(), mode)); }

private:
    void look()
    {
        check(shm_array_info(handle_.get(), &info_));
        const shm_dtype_t mine = dtype<T>::value();
        const shm_dtype_t &found = info_.dtype;
        if (found.code != mine.code || found.bits != mine.bits || found.count != mine.count || found.unit != mine.unit ||
            info_.item_size != sizeof(T))
            throw error(SHM_STATUS_TYPE_MISMATCH,
                        "cannot attach the array: its elements (code " + std::to_string(found.code) + ", " +
                            std::to_string(found.bits) + " bits) are not those of the C++ type (code " +
                            std::to_string(mine.code) + ", " + std::to_string(mine.bits) + " bits)");
    }

    template <class... Index>
    std::int64_t offset(Index... index) const noexcept
    {
        std::int64_t sum = 0;
        int dimension = 0;
        ((sum += index * info_.strides[dimension++]), ...);
        return sum;
    }

    T *at_offset(std::int64_t bytes) const noexcept
    {
        return reinterpret_cast<T *>(static_cast<char *>(info_.data) + bytes);
    }

    owned<shm_array_t, shm_array_detach> handle_;
    shm_array_info_t info_ = SHM_ARRAY_INFO_INIT;
};

/// A plan of what a segment shall hold.
class contents {
public:
    contents() { check(shm_contents_create(handle_.put())); }

    template <class T>
    contents &add_array(const std::string &entry, const std::vector<std::int64_t> &shape, shm_order_t order = SHM_ORDER_C)
    {
        check(shm_contents_add_array(handle_.get(), entry.c_str(), dtype<T>::value(), shape.data(),
                                     static_cast<std::int32_t>(shape.size()), order));
        return *this;
    }

    contents &add_bytes(const std::string &entry, std::uint64_t length, std::uint64_t alignment = 0)
    {
        check(shm_contents_add_bytes(handle_.get(), entry.c_str(), length, alignment));
        return *this;
    }

    contents &add_mutex(const std::string &entry, std::uint64_t value_size = 0)
    {
        return add(shm_contents_add_mutex(get(), entry.c_str(), value_size));
    }
    contents &add_recursive_mutex(const std::string &entry, std::uint64_t value_size = 0)
    {
        return add(shm_contents_add_recursive_mutex(get(), entry.c_str(), value_size));
    }
    contents &add_process_mutex(const std::string &entry) { return add(shm_contents_add_process_mutex(get(), entry.c_str())); }
    contents &add_shared_mutex(const std::string &entry, std::uint64_t value_size = 0)
    {
        return add(shm_contents_add_rwlock(get(), entry.c_str(), value_size));
    }
    contents &add_condition_variable(const std::string &entry) { return add(shm_contents_add_condvar(get(), entry.c_str())); }
    contents &add_semaphore(const std::string &entry, std::uint32_t permits)
    {
        return add(shm_contents_add_semaphore(get(), entry.c_str(), permits));
    }
    contents &add_bounded_semaphore(const std::string &entry, std::uint32_t bound)
    {
        return add(shm_contents_add_bounded_semaphore(get(), entry.c_str(), bound));
    }
    contents &add_event(const std::string &entry, bool is_set = false)
    {
        return add(shm_contents_add_event(get(), entry.c_str(), is_set ? 1 : 0));
    }
    contents &add_latch(const std::string &entry, std::uint32_t parties)
    {
        return add(shm_contents_add_latch(get(), entry.c_str(), parties));
    }
    contents &add_barrier(const std::string &entry, std::uint32_t parties)
    {
        return add(shm_contents_add_barrier(get(), entry.c_str(), parties));
    }

    shm_contents_t get() const noexcept { return handle_.get(); }

private:
    contents &add(shm_status_t status)
    {
        check(status);
        return *this;
    }

    owned<shm_contents_t, shm_contents_free> handle_;
};

/// A segment: several arrays, and the locks that belong to them.
class segment {
public:
    /// Creates a segment; an empty name makes one without a name.
    static segment create(const std::string &name, const contents &plan, const options &how = options())
    {
        segment made;
        check(shm_segment_create(name.empty() ? nullptr : name.c_str(), how.get(), plan.get(), made.handle_.put()));
        return made;
    }

    static segment attach(const std::string &name, const options &how = options())
    {
        segment found;
        check(shm_segment_attach(name.c_str(), how.get(), found.handle_.put()));
        return found;
    }

    static std::pair<segment, bool> create_or_attach(const std::string &name, const contents &plan,
                                                     const options &how = options())
    {
        segment found;
        std::int32_t created = 0;
        check(shm_segment_create_or_attach(name.c_str(), how.get(), plan.get(), found.handle_.put(), &created));
        return {std::move(found), created != 0};
    }

    template <class T>
    shm::array<T> array(const std::string &entry) const
    {
        return shm::array<T>::attach_in(handle_.get(), entry);
    }

    shm_segment_info_t info() const
    {
        shm_segment_info_t info = SHM_SEGMENT_INFO_INIT;
        check(shm_segment_info(handle_.get(), &info));
        return info;
    }

    void grow(std::uint64_t length) { check(shm_segment_grow(handle_.get(), length)); }
    void sync(shm_sync_t mode = SHM_SYNC_WAIT) const { check(shm_segment_sync(handle_.get(), mode)); }
    shm_segment_t get() const noexcept { return handle_.get(); }
    void detach() { handle_.detach(); }

private:
    owned<shm_segment_t, shm_segment_detach> handle_;
};

/// The exclusive lease: while it lives nobody else can attach.
class exclusive {
public:
    template <class T>
    explicit exclusive(const shm::array<T> &array)
    {
        check(shm_array_exclusive(array.get(), handle_.put()));
    }

    explicit exclusive(const segment &segment) { check(shm_segment_exclusive(segment.get(), handle_.put())); }

private:
    owned<shm_exclusive_t, shm_exclusive_free> handle_;
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
          shm_status_t (*timeout_)(Handle, std::int64_t), shm_status_t (*unlock_)(Handle), shm_status_t (*recover_)(Handle),
          shm_status_t (*repair_)(Handle)>
class lockable : public primitive<Self, Handle, end> {
public:
    /// Takes the lock. owner_died: it is held all the same.
    void lock() { check(lock_(this->get())); }
    bool try_lock() { return unless(SHM_STATUS_BUSY, try_(this->get())); }

    template <class Rep, class Period>
    bool try_lock_for(const std::chrono::duration<Rep, Period> &time)
    {
        return unless(SHM_STATUS_TIMED_OUT, timeout_(this->get(), nanoseconds(time)));
    }

    template <class Clock, class Duration>
    bool try_lock_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return try_lock_for(deadline - Clock::now());
    }

    void unlock() { check(unlock_(this->get())); }

    /// Declares what the lock guards sound again.
    void recover() { check(recover_(this->get())); }

    /// Takes the lock in whatever state what it guards is, to mend it.
    void repair() { check(repair_(this->get())); }
};

/// What all semaphores have.
template <class Self, class Handle, shm_status_t (*end)(Handle), shm_status_t (*acquire_)(Handle), shm_status_t (*try_)(Handle),
          shm_status_t (*timeout_)(Handle, std::int64_t), shm_status_t (*release_)(Handle, std::uint32_t),
          shm_status_t (*available_)(Handle, std::uint32_t *)>
class permits : public primitive<Self, Handle, end> {
public:
    void acquire() { check(acquire_(this->get())); }
    bool try_acquire() { return unless(SHM_STATUS_BUSY, try_(this->get())); }

    template <class Rep, class Period>
    bool try_acquire_for(const std::chrono::duration<Rep, Period> &time)
    {
        return unless(SHM_STATUS_TIMED_OUT, timeout_(this->get(), nanoseconds(time)));
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

/// A mutex that threads of all processes share, owned by the thread that locks it.
class mutex : public detail::lockable<mutex, shm_mutex_t, shm_mutex_detach, shm_mutex_lock, shm_mutex_try_lock,
                                      shm_mutex_lock_timeout_ns, shm_mutex_unlock, shm_mutex_recover, shm_mutex_repair> {
public:
    /// Without a name it is shared with the processes forked from here on. It guards `value_size` bytes of its own (`value`).
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

    /// The bytes that the lock guards, for as long as this thread holds it.
    void *value() const { return detail::value_of(shm_mutex_value, get()); }
};

/// A mutex that its holder can lock again.
class recursive_mutex
    : public detail::lockable<recursive_mutex, shm_recursive_mutex_t, shm_recursive_mutex_detach, shm_recursive_mutex_lock,
                              shm_recursive_mutex_try_lock, shm_recursive_mutex_lock_timeout_ns, shm_recursive_mutex_unlock,
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

    /// The bytes that the lock guards, for as long as this thread holds it.
    void *value() const { return detail::value_of(shm_recursive_mutex_value, get()); }
};

/// A mutex that belongs to the process that locks it; any thread of any process may unlock it.
class process_mutex
    : public detail::lockable<process_mutex, shm_process_mutex_t, shm_process_mutex_detach, shm_process_mutex_lock,
                              shm_process_mutex_try_lock, shm_process_mutex_lock_timeout_ns, shm_process_mutex_unlock,
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
};

/// A lock that many can hold to read, or one to write; for std::shared_lock too.
class shared_mutex
    : public detail::lockable<shared_mutex, shm_rwlock_t, shm_rwlock_detach, shm_rwlock_write, shm_rwlock_try_write,
                              shm_rwlock_write_timeout_ns, shm_rwlock_unlock, shm_rwlock_recover, shm_rwlock_repair> {
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

    /// Takes the lock to read. owner_died: a writer has died, and the lock is held all the same, alone, to mend what it guards.
    void lock_shared() { check(shm_rwlock_read(get())); }
    bool try_lock_shared() { return detail::unless(SHM_STATUS_BUSY, shm_rwlock_try_read(get())); }

    template <class Rep, class Period>
    bool try_lock_shared_for(const std::chrono::duration<Rep, Period> &time)
    {
        return detail::unless(SHM_STATUS_TIMED_OUT, shm_rwlock_read_timeout_ns(get(), detail::nanoseconds(time)));
    }

    template <class Clock, class Duration>
    bool try_lock_shared_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return try_lock_shared_for(deadline - Clock::now());
    }

    void unlock_shared() { check(shm_rwlock_unlock(get())); }

    /// From writing to reading, without letting another writer in.
    void downgrade() { check(shm_rwlock_downgrade(get())); }

    /// The bytes that the lock guards, for as long as this thread holds it.
    void *value() const { return detail::value_of(shm_rwlock_value, get()); }
};

/// Permits that threads of all processes take and give back.
class semaphore : public detail::permits<semaphore, shm_semaphore_t, shm_semaphore_detach, shm_semaphore_acquire,
                                         shm_semaphore_try_acquire, shm_semaphore_acquire_timeout_ns, shm_semaphore_release,
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
};

/// The same, with as many permits at most as at first.
class bounded_semaphore
    : public detail::permits<bounded_semaphore, shm_bounded_semaphore_t, shm_bounded_semaphore_detach,
                             shm_bounded_semaphore_acquire, shm_bounded_semaphore_try_acquire,
                             shm_bounded_semaphore_acquire_timeout_ns, shm_bounded_semaphore_release,
                             shm_bounded_semaphore_available> {
public:
    static bounded_semaphore create(std::uint32_t bound, const std::string &name = "", const options &how = options())
    {
        return made([&](shm_bounded_semaphore_t *to) {
            return shm_bounded_semaphore_create(detail::or_null(name), how.get(), bound, to);
        });
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

    void set() { check(shm_event_set(get())); }
    void clear() { check(shm_event_clear(get())); }
    void wait() const { check(shm_event_wait(get())); }

    template <class Rep, class Period>
    bool wait_for(const std::chrono::duration<Rep, Period> &time) const
    {
        return detail::unless(SHM_STATUS_TIMED_OUT, shm_event_wait_timeout_ns(get(), detail::nanoseconds(time)));
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

    void count_down(std::uint32_t arrivals = 1) { check(shm_latch_count_down(get(), arrivals)); }
    void arrive_and_wait() { check(shm_latch_arrive_and_wait(get())); }
    void wait() const { check(shm_latch_wait(get())); }
    bool try_wait() const { return detail::unless(SHM_STATUS_BUSY, shm_latch_try_wait(get())); }

    template <class Rep, class Period>
    bool wait_for(const std::chrono::duration<Rep, Period> &time) const
    {
        return detail::unless(SHM_STATUS_TIMED_OUT, shm_latch_wait_timeout_ns(get(), detail::nanoseconds(time)));
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
        return detail::unless(SHM_STATUS_TIMED_OUT, shm_barrier_wait_timeout_ns(get(), detail::nanoseconds(time), nullptr));
    }

    void join() { check(shm_barrier_join(get())); }
    void leave() { check(shm_barrier_leave(get())); }
    void abort() { check(shm_barrier_abort(get())); }
    void reset() { check(shm_barrier_reset(get())); }
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
        const shm_status_t status = shm_condvar_wait_timeout_ns(get(), lock.mutex()->get(), detail::nanoseconds(time));
        if (status == SHM_STATUS_TIMED_OUT)
            return false;
        held_after(lock, status);
        return true;
    }

    /// Whether the condition came true in time.
    template <class Rep, class Period, class Condition>
    bool wait_for(std::unique_lock<mutex> &lock, const std::chrono::duration<Rep, Period> &time, Condition condition)
    {
        const auto deadline = std::chrono::steady_clock::now() + time;
        while (!condition())
            if (!wait_for(lock, deadline - std::chrono::steady_clock::now()))
                return condition();
        return true;
    }

    void notify_one() { check(shm_condvar_notify_one(get())); }
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

/// Removes a name; those who are attached stay so.
inline void remove(const std::string &name)
{
    check(shm_delete(name.c_str()));
}

/// Looks at a segment without attaching it.
inline shm_segment_info_t inspect(const std::string &name)
{
    shm_segment_info_t info = SHM_SEGMENT_INFO_INIT;
    check(shm_inspect(name.c_str(), &info));
    return info;
}

/// The living segments that the caller may read; an empty directory means the shm:// names.
inline std::vector<shm_segment_info_t> list(const std::string &directory = "")
{
    owned<shm_list_t, shm_list_free> found;
    std::uint64_t count = 0;
    check(shm_list(directory.empty() ? nullptr : directory.c_str(), found.put(), &count));
    std::vector<shm_segment_info_t> infos(static_cast<std::size_t>(count), shm_segment_info_t SHM_SEGMENT_INFO_INIT);
    for (std::uint64_t i = 0; i < count; i++)
        check(shm_list_segment(found.get(), i, &infos[static_cast<std::size_t>(i)]));
    return infos;
}

/// Removes the dead segments of this user; tells how many there were.
inline std::uint64_t reap(const std::string &directory = "")
{
    std::uint64_t removed = 0;
    check(shm_reap(directory.empty() ? nullptr : directory.c_str(), &removed));
    return removed;
}

}  // namespace shm

#endif  // SHM_HPP
