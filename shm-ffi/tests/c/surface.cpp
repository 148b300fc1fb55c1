// The rest of the C++ layer: turns, channels, a once, every form of waiting, primitives beside an array's data, and the executor.
#include <shm.hpp>

#include "check.h"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <sys/mman.h>
#include <sys/time.h>
#include <thread>

using namespace std::chrono_literals;

template <class Call>
static shm_status_t status_of(Call call)
{
    try {
        call();
    } catch (const shm::error &error) {
        CHECK(std::string(error.what()).size() > 10);
        return error.status();
    }
    return SHM_STATUS_OK;
}

/// Makes a primitive beside the data of an array, attaches it again, and lets both be used.
template <class Primitive, class Make, class Attach, class Use>
static void beside(std::uint64_t size, Make make, Attach attach, Use use)
{
    static shm::array<unsigned char> array = shm::array<unsigned char>::create("", {65536});
    std::fill(array.begin(), array.end(), static_cast<unsigned char>(0));
    CHECK(size >= 64 && size < 65536);
    Primitive made = make(array.data() + 4096, size);
    Primitive found = attach(array.data() + 4096, size);
    CHECK(status_of([&] { make(array.data() + 4096, size); }) == SHM_STATUS_IN_USE);
    CHECK(status_of([&] { make(array.data() + 4097, size); }) == SHM_STATUS_MISALIGNED);
    use(made, found);
}

#define BESIDE(Type, SIZE, MAKE, ATTACH, ...)                                                             \
    beside<Type>(SIZE, [](void *at, std::uint64_t length) { return MAKE; },                               \
                 [](void *at, std::uint64_t length) { return ATTACH; }, [](Type &a, Type &b) __VA_ARGS__)

template <class Lock>
static void take_and_give(Lock &a, Lock &b)
{
    CHECK(a.lock_interruptible() == shm::wait_status::done);
    std::thread([&] {
        CHECK(!b.try_lock() && !b.try_lock_for(1ms) && !b.try_lock_until(std::chrono::system_clock::now() + 1ms));
        CHECK(b.lock_interruptible(0) == shm::wait_status::timed_out);
    }).join();
    a.unlock();
    CHECK(b.try_lock_until(std::chrono::steady_clock::now()) && status_of([&] { b.detach(); }) == SHM_STATUS_LOCK_HELD);
    b.unlock();
}

/// What a once is told after a death, in each form of waiting; `a` and `b` are the same one, not done yet.
static void forced_forms(shm::once &a, shm::once &b)
{
    int calls = 0;
    const auto fails = [&](auto form) {
        try {
            form([&](bool died) {
                CHECK(died == (calls++ > 0));
                throw std::domain_error("not this time either");
            });
            CHECK(!"nothing came out");
        } catch (const std::domain_error &) {
        }
        CHECK(!a.is_completed());
    };
    fails([&](auto run) { a.call_force(run); });
    fails([&](auto run) { a.try_call_force(run); });
    fails([&](auto run) { a.call_force_for(run, 1ms); });
    fails([&](auto run) { a.call_force_until(run, std::chrono::system_clock::now()); });
    fails([&](auto run) { a.call_force_interruptible(run); });
    CHECK(calls == 5);

    // Somebody else is at it. The signals of the timer are for this thread, which waits in vain.
    struct sigaction action {};
    action.sa_handler = [](int) {};
    CHECK(sigaction(SIGALRM, &action, nullptr) == 0);
    sigset_t alarm;
    sigemptyset(&alarm);
    sigaddset(&alarm, SIGALRM);
    CHECK(pthread_sigmask(SIG_BLOCK, &alarm, nullptr) == 0);
    shm::event is_running = shm::event::create();
    shm::event may_end = shm::event::create();
    std::thread runner([&] {
        a.call_force([&](bool died) {
            CHECK(died);
            is_running.set();
            may_end.wait();
        });
    });
    is_running.wait();
    CHECK(pthread_sigmask(SIG_UNBLOCK, &alarm, nullptr) == 0);
    const auto never = [&](bool) { calls = 100; };
    CHECK(!b.try_call_force(never) && !b.call_force_for(never, 1ms) && !b.call_force_until(never, std::chrono::steady_clock::now()));
    CHECK(b.call_force_interruptible(never, 0) == shm::wait_status::timed_out);
    const itimerval often{{0, 5000}, {0, 5000}};
    const itimerval off{};
    CHECK(setitimer(ITIMER_REAL, &often, nullptr) == 0);
    CHECK(b.call_force_interruptible(never) == shm::wait_status::interrupted);
    CHECK(setitimer(ITIMER_REAL, &off, nullptr) == 0);
    may_end.set();
    runner.join();
    CHECK(b.try_call_force(never) && b.call_force_for(never, 1ms) && b.call_force_interruptible(never) == shm::wait_status::done);
    CHECK(calls == 5);
}

static void places()
{
    using shm::mutex;
    BESIDE(mutex, mutex::size_at(8), mutex::create_at(at, length, 8), mutex::attach_at(at, length, 8), { take_and_give(a, b); });
    using shm::shared_mutex;
    BESIDE(shared_mutex, shared_mutex::size_at(), shared_mutex::create_at(at, length), shared_mutex::attach_at(at, length), {
        CHECK(a.lock_shared_interruptible() == shm::wait_status::done);
        std::thread([&] {
            CHECK(b.try_lock_shared_for(0ms));
            b.unlock_shared();
            CHECK(!b.try_lock_for(1ms) && !b.try_lock_until(std::chrono::steady_clock::now()));
        }).join();
        a.unlock_shared();
        CHECK(a.lock_interruptible() == shm::wait_status::done);
        std::thread([&] { CHECK(b.lock_shared_interruptible(0) == shm::wait_status::timed_out); }).join();
        a.unlock();
    });
    using shm::recursive_mutex;
    BESIDE(recursive_mutex, recursive_mutex::size_at(), recursive_mutex::create_at(at, length), recursive_mutex::attach_at(at, length), {
        a.lock();
        CHECK(a.try_lock_for(1ms));
        std::thread([&] { CHECK(!b.try_lock()); }).join();
        a.unlock();
        a.unlock();
    });
    using shm::process_mutex;
    BESIDE(process_mutex, process_mutex::size_at(), process_mutex::create_at(at, length), process_mutex::attach_at(at, length), {
        CHECK(a.holder() == 0);
        a.lock();
        CHECK(b.holder() == static_cast<std::uint32_t>(getpid()) && !b.try_lock_for(1ms));
        b.unlock();
    });
    using shm::condition_variable;
    BESIDE(condition_variable, condition_variable::size_at(), condition_variable::create_at(at, length), condition_variable::attach_at(at, length), {
        shm::mutex guard = shm::mutex::create(), other = shm::mutex::create();
        std::unique_lock<shm::mutex> lock(guard);
        CHECK(!a.wait_until(lock, std::chrono::steady_clock::now() + 1ms));
        CHECK(a.wait_interruptible(lock, 0) == shm::wait_status::timed_out);
        int changed = 0;
        std::thread waits([&] {
            std::unique_lock<shm::mutex> there(guard);
            changed = 1;
            b.wait(there, [&] { return changed == 2; });
        });
        while (changed == 0) { // with the mutex free, it waits
            lock.unlock();
            std::this_thread::yield();
            lock.lock();
        }
        {
            std::unique_lock<shm::mutex> wrong(other);
            CHECK(status_of([&] { a.wait(wrong); }) == SHM_STATUS_INVALID_ARGUMENT);
            CHECK(wrong.owns_lock()); // and it does: leaving the scope unlocks it
        }
        CHECK(other.try_lock());
        other.unlock();
        changed = 2;
        lock.unlock();
        a.notify_n(1);
        waits.join();
    });
    using shm::semaphore;
    BESIDE(semaphore, semaphore::size_at(2), semaphore::create_at(at, length, 2), semaphore::attach_at(at, length), {
        CHECK(a.acquire_interruptible() == shm::wait_status::done && b.try_acquire_until(std::chrono::steady_clock::now()));
        CHECK(!a.try_acquire_for(1ms) && a.acquire_interruptible(0) == shm::wait_status::timed_out);
        b.release(2);
    });
    using shm::bounded_semaphore;
    BESIDE(bounded_semaphore, bounded_semaphore::size_at(2), bounded_semaphore::create_at(at, length, 2), bounded_semaphore::attach_at(at, length), {
        CHECK(a.bound() == 2 && a.try_acquire() && b.available() == 1);
        b.release();
    });
    using shm::event;
    BESIDE(event, event::size_at(), event::create_at(at, length), event::attach_at(at, length), {
        CHECK(!a.try_wait() && !a.wait_for(1ms) && !a.wait_until(std::chrono::system_clock::now()));
        CHECK(a.wait_interruptible(0) == shm::wait_status::timed_out);
        b.set();
        CHECK(a.try_wait() && a.wait_interruptible() == shm::wait_status::done);
    });
    using shm::latch;
    BESIDE(latch, latch::size_at(2), latch::create_at(at, length, 2), latch::attach_at(at, length), {
        a.count_down();
        CHECK(b.remaining() == 1 && b.parties() == 2 && a.wait_interruptible(0) == shm::wait_status::timed_out);
        b.arrive_and_wait();
        CHECK(a.wait_until(std::chrono::steady_clock::now()));
    });
    using shm::barrier;
    BESIDE(barrier, barrier::size_at(1), barrier::create_at(at, length, 1), barrier::attach_at(at, length), {
        int calls = 0;
        a.wait_with([&] { calls++; });
        CHECK(calls == 1 && b.try_wait() && b.wait_for(1ms) && b.wait_until(std::chrono::steady_clock::now()));
        CHECK(b.wait_interruptible() == shm::wait_status::done && a.state().parties == 1 && a.state().is_broken == 0);
        try {
            a.wait_with([] { throw std::runtime_error("thrown in the middle"); });
            CHECK(!"nothing came out");
        } catch (const std::runtime_error &error) {
            CHECK(std::string(error.what()) == "thrown in the middle");
        }
        CHECK(status_of([&] { b.wait(); }) == SHM_STATUS_BROKEN);
        b.reset();
        b.wait();
    });
    using shm::once;
    BESIDE(once, once::size_at(), once::create_at(at, length), once::attach_at(at, length), {
        int calls = 0;
        try {
            a.call([] { throw std::out_of_range("not this time"); });
            CHECK(!"nothing came out");
        } catch (const std::out_of_range &) {
        }
        CHECK(status_of([&] { b.call([&] { calls++; }); }) == SHM_STATUS_RUNNER_DIED && calls == 0);
        CHECK(!a.is_completed());
        b.call_force([&](bool died) { calls += died ? 10 : 1; });
        CHECK(calls == 10 && a.is_completed() && a.try_call([&] { calls++; }) && a.call_for([&] { calls++; }, 1ms));
        CHECK(a.call_interruptible([&] { calls++; }) == shm::wait_status::done);
        CHECK(a.call_force_until([&](bool) { calls++; }, std::chrono::steady_clock::now()));
        a.call([&] { calls++; });
        CHECK(calls == 10);
    });
    BESIDE(once, once::size_at(), once::create_at(at, length), once::attach_at(at, length), { forced_forms(a, b); });
    using shm::sequencer;
    BESIDE(sequencer, sequencer::size_at(), sequencer::create_at(at, length, 7), sequencer::attach_at(at, length), {
        CHECK(!b.try_turn(8) && !b.turn_for(8, 1ms) && b.turn_interruptible(8, 0) == shm::wait_status::timed_out);
        a.turn(7);
        CHECK(a.state().first == 7 && !a.state().second);
        a.end();
        CHECK(b.turn_until(8, std::chrono::steady_clock::now()));
        b.end();
        a.skip(9);
        IN_CHILD({ a.turn(10); });
        CHECK(b.state().second && status_of([&] { b.turn(11); }) == SHM_STATUS_BROKEN);
        b.recover(10);
        b.end();
        b.reset(0);
    });
    using shm::byte_channel;
    BESIDE(byte_channel, byte_channel::size_at(16), byte_channel::create_at(at, length, 16), byte_channel::attach_at(at, length), {
        CHECK(!b.try_recv() && !b.recv_for(1ms) && !b.recv_until(std::chrono::steady_clock::now()));
        a.send("a message");
        CHECK(!a.send_for("a second", 1ms) && a.send_interruptible("a second", 0) == shm::wait_status::timed_out);
        CHECK(*b.recv() == "a message");
        std::string text;
        CHECK(a.try_send("") && b.recv_interruptible(text) == shm::wait_status::done && text.empty());
        CHECK(b.recv_interruptible(text, 0) == shm::wait_status::timed_out && a.state().messages == 0);
        CHECK(a.close() && !b.close() && !b.recv() && status_of([&] { a.send("x"); }) == SHM_STATUS_CLOSED);
    });
    using points = shm::channel<std::array<double, 2>>;
    BESIDE(points, points::size_at(2), points::create_at(at, length, 2), points::attach_at(at, length), {
        CHECK(!b.try_recv() && !b.recv_for(1ms));
        a.send({1.0, 2.0});
        CHECK(a.try_send({3.0, 4.0}) && !a.try_send({5.0, 6.0}) && !a.send_for({5.0, 6.0}, 1ms));
        CHECK(a.send_interruptible({5.0, 6.0}, 0) == shm::wait_status::timed_out && a.state().messages == 2);
        std::array<double, 2> point{};
        CHECK((*b.recv())[1] == 2.0 && b.recv_interruptible(point) == shm::wait_status::done && point[0] == 3.0);
        CHECK(a.close() && !b.recv());
    });
}

static void more_of_arrays()
{
    const std::string name = unique("more");
    shm::contents plan;
    plan.add_once("once").add_sequencer("turns", 3).add_byte_channel("texts", 100).add_channel<long>("numbers", 4);
    plan.add_array<double>("grid", {4, 4}).add_bytes("notes", 10);
    {
        shm::segment segment = shm::segment::create(name, plan);
        CHECK(segment.entry("grid").kind != segment.entry("notes").kind && segment.entry(0).length > 0);
        CHECK(status_of([&] { segment.entry(99); }) == SHM_STATUS_NO_SUCH_ENTRY);
        CHECK(shm::sequencer::attach_in(segment, "turns").state().first == 3);
        shm::once::attach_in(segment, "once").call([] {});
        shm::byte_channel::attach_in(segment, "texts").send("there");
        shm::channel<long>::attach_in(segment, "numbers").send(5);
        CHECK(status_of([&] { shm::channel<int>::attach_in(segment, "numbers"); }) == SHM_STATUS_MISMATCH);
        const int descriptor = segment.export_descriptor();
        shm::segment twin = shm::segment::attach_descriptor(descriptor);
        close(descriptor);
        CHECK(*shm::channel<long>::attach_in(twin, "numbers").recv() == 5);
        CHECK(twin.generation() == segment.generation());
        twin.prefault();
        twin.advise(SHM_ADVICE_SEQUENTIAL);
        if (status_of([&] { twin.lock_memory(); }) == SHM_STATUS_OK)
            twin.unlock_memory();
        shm::array<double> grid = segment.array<double>("grid");
        CHECK(grid.record().empty() && grid.segment().info().entries == 6);
        twin.sync();
    }
    bool found = false;
    const shm::segment_list all;
    for (std::uint64_t i = 0; i < all.size(); i++)
        if (name == all.segment(i).name) {
            found = true;
            CHECK(all.entry(i, 0).length > 0);
            CHECK(status_of([&] { all.entry(i, 99); }) == SHM_STATUS_NO_SUCH_ENTRY);
            CHECK(status_of([&] { all.array(i); }) == SHM_STATUS_OK); // the only array among several things
        }
    CHECK(found);
    shm::remove(name);
    try {
        shm::array<int>::attach("file:///no/such/folder/at/all");
        CHECK(!"it was attached");
    } catch (const shm::error &error) {
        CHECK(error.system_errno() == 0 || error.system_errno() == ENOENT);
    }
}

struct counter {
    long items = 0;
};

static void executor(std::uint64_t workers)
{
    struct shared {
        long sum, order[20], next;
    };
    void *memory = mmap(nullptr, sizeof(shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    shared &all = *static_cast<shared *>(memory);
    shm::pool_options how;
    how.workers(workers).flags(SHM_POOL_THREADS_OK | (workers == 0 ? SHM_POOL_SERIAL : 0U));
    const shm::pool pool(how);
    CHECK(pool.worker_count() == workers);
    const long factor = 3;
    pool.for_each(100, 200, [&](std::uint64_t item) {
        CHECK(shm::worker::count() == workers && (workers == 0 || shm::worker::rank() < workers));
        shm::worker::critical([&] { all.sum += factor * static_cast<long>(item); });
    });
    CHECK(all.sum == 3 * (100 + 199) * 50);
    const std::vector<double> roots = pool.map<double>(50, [](std::uint64_t item) { return static_cast<double>(item) / 2; });
    CHECK(roots.size() == 50 && roots[49] == 24.5);
    std::size_t total = 0;
    pool.map_reduce(10, [](std::uint64_t item) { return std::string(item, 'x'); },
                    [&](std::uint64_t item, std::string_view text) {
                        CHECK(text.size() == item);
                        total += text.size();
                    });
    CHECK(total == 45);
    try {
        pool.map_reduce(10, [](std::uint64_t) { return std::string(); },
                        [](std::uint64_t, std::string_view) { throw std::domain_error("enough"); });
        CHECK(!"nothing came out");
    } catch (const std::domain_error &) {
    }
    // An exception is the failure of its item.
    const int saved = dup(2);
    CHECK(freopen("/dev/null", "w", stderr) != nullptr);
    const shm_status_t thrown = status_of([&] {
        pool.for_each(10, 20, [](std::uint64_t item) {
            if (item == 15)
                throw std::runtime_error("fifteen");
        });
    });
    fflush(stderr);
    CHECK(dup2(saved, 2) == 2);
    close(saved);
    CHECK(thrown == SHM_STATUS_CALLBACK_FAILED);
    const std::vector<shm::failure> why = shm::failures();
    CHECK(why.size() == 1 && why[0].facts.item == 15 && why[0].text.find("item 15") != std::string::npos);
    const auto left = shm::unfinished();
    CHECK(!left.empty() && left[0].first <= 15 && 15 < left[0].second);

    how.worker_state<counter>();
    const shm::pool with_state(how);
    const std::vector<long> counts = with_state.map<long>(20, [](std::uint64_t) { return ++shm::worker::state<counter>().items; });
    CHECK(*std::max_element(counts.begin(), counts.end()) >= (workers == 0 ? 20 : 1));
    shm::pool_options in_turn;
    in_turn.workers(workers).flags(SHM_POOL_ORDERED | (workers == 0 ? SHM_POOL_SERIAL : 0U)).schedule(SHM_SCHEDULE_DYNAMIC, 2).retries(1).serial_below(1);
    shm::pool(in_turn).for_each(0, 20, [&](std::uint64_t item) {
        shm::worker::ordered([&] { all.order[all.next++] = static_cast<long>(item); });
    });
    for (long i = 0; i < 20; i++)
        CHECK(all.order[i] == i);

    const std::string word = "world";
    shm::background greeting = pool.background([word] { return "hello " + word; });
    CHECK(greeting.wait() == "hello world" && greeting.wait() == "hello world" && greeting.is_finished());
    CHECK(greeting.pid() == -1 && greeting.wait_for(0s));
    if (workers > 0) {
        shm::background endless = pool.background([]() -> std::string {
            for (;;)
                pause();
        });
        CHECK(!endless.is_finished() && !endless.wait_for(1ms) && !endless.wait_until(std::chrono::steady_clock::now()) && endless.pid() > 0);
        endless.kill();
        CHECK(status_of([&] { endless.wait(); }) == SHM_STATUS_WORKER_DIED);
        shm::background dropped = pool.background([]() -> std::string {
            for (;;)
                pause();
        });
    }
    shm::kept<int, double> halves = pool.keep<int, double>([factor](const int &item) { return static_cast<double>(factor) * item / 2; });
    CHECK(halves.worker_count() == workers && (workers == 0 || halves.pid(0) > 0));
    for (int run = 0; run < 3; run++) {
        const std::vector<double> found = halves.map({run, 2, 3});
        CHECK(found[0] == 1.5 * run && found[2] == 4.5);
    }
    shm::kept_texts loud = pool.keep_texts([](std::string_view text) { return std::string(text) + "!"; });
    CHECK((loud.map({"a", "", "ccc"}) == std::vector<std::string>{"a!", "!", "ccc!"}));
    CHECK(munmap(memory, sizeof(shared)) == 0);
}

int main()
{
    places();
    more_of_arrays();
    executor(0);
    if (can_watch_processes())
        executor(2);
    std::puts("surface: all well");
    return 0;
}
