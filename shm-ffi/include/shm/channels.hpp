/*
 * shm/channels.hpp: channels of messages and of values.
 *
 * A part of shm.hpp: include that one.
 */
#ifndef SHM_CHANNELS_HPP
#define SHM_CHANNELS_HPP

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>

#include <shm/locks.hpp>

namespace shm {

/// A bounded queue of messages of any length. Whoever is killed with a message in its hands tears none and blocks nobody.
class byte_channel : public detail::primitive<byte_channel, shm_byte_channel_t, shm_byte_channel_detach> {
public:
    static byte_channel create(std::uint64_t capacity, const std::string &name = "", const options &how = options())
    {
        return made([&](shm_byte_channel_t *to) { return shm_byte_channel_create(detail::or_null(name), how.get(), capacity, to); });
    }

    static byte_channel attach(const std::string &name)
    {
        return made([&](shm_byte_channel_t *to) { return shm_byte_channel_attach(name.c_str(), to); });
    }

    static byte_channel create_or_attach(std::uint64_t capacity, const std::string &name)
    {
        return made([&](shm_byte_channel_t *to) { return shm_byte_channel_create_or_attach(name.c_str(), capacity, to); });
    }

    static byte_channel attach_in(const segment &in, const std::string &entry)
    {
        return made([&](shm_byte_channel_t *to) { return shm_byte_channel_attach_in(in.get(), entry.c_str(), to); });
    }

    /// In zero bytes of the caller's, a multiple of 64, which all who use it map shared.
    static byte_channel create_at(void *address, std::uint64_t length, std::uint64_t capacity)
    {
        return made([&](shm_byte_channel_t *to) { return shm_byte_channel_create_at(address, length, capacity, to); });
    }

    static byte_channel attach_at(void *address, std::uint64_t length)
    {
        return made([&](shm_byte_channel_t *to) { return shm_byte_channel_attach_at(address, length, to); });
    }

    /// How many bytes that takes.
    static std::uint64_t size_at(std::uint64_t capacity)
    {
        std::uint64_t size = 0;
        check(shm_byte_channel_size(capacity, &size));
        return size;
    }

    void send(const std::string &message) { check(shm_byte_channel_send(get(), message.data(), message.size())); }
    bool try_send(const std::string &message) { return detail::unless(SHM_STATUS_FULL, shm_byte_channel_try_send(get(), message.data(), message.size())); }

    template <class Rep, class Period>
    bool send_for(const std::string &message, const std::chrono::duration<Rep, Period> &time)
    {
        return send_until(message, std::chrono::steady_clock::now() + time);
    }

    template <class Clock, class Duration>
    bool send_until(const std::string &message, const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return detail::unless(SHM_STATUS_TIMED_OUT, shm_byte_channel_send_until_ns(get(), message.data(), message.size(), detail::deadline_of(deadline)));
    }

    wait_status send_interruptible(const std::string &message, std::int64_t deadline_ns = SHM_FOREVER)
    {
        return detail::ended(shm_byte_channel_send_interruptible_ns(get(), message.data(), message.size(), deadline_ns));
    }

    /// The next message; none when the channel is closed and everything was received.
    std::optional<std::string> recv() { return taken(shm_byte_channel_recv, SHM_STATUS_CLOSED); }

    /// The next message if there is one now.
    std::optional<std::string> try_recv() { return taken(shm_byte_channel_try_recv, SHM_STATUS_EMPTY); }

    /// The next message if one comes in time.
    template <class Rep, class Period>
    std::optional<std::string> recv_for(const std::chrono::duration<Rep, Period> &time)
    {
        return recv_until(std::chrono::steady_clock::now() + time);
    }

    template <class Clock, class Duration>
    std::optional<std::string> recv_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        const std::int64_t ns = detail::deadline_of(deadline);
        return taken([ns](shm_byte_channel_t from, void **message, std::uint64_t *length) {
            return shm_byte_channel_recv_until_ns(from, ns, message, length);
        }, SHM_STATUS_TIMED_OUT);
    }

    wait_status recv_interruptible(std::string &message, std::int64_t deadline_ns = SHM_FOREVER)
    {
        void *bytes = nullptr;
        std::uint64_t length = 0;
        const wait_status how = detail::ended(shm_byte_channel_recv_interruptible_ns(get(), deadline_ns, &bytes, &length));
        if (how == wait_status::done)
            message = text(bytes, length);
        return how;
    }

    /// Nothing can be sent any more; true if it was open.
    bool close()
    {
        std::int32_t was_open = 0;
        check(shm_byte_channel_close(get(), &was_open));
        return was_open != 0;
    }

    shm_channel_state_t state() const
    {
        shm_channel_state_t state{};
        check(shm_byte_channel_state(get(), &state));
        return state;
    }

private:
    static std::string text(void *bytes, std::uint64_t length)
    {
        const std::unique_ptr<void, void (*)(void *)> keep(bytes, shm_free);
        return std::string(static_cast<const char *>(bytes), static_cast<std::size_t>(length));
    }

    template <class Take>
    std::optional<std::string> taken(Take take, shm_status_t none)
    {
        void *bytes = nullptr;
        std::uint64_t length = 0;
        if (!detail::unless(none, take(get(), &bytes, &length)))
            return std::nullopt;
        return text(bytes, length);
    }
};

/// A bounded queue of values of one plain type; Rust's `Channel` of that type is the same.
template <class T>
class channel : public detail::primitive<channel<T>, shm_channel_t, shm_channel_detach> {
    static_assert(std::is_trivially_copyable_v<T>, "items are bytes to other processes");
    using base = detail::primitive<channel<T>, shm_channel_t, shm_channel_detach>;
    using base::made;

public:
    using base::get;

    static channel create(std::uint64_t capacity, const std::string &name = "", const options &how = options())
    {
        return made([&](shm_channel_t *to) { return shm_channel_create(detail::or_null(name), how.get(), sizeof(T), capacity, to); });
    }

    static channel attach(const std::string &name)
    {
        return made([&](shm_channel_t *to) { return shm_channel_attach(name.c_str(), sizeof(T), to); });
    }

    static channel create_or_attach(std::uint64_t capacity, const std::string &name)
    {
        return made([&](shm_channel_t *to) { return shm_channel_create_or_attach(name.c_str(), sizeof(T), capacity, to); });
    }

    static channel attach_in(const segment &in, const std::string &entry)
    {
        return made([&](shm_channel_t *to) { return shm_channel_attach_in(in.get(), entry.c_str(), sizeof(T), to); });
    }

    /// In zero bytes of the caller's, a multiple of 64, which all who use it map shared.
    static channel create_at(void *address, std::uint64_t length, std::uint64_t capacity)
    {
        return made([&](shm_channel_t *to) { return shm_channel_create_at(address, length, sizeof(T), capacity, to); });
    }

    static channel attach_at(void *address, std::uint64_t length)
    {
        return made([&](shm_channel_t *to) { return shm_channel_attach_at(address, length, sizeof(T), to); });
    }

    /// How many bytes that takes.
    static std::uint64_t size_at(std::uint64_t capacity)
    {
        std::uint64_t size = 0;
        check(shm_channel_size(sizeof(T), capacity, &size));
        return size;
    }

    void send(const T &item) { check(shm_channel_send(get(), &item)); }
    bool try_send(const T &item) { return detail::unless(SHM_STATUS_FULL, shm_channel_try_send(get(), &item)); }

    template <class Rep, class Period>
    bool send_for(const T &item, const std::chrono::duration<Rep, Period> &time)
    {
        return send_until(item, std::chrono::steady_clock::now() + time);
    }

    template <class Clock, class Duration>
    bool send_until(const T &item, const std::chrono::time_point<Clock, Duration> &deadline)
    {
        return detail::unless(SHM_STATUS_TIMED_OUT, shm_channel_send_until_ns(get(), &item, detail::deadline_of(deadline)));
    }

    wait_status send_interruptible(const T &item, std::int64_t deadline_ns = SHM_FOREVER)
    {
        return detail::ended(shm_channel_send_interruptible_ns(get(), &item, deadline_ns));
    }

    /// The next item; none when the channel is closed and everything was received.
    std::optional<T> recv() { return taken(shm_channel_recv, SHM_STATUS_CLOSED); }

    /// The next item if there is one now.
    std::optional<T> try_recv() { return taken(shm_channel_try_recv, SHM_STATUS_EMPTY); }

    /// The next item if one comes in time.
    template <class Rep, class Period>
    std::optional<T> recv_for(const std::chrono::duration<Rep, Period> &time)
    {
        return recv_until(std::chrono::steady_clock::now() + time);
    }

    template <class Clock, class Duration>
    std::optional<T> recv_until(const std::chrono::time_point<Clock, Duration> &deadline)
    {
        const std::int64_t ns = detail::deadline_of(deadline);
        return taken([ns](shm_channel_t from, void *item) { return shm_channel_recv_until_ns(from, ns, item); }, SHM_STATUS_TIMED_OUT);
    }

    wait_status recv_interruptible(T &item, std::int64_t deadline_ns = SHM_FOREVER)
    {
        return detail::ended(shm_channel_recv_interruptible_ns(get(), deadline_ns, &item));
    }

    /// Nothing can be sent any more; true if it was open.
    bool close()
    {
        std::int32_t was_open = 0;
        check(shm_channel_close(get(), &was_open));
        return was_open != 0;
    }

    shm_channel_state_t state() const
    {
        shm_channel_state_t state{};
        check(shm_channel_state(get(), &state));
        return state;
    }

private:
    template <class Take>
    std::optional<T> taken(Take take, shm_status_t none)
    {
        T item{};
        if (!detail::unless(none, take(get(), &item)))
            return std::nullopt;
        return item;
    }
};

}  // namespace shm

#endif  // SHM_CHANNELS_HPP
