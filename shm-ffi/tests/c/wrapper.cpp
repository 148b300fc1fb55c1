// The C++ layer: ownership, exceptions, element types, guards.
#include <shm.hpp>

#include "check.h"

#include <mutex>
#include <numeric>
#include <shared_mutex>
#include <thread>

template <class Exception, class Call>
static shm_status_t throws(Call call)
{
    try {
        call();
    } catch (const Exception &error) {
        CHECK(std::string(error.what()).size() > 10);
        return error.status();
    }
    std::fprintf(stderr, "nothing was thrown\n");
    std::exit(1);
}

template <class T>
static void element_type(const char *what)
{
    const std::string name = unique(what);
    shm::array<T> made = shm::array<T>::create(name, {2, 3});
    made(1, 2) = T(1);
    shm::array<T> found = shm::array<T>::attach(name);
    CHECK(found(1, 2) == T(1) && found(0, 0) == T(0) && found.info().item_size == sizeof(T));
    struct other {
        char bytes[3];
    };
    shm::remove(name);
}

static void arrays()
{
    element_type<bool>("bool");
    element_type<char>("char");
    element_type<signed char>("schar");
    element_type<unsigned char>("uchar");
    element_type<short>("short");
    element_type<int>("int");
    element_type<unsigned long>("ulong");
    element_type<long long>("llong");
    element_type<float>("float");
    element_type<double>("double");
    element_type<long double>("ldouble");
    element_type<std::complex<float>>("cfloat");
    element_type<std::complex<double>>("cdouble");

    const std::string name = unique("cpp");
    auto [a, created] = shm::array<double>::create_or_attach(name, {3, 4}, shm::options().mode(0640), SHM_ORDER_F);
    CHECK(created && a.ndim() == 2 && a.shape(1) == 4 && a.stride(0) == 8 && a.stride(1) == 24 && a.size() == 12);
    CHECK(shm::inspect(name).mode == 0640);
    std::iota(a.begin(), a.end(), 0.0);
    CHECK(a(2, 1) == 5.0 && a.at(2, 1) == 5.0);
    try {
        a.at(3, 0);
        CHECK(!"out of range");
    } catch (const std::out_of_range &) {
    }
    CHECK(throws<shm::already_exists>([&] { shm::array<double>::create(name, {1}); }) == SHM_STATUS_ALREADY_EXISTS);
    CHECK(throws<shm::error>([&] { shm::array<float>::attach(name); }) == SHM_STATUS_TYPE_MISMATCH);
    CHECK(throws<shm::error>([&] { shm::array<double>::create("", {-1}); }) == SHM_STATUS_INVALID_ARGUMENT);

    shm::array<double> moved = std::move(a);
    CHECK(a.get().id == 0 && moved(2, 3) == 11.0);
    shm::array<double> again = shm::array<double>::attach(name);
    again = std::move(moved);
    again.detach();
    CHECK(throws<shm::error>([&] { again.detach(); }) == SHM_STATUS_INVALID_HANDLE);
    shm::remove(name);
    CHECK(throws<shm::not_found>([&] { shm::remove(name); }) == SHM_STATUS_NOT_FOUND);

    shm::array<int> growing = shm::array<int>::create("", {1}, shm::options().reserve_max(1 << 20));
    growing.grow(1000);
    CHECK(growing.size() >= 1000 && !growing.refresh());
    const int descriptor = growing.export_descriptor();
    shm::array<int> twin = shm::array<int>::attach_descriptor(descriptor);
    close(descriptor);
    CHECK(throws<shm::error>([&] { shm::exclusive lease(twin); }) == SHM_STATUS_BUSY);
    twin.detach();
    shm::exclusive lease(growing);
}

static void segments()
{
    const std::string name = unique("segment");
    shm::contents plan;
    plan.add_mutex("lock").add_array<float>("grid", {10}).add_bytes("notes", 100);
    {
        shm::segment segment = shm::segment::create(name, plan, shm::options().lifetime(SHM_LIFETIME_LAST_DETACH));
        shm::array<float> grid = segment.array<float>("grid");
        shm::mutex lock = shm::mutex::attach_in(segment, "lock");
        segment.detach();
        std::scoped_lock guard(lock);
        grid(9) = 1.5F;
        bool found = false;
        for (const shm_segment_info_t &info : shm::list())
            found = found || name == info.name;
        CHECK(found);
        CHECK(shm::segment::attach(name).array<float>("grid")(9) == 1.5F);
    }
    CHECK(throws<shm::not_found>([&] { shm::segment::attach(name); }) == SHM_STATUS_NOT_FOUND);
    shm::reap();
}

static void mutexes()
{
    shm::mutex mutex = shm::mutex::create();
    long sum = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; i++)
        threads.emplace_back([&] {
            for (int j = 0; j < 1000; j++) {
                std::lock_guard<shm::mutex> guard(mutex);
                sum++;
            }
        });
    for (std::thread &thread : threads)
        thread.join();
    CHECK(sum == 4000);

    std::unique_lock<shm::mutex> held(mutex);
    std::thread([&] {
        CHECK(!mutex.try_lock());
        CHECK(!mutex.try_lock_for(std::chrono::milliseconds(1)));
        CHECK(!mutex.try_lock_until(std::chrono::steady_clock::now() + std::chrono::milliseconds(1)));
        CHECK(throws<shm::error>([&] { mutex.unlock(); }) == SHM_STATUS_NOT_HELD);
    }).join();
    CHECK(throws<shm::error>([&] { mutex.lock(); }) == SHM_STATUS_DEADLOCK);
    held.unlock();

    IN_CHILD({ mutex.lock(); });
    bool mended = false;
    {
        shm::mending_guard guard(mutex, [&] { mended = true; });
        CHECK(mended);
    }
    IN_CHILD({ mutex.lock(); });
    CHECK(throws<shm::owner_died>([&] { mutex.lock(); }) == SHM_STATUS_OWNER_DIED);
    mutex.unlock();
    CHECK(throws<shm::error>([&] { mutex.lock(); }) == SHM_STATUS_POISONED);
    mutex.repair();
    mutex.recover();
    mutex.unlock();
    CHECK(mutex.try_lock());
    CHECK(throws<shm::error>([&] { mutex.detach(); }) == SHM_STATUS_LOCK_HELD);
    mutex.unlock();
}

static void other_locks()
{
    shm::recursive_mutex recursive = shm::recursive_mutex::create();
    {
        std::lock_guard<shm::recursive_mutex> outer(recursive);
        std::lock_guard<shm::recursive_mutex> inner(recursive);
    }
    CHECK(throws<shm::error>([&] { recursive.unlock(); }) == SHM_STATUS_NOT_HELD);

    shm::process_mutex process = shm::process_mutex::create();
    process.lock();
    CHECK(!process.try_lock_for(std::chrono::milliseconds(1)));
    std::thread([&] { process.unlock(); }).join(); // any thread may
    CHECK(process.try_lock());
    process.unlock();

    shm::mutex counter = shm::mutex::create("", shm::options(), sizeof(long));
    {
        std::lock_guard<shm::mutex> guard(counter);
        *static_cast<long *>(counter.value()) += 41;
    }
    IN_CHILD({
        std::lock_guard<shm::mutex> guard(counter);
        *static_cast<long *>(counter.value()) += 1;
    });
    {
        std::lock_guard<shm::mutex> guard(counter);
        CHECK(*static_cast<long *>(counter.value()) == 42);
    }
    CHECK(throws<shm::error>([&] { counter.value(); }) == SHM_STATUS_NOT_HELD);

    shm::shared_mutex shared = shm::shared_mutex::create();
    {
        std::shared_lock<shm::shared_mutex> reader(shared);
        std::thread([&] {
            CHECK(shared.try_lock_shared());
            shared.unlock_shared();
            CHECK(!shared.try_lock());
            CHECK(!shared.try_lock_for(std::chrono::milliseconds(1)));
        }).join();
    }
    {
        std::unique_lock<shm::shared_mutex> writer(shared);
        std::thread([&] { CHECK(!shared.try_lock_shared_for(std::chrono::milliseconds(1))); }).join();
        shared.downgrade();
        std::thread([&] {
            CHECK(shared.try_lock_shared_until(std::chrono::steady_clock::now()));
            shared.unlock_shared();
        }).join();
    }
    IN_CHILD({ shared.lock(); });
    bool mended = false;
    { shm::mending_guard guard(shared, [&] { mended = true; }); }
    CHECK(mended);
}

static void waiting()
{
    shm::contents plan;
    plan.add_mutex("mutex").add_recursive_mutex("recursive").add_process_mutex("process").add_shared_mutex("shared");
    plan.add_condition_variable("changed").add_semaphore("permits", 2).add_bounded_semaphore("bounded", 2);
    plan.add_event("event").add_latch("latch", 2).add_barrier("barrier", 2).add_array<int>("number", {1});
    shm::segment segment = shm::segment::create("", plan);
    shm::mutex mutex = shm::mutex::attach_in(segment, "mutex");
    (void)shm::recursive_mutex::attach_in(segment, "recursive");
    (void)shm::process_mutex::attach_in(segment, "process");
    (void)shm::shared_mutex::attach_in(segment, "shared");
    shm::condition_variable changed = shm::condition_variable::attach_in(segment, "changed");
    shm::semaphore permits = shm::semaphore::attach_in(segment, "permits");
    shm::bounded_semaphore bounded = shm::bounded_semaphore::attach_in(segment, "bounded");
    shm::event event = shm::event::attach_in(segment, "event");
    shm::latch latch = shm::latch::attach_in(segment, "latch");
    shm::barrier barrier = shm::barrier::attach_in(segment, "barrier");
    shm::array<int> number = segment.array<int>("number");

    permits.acquire();
    CHECK(permits.try_acquire() && !permits.try_acquire() && !permits.try_acquire_for(std::chrono::milliseconds(1)));
    permits.release(2);
    CHECK(permits.available() == 2);
    CHECK(throws<shm::error>([&] { bounded.release(); }) == SHM_STATUS_OVERFLOW);
    CHECK(!event.is_set() && !event.wait_for(std::chrono::milliseconds(1)));
    CHECK(!latch.try_wait() && !latch.wait_for(std::chrono::milliseconds(1)));
    CHECK(!barrier.wait_for(std::chrono::milliseconds(1)));
    {
        std::unique_lock<shm::mutex> lock(mutex);
        CHECK(!changed.wait_for(lock, std::chrono::milliseconds(1)));
        CHECK(!changed.wait_for(lock, std::chrono::milliseconds(1), [&] { return number(0) == 1; }));
    }
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        event.wait();
        latch.arrive_and_wait();
        barrier.wait();
        {
            std::lock_guard<shm::mutex> guard(mutex);
            number(0) = 1;
        }
        changed.notify_all();
        _exit(0);
    }
    event.set();
    latch.count_down();
    latch.wait();
    barrier.wait();
    {
        std::unique_lock<shm::mutex> lock(mutex);
        changed.wait(lock, [&] { return number(0) == 1; });
        CHECK(lock.owns_lock());
    }
    changed.notify_one();
    event.clear();
    int how;
    CHECK(waitpid(child, &how, 0) == child && WIFEXITED(how) && WEXITSTATUS(how) == 0);

    /* A party that dies breaks the barrier for the others, at once. */
    IN_CHILD({ barrier.join(); });
    CHECK(throws<shm::error>([&] { barrier.wait(); }) == SHM_STATUS_BROKEN);
    barrier.reset();

    const std::string name = unique("named");
    shm::semaphore created = shm::semaphore::create_or_attach(3, name);
    CHECK(shm::semaphore::attach(name).available() == 3);
    CHECK(throws<shm::error>([&] { shm::event::attach(name); }) == SHM_STATUS_MISMATCH);
    shm::remove(name);
}

int main()
{
    arrays();
    segments();
    mutexes();
    other_locks();
    waiting();
    std::puts("wrapper: all well");
    return 0;
}
