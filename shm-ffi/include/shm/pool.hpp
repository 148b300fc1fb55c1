/*
 * shm/pool.hpp: the executor: functions that forked workers call.
 *
 * A part of shm.hpp: include that one.
 */
#ifndef SHM_POOL_HPP
#define SHM_POOL_HPP

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <shm/base.hpp>

namespace shm {

namespace detail {

/// Calls what runs in a worker. An exception is the failure of its item; its text goes to standard error.
template <class Function>
std::int32_t in_worker(Function function) noexcept
{
    try {
        function();
        return 0;
    } catch (const std::exception &thrown) {
        std::fprintf(stderr, "shm: exception in a worker: %s\n", thrown.what());
    } catch (...) {
        std::fprintf(stderr, "shm: exception in a worker\n");
    }
    return 1;
}

/// Adds the bytes of a text to the result of an item.
inline void append(std::string_view text)
{
    check(shm_result_append(text.data(), text.size()));
}

}  // namespace detail

/// What a function can do while a pool calls it.
namespace worker {

/// The number of the worker, from 0 on.
inline std::uint64_t rank()
{
    std::uint64_t rank = 0;
    check(shm_worker_rank(&rank, nullptr));
    return rank;
}

/// How many workers there are; 0 if the master does the work itself.
inline std::uint64_t count()
{
    std::uint64_t rank = 0, workers = 0;
    check(shm_worker_rank(&rank, &workers));
    return workers;
}

/// Calls a function while no other worker of the run is in a critical section.
template <class Section>
void critical(Section section)
{
    detail::guarded<Section> call(section);
    call.finish(shm_worker_critical(detail::guarded<Section>::call, &call));
}

/// Calls a function in the order of the items; the pool needs SHM_POOL_ORDERED.
template <class Section>
void ordered(Section section)
{
    detail::guarded<Section> call(section);
    call.finish(shm_worker_ordered(detail::guarded<Section>::call, &call));
}

/// What this worker keeps from item to item; the pool needs `pool_options().worker_state<State>()`.
template <class State>
State &state()
{
    void *found = nullptr;
    check(shm_worker_state(&found));
    return *static_cast<State *>(found);
}

}  // namespace worker

/// How a pool is set up: shm_pool_options_t with setters.
class pool_options {
public:
    pool_options &workers(std::uint64_t workers) { return set(given_.workers, workers); }
    pool_options &retries(std::uint64_t retries) { return set(given_.retries, retries); }
    pool_options &serial_below(std::uint64_t items) { return set(given_.serial_below, items); }
    pool_options &flags(std::uint32_t flags) { return set(given_.flags, flags); }
    pool_options &schedule(shm_schedule_t schedule, std::uint64_t chunk = 0)
    {
        given_.chunk = chunk;
        return set(given_.schedule, schedule);
    }

    /// Has each worker make a State when its first item comes; `worker::state<State>()` finds it.
    template <class State>
    pool_options &worker_state()
    {
        given_.make_state = [](void *, void **state) {
            return detail::in_worker([state] { *state = new State(); });
        };
        given_.drop_state = [](void *, void *state) { delete static_cast<State *>(state); };
        return *this;
    }

    /// The struct itself, for progress, warning and fork hooks.
    shm_pool_options_t &raw() noexcept { return given_; }
    const shm_pool_options_t *get() const noexcept { return &given_; }

private:
    template <class T>
    pool_options &set(T &field, T value)
    {
        field = value;
        return *this;
    }

    shm_pool_options_t given_ = SHM_POOL_OPTIONS_INIT;
};

/// One failure of a run.
struct failure {
    shm_pool_failure_t facts;
    std::string text;
};

/// The failures of this thread's last run: why it failed, or the items that it went on without.
inline std::vector<failure> failures()
{
    std::vector<failure> found;
    for (std::uint64_t i = 0; i < shm_pool_failure_count(); i++) {
        failure one{SHM_POOL_FAILURE_INIT, ""};
        const char *text = nullptr;
        check(shm_pool_failure(i, &one.facts, &text));
        one.text = text;
        found.push_back(std::move(one));
    }
    return found;
}

/// The ranges of items that this thread's last run has left unfinished: first, and the one behind the last.
inline std::vector<std::pair<std::uint64_t, std::uint64_t>> unfinished()
{
    std::vector<std::pair<std::uint64_t, std::uint64_t>> found;
    for (std::uint64_t first = 0, end = 0; shm_pool_unfinished(found.size(), &first, &end) == SHM_STATUS_OK;)
        found.emplace_back(first, end);
    return found;
}

/// A call in a forked child, whose result is awaited. When this goes, a child that has not ended is killed.
class background {
public:
    shm_background_t get() const noexcept { return handle_.get(); }

    /// What the function has returned, when it has. Its failure, and the child's death, are an error.
    std::string wait() const
    {
        void *bytes = nullptr;
        std::uint64_t length = 0;
        check(shm_background_wait(handle_.get(), &bytes, &length));
        const std::unique_ptr<void, void (*)(void *)> keep(bytes, shm_free);
        return std::string(static_cast<const char *>(bytes), static_cast<std::size_t>(length));
    }

    /// Whether it has ended, in whichever way.
    bool is_finished() const { return shm_background_try_wait(handle_.get(), nullptr, nullptr) != SHM_STATUS_BUSY; }

    /// Whether it has ended in time. Its failure is an error.
    template <class Rep, class Period>
    bool wait_for(const std::chrono::duration<Rep, Period> &time) const
    {
        return detail::unless(SHM_STATUS_TIMED_OUT, shm_background_wait_timeout_ns(handle_.get(), detail::nanoseconds(time), nullptr, nullptr));
    }

    template <class Clock, class Duration>
    bool wait_until(const std::chrono::time_point<Clock, Duration> &deadline) const
    {
        return detail::unless(SHM_STATUS_TIMED_OUT, shm_background_wait_until_ns(handle_.get(), detail::deadline_of(deadline), nullptr, nullptr));
    }

    void kill() const { check(shm_background_kill(handle_.get())); }

    /// The child's process id; -1 if there is none any more.
    std::int64_t pid() const
    {
        std::int64_t pid = -1;
        check(shm_background_pid(handle_.get(), &pid));
        return pid;
    }

private:
    friend class pool;
    background() = default;

    /// What the child calls, also if it has to be forked again. It goes after the handle.
    std::shared_ptr<void> function_;
    owned<shm_background_t, shm_background_free> handle_;
};

/// Workers that were forked once, for a function from T to R, and serve map after map.
template <class T, class R>
class kept {
    static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_copyable_v<R>, "items and results are sent as bytes");

public:
    shm_kept_t get() const noexcept { return handle_.get(); }

    /// The results in the order of the items; those of items that were skipped are zero.
    std::vector<R> map(const std::vector<T> &items)
    {
        std::vector<R> results(items.size());
        check(shm_kept_map(handle_.get(), items.data(), sizeof(T), items.size(), results.data(), sizeof(R)));
        return results;
    }

    std::uint64_t worker_count() const
    {
        std::uint64_t workers = 0;
        check(shm_kept_worker_count(handle_.get(), &workers));
        return workers;
    }

    std::int64_t pid(std::uint64_t rank) const
    {
        std::int64_t pid = -1;
        check(shm_kept_pid(handle_.get(), rank, &pid));
        return pid;
    }

private:
    friend class pool;
    kept() = default;

    /// What workers call, also those that replace others. It goes after the handle.
    std::shared_ptr<void> function_;
    owned<shm_kept_t, shm_kept_free> handle_;
};

/// The same for a function from texts to texts.
class kept_texts {
public:
    shm_kept_t get() const noexcept { return handle_.get(); }

    /// The results in the order of the items; those of items that were skipped are empty.
    std::vector<std::string> map(const std::vector<std::string> &items)
    {
        std::vector<shm_bytes_t> given;
        for (const std::string &item : items)
            given.push_back({item.data(), item.size()});
        std::vector<std::string> results(items.size());
        check(shm_kept_map_bytes(handle_.get(), given.data(), given.size(),
                                 [](void *to, std::uint64_t item, const void *bytes, std::uint64_t length) {
                                     return detail::in_worker([&] {
                                         std::string &result = (*static_cast<std::vector<std::string> *>(to))[static_cast<std::size_t>(item)];
                                         result.assign(static_cast<const char *>(bytes), static_cast<std::size_t>(length));
                                     });
                                 },
                                 &results));
        return results;
    }

private:
    friend class pool;
    kept_texts() = default;

    std::shared_ptr<void> function_;
    owned<shm_kept_t, shm_kept_free> handle_;
};

/// A pool of worker processes. An exception in a function that they call is the failure of its item.
class pool {
public:
    explicit pool(const pool_options &how = pool_options()) { check(shm_pool_create(how.get(), handle_.put())); }

    shm_pool_t get() const noexcept { return handle_.get(); }

    /// How many workers a run has; 0 means that everything runs in the calling thread.
    std::uint64_t worker_count() const
    {
        std::uint64_t workers = 0;
        check(shm_pool_worker_count(handle_.get(), &workers));
        return workers;
    }

    /// Calls `work(item)` for each number from `first` to before `end`: a parallel loop, whose results go to shared memory.
    template <class Work>
    void for_each(std::uint64_t first, std::uint64_t end, Work work) const
    {
        check(shm_pool_for(handle_.get(), first, end, [](void *user, std::uint64_t item) {
            return detail::in_worker([&] { (*static_cast<Work *>(user))(item); });
        }, &work));
    }

    /// Collects `R work(item)` for each number from 0 on; the results of items that were skipped are zero.
    template <class R, class Work>
    std::vector<R> map(std::uint64_t items, Work work) const
    {
        static_assert(std::is_trivially_copyable_v<R>, "results are sent as bytes");
        std::vector<R> results(static_cast<std::size_t>(items));
        check(shm_pool_map(handle_.get(), items, [](void *user, std::uint64_t item, void *result) {
            return detail::in_worker([&] {
                const R made = (*static_cast<Work *>(user))(item);
                std::memcpy(result, &made, sizeof made);
            });
        }, &work, sizeof(R), results.data()));
        return results;
    }

    /// Calls `std::string work(item)` for each number from 0 on in workers, and `reduce(item, text)` here as results arrive. What `reduce` throws ends
    /// the run, and is thrown here.
    template <class Work, class Reduce>
    void map_reduce(std::uint64_t items, Work work, Reduce reduce) const
    {
        reducing<Reduce> call{reduce, nullptr};
        const shm_status_t status = shm_pool_map_bytes(handle_.get(), items, [](void *user, std::uint64_t item) {
            return detail::in_worker([&] { detail::append((*static_cast<Work *>(user))(item)); });
        }, &work, reducing<Reduce>::call, &call);
        if (call.thrown)
            std::rethrow_exception(call.thrown);
        check(status);
    }

    /// Calls `std::string work()` in a forked child.
    template <class Work>
    shm::background background(Work work) const
    {
        shm::background one;
        const auto function = std::make_shared<Work>(std::move(work));
        check(shm_pool_background(handle_.get(), [](void *user) {
            return detail::in_worker([&] { detail::append((*static_cast<Work *>(user))()); });
        }, function.get(), one.handle_.put()));
        one.function_ = function;
        return one;
    }

    /// Forks workers for `R work(const T &)` now, and keeps them for many maps.
    template <class T, class R, class Work>
    shm::kept<T, R> keep(Work work) const
    {
        shm::kept<T, R> workers;
        const auto function = std::make_shared<Work>(std::move(work));
        check(shm_pool_keep(handle_.get(), [](void *user, const void *item, std::uint64_t) {
            return detail::in_worker([&] {
                T given;
                std::memcpy(&given, item, sizeof given);
                const R made = (*static_cast<Work *>(user))(static_cast<const T &>(given));
                check(shm_result_append(&made, sizeof made));
            });
        }, function.get(), workers.handle_.put()));
        workers.function_ = function;
        return workers;
    }

    /// The same for `std::string work(std::string_view)`.
    template <class Work>
    kept_texts keep_texts(Work work) const
    {
        kept_texts workers;
        const auto function = std::make_shared<Work>(std::move(work));
        check(shm_pool_keep(handle_.get(), [](void *user, const void *item, std::uint64_t length) {
            return detail::in_worker([&] {
                const std::string_view given(static_cast<const char *>(item), static_cast<std::size_t>(length));
                detail::append((*static_cast<Work *>(user))(given));
            });
        }, function.get(), workers.handle_.put()));
        workers.function_ = function;
        return workers;
    }

private:
    template <class Reduce>
    struct reducing {
        Reduce &reduce;
        std::exception_ptr thrown;

        static std::int32_t call(void *self, std::uint64_t item, const void *bytes, std::uint64_t length)
        {
            reducing &me = *static_cast<reducing *>(self);
            try {
                me.reduce(item, std::string_view(static_cast<const char *>(bytes), static_cast<std::size_t>(length)));
                return 0;
            } catch (...) {
                me.thrown = std::current_exception();
                return 1;
            }
        }
    };

    owned<shm_pool_t, shm_pool_free> handle_;
};

}  // namespace shm

#endif  // SHM_POOL_HPP
