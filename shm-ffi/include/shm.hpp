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

/// Throws unless the status is SHM_STATUS_OK.
inline void check(shm_status_t status)
{
    switch (status) {
    case SHM_STATUS_OK:
        return;
    case SHM_STATUS_TIMED_OUT:
        throw timed_out(status, shm_last_error());
    case SHM_STATUS_NOT_FOUND:
        throw not_found(status, shm_last_error());
    case SHM_STATUS_ALREADY_EXISTS:
        throw already_exists(status, shm_last_error());
    case SHM_STATUS_OWNER_DIED:
        throw owner_died(status, shm_last_error());
    default:
        throw error(status, shm_last_error());
    }
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
        check(shm_contents_add_mutex(handle_.get(), entry.c_str(), value_size));
        return *this;
    }

    shm_contents_t get() const noexcept { return handle_.get(); }

private:
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

/// A mutex that threads of all processes share, owned by the thread that locks it. For std::lock_guard, std::unique_lock and std::scoped_lock.
class mutex {
public:
    /// Creates a mutex; without a name it is shared with the processes forked from here on. It guards `value_size` bytes of its own (`value`).
    static mutex create(const std::string &name = "", const options &how = options(), std::uint64_t value_size = 0)
    {
        mutex made;
        check(shm_mutex_create(name.empty() ? nullptr : name.c_str(), how.get(), value_size, made.handle_.put()));
        return made;
    }

    static mutex attach(const std::string &name, std::uint64_t value_size = 0)
    {
        mutex found;
        check(shm_mutex_attach(name.c_str(), value_size, found.handle_.put()));
        return found;
    }

    static mutex create_or_attach(const std::string &name, std::uint64_t value_size = 0)
    {
        mutex found;
        check(shm_mutex_create_or_attach(name.c_str(), value_size, found.handle_.put()));
        return found;
    }

    static mutex attach_in(const segment &segment, const std::string &entry, std::uint64_t value_size = 0)
    {
        mutex found;
        check(shm_mutex_attach_in(segment.get(), entry.c_str(), value_size, found.handle_.put()));
        return found;
    }

    /// Takes the lock. owner_died: it is held all the same.
    void lock() { check(shm_mutex_lock(handle_.get())); }

    bool try_lock() { return unless(SHM_STATUS_BUSY, shm_mutex_try_lock(handle_.get())); }

    template <class Rep, class Period>
    bool try_lock_for(const std::chrono::duration<Rep, Period> &time)
    {
        // In floating point first: a far deadline must not overflow.
        const double ns = std::chrono::duration<double, std::nano>(time).count();
        const std::int64_t timeout = ns > 0 ? (ns < 9e18 ? static_cast<std::int64_t>(ns) : SHM_FOREVER) : 0;
        return unless(SHM_STATUS_TIMED_OUT, shm_mutex_lock_timeout_ns(handle_.get(), timeout));
    }

    template <class Clock, class Duration>
    bool try_lock_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return try_lock_for(deadline - Clock::now());
    }

    void unlock() { check(shm_mutex_unlock(handle_.get())); }

    /// The bytes that the lock guards, for as long as this thread holds it.
    void *value() const
    {
        void *value = nullptr;
        check(shm_mutex_value(handle_.get(), &value, nullptr));
        return value;
    }

    /// Declares what the lock guards sound again.
    void recover() { check(shm_mutex_recover(handle_.get())); }

    /// Takes the lock in whatever state what it guards is, to mend it.
    void repair() { check(shm_mutex_repair(handle_.get())); }

    shm_mutex_t get() const noexcept { return handle_.get(); }
    void detach() { handle_.detach(); }

private:
    static bool unless(shm_status_t no, shm_status_t status)
    {
        if (status == no)
            return false;
        check(status);
        return true;
    }

    owned<shm_mutex_t, shm_mutex_detach> handle_;
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
