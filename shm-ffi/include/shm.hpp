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

#include <shm/arrays.hpp>
#include <shm/base.hpp>
#include <shm/channels.hpp>
#include <shm/locks.hpp>
#include <shm/pool.hpp>
#include <shm/signals.hpp>

#endif  // SHM_HPP
