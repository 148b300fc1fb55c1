/*
 * shm/arrays.hpp: arrays, segments, and their names.
 *
 * A part of shm.hpp: include that one.
 */
#ifndef SHM_ARRAYS_HPP
#define SHM_ARRAYS_HPP

#include <array>
#include <complex>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <shm/base.hpp>

namespace shm {

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

class segment;

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

    /// The description of a record, the element type (FORMAT.md, section 3.3); empty for other types.
    std::string record() const
    {
        std::uint64_t length = 0;
        check(shm_array_record(handle_.get(), nullptr, 0, &length));
        std::string text(static_cast<std::size_t>(length) + 1, '\0');
        check(shm_array_record(handle_.get(), text.data(), length + 1, nullptr));
        text.resize(static_cast<std::size_t>(length));
        return text;
    }

    /// The segment that the array is in.
    shm::segment segment() const;

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
    contents &add_once(const std::string &entry) { return add(shm_contents_add_once(get(), entry.c_str())); }
    contents &add_sequencer(const std::string &entry, std::uint64_t first = 0)
    {
        return add(shm_contents_add_sequencer(get(), entry.c_str(), first));
    }
    contents &add_byte_channel(const std::string &entry, std::uint64_t capacity)
    {
        return add(shm_contents_add_byte_channel(get(), entry.c_str(), capacity));
    }

    /// A channel for `capacity` items of type T.
    template <class T>
    contents &add_channel(const std::string &entry, std::uint64_t capacity)
    {
        return add(shm_contents_add_channel(get(), entry.c_str(), sizeof(T), capacity));
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

    /// Attaches the segment behind a descriptor, which stays the caller's.
    static segment attach_descriptor(int descriptor, const options &how = options())
    {
        segment found;
        check(shm_segment_attach_descriptor(descriptor, how.get(), found.handle_.put()));
        return found;
    }

    /// A descriptor that leads to the segment and keeps it; close(2) gives it back.
    int export_descriptor() const
    {
        std::int32_t descriptor = -1;
        check(shm_segment_export(handle_.get(), &descriptor));
        return descriptor;
    }

    /// What is known of an entry, by name.
    shm_entry_info_t entry(const std::string &name) const
    {
        shm_entry_info_t info = SHM_ENTRY_INFO_INIT;
        check(shm_segment_entry(handle_.get(), name.c_str(), &info));
        return info;
    }

    /// The same by its place in the table of contents; error with SHM_STATUS_NO_SUCH_ENTRY behind the last one.
    shm_entry_info_t entry(std::uint64_t index) const
    {
        shm_entry_info_t info = SHM_ENTRY_INFO_INIT;
        check(shm_segment_entry_at(handle_.get(), index, &info));
        return info;
    }

    /// A number that changes exactly when the segment has grown.
    std::uint64_t generation() const
    {
        std::uint64_t number = 0;
        check(shm_segment_generation(handle_.get(), &number));
        return number;
    }

    void lock_memory() const { check(shm_segment_lock_memory(handle_.get())); }
    void unlock_memory() const { check(shm_segment_unlock_memory(handle_.get())); }
    void prefault() const { check(shm_segment_prefault(handle_.get())); }
    void advise(shm_advice_t advice) const { check(shm_segment_advise(handle_.get(), advice)); }
    void grow(std::uint64_t length) { check(shm_segment_grow(handle_.get(), length)); }
    void sync(shm_sync_t mode = SHM_SYNC_WAIT) const { check(shm_segment_sync(handle_.get(), mode)); }
    shm_segment_t get() const noexcept { return handle_.get(); }
    void detach() { handle_.detach(); }

private:
    template <class T>
    friend class shm::array;

    owned<shm_segment_t, shm_segment_detach> handle_;
};

template <class T>
segment array<T>::segment() const
{
    shm::segment found;
    check(shm_array_segment(handle_.get(), found.handle_.put()));
    return found;
}

/// The exclusive lease: while it lives nobody else can attach.
class exclusive {
public:
    template <class T>
    explicit exclusive(const shm::array<T> &array)
    {
        check(shm_array_exclusive(array.get(), handle_.put()));
    }

    explicit exclusive(const segment &segment) { check(shm_segment_exclusive(segment.get(), handle_.put())); }

    /// Gives the lease back now.
    void end() { handle_.detach(); }

private:
    owned<shm_exclusive_t, shm_exclusive_free> handle_;
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

/// The living segments that the caller may read, as of one moment; an empty directory means the shm:// names.
class segment_list {
public:
    explicit segment_list(const std::string &directory = "")
    {
        check(shm_list(directory.empty() ? nullptr : directory.c_str(), handle_.put(), &size_));
    }

    std::uint64_t size() const noexcept { return size_; }

    shm_segment_info_t segment(std::uint64_t index) const
    {
        shm_segment_info_t info = SHM_SEGMENT_INFO_INIT;
        check(shm_list_segment(handle_.get(), index, &info));
        return info;
    }

    /// What is known of an entry of a segment; error with SHM_STATUS_NO_SUCH_ENTRY behind the last one.
    shm_entry_info_t entry(std::uint64_t index, std::uint64_t entry) const
    {
        shm_entry_info_t info = SHM_ENTRY_INFO_INIT;
        check(shm_list_entry(handle_.get(), index, entry, &info));
        return info;
    }

    /// What is known of a segment's only array; its address is NULL.
    shm_array_info_t array(std::uint64_t index) const
    {
        shm_array_info_t info = SHM_ARRAY_INFO_INIT;
        check(shm_list_array(handle_.get(), index, &info));
        return info;
    }

private:
    owned<shm_list_t, shm_list_free> handle_;
    std::uint64_t size_ = 0;
};

/// The living segments that the caller may read.
inline std::vector<shm_segment_info_t> list(const std::string &directory = "")
{
    const segment_list found(directory);
    std::vector<shm_segment_info_t> infos;
    for (std::uint64_t i = 0; i < found.size(); i++)
        infos.push_back(found.segment(i));
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

#endif  // SHM_ARRAYS_HPP
