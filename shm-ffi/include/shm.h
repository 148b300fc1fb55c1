/*
 * shm.h: arrays, locks and workers in shared memory. For C99 and later, and for C++17 and later (shm.hpp is nicer there).
 *
 * Made from the sources of the crate shm-ffi by `cargo xtask header`; do not edit.
 *
 * What holds for all functions
 * - They return a status. SHM_STATUS_OK is 0; the text of what went wrong is shm_last_error() of the same thread. After an error nothing has
 *   changed, and results are zero. SHM_STATUS_OWNER_DIED alone is news and no error: the lock is held.
 * - Handles are structs by value. Every call checks them: one that is zero, was given back, was never made or is of another kind gives a
 *   status. Each that was received is given back by the _detach (or _free) of its kind, once; the end of the process does the same.
 * - Pointers may be NULL only where the text says so; NULL gives SHM_STATUS_INVALID_ARGUMENT. Otherwise they point to memory that is large
 *   enough and that nobody changes during the call; texts are UTF-8 with a zero byte at the end.
 * - Structs that may grow in later versions begin with their size: begin with their SHM_..._INIT.
 * - A forked child may go on with the handles of its parent; where it may not, the text says so. Functions that take handles are not for
 *   signal handlers, and a callback does not leave by longjmp.
 */

#ifndef SHM_H
#define SHM_H

#include <stddef.h>
#include <stdint.h>

// Flag: the pages of a new segment are allocated at first touch. Creation is quick, and a touch is a SIGBUS when memory has run out.
#define SHM_SPARSE 1

// Flag: all pages are entered into this process's page table at once.
#define SHM_PREFAULT 2

// Flag: huge pages are asked for, where the kernel has them for shared memory.
#define SHM_HUGE_PAGES 4

// Flag: the pages are kept in memory; an error if the process may not lock that much.
#define SHM_LOCK_MEMORY 8

// Flag: segments of other users are attached too. Their owners can change every byte at any time.
#define SHM_ANY_OWNER 16

// Element code: signed integer; 8, 16, 32 or 64 bits.
#define SHM_TYPE_INT 0

// Element code: unsigned integer; 8, 16, 32 or 64 bits.
#define SHM_TYPE_UINT 1

// Element code: IEEE float; 16, 32 or 64 bits.
#define SHM_TYPE_FLOAT 2

// Element code: bfloat16; 16 bits.
#define SHM_TYPE_BFLOAT 4

// Element code: complex of two IEEE floats; 64 or 128 bits.
#define SHM_TYPE_COMPLEX 5

// Element code: truth value in one byte; 8 bits.
#define SHM_TYPE_BOOL 6

// Added to the five codes of numbers above: each number's bytes are in big-endian order.
#define SHM_TYPE_BIG_ENDIAN 128

// Element code: `count` bytes, padded with zeros; 8 bits.
#define SHM_TYPE_BYTES 160

// Element code: text of `count` code points in 4 bytes each, padded with zeros; 32 bits. 162 is big-endian.
#define SHM_TYPE_TEXT 161

// Element code: point in time as steps of `count` units since 1970; 64 bits. 164 is big-endian.
#define SHM_TYPE_DATETIME 163

// Element code: span of time in steps of `count` units; 64 bits. 166 is big-endian.
#define SHM_TYPE_TIMESPAN 165

// Element code: `count` bytes without a meaning; 8 bits.
#define SHM_TYPE_OPAQUE 167

// Element code: record, with its description (FORMAT.md, section 3.3); 8 bits.
#define SHM_TYPE_RECORD 168

// Element code: x87 extended float in 16 bytes, x86-64's `long double`; 128 bits. 170 is complex, with 0 bits.
#define SHM_TYPE_X87 169

// Element code: IEEE binary128, aarch64's `long double`; 128 bits. 172 is complex, with 0 bits.
#define SHM_TYPE_QUAD 171

// The most dimensions that an array can have.
#define SHM_MAX_DIMENSIONS 64

// Flag of an array: its elements lie in C order without gaps.
#define SHM_ARRAY_C_CONTIGUOUS 1

// Flag of an array: its elements lie in Fortran order without gaps.
#define SHM_ARRAY_F_CONTIGUOUS 2

// Flag of an array: it is attached for reading and writing what everybody sees.
#define SHM_ARRAY_WRITABLE 4

// Flag of an array: it can grow along its first dimension.
#define SHM_ARRAY_GROWS 8

// Bytes for the name of a segment in a description, the zero byte included.
#define SHM_NAME_SIZE 4104

// Bytes for the name of an entry in a description, the zero byte included.
#define SHM_ENTRY_NAME_SIZE 256

// Bytes for a remark in a description, the zero byte included.
#define SHM_REMARK_SIZE 256

// Flag of a segment: somebody is attached.
#define SHM_SEGMENT_ATTACHED 1

// Flag of a segment: somebody has its exclusive lease.
#define SHM_SEGMENT_LEASED 2

// Flag of a segment: its pages are there for certain. Without it `remark` says why a touch might fail with SIGBUS.
#define SHM_SEGMENT_GUARANTEED 4

// Flag of a segment: it can grow.
#define SHM_SEGMENT_GROWS 8

// As a timeout or a deadline: as long as it takes.
#define SHM_FOREVER INT64_MAX

// Flag of a pool: `shm_worker_ordered` may be called, and its sections run in the order of the items.
#define SHM_POOL_ORDERED 1

// Flag of a pool: a run goes on without the items that failed; `shm_pool_failure` tells of them.
#define SHM_POOL_SKIP_FAILED 2

// Flag of a pool: no warning when the process that forks has several threads.
#define SHM_POOL_THREADS_OK 4

// Flag of a pool: everything runs in the calling thread, without workers (for debugging).
#define SHM_POOL_SERIAL 8

// What a function returns: `SHM_STATUS_OK`, or why it did nothing (`SHM_STATUS_OWNER_DIED` alone comes with what was asked for).
//
// Newer versions of the library may return numbers that an older header does not name; `shm_status_name` knows them.
typedef int32_t shm_status_t;

// When a segment ends without being deleted.
typedef int32_t shm_lifetime_t;

// How a segment is mapped.
typedef int32_t shm_access_t;

// How a segment is created or attached. Zero in every field but `size` is the default; `SHM_OPTIONS_INIT` is that.
typedef struct shm_options_t {
    // `sizeof(shm_options_t)`.
    uint64_t size;
    // Permission bits of a new segment, whatever the umask says; 0 means 0600.
    uint32_t mode;
    // When a new segment ends.
    shm_lifetime_t lifetime;
    // How it is mapped when attached. A new segment is always read-write.
    shm_access_t access;
    // `SHM_SPARSE` and others, or-ed.
    uint32_t flags;
    // Alignment of a new segment's first entry, in every process: a power of two up to 2^40; 0 means that of pages.
    uint64_t alignment;
    // Bytes that a new segment may grow to, header included; 0 means that it cannot grow.
    uint64_t reserve_max;
} shm_options_t;

// A handle of a plan for a segment. Zero is no handle.
//
// Several arrays and the locks that belong to them may share a segment, each under a name of its own. The last entry is the one that grows
// when the segment has room to grow.
typedef struct shm_contents_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_contents_t;

// A handle of an attached segment. Zero is no handle.
typedef struct shm_segment_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_segment_t;

// What a segment is for.
typedef int32_t shm_segment_kind_t;

// What is known about the life of a process.
typedef int32_t shm_liveness_t;

// What is known about a segment from outside. Begin with `SHM_SEGMENT_INFO_INIT`.
typedef struct shm_segment_info_t {
    // `sizeof(shm_segment_info_t)`.
    uint64_t size;
    // Bytes that it has now, header included.
    uint64_t length;
    // Bytes that it may grow to.
    uint64_t capacity;
    // When it was created, in nanoseconds since 1970.
    int64_t created_at;
    // Number of entries in its table of contents.
    uint64_t entries;
    // What it is for.
    shm_segment_kind_t kind;
    // When it ends without being deleted.
    shm_lifetime_t lifetime;
    // Permission bits.
    uint32_t mode;
    // User that owns it.
    uint32_t owner;
    // Process that created it, as it numbers itself.
    uint32_t creator;
    // Whether that process lives.
    shm_liveness_t creator_liveness;
    // Process that has the exclusive lease, as far as it left its number; otherwise 0.
    uint32_t leased_by;
    // `SHM_SEGMENT_ATTACHED` and others, or-ed.
    uint32_t flags;
    // Its name with the prefix, `shm://` or `file://`; empty if it has none.
    char name[SHM_NAME_SIZE];
    // Why its pages may not be there; empty if they are.
    char remark[SHM_REMARK_SIZE];
} shm_segment_info_t;

// What an entry of a segment is.
typedef int32_t shm_entry_kind_t;

// One entry in a segment's table of contents. Begin with `SHM_ENTRY_INFO_INIT`.
typedef struct shm_entry_info_t {
    // `sizeof(shm_entry_info_t)`.
    uint64_t size;
    // Address of its first byte; NULL if the segment is not attached.
    void *data;
    // Where it begins, in bytes from the start of the segment.
    uint64_t offset;
    // Bytes that it had when the segment was created.
    uint64_t length;
    // Alignment of its offset.
    uint64_t alignment;
    // What it is.
    shm_entry_kind_t kind;
    // Which primitive it is (PROTOCOL.md); otherwise 0.
    uint32_t primitive;
    // 1 if it grows with the segment, otherwise 0.
    uint32_t grows;
    // 0.
    uint32_t reserved;
    // Its name; empty for the only entry of a segment.
    char name[SHM_ENTRY_NAME_SIZE];
} shm_entry_info_t;

// How far `shm_segment_sync` goes.
typedef int32_t shm_sync_t;

// What the kernel may expect of a segment's pages.
typedef int32_t shm_advice_t;

// What the elements of an array are: DLPack's numbers where `code` is below 128, the format's own from there on (FORMAT.md, section 3.2).
typedef struct shm_dtype_t {
    // `SHM_TYPE_INT` and others.
    uint8_t code;
    // Bits of one number, as the code says.
    uint8_t bits;
    // Always 1.
    uint16_t lanes;
    // Bytes, code points or the multiplier of a time unit; 0 for other types.
    uint32_t count;
    // The time unit's number (FORMAT.md); 0 for other types.
    uint32_t unit;
    // Bytes of the record description; 0 for other types.
    uint32_t record_length;
    // The record description on the way in. On the way out it is NULL: `shm_array_record` copies it.
    const char *record;
} shm_dtype_t;

// In which order the elements of a new array lie.
typedef int32_t shm_order_t;

// A handle of a list of segments as they were when it was made. Zero is no handle.
typedef struct shm_list_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_list_t;

// Everything about an attached array, as of one moment. Begin with `SHM_ARRAY_INFO_INIT`.
typedef struct shm_array_info_t {
    // `sizeof(shm_array_info_t)`.
    uint64_t size;
    // Address of the element with all indices 0. It stays the same while the array is attached, growth included.
    void *data;
    // The element type.
    struct shm_dtype_t dtype;
    // Bytes of one element.
    uint64_t item_size;
    // Number of elements.
    uint64_t length;
    // Changes exactly when the segment has grown, in whichever process.
    uint64_t generation;
    // Number of dimensions.
    int32_t ndim;
    // `SHM_ARRAY_C_CONTIGUOUS` and others, or-ed.
    uint32_t flags;
    // Elements along each dimension; the first `ndim` count.
    int64_t shape[SHM_MAX_DIMENSIONS];
    // Bytes from one element to the next along each dimension, of any sign; the first `ndim` count.
    int64_t strides[SHM_MAX_DIMENSIONS];
} shm_array_info_t;

// A handle of an attached array. Zero is no handle.
//
// It may be used by any thread, and by forked children. The array stays attached until the handle is given back by `shm_array_detach`.
typedef struct shm_array_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_array_t;

// A handle of an exclusive lease. Zero is no handle.
//
// While it lives nobody else can attach the segment, and nobody else had it attached when it began.
typedef struct shm_exclusive_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_exclusive_t;

// A handle of a barrier. Zero is no handle.
//
// Parties wait for each other, round after round. If one dies, the others are told, at once.
typedef struct shm_barrier_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_barrier_t;

// How somebody got through a barrier.
typedef struct shm_arrival_t {
    // The number of the seat, from 0 on; each is taken once in a round.
    uint32_t index;
    // 1 for the last to arrive, otherwise 0; once in a round.
    int32_t is_leader;
} shm_arrival_t;

// A function that the library calls with what was passed beside it. It returns 0 when all went well, and leaves in no other way (no longjmp, no
// C++ exception).
typedef int32_t (*shm_action_t)(void *user);

// A barrier as of one moment.
typedef struct shm_barrier_state_t {
    // How many wait for each other.
    uint32_t parties;
    // How many have arrived in this round.
    uint32_t waiting;
    // 1 if it is broken, otherwise 0.
    int32_t is_broken;
    // 0.
    uint32_t reserved;
} shm_barrier_state_t;

// A handle of a bounded semaphore. Zero is no handle.
//
// A semaphore that never has more permits than at first.
typedef struct shm_bounded_semaphore_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_bounded_semaphore_t;

// A handle of a byte channel. Zero is no handle.
//
// A bounded queue of messages of any length, for any number of senders and receivers. Whoever is killed with a message in its
// hands tears none and blocks nobody.
typedef struct shm_byte_channel_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_byte_channel_t;

// A channel as of one moment.
typedef struct shm_channel_state_t {
    // Messages that wait.
    uint64_t messages;
    // What it was made with.
    uint64_t capacity;
    // 1 if it is closed, otherwise 0.
    int32_t is_closed;
    // 0.
    uint32_t reserved;
} shm_channel_state_t;

// A handle of a channel. Zero is no handle. A bounded queue of items of one size, for any number of senders and receivers;
// Rust's `Channel` of a plain type of that size is the same. Whoever is killed with a message in its hands tears none and
// blocks nobody.
typedef struct shm_channel_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_channel_t;

// A handle of a condition variable. Zero is no handle.
//
// Waiting, with a mutex, for a change of what it guards. A killed waiter takes no notification with it.
typedef struct shm_condvar_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_condvar_t;

// A handle of a mutex. Zero is no handle.
//
// A mutex belongs to the thread that locks it. Death of the holder is news to the next locker: see `shm_mutex_lock`.
typedef struct shm_mutex_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_mutex_t;

// A handle of an event. Zero is no handle.
//
// A flag to wait for, set and cleared by hand.
typedef struct shm_event_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_event_t;

// A handle of a latch. Zero is no handle.
//
// It opens, once and for all, when a given number of arrivals was counted.
typedef struct shm_latch_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_latch_t;

// A handle of a once. Zero is no handle.
//
// Something that is done by whoever comes first, of all processes. If that one dies half-way, the next one is told.
typedef struct shm_once_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_once_t;

// The same for a once: `previous_died` is 1 if another runner died half-way, otherwise 0.
typedef int32_t (*shm_once_run_t)(void *user, int32_t previous_died);

// A handle of a process mutex. Zero is no handle.
//
// A process mutex belongs to the process that locks it, and any thread of any process may unlock it. Death of the holding
// process is news to the next locker: see `shm_process_mutex_lock`.
typedef struct shm_process_mutex_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_process_mutex_t;

// A handle of a recursive mutex. Zero is no handle.
//
// Like a mutex, but the thread that holds it may lock it again, and then has to unlock it as often.
typedef struct shm_recursive_mutex_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_recursive_mutex_t;

// A handle of a reader-writer lock. Zero is no handle.
//
// Many threads read at once (62 at most), or one writes. A killed reader is simply gone; a killed writer is news, once.
typedef struct shm_rwlock_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_rwlock_t;

// A handle of a semaphore. Zero is no handle.
//
// Permits that threads of any process take and give back.
typedef struct shm_semaphore_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_semaphore_t;

// A handle of a sequencer. Zero is no handle.
//
// Turns in a given order, each taken once. The death of whoever has the turn is told to all who wait.
typedef struct shm_sequencer_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_sequencer_t;

// A handle of a pool. Zero is no handle.
//
// A pool is a description: its workers are forked when something runs, and are gone when that is over.
typedef struct shm_pool_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_pool_t;

// A handle of a call in the background. Zero is no handle.
//
// It is a process that was forked for one call, and what that call returns.
typedef struct shm_background_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_background_t;

// How a worker ended.
typedef int32_t shm_exit_t;

// One failure of a run. Begin with `SHM_POOL_FAILURE_INIT`.
typedef struct shm_pool_failure_t {
    // `sizeof(shm_pool_failure_t)`.
    uint64_t size;
    // The item that failed, or -1.
    int64_t item;
    // The rank of the worker, or -1.
    int64_t rank;
    // The process id of the worker, or -1.
    int64_t pid;
    // `SHM_STATUS_CALLBACK_FAILED`, `SHM_STATUS_WORKER_DIED` and others.
    shm_status_t status;
    // What the function returned, where that is the failure; otherwise 0.
    int32_t returned;
    // How the worker ended.
    shm_exit_t exit;
    // The exit code or the signal; otherwise 0.
    int32_t exit_value;
} shm_pool_failure_t;

// Does the work of one item that was sent to a kept worker, and makes its result with `shm_result_append`. It returns 0 when all went well; any
// other number is the failure of this item. It leaves in no other way (no longjmp, no C++ exception).
typedef int32_t (*shm_sent_item_t)(void *user, const void *item, uint64_t length);

// A handle of kept workers. Zero is no handle.
//
// The workers are processes that were forked once, for one function, and serve map after map.
typedef struct shm_kept_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_kept_t;

// Bytes of the caller's, as one of several.
typedef struct shm_bytes_t {
    // Where they are; NULL only if there are none.
    const void *bytes;
    // How many there are.
    uint64_t length;
} shm_bytes_t;

// Takes the result of one item, in the master. Something else than 0 ends the run.
typedef int32_t (*shm_reduce_t)(void *user, uint64_t item, const void *bytes, uint64_t length);

// How items are shared out to workers.
typedef int32_t shm_schedule_t;

// Hears how far a run is, in the thread that runs it.
typedef void (*shm_progress_t)(void *user, uint64_t done, uint64_t total);

// Is called with a warning; the text is good for the call only.
typedef void (*shm_warning_t)(void *user, const char *text);

// Is called around a fork.
typedef void (*shm_fork_hook_t)(void *user);

// Makes what a worker keeps from item to item, and leaves its address in `state`. It is called in the worker, when its first item comes; 0 is
// success, and any other number is the failure of that item.
typedef int32_t (*shm_make_state_t)(void *user, void **state);

// Is called with what a worker has kept, in the worker, when that has nothing more to do.
typedef void (*shm_drop_state_t)(void *user, void *state);

// How a pool is set up. Zero in every field but `size` is the default; `SHM_POOL_OPTIONS_INIT` is that.
typedef struct shm_pool_options_t {
    // `sizeof(shm_pool_options_t)`.
    uint64_t size;
    // How many workers; 0 means as many as this process has processors.
    uint64_t workers;
    // How many times a failed item is tried again, each time by a fresh worker.
    uint64_t retries;
    // Runs of fewer items than this stay in the calling thread.
    uint64_t serial_below;
    // Items of a batch, as `schedule` says; 0 means 1, or an equal share.
    uint64_t chunk;
    // `SHM_SCHEDULE_GUIDED` and others.
    shm_schedule_t schedule;
    // `SHM_POOL_ORDERED` and others, or-ed.
    uint32_t flags;
    // Hears how far a run is; or NULL.
    shm_progress_t progress;
    // Is called instead of a line on standard error; or NULL.
    shm_warning_t warning;
    // Is called in the master before each fork; or NULL.
    shm_fork_hook_t before_fork;
    // Is called in the master after each fork; or NULL.
    shm_fork_hook_t after_fork_parent;
    // Is called in each new worker; or NULL.
    shm_fork_hook_t after_fork_child;
    // What all of these are called with. It lives as long as the pool.
    void *user;
    // Makes a state for each worker that `shm_worker_state` finds; or NULL.
    shm_make_state_t make_state;
    // Ends such a state; or NULL. A worker that is killed, or exits, ends none.
    shm_drop_state_t drop_state;
} shm_pool_options_t;

// Does the work of one item, in a worker process. It returns 0 when all went well; any other number is the failure of this item. It leaves
// in no other way (no longjmp, no C++ exception).
typedef int32_t (*shm_item_t)(void *user, uint64_t item);

// The same with a result of a fixed size, whose bytes are zero at first.
typedef int32_t (*shm_item_result_t)(void *user, uint64_t item, void *result);

// All went well.
#define SHM_STATUS_OK 0

// An argument is NULL, out of range or contradicts another one.
#define SHM_STATUS_INVALID_ARGUMENT 1

// The handle is zero, was given back already, or never came from this process.
#define SHM_STATUS_INVALID_HANDLE 2

// The handle is of another kind than the function takes.
#define SHM_STATUS_WRONG_KIND 3

// The library has a defect, which was caught before it could do harm; the text says where.
#define SHM_STATUS_PANIC 4

// An error that has no number in this version; the text says what it is.
#define SHM_STATUS_OTHER 5

// A living segment, or something else, has this name already.
#define SHM_STATUS_ALREADY_EXISTS 10

// Nothing has this name, or what had it was deleted or died.
#define SHM_STATUS_NOT_FOUND 11

// The text is no valid segment name.
#define SHM_STATUS_INVALID_NAME 12

// The object is not a segment of this library, or not a regular file at all.
#define SHM_STATUS_NOT_A_SEGMENT 13

// The segment was written by a newer version of the format.
#define SHM_STATUS_UNSUPPORTED_VERSION 14

// What lies in the shared pages contradicts itself: something has written over it.
#define SHM_STATUS_CORRUPTED 15

// A size or an offset does not fit the number that has to hold it.
#define SHM_STATUS_SIZE_OVERFLOW 16

// The file system has not enough free bytes.
#define SHM_STATUS_OUT_OF_SPACE 17

// The process may not have this much memory (address space, locked memory, memory limit).
#define SHM_STATUS_OUT_OF_MEMORY 18

// The file permissions forbid it.
#define SHM_STATUS_PERMISSION_DENIED 19

// The segment belongs to another user, and the caller did not ask for those (`SHM_ANY_OWNER`).
#define SHM_STATUS_FOREIGN_OWNER 20

// The array's elements have another type than the caller named.
#define SHM_STATUS_TYPE_MISMATCH 21

// The array has another shape, order or number of dimensions than the caller named.
#define SHM_STATUS_SHAPE_MISMATCH 22

// Somebody else has it, and the call does not wait.
#define SHM_STATUS_BUSY 23

// A lock in it is held by this process, so it cannot be let go.
#define SHM_STATUS_LOCK_HELD 24

// The attachment is read-only, or a private copy.
#define SHM_STATUS_READ_ONLY 25

// It belongs to the process that this one was forked from.
#define SHM_STATUS_INHERITED 26

// A limit that was set at creation, or a limit of the format, would be exceeded.
#define SHM_STATUS_LIMIT_EXCEEDED 27

// The segment has no entry of this name or kind.
#define SHM_STATUS_NO_SUCH_ENTRY 28

// This kernel, file system, C library or sandbox does not offer what is needed.
#define SHM_STATUS_UNSUPPORTED 29

// A system call failed in another way; `shm_last_errno` says how.
#define SHM_STATUS_SYSTEM 30

// The deadline passed.
#define SHM_STATUS_TIMED_OUT 40

// A signal handler ran while the call was waiting, and the caller asked to be told.
#define SHM_STATUS_INTERRUPTED 41

// The channel is closed, and everything that was sent has been received.
#define SHM_STATUS_CLOSED 42

// There is no message in the channel, and the call does not wait.
#define SHM_STATUS_EMPTY 43

// There is no room in the channel, and the call does not wait.
#define SHM_STATUS_FULL 44

// This thread holds the lock already; waiting would last for ever.
#define SHM_STATUS_DEADLOCK 45

// The lock *is held now*, and its last holder died with it: mend what it guards, tell the lock so, and unlock it as usual.
#define SHM_STATUS_OWNER_DIED 46

// What the lock guards was given up after the death of a holder; only a repair opens the lock again.
#define SHM_STATUS_POISONED 47

// Something is given back that the caller does not hold.
#define SHM_STATUS_NOT_HELD 48

// As many processes as there are slots for use the lock.
#define SHM_STATUS_TOO_MANY_PROCESSES 49

// Every seat of the barrier is taken.
#define SHM_STATUS_TOO_MANY_PARTIES 50

// Somebody who took part died in the middle, or gave the whole up.
#define SHM_STATUS_BROKEN 51

// This thread holds as many locks as the kernel is willing to clean up after.
#define SHM_STATUS_TOO_MANY_LOCKS 52

// This thread holds the lock once more than can be counted.
#define SHM_STATUS_TOO_DEEP 53

// All places for readers are taken.
#define SHM_STATUS_TOO_MANY_READERS 54

// Whoever ran the initialisation died half-way.
#define SHM_STATUS_RUNNER_DIED 55

// The address is not a multiple of the alignment that a primitive needs.
#define SHM_STATUS_MISALIGNED 56

// The bytes are another kind of primitive, another version of it, or one with another parameter.
#define SHM_STATUS_MISMATCH 57

// The mapping is read-only or private, where a lock would exclude nobody.
#define SHM_STATUS_NOT_SHARED 58

// There is a primitive already where a new one was to be made.
#define SHM_STATUS_IN_USE 59

// More was given back, or counted down, than can be.
#define SHM_STATUS_OVERFLOW 60

// The function that was passed in returned something else than 0; the text says what.
#define SHM_STATUS_CALLBACK_FAILED 61

// The function panicked in a worker.
#define SHM_STATUS_WORKER_PANICKED 80

// A worker was killed, aborted or left in the middle of its work.
#define SHM_STATUS_WORKER_DIED 81

// The system refused another process, or what is needed to watch it.
#define SHM_STATUS_FORK 82

// A result cannot be encoded.
#define SHM_STATUS_ENCODE 83

// What a result was encoded to cannot be read back.
#define SHM_STATUS_DECODE 84

// The workers have ended already.
#define SHM_STATUS_ENDED 85

// The function is for code that a pool calls, and was called elsewhere.
#define SHM_STATUS_NOT_IN_POOL 86

// Stays until somebody deletes it, whoever dies.
#define SHM_LIFETIME_PERSISTENT 0

// Ends with its last attachment, also when that is a SIGKILL.
#define SHM_LIFETIME_LAST_DETACH 1

// Ends with the handle that created it, or its process. Others that have it attached keep it.
#define SHM_LIFETIME_SCOPED 2

// Reads and writes what everybody sees.
#define SHM_ACCESS_READ_WRITE 0

// Reads. A write through a pointer kills the process (SIGSEGV).
#define SHM_ACCESS_READ_ONLY 1

// Reads what is shared, and keeps its own writes to itself.
#define SHM_ACCESS_COPY_ON_WRITE 2

// C order: the last index runs fastest.
#define SHM_ORDER_C 0

// Fortran order: the first index runs fastest (Julia, MATLAB).
#define SHM_ORDER_F 1

// Arrays, perhaps with the locks that belong to them.
#define SHM_SEGMENT_KIND_ARRAY 1

// A primitive on its own.
#define SHM_SEGMENT_KIND_PRIMITIVE 2

// Many small objects.
#define SHM_SEGMENT_KIND_ARENA 3

// The shared state of an executor.
#define SHM_SEGMENT_KIND_POOL 4

// It cannot be seen from here: another pid namespace or boot, or no /proc.
#define SHM_LIVENESS_UNKNOWN 0

// It runs.
#define SHM_LIVENESS_ALIVE 1

// It has ended.
#define SHM_LIVENESS_DEAD 2

// An array.
#define SHM_ENTRY_KIND_ARRAY 1

// A primitive; `primitive` says which.
#define SHM_ENTRY_KIND_PRIMITIVE 2

// Many small objects.
#define SHM_ENTRY_KIND_ARENA 3

// Bytes without a meaning to this library.
#define SHM_ENTRY_KIND_BYTES 4

// Starts writing and returns.
#define SHM_SYNC_START 0

// Returns when everything is written.
#define SHM_SYNC_WAIT 1

// Makes other mappings of the file see the file's bytes; on Linux they always do.
#define SHM_SYNC_INVALIDATE 2

// No particular order.
#define SHM_ADVICE_NORMAL 0

// Ascending order: read ahead.
#define SHM_ADVICE_SEQUENTIAL 1

// No order: do not read ahead.
#define SHM_ADVICE_RANDOM 2

// Soon: start reading.
#define SHM_ADVICE_WILL_NEED 3

// Huge pages are welcome.
#define SHM_ADVICE_HUGE_PAGE 4

// No huge pages.
#define SHM_ADVICE_NO_HUGE_PAGE 5

// Leave the pages out of core dumps.
#define SHM_ADVICE_DONT_DUMP 6

// It did not, or that is not what the failure is about.
#define SHM_EXIT_NONE 0

// With an exit code.
#define SHM_EXIT_CODE 1

// By a signal.
#define SHM_EXIT_SIGNAL 2

// It is gone, and somebody else has taken its status.
#define SHM_EXIT_UNKNOWN 3

// Shrinking batches, each taken by whoever is free; `chunk` items at least. The default.
#define SHM_SCHEDULE_GUIDED 0

// Batches of `chunk` items, each taken by whoever is free.
#define SHM_SCHEDULE_DYNAMIC 1

// One equal share for each worker; with a `chunk`, batches of so many items dealt out in turn.
#define SHM_SCHEDULE_STATIC 2

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Returns the complete text of the last error of a call of this thread: what was attempted, on which name, why it failed, what to do.
//
// Parameters: none.
// Returns: UTF-8 text, never NULL; empty if no call of this thread has failed yet. It stays until the next call of this thread that fails, so
// copy it to keep it. A call that succeeds leaves it alone.
// Thread use: every thread has its own.
// Death: no shared memory is touched. A forked child begins with the text of the thread that forked it.
const char *shm_last_error(void);

// Returns the errno of the system call behind the last error of this thread.
//
// Parameters: none.
// Returns: an errno, or 0 if no system call failed.
// Thread use: every thread has its own.
// Death: no shared memory is touched.
int32_t shm_last_errno(void);

// Returns the name of a status as the header spells it, such as "SHM_STATUS_NOT_FOUND".
//
// Parameters: `status`: any number.
// Returns: a text that lives as long as the library; "SHM_STATUS_?" for a number that is no status.
// Thread use: any thread, at any time, signal handlers included.
// Death: no shared memory is touched.
const char *shm_status_name(shm_status_t status);

// Creates a segment with these contents, zero-filled where nothing else was planned.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process, those forked from it, and those that get
// its descriptor reach. `options`: or NULL for the defaults. `contents`: a plan, which stays good. `segment`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_OUT_OF_SPACE`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_UNSUPPORTED` for a file system without unnamed files, and what the system calls say. Nothing was created then.
// Thread use: any thread.
// Death: the name appears when the segment is complete; a process that is killed before leaves nothing behind.
shm_status_t shm_segment_create(const char *name,
                                const struct shm_options_t *options,
                                struct shm_contents_t contents,
                                struct shm_segment_t *segment);

// Attaches an existing segment.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`. `options`: or NULL for the defaults. `segment`: receives the handle, which
// `shm_segment_detach` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_NOT_A_SEGMENT`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_UNSUPPORTED_VERSION`,
// `SHM_STATUS_PERMISSION_DENIED`, `SHM_STATUS_FOREIGN_OWNER`, `SHM_STATUS_BUSY` under somebody's exclusive lease.
// Thread use: any thread.
// Death: the kernel detaches for a process that dies, however it dies.
shm_status_t shm_segment_attach(const char *name,
                                const struct shm_options_t *options,
                                struct shm_segment_t *segment);

// Attaches the segment under a name, or creates it, without a race between the two.
//
// Parameters: as for `shm_segment_create`, with a name. `created`: receives 1 if it was created and 0 if it was there; or NULL.
// Returns: as `shm_segment_create` and `shm_segment_attach`. What is attached may have other contents.
// Thread use: any thread.
// Death: the name appears when the segment is complete.
shm_status_t shm_segment_create_or_attach(const char *name,
                                          const struct shm_options_t *options,
                                          struct shm_contents_t contents,
                                          struct shm_segment_t *segment,
                                          int32_t *created);

// Attaches the segment behind a descriptor, however it came here.
//
// Parameters: `descriptor`: from `shm_segment_export` or `shm_array_export`, in this process or another one; it stays the caller's. `options`: or NULL
// for the defaults. `segment`: receives the handle.
// Returns: as `shm_segment_attach`; `SHM_STATUS_INVALID_ARGUMENT` for what is no descriptor, `SHM_STATUS_UNSUPPORTED` without /proc.
// Thread use: any thread.
// Death: the kernel detaches for a process that dies, however it dies.
shm_status_t shm_segment_attach_descriptor(int32_t descriptor,
                                           const struct shm_options_t *options,
                                           struct shm_segment_t *segment);

// Gives the handle back. The last handle of a segment in a process, of whichever kind, unmaps it.
//
// Parameters: `segment`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LOCK_HELD` if it is the last one and this process holds a lock inside the segment (the handle stays
// good then), `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle; the last of them detaches.
// Death: of the process detaches too.
shm_status_t shm_segment_detach(struct shm_segment_t segment);

// Makes a descriptor that leads to the segment and keeps it: to be sent over a Unix socket, or left to a program that is started.
//
// Parameters: `segment`: a handle. `descriptor`: receives it; close(2) gives it back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BUSY` while this process has the exclusive lease, `SHM_STATUS_UNSUPPORTED` without /proc.
// Thread use: any thread.
// Death: while the descriptor is open somewhere, also unread in a socket, it counts as an attachment.
shm_status_t shm_segment_export(struct shm_segment_t segment,
                                int32_t *descriptor);

// Describes an attached segment.
//
// Parameters: `segment`: a handle. `info`: begun with `SHM_SEGMENT_INFO_INIT`; receives the description.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_UNSUPPORTED` without /proc, `SHM_STATUS_NOT_FOUND` if its lifetime is over.
// Thread use: any thread.
// Death: of others shows in the description at once.
shm_status_t shm_segment_info(struct shm_segment_t segment,
                              struct shm_segment_info_t *info);

// Describes an entry of an attached segment by its name.
//
// Parameters: `segment`: a handle. `entry`: its name; empty for an only entry without a name. `info`: begun with `SHM_ENTRY_INFO_INIT`; receives the
// description.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`.
// Thread use: any thread.
// Death: of others changes nothing.
shm_status_t shm_segment_entry(struct shm_segment_t segment,
                               const char *entry,
                               struct shm_entry_info_t *info);

// Describes an entry of an attached segment by its place in the table of contents.
//
// Parameters: `segment`: a handle. `index`: 0 for the first entry. `info`: as for `shm_segment_entry`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY` behind the last one.
// Thread use: any thread.
// Death: of others changes nothing.
shm_status_t shm_segment_entry_at(struct shm_segment_t segment,
                                  uint64_t index,
                                  struct shm_entry_info_t *info);

// Lengthens a segment, in place and for everybody; the new bytes are zero, and old pointers stay good.
//
// Parameters: `segment`: a handle. `length`: bytes that it has afterwards at least, header included.
// Returns: `SHM_STATUS_OK`, also if it was that long; `SHM_STATUS_LIMIT_EXCEEDED` above `options.reserve_max`, `SHM_STATUS_READ_ONLY`,
// `SHM_STATUS_OUT_OF_SPACE`; it is as before then.
// Thread use: any thread, and several processes at the same time: it gets the greatest length.
// Death: in the middle of it leaves the old length or the new one.
shm_status_t shm_segment_grow(struct shm_segment_t segment,
                              uint64_t length);

// Tells a number that changes exactly when the segment has grown, in whichever process.
//
// Parameters: `segment`: a handle. `generation`: receives the number. It costs a load, so ask as often as you like.
// Returns: `SHM_STATUS_OK`.
// Thread use: any thread.
// Death: of others changes nothing.
shm_status_t shm_segment_generation(struct shm_segment_t segment,
                                    uint64_t *generation);

// Writes changed pages back to the file. A segment in memory has no file, and there is nothing to do.
//
// Parameters: `segment`: a handle. `mode`: `SHM_SYNC_START`, `SHM_SYNC_WAIT` or `SHM_SYNC_INVALIDATE`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_SYSTEM` with what msync(2) says, such as a full disk.
// Thread use: any thread.
// Death: what was not written yet is the kernel's business, which writes it later.
shm_status_t shm_segment_sync(struct shm_segment_t segment, shm_sync_t mode);

// Keeps all pages of a segment in memory, for this process, until it unlocks them or detaches.
//
// Parameters: `segment`: a handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_OUT_OF_MEMORY` if the process may not lock that much.
// Thread use: any thread.
// Death: of the process unlocks its pages.
shm_status_t shm_segment_lock_memory(struct shm_segment_t segment);

// Lets the pages of a segment be swapped again.
//
// Parameters: `segment`: a handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_SYSTEM`.
// Thread use: any thread.
// Death: of the process unlocks its pages.
shm_status_t shm_segment_unlock_memory(struct shm_segment_t segment);

// Enters all pages of a segment into this process's page table, so that no touch faults.
//
// Parameters: `segment`: a handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_OUT_OF_MEMORY`.
// Thread use: any thread.
// Death: changes nothing for others.
shm_status_t shm_segment_prefault(struct shm_segment_t segment);

// Tells the kernel what to expect of a segment's pages. No advice changes the bytes.
//
// Parameters: `segment`: a handle. `advice`: `SHM_ADVICE_SEQUENTIAL` and others.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_SYSTEM` if this kernel does not know the advice.
// Thread use: any thread.
// Death: changes nothing for others.
shm_status_t shm_segment_advise(struct shm_segment_t segment, shm_advice_t advice);

// Begins the plan of a segment, with nothing in it.
//
// Parameters: `contents`: receives the handle, which `shm_contents_free` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread; a plan is made by one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_create(struct shm_contents_t *contents);

// Adds an array of zeros to a plan.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. The others as for `shm_array_create`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_SIZE_OVERFLOW`; the plan is as before after an error. `SHM_STATUS_BUSY` if another
// thread is using the plan.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_array(struct shm_contents_t contents,
                                    const char *entry,
                                    struct shm_dtype_t dtype,
                                    const int64_t *shape,
                                    int32_t ndim,
                                    shm_order_t order);

// Adds bytes without a meaning to this library to a plan.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has. `length`: how many bytes. `alignment`: a power of two; 0 means 64.
// Returns: as `shm_contents_add_array`.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_bytes(struct shm_contents_t contents,
                                    const char *entry,
                                    uint64_t length,
                                    uint64_t alignment);

// Gives the handle of a plan back. Segments that were made from it stay.
//
// Parameters: `contents`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_contents_free(struct shm_contents_t contents);

// Removes a name. Those who have the segment attached keep it; its pages go with the last of them.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_NOT_A_SEGMENT` (other files are not removed), `SHM_STATUS_FOREIGN_OWNER`,
// `SHM_STATUS_PERMISSION_DENIED`, `SHM_STATUS_BUSY`.
// Thread use: any thread.
// Death: in the middle of it leaves the name or removes it.
shm_status_t shm_delete(const char *name);

// Looks at a segment without attaching it; takes no lock, and disturbs nobody.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`. `info`: begun with `SHM_SEGMENT_INFO_INIT`; receives the description.
// Returns: as `shm_segment_attach`, except that an exclusive lease and another owner are no hindrance.
// Thread use: any thread.
// Death: of others shows in the description at once.
shm_status_t shm_inspect(const char *name,
                         struct shm_segment_info_t *info);

// Removes the dead segments of this user: those whose lifetime is over, though nobody has removed their names.
//
// Parameters: `directory`: a directory of `file://` names, or NULL for the `shm://` names. `removed`: receives how many there were; or NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_SYSTEM` if the directory cannot be read.
// Thread use: any thread.
// Death: what is alive is never touched; the kernel's locks decide, not process ids and not age.
shm_status_t shm_reap(const char *directory,
                      uint64_t *removed);

// Lists the living segments that the caller may read, by name. Dead ones of the caller are removed on the way.
//
// Parameters: `directory`: a directory of `file://` names, or NULL for the `shm://` names. `list`: receives the handle, which `shm_list_free` gives
// back. `count`: receives the number of segments; or NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_SYSTEM` if the directory cannot be read. Other files and damaged segments are passed over.
// Thread use: any thread.
// Death: as for `shm_reap`.
shm_status_t shm_list(const char *directory,
                      struct shm_list_t *list,
                      uint64_t *count);

// Describes a segment of a list.
//
// Parameters: `list`: a handle. `index`: 0 for the first segment. `info`: begun with `SHM_SEGMENT_INFO_INIT`; receives the description.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND` behind the last one.
// Thread use: any thread.
// Death: the list stays as it was made.
shm_status_t shm_list_segment(struct shm_list_t list,
                              uint64_t index,
                              struct shm_segment_info_t *info);

// Describes an entry of a segment of a list.
//
// Parameters: `list`: a handle. `index`: the segment's place in the list. `entry`: the entry's place in the segment, 0 for the first one. `info`: begun
// with `SHM_ENTRY_INFO_INIT`; receives the description, without an address.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_NO_SUCH_ENTRY`.
// Thread use: any thread.
// Death: the list stays as it was made.
shm_status_t shm_list_entry(struct shm_list_t list,
                            uint64_t index,
                            uint64_t entry,
                            struct shm_entry_info_t *info);

// Describes the first array in a segment of a list.
//
// Parameters: `list`: a handle. `index`: the segment's place in the list. `info`: begun with `SHM_ARRAY_INFO_INIT`; receives the description, without
// an address.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_NO_SUCH_ENTRY` if the segment has no array.
// Thread use: any thread.
// Death: the list stays as it was made.
shm_status_t shm_list_array(struct shm_list_t list,
                            uint64_t index,
                            struct shm_array_info_t *info);

// Gives the handle of a list back.
//
// Parameters: `list`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_list_free(struct shm_list_t list);

// Creates an array of zeros, with a name or without one.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for memory that only this process and those forked from it reach.
// `options`: or NULL for the defaults. `dtype`: what the elements are. `shape`, `ndim`: elements along each dimension, outermost first.
// `order`: `SHM_ORDER_C` or `SHM_ORDER_F`. `array`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_OUT_OF_SPACE`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_SIZE_OVERFLOW` and what the system calls say. Nothing was created then.
// Thread use: any thread.
// Death: the name appears when the array is complete; a process that is killed before leaves nothing behind.
shm_status_t shm_array_create(const char *name,
                              const struct shm_options_t *options,
                              struct shm_dtype_t dtype,
                              const int64_t *shape,
                              int32_t ndim,
                              shm_order_t order,
                              struct shm_array_t *array);

// Attaches the only array of a segment.
//
// Parameters: `name`: as it was created. `options`: or NULL for the defaults (reading and writing). `array`: receives the handle.
// Returns: as `shm_segment_attach`; `SHM_STATUS_NO_SUCH_ENTRY` if the segment has no array, or several (`shm_array_attach_in`).
// Thread use: any thread.
// Death: the kernel detaches for a process that dies, however it dies.
shm_status_t shm_array_attach(const char *name,
                              const struct shm_options_t *options,
                              struct shm_array_t *array);

// Attaches the array under a name, or creates it, zero-filled, without a race between the two.
//
// Parameters: as for `shm_array_create`, with a name. `created`: receives 1 if it was created and 0 if it was there; or NULL.
// Returns: as `shm_array_create` and `shm_array_attach`; `SHM_STATUS_TYPE_MISMATCH`, `SHM_STATUS_SHAPE_MISMATCH` if what is there has another
// element type, shape or order (an array that grows may have grown).
// Thread use: any thread.
// Death: the name appears when the array is complete.
shm_status_t shm_array_create_or_attach(const char *name,
                                        const struct shm_options_t *options,
                                        struct shm_dtype_t dtype,
                                        const int64_t *shape,
                                        int32_t ndim,
                                        shm_order_t order,
                                        struct shm_array_t *array,
                                        int32_t *created);

// Takes an array of a segment that holds several things.
//
// Parameters: `segment`: a handle. `entry`: the array's name in the segment. `array`: receives the handle, which keeps the segment attached.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY` if there is no such entry, or if it is no array.
// Thread use: any thread.
// Death: of others changes nothing.
shm_status_t shm_array_attach_in(struct shm_segment_t segment,
                                 const char *entry,
                                 struct shm_array_t *array);

// Attaches the only array of the segment behind a descriptor.
//
// Parameters: as for `shm_segment_attach_descriptor`. `array`: receives the handle.
// Returns: as `shm_segment_attach_descriptor` and `shm_array_attach`.
// Thread use: any thread.
// Death: the kernel detaches for a process that dies, however it dies.
shm_status_t shm_array_attach_descriptor(int32_t descriptor,
                                         const struct shm_options_t *options,
                                         struct shm_array_t *array);

// Gives the handle back. The last handle of a segment in a process, of whichever kind, unmaps it: pointers into it are no good then.
//
// Parameters: `array`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LOCK_HELD` if it is the last one and this process holds a lock inside the segment (the handle stays
// good then), `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle; the last of them detaches.
// Death: of the process detaches too.
shm_status_t shm_array_detach(struct shm_array_t array);

// Describes an array: where its elements are, their type, shape and strides, growth by others included.
//
// Parameters: `array`: a handle. `info`: begun with `SHM_ARRAY_INFO_INIT`; receives the description.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: of others changes nothing.
shm_status_t shm_array_info(struct shm_array_t array,
                            struct shm_array_info_t *info);

// Tells the address of the element with all indices 0.
//
// Parameters: `array`: a handle. `data`: receives the address, which stays good until the array is detached, growth included.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. Who reads and writes when is the callers' business: agree on a lock.
// Death: of others changes nothing. A process that is killed while it writes leaves what it has written.
shm_status_t shm_array_data(struct shm_array_t array,
                            void **data);

// Copies the description of a record, the element type of an array (FORMAT.md, section 3.3).
//
// Parameters: `array`: a handle. `record`: receives the text and a zero byte; NULL if `capacity` is 0. `capacity`: how many bytes `record` has.
// `length`: receives the bytes of the text, without the zero byte; or NULL. It is 0 for types that are no records.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LIMIT_EXCEEDED` if `record` is too small (`length` says how large it has to be), `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread.
// Death: of others changes nothing.
shm_status_t shm_array_record(struct shm_array_t array,
                              char *record,
                              uint64_t capacity,
                              uint64_t *length);

// Lengthens an array along its first dimension, in place and for everybody; new elements are zero, and old pointers stay good.
//
// Parameters: `array`: a handle. `extent`: elements along the first dimension afterwards, at least.
// Returns: `SHM_STATUS_OK`, also if it was that long; `SHM_STATUS_LIMIT_EXCEEDED` above `options.reserve_max`, or if the array was not created to grow;
// `SHM_STATUS_INVALID_ARGUMENT` for a negative extent, `SHM_STATUS_READ_ONLY`, `SHM_STATUS_OUT_OF_SPACE`; it is as before then.
// Thread use: any thread, and several processes at the same time: it gets the greatest length.
// Death: in the middle of it leaves the old length or the new one.
shm_status_t shm_array_grow(struct shm_array_t array,
                            int64_t extent);

// Writes changed pages of an array's segment back to the file; see `shm_segment_sync`.
//
// Parameters: `array`: a handle. `mode`: `SHM_SYNC_START`, `SHM_SYNC_WAIT` or `SHM_SYNC_INVALIDATE`.
// Returns: as `shm_segment_sync`.
// Thread use: any thread.
// Death: as for `shm_segment_sync`.
shm_status_t shm_array_sync(struct shm_array_t array, shm_sync_t mode);

// Makes a handle of the segment that an array is in, for all that is done with segments.
//
// Parameters: `array`: a handle. `segment`: receives the handle, to be given back by `shm_segment_detach`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: of others changes nothing.
shm_status_t shm_array_segment(struct shm_array_t array, struct shm_segment_t *segment);

// Makes a descriptor that leads to an array's segment and keeps it; see `shm_segment_export`.
//
// Parameters: `array`: a handle. `descriptor`: receives it; close(2) gives it back.
// Returns: as `shm_segment_export`.
// Thread use: any thread.
// Death: as for `shm_segment_export`.
shm_status_t shm_array_export(struct shm_array_t array, int32_t *descriptor);

// Takes the exclusive lease of an array's segment.
//
// Parameters: `array`: the only handle of its segment in this process, of whichever kind. `exclusive`: receives the handle, which
// `shm_exclusive_free` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BUSY` if there are other handles here or others have it attached, `SHM_STATUS_READ_ONLY`,
// `SHM_STATUS_INHERITED` in a forked child.
// Thread use: any thread.
// Death: gives the lease back. Processes that this one forked while it was attached are not seen.
shm_status_t shm_array_exclusive(struct shm_array_t array,
                                 struct shm_exclusive_t *exclusive);

// Takes the exclusive lease of a segment.
//
// Parameters: `segment`: the only handle of it in this process, of whichever kind. `exclusive`: receives the handle.
// Returns: as `shm_array_exclusive`.
// Thread use: any thread.
// Death: as for `shm_array_exclusive`.
shm_status_t shm_segment_exclusive(struct shm_segment_t segment,
                                   struct shm_exclusive_t *exclusive);

// Gives an exclusive lease back: others can attach again.
//
// Parameters: `exclusive`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`. A forked child forgets its parent's lease, and the parent keeps it.
// Thread use: any thread.
// Death: does the same.
shm_status_t shm_exclusive_free(struct shm_exclusive_t exclusive);

// Frees what the library has allocated for the caller, where its documentation names this function. It is free(3), which does as well.
//
// Parameters: `memory`: such an address, once; or NULL, which is ignored.
// Returns: nothing.
// Thread use: any thread.
// Death: no shared memory is touched.
void shm_free(void *memory);

// Creates a barrier, on its own under a name or without one.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
// reach. `options`: or NULL for the defaults; one without a name takes none. `parties`: how many wait for each other, 1 or more.
// `barrier`: receives the handle, which `shm_barrier_detach` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_barrier_create(const char *name,
                                const struct shm_options_t *options,
                                uint32_t parties,
                                struct shm_barrier_t *barrier);

// Attaches to the barrier under a name.
//
// Parameters: `name`: as it was created. `barrier`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
// of attaching.
// Thread use: any thread.
// Death: of the creator changes nothing, unless the segment's lifetime says so.
shm_status_t shm_barrier_attach(const char *name,
                                struct shm_barrier_t *barrier);

// Attaches to the barrier under a name, or creates it, without a race between the two.
//
// Parameters: as for `shm_barrier_create`, but the name is not NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
// errors of creating and attaching.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_barrier_create_or_attach(const char *name,
                                          uint32_t parties,
                                          struct shm_barrier_t *barrier);

// Adds a barrier to the plan of a segment, beside the data that it is for.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `parties`: how many
// wait for each other, 1 or more.
// Returns: as `shm_contents_add_array`.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_barrier(struct shm_contents_t contents,
                                      const char *entry,
                                      uint32_t parties);

// Attaches to the barrier in an entry of a segment.
//
// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `barrier`: receives the handle,
// which keeps the segment attached.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
// attachment.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_barrier_attach_in(struct shm_segment_t segment,
                                   const char *entry,
                                   struct shm_barrier_t *barrier);

// Makes a barrier in zero bytes of the caller's, which are mapped shared between the processes that use it.
//
// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_barrier_size` at least. They stay mapped until the last
// handle is given back, are used at one address only in one process, and through handles only. `parties`: how many wait for each
// other, 1 or more. `barrier`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: nobody else uses the bytes before this has returned.
// Death: in the middle leaves bytes that are none yet; zero them and begin again.
shm_status_t shm_barrier_create_at(void *address,
                                   uint64_t length,
                                   uint32_t parties,
                                   struct shm_barrier_t *barrier);

// Attaches to the barrier at an address of the caller's.
//
// Parameters: as for `shm_barrier_create_at`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_barrier_attach_at(void *address, uint64_t length, struct shm_barrier_t *barrier);

// Says how many bytes a barrier takes at an address.
//
// Parameters: `parties`: how many wait for each other, 1 or more. `size`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_barrier_size(uint32_t parties, uint64_t *size);

// Gives the handle back. The barrier itself stays where it is, for others.
//
// Parameters: `barrier`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LOCK_HELD` if this thread holds something through this handle (the handle stays good
// then), `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
// `SHM_STATUS_INVALID_HANDLE`.
// Death: of the process gives all its handles back.
shm_status_t shm_barrier_detach(struct shm_barrier_t barrier);

// Arrives at the barrier and waits for the other parties, waiting as long as it takes. Signals do not end the wait.
//
// Parameters: `barrier`: a handle. `arrival`: receives which seat it was and whether it was the last to arrive; or NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BROKEN` if a party died or the barrier was aborted (see `shm_barrier_reset`),
// `SHM_STATUS_TOO_MANY_PARTIES`, `SHM_STATUS_INHERITED` if the parent of this process joined through this handle,
// `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. A thread that has joined waits in its seat, others in any that is free.
// Death: of a party that has arrived, or has joined, breaks the barrier for all, at once. A party that gives up waiting
// (timeout, signal) takes its arrival back, and the others go on waiting; it breaks the barrier only if all have arrived and
// the action is running.
shm_status_t shm_barrier_wait(struct shm_barrier_t barrier,
                              struct shm_arrival_t *arrival);

// Arrives at the barrier and waits for the other parties, if that is possible at once.
//
// Parameters: `barrier`: a handle. `arrival`: receives which seat it was and whether it was the last to arrive; or NULL.
// Returns: `SHM_STATUS_BUSY` if the others have not all arrived; otherwise as `shm_barrier_wait`.
// Thread use: as `shm_barrier_wait`.
// Death: as `shm_barrier_wait`.
shm_status_t shm_barrier_try_wait(struct shm_barrier_t barrier,
                                  struct shm_arrival_t *arrival);

// Arrives at the barrier and waits for the other parties, waiting for a time at most.
//
// Parameters: `barrier`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
// long as it takes. `arrival`: receives which seat it was and whether it was the last to arrive; or NULL.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_barrier_wait`.
// Thread use: as `shm_barrier_wait`.
// Death: as `shm_barrier_wait`.
shm_status_t shm_barrier_wait_timeout_ns(struct shm_barrier_t barrier,
                                         int64_t timeout_ns,
                                         struct shm_arrival_t *arrival);

// Arrives at the barrier and waits for the other parties, waiting until a deadline at most.
//
// Parameters: `barrier`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is
// there, `SHM_FOREVER` waits as long as it takes. `arrival`: receives which seat it was and whether it was the last to arrive;
// or NULL.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_barrier_wait`.
// Thread use: as `shm_barrier_wait`.
// Death: as `shm_barrier_wait`.
shm_status_t shm_barrier_wait_until_ns(struct shm_barrier_t barrier,
                                       int64_t deadline_ns,
                                       struct shm_arrival_t *arrival);

// Arrives at the barrier and waits for the other parties, waiting until a deadline at most, or until a signal handler has run in
// this thread.
//
// Parameters: `barrier`: a handle. `deadline_ns`: as for `shm_barrier_wait_until_ns`. `arrival`: receives which seat it was and
// whether it was the last to arrive; or NULL.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_barrier_wait_until_ns`.
// Thread use: as `shm_barrier_wait`.
// Death: as `shm_barrier_wait`.
shm_status_t shm_barrier_wait_interruptible_ns(struct shm_barrier_t barrier,
                                               int64_t deadline_ns,
                                               struct shm_arrival_t *arrival);

// Arrives and waits as long as it takes; the last to arrive calls `action` before the others go on.
//
// Parameters: `barrier`: a handle. `action`, `user`: the function and what it is called with; something else than 0 from it
// breaks the barrier. `arrival`: as for `shm_barrier_wait`.
// Returns: as `shm_barrier_wait`; `SHM_STATUS_CALLBACK_FAILED` to the last one, `SHM_STATUS_BROKEN` to the others.
// Thread use: as `shm_barrier_wait`. The function does not leave by longjmp(3) or an exception.
// Death: in the function breaks the barrier for all.
shm_status_t shm_barrier_wait_with(struct shm_barrier_t barrier,
                                   shm_action_t action,
                                   void *user,
                                   struct shm_arrival_t *arrival);

// Takes a seat for this thread, from round to round, so that its death is noticed between the rounds too.
//
// Parameters: `barrier`: a handle, through which this thread waits and leaves from now on.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_DEADLOCK` if it has joined already, `SHM_STATUS_TOO_MANY_PARTIES`,
// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: the thread that joins is the party.
// Death: of the thread or its process breaks the barrier for all, at once.
shm_status_t shm_barrier_join(struct shm_barrier_t barrier);

// Gives the seat of this thread back.
//
// Parameters: `barrier`: the handle through which it joined.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: only the thread that joined.
// Death: half-way counts as that of a party.
shm_status_t shm_barrier_leave(struct shm_barrier_t barrier);

// Breaks the barrier: who waits, and who comes, gets `SHM_STATUS_BROKEN`.
//
// Parameters: `barrier`: a handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: half-way has broken it or not.
shm_status_t shm_barrier_abort(struct shm_barrier_t barrier);

// Makes a broken barrier whole again, with nobody arrived; who waits is turned away.
//
// Parameters: `barrier`: a handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: half-way leaves it broken; reset it again.
shm_status_t shm_barrier_reset(struct shm_barrier_t barrier);

// Says how the barrier is now.
//
// Parameters: `barrier`: a handle. `state`: receives the numbers.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: of a party shows as broken.
shm_status_t shm_barrier_state(struct shm_barrier_t barrier,
                               struct shm_barrier_state_t *state);

// Creates a bounded semaphore, on its own under a name or without one.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
// reach. `options`: or NULL for the defaults; one without a name takes none. `bound`: how many permits there are at first and at
// most, 1 or more. `semaphore`: receives the handle, which `shm_bounded_semaphore_detach` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_bounded_semaphore_create(const char *name,
                                          const struct shm_options_t *options,
                                          uint32_t bound,
                                          struct shm_bounded_semaphore_t *semaphore);

// Attaches to the bounded semaphore under a name.
//
// Parameters: `name`: as it was created. `semaphore`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
// of attaching.
// Thread use: any thread.
// Death: of the creator changes nothing, unless the segment's lifetime says so.
shm_status_t shm_bounded_semaphore_attach(const char *name,
                                          struct shm_bounded_semaphore_t *semaphore);

// Attaches to the bounded semaphore under a name, or creates it, without a race between the two.
//
// Parameters: as for `shm_bounded_semaphore_create`, but the name is not NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
// errors of creating and attaching.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_bounded_semaphore_create_or_attach(const char *name,
                                                    uint32_t bound,
                                                    struct shm_bounded_semaphore_t *semaphore);

// Adds a bounded semaphore to the plan of a segment, beside the data that it is for.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `bound`: how many
// permits there are at first and at most, 1 or more.
// Returns: as `shm_contents_add_array`.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_bounded_semaphore(struct shm_contents_t contents,
                                                const char *entry,
                                                uint32_t bound);

// Attaches to the bounded semaphore in an entry of a segment.
//
// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `semaphore`: receives the
// handle, which keeps the segment attached.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
// attachment.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_bounded_semaphore_attach_in(struct shm_segment_t segment,
                                             const char *entry,
                                             struct shm_bounded_semaphore_t *semaphore);

// Makes a bounded semaphore in zero bytes of the caller's, which are mapped shared between the processes that use it.
//
// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_bounded_semaphore_size` at least. They stay mapped until
// the last handle is given back, are used at one address only in one process, and through handles only. `bound`: how many
// permits there are at first and at most, 1 or more. `semaphore`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: nobody else uses the bytes before this has returned.
// Death: in the middle leaves bytes that are none yet; zero them and begin again.
shm_status_t shm_bounded_semaphore_create_at(void *address,
                                             uint64_t length,
                                             uint32_t bound,
                                             struct shm_bounded_semaphore_t *semaphore);

// Attaches to the bounded semaphore at an address of the caller's.
//
// Parameters: as for `shm_bounded_semaphore_create_at`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_bounded_semaphore_attach_at(void *address,
                                             uint64_t length,
                                             struct shm_bounded_semaphore_t *semaphore);

// Says how many bytes a bounded semaphore takes at an address.
//
// Parameters: `bound`: how many permits there are at first and at most, 1 or more. `size`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_bounded_semaphore_size(uint32_t bound,
                                        uint64_t *size);

// Gives the handle back. The bounded semaphore itself stays where it is, for others.
//
// Parameters: `semaphore`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
// `SHM_STATUS_INVALID_HANDLE`.
// Death: of the process gives all its handles back.
shm_status_t shm_bounded_semaphore_detach(struct shm_bounded_semaphore_t semaphore);

// Takes a permit, waiting as long as it takes. Signals do not end the wait.
//
// Parameters: `semaphore`: a handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`,
// `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread; a permit belongs to nobody in particular.
// Death: of whoever took a permit leaves it taken; of one who waits takes nothing away from the others.
shm_status_t shm_bounded_semaphore_acquire(struct shm_bounded_semaphore_t semaphore);

// Takes a permit, if that is possible at once.
//
// Parameters: `semaphore`: a handle.
// Returns: `SHM_STATUS_BUSY` if there is none; otherwise as `shm_bounded_semaphore_acquire`.
// Thread use: as `shm_bounded_semaphore_acquire`.
// Death: as `shm_bounded_semaphore_acquire`.
shm_status_t shm_bounded_semaphore_try_acquire(struct shm_bounded_semaphore_t semaphore);

// Takes a permit, waiting for a time at most.
//
// Parameters: `semaphore`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
// long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as
// `shm_bounded_semaphore_acquire`.
// Thread use: as `shm_bounded_semaphore_acquire`.
// Death: as `shm_bounded_semaphore_acquire`.
shm_status_t shm_bounded_semaphore_acquire_timeout_ns(struct shm_bounded_semaphore_t semaphore,
                                                      int64_t timeout_ns);

// Takes a permit, waiting until a deadline at most.
//
// Parameters: `semaphore`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is
// there, `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as
// `shm_bounded_semaphore_acquire`.
// Thread use: as `shm_bounded_semaphore_acquire`.
// Death: as `shm_bounded_semaphore_acquire`.
shm_status_t shm_bounded_semaphore_acquire_until_ns(struct shm_bounded_semaphore_t semaphore,
                                                    int64_t deadline_ns);

// Takes a permit, waiting until a deadline at most, or until a signal handler has run in this thread.
//
// Parameters: `semaphore`: a handle. `deadline_ns`: as for `shm_bounded_semaphore_acquire_until_ns`.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_bounded_semaphore_acquire_until_ns`.
// Thread use: as `shm_bounded_semaphore_acquire`.
// Death: as `shm_bounded_semaphore_acquire`.
shm_status_t shm_bounded_semaphore_acquire_interruptible_ns(struct shm_bounded_semaphore_t semaphore,
                                                            int64_t deadline_ns);

// Gives permits back, or new ones, and wakes as many who wait.
//
// Parameters: `semaphore`: a handle. `permits`: how many.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_OVERFLOW` if that is more than the bound, with nothing changed; `SHM_STATUS_CORRUPTED`,
// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: half-way gives back all or none.
shm_status_t shm_bounded_semaphore_release(struct shm_bounded_semaphore_t semaphore,
                                           uint32_t permits);

// Says how many permits there are now.
//
// Parameters: `semaphore`: a handle. `permits`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`,
// `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread; it may be another number at once.
// Death: of others changes nothing.
shm_status_t shm_bounded_semaphore_available(struct shm_bounded_semaphore_t semaphore,
                                             uint32_t *permits);

// Says how many permits there can be.
//
// Parameters: `semaphore`: a handle. `permits`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: of others changes nothing.
shm_status_t shm_bounded_semaphore_bound(struct shm_bounded_semaphore_t semaphore,
                                         uint32_t *permits);

// Creates a byte channel, on its own under a name or without one.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
// reach. `options`: or NULL for the defaults; one without a name takes none. `capacity`: bytes for messages and 8 for each of
// them; a message that fills it is the longest one. `channel`: receives the handle, which `shm_byte_channel_detach` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_byte_channel_create(const char *name,
                                     const struct shm_options_t *options,
                                     uint64_t capacity,
                                     struct shm_byte_channel_t *channel);

// Attaches to the byte channel under a name.
//
// Parameters: `name`: as it was created. `channel`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
// of attaching.
// Thread use: any thread.
// Death: of the creator changes nothing, unless the segment's lifetime says so.
shm_status_t shm_byte_channel_attach(const char *name,
                                     struct shm_byte_channel_t *channel);

// Attaches to the byte channel under a name, or creates it, without a race between the two.
//
// Parameters: as for `shm_byte_channel_create`, but the name is not NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
// errors of creating and attaching.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_byte_channel_create_or_attach(const char *name,
                                               uint64_t capacity,
                                               struct shm_byte_channel_t *channel);

// Adds a byte channel to the plan of a segment, beside the data that it is for.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `capacity`: bytes for
// messages and 8 for each of them; a message that fills it is the longest one.
// Returns: as `shm_contents_add_array`.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_byte_channel(struct shm_contents_t contents,
                                           const char *entry,
                                           uint64_t capacity);

// Attaches to the byte channel in an entry of a segment.
//
// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `channel`: receives the handle,
// which keeps the segment attached.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
// attachment.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_byte_channel_attach_in(struct shm_segment_t segment,
                                        const char *entry,
                                        struct shm_byte_channel_t *channel);

// Makes a byte channel in zero bytes of the caller's, which are mapped shared between the processes that use it.
//
// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_byte_channel_size` at least. They stay mapped until the
// last handle is given back, are used at one address only in one process, and through handles only. `capacity`: bytes for
// messages and 8 for each of them; a message that fills it is the longest one. `channel`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: nobody else uses the bytes before this has returned.
// Death: in the middle leaves bytes that are none yet; zero them and begin again.
shm_status_t shm_byte_channel_create_at(void *address,
                                        uint64_t length,
                                        uint64_t capacity,
                                        struct shm_byte_channel_t *channel);

// Attaches to the byte channel at an address of the caller's.
//
// Parameters: as for `shm_byte_channel_create_at`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_byte_channel_attach_at(void *address, uint64_t length, struct shm_byte_channel_t *channel);

// Says how many bytes a byte channel takes at an address.
//
// Parameters: `capacity`: bytes for messages and 8 for each of them; a message that fills it is the longest one. `size`:
// receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_byte_channel_size(uint64_t capacity,
                                   uint64_t *size);

// Gives the handle back. The byte channel itself stays where it is, for others.
//
// Parameters: `channel`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
// `SHM_STATUS_INVALID_HANDLE`.
// Death: of the process gives all its handles back.
shm_status_t shm_byte_channel_detach(struct shm_byte_channel_t channel);

// Sends a message, waiting as long as it takes. Signals do not end the wait.
//
// Parameters: `channel`: a handle. `message`, `length`: the bytes; NULL only if there are none.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CLOSED`, `SHM_STATUS_INVALID_ARGUMENT` for a message that is longer than the channel,
// `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`. The message has not
// been sent then.
// Thread use: any thread.
// Death: of a sender half-way sends nothing, and blocks nobody.
shm_status_t shm_byte_channel_send(struct shm_byte_channel_t channel,
                                   const void *message,
                                   uint64_t length);

// Sends a message, if that is possible at once.
//
// Parameters: `channel`: a handle. `message`, `length`: the bytes; NULL only if there are none.
// Returns: `SHM_STATUS_BUSY` never, and `SHM_STATUS_FULL` if there is no room; otherwise as `shm_byte_channel_send`.
// Thread use: as `shm_byte_channel_send`.
// Death: as `shm_byte_channel_send`.
shm_status_t shm_byte_channel_try_send(struct shm_byte_channel_t channel,
                                       const void *message,
                                       uint64_t length);

// Sends a message, waiting for a time at most.
//
// Parameters: `channel`: a handle. `message`, `length`: the bytes; NULL only if there are none. `timeout_ns`: how long, in
// nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_byte_channel_send`.
// Thread use: as `shm_byte_channel_send`.
// Death: as `shm_byte_channel_send`.
shm_status_t shm_byte_channel_send_timeout_ns(struct shm_byte_channel_t channel,
                                              const void *message,
                                              uint64_t length,
                                              int64_t timeout_ns);

// Sends a message, waiting until a deadline at most.
//
// Parameters: `channel`: a handle. `message`, `length`: the bytes; NULL only if there are none. `deadline_ns`: in nanoseconds of
// `shm_clock_ns`; one that has passed still takes what is there, `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_byte_channel_send`.
// Thread use: as `shm_byte_channel_send`.
// Death: as `shm_byte_channel_send`.
shm_status_t shm_byte_channel_send_until_ns(struct shm_byte_channel_t channel,
                                            const void *message,
                                            uint64_t length,
                                            int64_t deadline_ns);

// Sends a message, waiting until a deadline at most, or until a signal handler has run in this thread.
//
// Parameters: `channel`: a handle. `message`, `length`: the bytes; NULL only if there are none. `deadline_ns`: as for
// `shm_byte_channel_send_until_ns`.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_byte_channel_send_until_ns`.
// Thread use: as `shm_byte_channel_send`.
// Death: as `shm_byte_channel_send`.
shm_status_t shm_byte_channel_send_interruptible_ns(struct shm_byte_channel_t channel,
                                                    const void *message,
                                                    uint64_t length,
                                                    int64_t deadline_ns);

// Receives a message, waiting as long as it takes. Signals do not end the wait.
//
// Parameters: `channel`: a handle. `message`: receives the address of the bytes, which `shm_free` gives back. `length`: receives
// how many there are.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CLOSED` when everything was received, `SHM_STATUS_OUT_OF_MEMORY`,
// `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: of a receiver half-way leaves the message to the next one.
shm_status_t shm_byte_channel_recv(struct shm_byte_channel_t channel,
                                   void **message,
                                   uint64_t *length);

// Receives a message, if that is possible at once.
//
// Parameters: `channel`: a handle. `message`: receives the address of the bytes, which `shm_free` gives back. `length`: receives
// how many there are.
// Returns: `SHM_STATUS_BUSY` never, and `SHM_STATUS_EMPTY` if there is none; otherwise as `shm_byte_channel_recv`.
// Thread use: as `shm_byte_channel_recv`.
// Death: as `shm_byte_channel_recv`.
shm_status_t shm_byte_channel_try_recv(struct shm_byte_channel_t channel,
                                       void **message,
                                       uint64_t *length);

// Receives a message, waiting for a time at most.
//
// Parameters: `channel`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
// long as it takes. `message`: receives the address of the bytes, which `shm_free` gives back. `length`: receives how many there
// are.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_byte_channel_recv`.
// Thread use: as `shm_byte_channel_recv`.
// Death: as `shm_byte_channel_recv`.
shm_status_t shm_byte_channel_recv_timeout_ns(struct shm_byte_channel_t channel,
                                              int64_t timeout_ns,
                                              void **message,
                                              uint64_t *length);

// Receives a message, waiting until a deadline at most.
//
// Parameters: `channel`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is
// there, `SHM_FOREVER` waits as long as it takes. `message`: receives the address of the bytes, which `shm_free` gives back.
// `length`: receives how many there are.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_byte_channel_recv`.
// Thread use: as `shm_byte_channel_recv`.
// Death: as `shm_byte_channel_recv`.
shm_status_t shm_byte_channel_recv_until_ns(struct shm_byte_channel_t channel,
                                            int64_t deadline_ns,
                                            void **message,
                                            uint64_t *length);

// Receives a message, waiting until a deadline at most, or until a signal handler has run in this thread.
//
// Parameters: `channel`: a handle. `deadline_ns`: as for `shm_byte_channel_recv_until_ns`. `message`: receives the address of
// the bytes, which `shm_free` gives back. `length`: receives how many there are.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_byte_channel_recv_until_ns`.
// Thread use: as `shm_byte_channel_recv`.
// Death: as `shm_byte_channel_recv`.
shm_status_t shm_byte_channel_recv_interruptible_ns(struct shm_byte_channel_t channel,
                                                    int64_t deadline_ns,
                                                    void **message,
                                                    uint64_t *length);

// Closes the channel: nothing can be sent any more, and what was sent can be received.
//
// Parameters: `channel`: a handle. `was_open`: receives 1 if this call closed it, 0 if somebody had; or NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: half-way has closed it or not.
shm_status_t shm_byte_channel_close(struct shm_byte_channel_t channel, int32_t *was_open);

// Says how the channel is now.
//
// Parameters: `channel`: a handle. `state`: receives the numbers.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: of others changes nothing.
shm_status_t shm_byte_channel_state(struct shm_byte_channel_t channel,
                                    struct shm_channel_state_t *state);

// Creates a channel, on its own under a name or without one.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
// reach. `options`: or NULL for the defaults; one without a name takes none. `item_size`: bytes of an item. `capacity`: how
// many items it holds, 1 or more. `channel`: receives the handle, which `shm_channel_detach` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_channel_create(const char *name,
                                const struct shm_options_t *options,
                                uint64_t item_size,
                                uint64_t capacity,
                                struct shm_channel_t *channel);

// Attaches to the channel under a name.
//
// Parameters: `name`: as it was created. `item_size`: as it was created, so that nobody takes items for something else.
// `channel`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
// of attaching.
// Thread use: any thread.
// Death: of the creator changes nothing, unless the segment's lifetime says so.
shm_status_t shm_channel_attach(const char *name,
                                uint64_t item_size,
                                struct shm_channel_t *channel);

// Attaches to the channel under a name, or creates it, without a race between the two.
//
// Parameters: as for `shm_channel_create`, but the name is not NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
// errors of creating and attaching.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_channel_create_or_attach(const char *name,
                                          uint64_t item_size,
                                          uint64_t capacity,
                                          struct shm_channel_t *channel);

// Adds a channel to the plan of a segment, beside the data that it is for.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `item_size`: bytes
// of an item. `capacity`: how many items it holds, 1 or more.
// Returns: as `shm_contents_add_array`.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_channel(struct shm_contents_t contents,
                                      const char *entry,
                                      uint64_t item_size,
                                      uint64_t capacity);

// Attaches to the channel in an entry of a segment.
//
// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `item_size`: as it was
// planned. `channel`: receives the handle, which keeps the segment attached.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
// attachment.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_channel_attach_in(struct shm_segment_t segment,
                                   const char *entry,
                                   uint64_t item_size,
                                   struct shm_channel_t *channel);

// Makes a channel in zero bytes of the caller's, which are mapped shared between the processes that use it.
//
// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_channel_size` at least. They stay mapped until the last
// handle is given back, are used at one address only in one process, and through handles only. `item_size`: bytes of an item.
// `capacity`: how many items it holds, 1 or more. `channel`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: nobody else uses the bytes before this has returned.
// Death: in the middle leaves bytes that are none yet; zero them and begin again.
shm_status_t shm_channel_create_at(void *address,
                                   uint64_t length,
                                   uint64_t item_size,
                                   uint64_t capacity,
                                   struct shm_channel_t *channel);

// Attaches to the channel at an address of the caller's.
//
// Parameters: as for `shm_channel_create_at`, without a capacity.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_channel_attach_at(void *address,
                                   uint64_t length,
                                   uint64_t item_size,
                                   struct shm_channel_t *channel);

// Says how many bytes a channel takes at an address.
//
// Parameters: `item_size`: bytes of an item. `capacity`: how many items it
// holds, 1 or more. `size`:
// receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_channel_size(uint64_t item_size, uint64_t capacity, uint64_t *size);

// Gives the handle back. The channel itself stays where it is, for others.
//
// Parameters: `channel`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
// `SHM_STATUS_INVALID_HANDLE`.
// Death: of the process gives all its handles back.
shm_status_t shm_channel_detach(struct shm_channel_t channel);

// Sends an item, waiting as long as it takes. Signals do not end the wait.
//
// Parameters: `channel`: a handle. `item`: its bytes, as many as an item has; NULL only if there are none.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CLOSED`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`. The item has not
// been sent then.
// Thread use: any thread.
// Death: of a sender half-way sends nothing, and blocks nobody.
shm_status_t shm_channel_send(struct shm_channel_t channel,
                              const void *item);

// Sends an item, if that is possible at once.
//
// Parameters: `channel`: a handle. `item`: its bytes, as many as an item has; NULL only if there are none.
// Returns: `SHM_STATUS_FULL` if there is no room; otherwise as `shm_channel_send`.
// Thread use: as `shm_channel_send`.
// Death: as `shm_channel_send`.
shm_status_t shm_channel_try_send(struct shm_channel_t channel, const void *item);

// Sends an item, waiting for a time at most.
//
// Parameters: `channel`: a handle. `item`: its bytes, as many as an item has; NULL only if there are none. `timeout_ns`: how
// long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_channel_send`.
// Thread use: as `shm_channel_send`.
// Death: as `shm_channel_send`.
shm_status_t shm_channel_send_timeout_ns(struct shm_channel_t channel,
                                         const void *item,
                                         int64_t timeout_ns);

// Sends an item, waiting until a deadline at most.
//
// Parameters: `channel`: a handle. `item`: its bytes, as many as an item has; NULL only if there are none. `deadline_ns`: in
// nanoseconds of `shm_clock_ns`; one that has passed still takes what is there, `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_channel_send`.
// Thread use: as `shm_channel_send`.
// Death: as `shm_channel_send`.
shm_status_t shm_channel_send_until_ns(struct shm_channel_t channel,
                                       const void *item,
                                       int64_t deadline_ns);

// Sends an item, waiting until a deadline at most, or until a signal handler has run in this thread.
//
// Parameters: `channel`: a handle. `item`: its bytes, as many as an item has; NULL only if there are none. `deadline_ns`: as for
// `shm_channel_send_until_ns`.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_channel_send_until_ns`.
// Thread use: as `shm_channel_send`.
// Death: as `shm_channel_send`.
shm_status_t shm_channel_send_interruptible_ns(struct shm_channel_t channel,
                                               const void *item,
                                               int64_t deadline_ns);

// Receives an item, waiting as long as it takes. Signals do not end the wait.
//
// Parameters: `channel`: a handle. `item`: receives the bytes, as many as an item has; they are zero after an error.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CLOSED` when everything was received, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: of a receiver half-way leaves the item to the next one.
shm_status_t shm_channel_recv(struct shm_channel_t channel,
                              void *item);

// Receives an item, if that is possible at once.
//
// Parameters: `channel`: a handle. `item`: receives the bytes, as many as an item has; they are zero after an error.
// Returns: `SHM_STATUS_EMPTY` if there is none; otherwise as `shm_channel_recv`.
// Thread use: as `shm_channel_recv`.
// Death: as `shm_channel_recv`.
shm_status_t shm_channel_try_recv(struct shm_channel_t channel,
                                  void *item);

// Receives an item, waiting for a time at most.
//
// Parameters: `channel`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
// long as it takes. `item`: receives the bytes, as many as an item has; they are zero after an error.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_channel_recv`.
// Thread use: as `shm_channel_recv`.
// Death: as `shm_channel_recv`.
shm_status_t shm_channel_recv_timeout_ns(struct shm_channel_t channel,
                                         int64_t timeout_ns,
                                         void *item);

// Receives an item, waiting until a deadline at most.
//
// Parameters: `channel`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is
// there, `SHM_FOREVER` waits as long as it takes. `item`: receives the bytes, as many as an item has; they are zero after an
// error.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_channel_recv`.
// Thread use: as `shm_channel_recv`.
// Death: as `shm_channel_recv`.
shm_status_t shm_channel_recv_until_ns(struct shm_channel_t channel,
                                       int64_t deadline_ns,
                                       void *item);

// Receives an item, waiting until a deadline at most, or until a signal handler has run in this thread.
//
// Parameters: `channel`: a handle. `deadline_ns`: as for `shm_channel_recv_until_ns`. `item`: receives the bytes, as many as
// an item has; they are zero after an error.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_channel_recv_until_ns`.
// Thread use: as `shm_channel_recv`.
// Death: as `shm_channel_recv`.
shm_status_t shm_channel_recv_interruptible_ns(struct shm_channel_t channel,
                                               int64_t deadline_ns,
                                               void *item);

// Closes the channel: nothing can be sent any more, and what was sent can be received.
//
// Parameters: `channel`: a handle. `was_open`: receives 1 if this call closed it, 0 if somebody had; or NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: half-way has closed it or not.
shm_status_t shm_channel_close(struct shm_channel_t channel, int32_t *was_open);

// Says how the channel is now.
//
// Parameters: `channel`: a handle. `state`: receives the numbers.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: of others changes nothing.
shm_status_t shm_channel_state(struct shm_channel_t channel,
                               struct shm_channel_state_t *state);

// Tells how many bytes an item of the channel has.
//
// Parameters: `channel`: a handle. `item_size`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: of others changes nothing.
shm_status_t shm_channel_item_size(struct shm_channel_t channel,
                                   uint64_t *item_size);

// Creates a condition variable, on its own under a name or without one.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
// reach. `options`: or NULL for the defaults; one without a name takes none. `condvar`: receives the handle, which
// `shm_condvar_detach` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_condvar_create(const char *name,
                                const struct shm_options_t *options,
                                struct shm_condvar_t *condvar);

// Attaches to the condition variable under a name.
//
// Parameters: `name`: as it was created. `condvar`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
// of attaching.
// Thread use: any thread.
// Death: of the creator changes nothing, unless the segment's lifetime says so.
shm_status_t shm_condvar_attach(const char *name,
                                struct shm_condvar_t *condvar);

// Attaches to the condition variable under a name, or creates it, without a race between the two.
//
// Parameters: as for `shm_condvar_create`, but the name is not NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, and the errors of creating and attaching.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_condvar_create_or_attach(const char *name,
                                          struct shm_condvar_t *condvar);

// Adds a condition variable to the plan of a segment, beside the data that it is for.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry.
// Returns: as `shm_contents_add_array`.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_condvar(struct shm_contents_t contents, const char *entry);

// Attaches to the condition variable in an entry of a segment.
//
// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `condvar`: receives the handle,
// which keeps the segment attached.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
// attachment.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_condvar_attach_in(struct shm_segment_t segment,
                                   const char *entry,
                                   struct shm_condvar_t *condvar);

// Makes a condition variable in zero bytes of the caller's, which are mapped shared between the processes that use it.
//
// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_condvar_size` at least. They stay mapped until the last
// handle is given back, are used at one address only in one process, and through handles only. `condvar`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: nobody else uses the bytes before this has returned.
// Death: in the middle leaves bytes that are none yet; zero them and begin again.
shm_status_t shm_condvar_create_at(void *address,
                                   uint64_t length,
                                   struct shm_condvar_t *condvar);

// Attaches to the condition variable at an address of the caller's. Zero bytes are one already.
//
// Parameters: as for `shm_condvar_create_at`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_condvar_attach_at(void *address, uint64_t length, struct shm_condvar_t *condvar);

// Says how many bytes a condition variable takes at an address.
//
// Parameters: `size`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_condvar_size(uint64_t *size);

// Gives the handle back. The condition variable itself stays where it is, for others.
//
// Parameters: `condvar`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
// `SHM_STATUS_INVALID_HANDLE`.
// Death: of the process gives all its handles back.
shm_status_t shm_condvar_detach(struct shm_condvar_t condvar);

// Gives the mutex up, waits for a notification as long as it takes, and takes the mutex again. Signals do not end the wait.
//
// Parameters: `condvar`: a handle. `mutex`: the handle through which this thread holds the mutex that all use who wait.
// Returns: `SHM_STATUS_OK` with the mutex, after a notification (ask for the condition again: it may have changed since);
// `SHM_STATUS_OWNER_DIED` *with the mutex*, as from `shm_mutex_lock`; `SHM_STATUS_INVALID_ARGUMENT` if others wait with another
// mutex, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND` with nothing changed,
// the mutex still held. After `SHM_STATUS_POISONED` (somebody gave up what the mutex guards) it is *not* held any more; after
// `SHM_STATUS_CORRUPTED` it is held if the wait could not begin (`shm_mutex_value` says).
// Thread use: only the thread that holds the mutex.
// Death: of a waiter takes no notification away from the others.
shm_status_t shm_condvar_wait(struct shm_condvar_t condvar,
                              struct shm_mutex_t mutex);

// Waits as `shm_condvar_wait`, for a time at most.
//
// Parameters: `condvar`: a handle. `mutex`: the handle through which this thread holds the mutex that all use who wait.
// `timeout_ns`: how long, in nanoseconds, or `SHM_FOREVER`.
// Returns: `SHM_STATUS_TIMED_OUT` *with the mutex*, `SHM_STATUS_INVALID_ARGUMENT` for a negative time with nothing changed;
// otherwise as `shm_condvar_wait`.
// Thread use: only the thread that holds the mutex.
// Death: of a waiter takes no notification away from the others.
shm_status_t shm_condvar_wait_timeout_ns(struct shm_condvar_t condvar,
                                         struct shm_mutex_t mutex,
                                         int64_t timeout_ns);

// Waits as `shm_condvar_wait`, until a deadline at most.
//
// Parameters: `condvar`: a handle. `mutex`: the handle through which this thread holds the mutex that all use who wait.
// `deadline_ns`: in nanoseconds of `shm_clock_ns`, or `SHM_FOREVER`.
// Returns: `SHM_STATUS_TIMED_OUT` *with the mutex*, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline with nothing changed;
// otherwise as `shm_condvar_wait`.
// Thread use: only the thread that holds the mutex.
// Death: of a waiter takes no notification away from the others.
shm_status_t shm_condvar_wait_until_ns(struct shm_condvar_t condvar,
                                       struct shm_mutex_t mutex,
                                       int64_t deadline_ns);

// Waits as `shm_condvar_wait_until_ns`, or until a signal handler has run in this thread.
//
// Parameters: `condvar`: a handle. `mutex`: the handle through which this thread holds the mutex that all use who wait.
// `deadline_ns`: as for `shm_condvar_wait_until_ns`.
// Returns: `SHM_STATUS_INTERRUPTED` *with the mutex* after a signal; otherwise as `shm_condvar_wait_until_ns`.
// Thread use: only the thread that holds the mutex.
// Death: of a waiter takes no notification away from the others.
shm_status_t shm_condvar_wait_interruptible_ns(struct shm_condvar_t condvar,
                                               struct shm_mutex_t mutex,
                                               int64_t deadline_ns);

// Wakes one of those who wait now.
//
// Parameters: `condvar`: a handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread, with the mutex or without it.
// Death: half-way has notified or not.
shm_status_t shm_condvar_notify_one(struct shm_condvar_t condvar);

// Wakes some of those who wait now.
//
// Parameters: `condvar`: a handle. `waiters`: how many.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread, with the mutex or without it.
// Death: half-way has notified or not.
shm_status_t shm_condvar_notify_n(struct shm_condvar_t condvar, uint32_t waiters);

// Wakes all who wait now.
//
// Parameters: `condvar`: a handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread, with the mutex or without it.
// Death: half-way has notified or not.
shm_status_t shm_condvar_notify_all(struct shm_condvar_t condvar);

// Creates an event, on its own under a name or without one.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
// reach. `options`: or NULL for the defaults; one without a name takes none. `is_set`: whether it is set at first: 0 or 1.
// `event`: receives the handle, which `shm_event_detach` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_event_create(const char *name,
                              const struct shm_options_t *options,
                              int32_t is_set,
                              struct shm_event_t *event);

// Attaches to the event under a name.
//
// Parameters: `name`: as it was created. `event`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
// of attaching.
// Thread use: any thread.
// Death: of the creator changes nothing, unless the segment's lifetime says so.
shm_status_t shm_event_attach(const char *name,
                              struct shm_event_t *event);

// Attaches to the event under a name, or creates it, without a race between the two.
//
// Parameters: as for `shm_event_create`, but the name is not NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
// errors of creating and attaching.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_event_create_or_attach(const char *name,
                                        int32_t is_set,
                                        struct shm_event_t *event);

// Adds an event to the plan of a segment, beside the data that it is for.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `is_set`: whether it
// is set at first: 0 or 1.
// Returns: as `shm_contents_add_array`.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_event(struct shm_contents_t contents,
                                    const char *entry,
                                    int32_t is_set);

// Attaches to the event in an entry of a segment.
//
// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `event`: receives the handle,
// which keeps the segment attached.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
// attachment.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_event_attach_in(struct shm_segment_t segment,
                                 const char *entry,
                                 struct shm_event_t *event);

// Makes an event in zero bytes of the caller's, which are mapped shared between the processes that use it.
//
// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_event_size` at least. They stay mapped until the last
// handle is given back, are used at one address only in one process, and through handles only. `is_set`: whether it is set at
// first: 0 or 1. `event`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: nobody else uses the bytes before this has returned.
// Death: in the middle leaves bytes that are none yet; zero them and begin again.
shm_status_t shm_event_create_at(void *address,
                                 uint64_t length,
                                 int32_t is_set,
                                 struct shm_event_t *event);

// Attaches to the event at an address of the caller's. Zero bytes are one already.
//
// Parameters: as for `shm_event_create_at`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_event_attach_at(void *address, uint64_t length, struct shm_event_t *event);

// Says how many bytes an event takes at an address.
//
// Parameters: `is_set`: whether it is set at first: 0 or 1. `size`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_event_size(int32_t is_set, uint64_t *size);

// Gives the handle back. The event itself stays where it is, for others.
//
// Parameters: `event`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
// `SHM_STATUS_INVALID_HANDLE`.
// Death: of the process gives all its handles back.
shm_status_t shm_event_detach(struct shm_event_t event);

// Waits until the event is set, waiting as long as it takes. Signals do not end the wait.
//
// Parameters: `event`: a handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`,
// `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: of others changes nothing; an event does not know who is to set it.
shm_status_t shm_event_wait(struct shm_event_t event);

// Waits until the event is set, if that is possible at once.
//
// Parameters: `event`: a handle.
// Returns: `SHM_STATUS_BUSY` if it is not set; otherwise as `shm_event_wait`.
// Thread use: as `shm_event_wait`.
// Death: as `shm_event_wait`.
shm_status_t shm_event_try_wait(struct shm_event_t event);

// Waits until the event is set, waiting for a time at most.
//
// Parameters: `event`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
// long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_event_wait`.
// Thread use: as `shm_event_wait`.
// Death: as `shm_event_wait`.
shm_status_t shm_event_wait_timeout_ns(struct shm_event_t event,
                                       int64_t timeout_ns);

// Waits until the event is set, waiting until a deadline at most.
//
// Parameters: `event`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is there,
// `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_event_wait`.
// Thread use: as `shm_event_wait`.
// Death: as `shm_event_wait`.
shm_status_t shm_event_wait_until_ns(struct shm_event_t event,
                                     int64_t deadline_ns);

// Waits until the event is set, waiting until a deadline at most, or until a signal handler has run in this thread.
//
// Parameters: `event`: a handle. `deadline_ns`: as for `shm_event_wait_until_ns`.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_event_wait_until_ns`.
// Thread use: as `shm_event_wait`.
// Death: as `shm_event_wait`.
shm_status_t shm_event_wait_interruptible_ns(struct shm_event_t event,
                                             int64_t deadline_ns);

// Sets the event and lets through all who wait.
//
// Parameters: `event`: a handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: half-way has set it or not; if it has, all who wait get through.
shm_status_t shm_event_set(struct shm_event_t event);

// Clears the event: who comes from now on waits.
//
// Parameters: `event`: a handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: half-way has cleared it or not.
shm_status_t shm_event_clear(struct shm_event_t event);

// Says whether the event is set now.
//
// Parameters: `event`: a handle. `is_set`: receives 1 or 0.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`,
// `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: of others changes nothing.
shm_status_t shm_event_is_set(struct shm_event_t event,
                              int32_t *is_set);

// Creates a latch, on its own under a name or without one.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
// reach. `options`: or NULL for the defaults; one without a name takes none. `parties`: how many arrivals it waits for, 2 147
// 483 647 at most. `latch`: receives the handle, which `shm_latch_detach` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_latch_create(const char *name,
                              const struct shm_options_t *options,
                              uint32_t parties,
                              struct shm_latch_t *latch);

// Attaches to the latch under a name.
//
// Parameters: `name`: as it was created. `latch`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
// of attaching.
// Thread use: any thread.
// Death: of the creator changes nothing, unless the segment's lifetime says so.
shm_status_t shm_latch_attach(const char *name,
                              struct shm_latch_t *latch);

// Attaches to the latch under a name, or creates it, without a race between the two.
//
// Parameters: as for `shm_latch_create`, but the name is not NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
// errors of creating and attaching.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_latch_create_or_attach(const char *name,
                                        uint32_t parties,
                                        struct shm_latch_t *latch);

// Adds a latch to the plan of a segment, beside the data that it is for.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `parties`: how many
// arrivals it waits for, 2 147 483 647 at most.
// Returns: as `shm_contents_add_array`.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_latch(struct shm_contents_t contents,
                                    const char *entry,
                                    uint32_t parties);

// Attaches to the latch in an entry of a segment.
//
// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `latch`: receives the handle,
// which keeps the segment attached.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
// attachment.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_latch_attach_in(struct shm_segment_t segment,
                                 const char *entry,
                                 struct shm_latch_t *latch);

// Makes a latch in zero bytes of the caller's, which are mapped shared between the processes that use it.
//
// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_latch_size` at least. They stay mapped until the last
// handle is given back, are used at one address only in one process, and through handles only. `parties`: how many arrivals it
// waits for, 2 147 483 647 at most. `latch`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: nobody else uses the bytes before this has returned.
// Death: in the middle leaves bytes that are none yet; zero them and begin again.
shm_status_t shm_latch_create_at(void *address,
                                 uint64_t length,
                                 uint32_t parties,
                                 struct shm_latch_t *latch);

// Attaches to the latch at an address of the caller's.
//
// Parameters: as for `shm_latch_create_at`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_latch_attach_at(void *address, uint64_t length, struct shm_latch_t *latch);

// Says how many bytes a latch takes at an address.
//
// Parameters: `parties`: how many arrivals it waits for, 2 147 483 647 at most. `size`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_latch_size(uint32_t parties, uint64_t *size);

// Gives the handle back. The latch itself stays where it is, for others.
//
// Parameters: `latch`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
// `SHM_STATUS_INVALID_HANDLE`.
// Death: of the process gives all its handles back.
shm_status_t shm_latch_detach(struct shm_latch_t latch);

// Waits until the latch is open, waiting as long as it takes. Signals do not end the wait.
//
// Parameters: `latch`: a handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`,
// `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: of one who is to arrive is not noticed: use a barrier where the others are to hear of it.
shm_status_t shm_latch_wait(struct shm_latch_t latch);

// Waits until the latch is open, if that is possible at once.
//
// Parameters: `latch`: a handle.
// Returns: `SHM_STATUS_BUSY` if it is closed; otherwise as `shm_latch_wait`.
// Thread use: as `shm_latch_wait`.
// Death: as `shm_latch_wait`.
shm_status_t shm_latch_try_wait(struct shm_latch_t latch);

// Waits until the latch is open, waiting for a time at most.
//
// Parameters: `latch`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
// long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_latch_wait`.
// Thread use: as `shm_latch_wait`.
// Death: as `shm_latch_wait`.
shm_status_t shm_latch_wait_timeout_ns(struct shm_latch_t latch,
                                       int64_t timeout_ns);

// Waits until the latch is open, waiting until a deadline at most.
//
// Parameters: `latch`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is there,
// `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_latch_wait`.
// Thread use: as `shm_latch_wait`.
// Death: as `shm_latch_wait`.
shm_status_t shm_latch_wait_until_ns(struct shm_latch_t latch,
                                     int64_t deadline_ns);

// Waits until the latch is open, waiting until a deadline at most, or until a signal handler has run in this thread.
//
// Parameters: `latch`: a handle. `deadline_ns`: as for `shm_latch_wait_until_ns`.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_latch_wait_until_ns`.
// Thread use: as `shm_latch_wait`.
// Death: as `shm_latch_wait`.
shm_status_t shm_latch_wait_interruptible_ns(struct shm_latch_t latch,
                                             int64_t deadline_ns);

// Counts arrivals, without waiting; the last one opens the latch.
//
// Parameters: `latch`: a handle. `arrivals`: how many.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_OVERFLOW` if that is more than are waited for, with nothing changed;
// `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: half-way counts all or none.
shm_status_t shm_latch_count_down(struct shm_latch_t latch, uint32_t arrivals);

// Counts one arrival and waits until the latch is open.
//
// Parameters: `latch`: a handle.
// Returns: as `shm_latch_count_down` and `shm_latch_wait`.
// Thread use: any thread.
// Death: of one who waits leaves its arrival counted.
shm_status_t shm_latch_arrive_and_wait(struct shm_latch_t latch);

// Says how many arrivals are waited for now.
//
// Parameters: `latch`: a handle. `arrivals`: receives the number, 0 if it is open.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`,
// `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: of others changes nothing.
shm_status_t shm_latch_remaining(struct shm_latch_t latch,
                                 uint32_t *arrivals);

// Says how many arrivals the latch was made for.
//
// Parameters: `latch`: a handle. `parties`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: of others changes nothing.
shm_status_t shm_latch_parties(struct shm_latch_t latch,
                               uint32_t *parties);

// Creates a mutex, on its own under a name or without one.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
// reach. `options`: or NULL for the defaults; one without a name takes none. `value_size`: bytes that the lock guards, zero at
// first, which lie with it and are reached with `_value` while it is held; 0 if it guards something else. `mutex`: receives the
// handle, which `shm_mutex_detach` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_mutex_create(const char *name,
                              const struct shm_options_t *options,
                              uint64_t value_size,
                              struct shm_mutex_t *mutex);

// Attaches to the mutex under a name.
//
// Parameters: `name`: as it was created. `value_size`: as it was created. `mutex`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name or a value of
// another size, and other errors of attaching.
// Thread use: any thread.
// Death: of the creator changes nothing, unless the segment's lifetime says so.
shm_status_t shm_mutex_attach(const char *name,
                              uint64_t value_size,
                              struct shm_mutex_t *mutex);

// Attaches to the mutex under a name, or creates it, without a race between the two.
//
// Parameters: as for `shm_mutex_create`, but the name is not NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
// errors of creating and attaching.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_mutex_create_or_attach(const char *name,
                                        uint64_t value_size,
                                        struct shm_mutex_t *mutex);

// Adds a mutex to the plan of a segment, beside the data that it is for.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `value_size`: bytes
// that the lock guards, zero at first, which lie with it and are reached with `_value` while it is held; 0 if it guards
// something else.
// Returns: as `shm_contents_add_array`.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_mutex(struct shm_contents_t contents,
                                    const char *entry,
                                    uint64_t value_size);

// Attaches to the mutex in an entry of a segment.
//
// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `value_size`: as it was created.
// `mutex`: receives the handle, which keeps the segment attached.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
// attachment.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_mutex_attach_in(struct shm_segment_t segment,
                                 const char *entry,
                                 uint64_t value_size,
                                 struct shm_mutex_t *mutex);

// Makes a mutex in zero bytes of the caller's, which are mapped shared between the processes that use it.
//
// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_mutex_size` at least. They stay mapped until the last
// handle is given back, are used at one address only in one process, and through handles only. `value_size`: bytes that the lock
// guards, zero at first, which lie with it and are reached with `_value` while it is held; 0 if it guards something else.
// `mutex`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: nobody else uses the bytes before this has returned.
// Death: in the middle leaves bytes that are none yet; zero them and begin again.
shm_status_t shm_mutex_create_at(void *address,
                                 uint64_t length,
                                 uint64_t value_size,
                                 struct shm_mutex_t *mutex);

// Attaches to the mutex at an address of the caller's. Zero bytes are one already.
//
// Parameters: as for `shm_mutex_create_at`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_mutex_attach_at(void *address,
                                 uint64_t length,
                                 uint64_t value_size,
                                 struct shm_mutex_t *mutex);

// Says how many bytes a mutex takes at an address.
//
// Parameters: `value_size`: bytes that the lock guards, zero at first, which lie with it and are reached with `_value` while it
// is held; 0 if it guards something else. `size`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_mutex_size(uint64_t value_size,
                            uint64_t *size);

// Gives the handle back. The mutex itself stays where it is, for others.
//
// Parameters: `mutex`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LOCK_HELD` if this thread holds something through this handle (the handle stays good
// then), `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
// `SHM_STATUS_INVALID_HANDLE`.
// Death: of the process gives all its handles back.
shm_status_t shm_mutex_detach(struct shm_mutex_t mutex);

// Takes the lock, waiting as long as it takes. Signals do not end the wait.
//
// Parameters: `mutex`: a handle.
// Returns: `SHM_STATUS_OK`; `SHM_STATUS_OWNER_DIED`: *locked*, but the last holder died with it: mend what the lock guards and
// call `shm_mutex_recover`, then unlock as usual (unlocked without that, it is poisoned). Not locked: `SHM_STATUS_DEADLOCK` if
// this thread holds it already, `SHM_STATUS_POISONED`, `SHM_STATUS_TOO_MANY_LOCKS` (2 000 in a thread), `SHM_STATUS_CORRUPTED`,
// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: the thread that locks owns the lock, and has to unlock it. Not for signal handlers.
// Death: of the holder, its thread or its process, opens the lock, and exactly one next locker gets `SHM_STATUS_OWNER_DIED`. A
// forked child does not have the locks that its parent holds.
shm_status_t shm_mutex_lock(struct shm_mutex_t mutex);

// Takes the lock, if that is possible at once.
//
// Parameters: `mutex`: a handle.
// Returns: `SHM_STATUS_BUSY` if somebody else has it; otherwise as `shm_mutex_lock`.
// Thread use: as `shm_mutex_lock`.
// Death: as `shm_mutex_lock`.
shm_status_t shm_mutex_try_lock(struct shm_mutex_t mutex);

// Takes the lock, waiting for a time at most.
//
// Parameters: `mutex`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
// long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_mutex_lock`.
// Thread use: as `shm_mutex_lock`.
// Death: as `shm_mutex_lock`.
shm_status_t shm_mutex_lock_timeout_ns(struct shm_mutex_t mutex,
                                       int64_t timeout_ns);

// Takes the lock, waiting until a deadline at most.
//
// Parameters: `mutex`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is there,
// `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_mutex_lock`.
// Thread use: as `shm_mutex_lock`.
// Death: as `shm_mutex_lock`.
shm_status_t shm_mutex_lock_until_ns(struct shm_mutex_t mutex,
                                     int64_t deadline_ns);

// Takes the lock, waiting until a deadline at most, or until a signal handler has run in this thread.
//
// Parameters: `mutex`: a handle. `deadline_ns`: as for `shm_mutex_lock_until_ns`.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_mutex_lock_until_ns`.
// Thread use: as `shm_mutex_lock`.
// Death: as `shm_mutex_lock`.
shm_status_t shm_mutex_lock_interruptible_ns(struct shm_mutex_t mutex,
                                             int64_t deadline_ns);

// Declares what the lock guards sound again, for everybody, after `SHM_STATUS_OWNER_DIED` or the repair. The lock stays held.
//
// Parameters: `mutex`: the handle through which this thread holds the lock.
// Returns: `SHM_STATUS_OK`, also if there was nothing to declare; `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`.
// Thread use: only the thread that locked.
// Death: before this call leaves the news to the next locker.
shm_status_t shm_mutex_recover(struct shm_mutex_t mutex);

// Takes the lock alone, in whatever state the guarded data is, to mend it: the way back from `SHM_STATUS_POISONED`.
//
// Parameters: `mutex`: a handle.
// Returns: `SHM_STATUS_OK` with the lock, which counts as given up until `shm_mutex_recover`; otherwise as for locking, without
// `SHM_STATUS_OWNER_DIED` and `SHM_STATUS_POISONED`.
// Thread use: as for locking.
// Death: as for locking.
shm_status_t shm_mutex_repair(struct shm_mutex_t mutex);

// Gives the lock up and wakes who waits for it.
//
// Parameters: `mutex`: the handle through which this thread took the lock.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED` in a forked child whose parent holds it,
// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: only the thread that locked.
// Death: in the middle of it opens the lock, and is told to the next locker if the lock was still held.
shm_status_t shm_mutex_unlock(struct shm_mutex_t mutex);

// Gives the address of the bytes that the lock guards, for as long as this thread holds it.
//
// Parameters: `mutex`: the handle through which this thread holds the lock. `value`: receives the address, a multiple of 64;
// `value_size`: receives the number of bytes, or NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: only the thread that locked.
// Death: after `SHM_STATUS_OWNER_DIED` the bytes are as the dead holder left them, perhaps half-written.
shm_status_t shm_mutex_value(struct shm_mutex_t mutex,
                             void **value,
                             uint64_t *value_size);

// Creates a once, on its own under a name or without one.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
// reach. `options`: or NULL for the defaults; one without a name takes none. `once`: receives the handle, which
// `shm_once_detach` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_once_create(const char *name,
                             const struct shm_options_t *options,
                             struct shm_once_t *once);

// Attaches to the once under a name.
//
// Parameters: `name`: as it was created. `once`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
// of attaching.
// Thread use: any thread.
// Death: of the creator changes nothing, unless the segment's lifetime says so.
shm_status_t shm_once_attach(const char *name,
                             struct shm_once_t *once);

// Attaches to the once under a name, or creates it, without a race between the two.
//
// Parameters: as for `shm_once_create`, but the name is not NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, and the errors of creating and attaching.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_once_create_or_attach(const char *name,
                                       struct shm_once_t *once);

// Adds a once to the plan of a segment, beside the data that it is for.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry.
// Returns: as `shm_contents_add_array`.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_once(struct shm_contents_t contents, const char *entry);

// Attaches to the once in an entry of a segment.
//
// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `once`: receives the handle,
// which keeps the segment attached.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
// attachment.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_once_attach_in(struct shm_segment_t segment,
                                const char *entry,
                                struct shm_once_t *once);

// Makes a once in zero bytes of the caller's, which are mapped shared between the processes that use it.
//
// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_once_size` at least. They stay mapped until the last
// handle is given back, are used at one address only in one process, and through handles only. `once`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: nobody else uses the bytes before this has returned.
// Death: in the middle leaves bytes that are none yet; zero them and begin again.
shm_status_t shm_once_create_at(void *address,
                                uint64_t length,
                                struct shm_once_t *once);

// Attaches to the once at an address of the caller's. Zero bytes are one already.
//
// Parameters: as for `shm_once_create_at`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_once_attach_at(void *address, uint64_t length, struct shm_once_t *once);

// Says how many bytes a once takes at an address.
//
// Parameters: `size`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_once_size(uint64_t *size);

// Gives the handle back. The once itself stays where it is, for others.
//
// Parameters: `once`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
// `SHM_STATUS_INVALID_HANDLE`.
// Death: of the process gives all its handles back.
shm_status_t shm_once_detach(struct shm_once_t once);

// Calls the function if nobody has done so to the end; who comes meanwhile waits until it is done, waiting as long as it takes.
// Signals do not end the wait.
//
// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with.
// Returns: `SHM_STATUS_OK` when it is done, whoever did it; `SHM_STATUS_RUNNER_DIED` if somebody died half-way
// (`shm_once_call_force`); `SHM_STATUS_CALLBACK_FAILED` if this call ran the function and it returned something else than 0: it
// is not done then, as if the runner had died. `SHM_STATUS_DEADLOCK` from within the function, `SHM_STATUS_TOO_MANY_LOCKS`,
// `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. The function runs in the calling thread, and does not leave by longjmp(3) or an exception.
// Death: of the runner half-way is told to one next caller at a time.
shm_status_t shm_once_call(struct shm_once_t once,
                           shm_action_t run,
                           void *user);

// Calls the function if nobody has done so to the end; who comes meanwhile waits until it is done, if that is possible at once.
//
// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with.
// Returns: `SHM_STATUS_BUSY` if somebody is just doing it; otherwise as `shm_once_call`.
// Thread use: as `shm_once_call`.
// Death: as `shm_once_call`.
shm_status_t shm_once_try_call(struct shm_once_t once,
                               shm_action_t run,
                               void *user);

// Calls the function if nobody has done so to the end; who comes meanwhile waits until it is done, waiting for a time at most.
//
// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with. `timeout_ns`: how long, in nanoseconds;
// 0 still takes what is there, `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_once_call`.
// Thread use: as `shm_once_call`.
// Death: as `shm_once_call`.
shm_status_t shm_once_call_timeout_ns(struct shm_once_t once,
                                      shm_action_t run,
                                      void *user,
                                      int64_t timeout_ns);

// Calls the function if nobody has done so to the end; who comes meanwhile waits until it is done, waiting until a deadline at
// most.
//
// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with. `deadline_ns`: in nanoseconds of
// `shm_clock_ns`; one that has passed still takes what is there, `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_once_call`.
// Thread use: as `shm_once_call`.
// Death: as `shm_once_call`.
shm_status_t shm_once_call_until_ns(struct shm_once_t once,
                                    shm_action_t run,
                                    void *user,
                                    int64_t deadline_ns);

// Calls the function if nobody has done so to the end; who comes meanwhile waits until it is done, waiting until a deadline at
// most, or until a signal handler has run in this thread.
//
// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with. `deadline_ns`: as for
// `shm_once_call_until_ns`.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_once_call_until_ns`.
// Thread use: as `shm_once_call`.
// Death: as `shm_once_call`.
shm_status_t shm_once_call_interruptible_ns(struct shm_once_t once,
                                            shm_action_t run,
                                            void *user,
                                            int64_t deadline_ns);

// Calls the function if nobody has done so to the end, also after one who died half-way; who comes meanwhile waits, waiting as
// long as it takes. Signals do not end the wait.
//
// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with; its second argument is 1 if another
// runner died half-way, otherwise 0.
// Returns: `SHM_STATUS_OK` when it is done, whoever did it; `SHM_STATUS_CALLBACK_FAILED` if this call ran the function and it
// returned something else than 0: it is not done then, as if the runner had died. `SHM_STATUS_DEADLOCK` from within the
// function, `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. The function runs in the calling thread, and does not leave by longjmp(3) or an exception.
// Death: of the runner half-way is told to one next caller at a time.
shm_status_t shm_once_call_force(struct shm_once_t once,
                                 shm_once_run_t run,
                                 void *user);

// Calls the function if nobody has done so to the end, also after one who died half-way; who comes meanwhile waits, if that is
// possible at once.
//
// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with; its second argument is 1 if another
// runner died half-way, otherwise 0.
// Returns: `SHM_STATUS_BUSY` if somebody is just doing it; otherwise as `shm_once_call_force`.
// Thread use: as `shm_once_call_force`.
// Death: as `shm_once_call_force`.
shm_status_t shm_once_try_call_force(struct shm_once_t once,
                                     shm_once_run_t run,
                                     void *user);

// Calls the function if nobody has done so to the end, also after one who died half-way; who comes meanwhile waits, waiting for
// a time at most.
//
// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with; its second argument is 1 if another
// runner died half-way, otherwise 0. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
// long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_once_call_force`.
// Thread use: as `shm_once_call_force`.
// Death: as `shm_once_call_force`.
shm_status_t shm_once_call_force_timeout_ns(struct shm_once_t once,
                                            shm_once_run_t run,
                                            void *user,
                                            int64_t timeout_ns);

// Calls the function if nobody has done so to the end, also after one who died half-way; who comes meanwhile waits, waiting
// until a deadline at most.
//
// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with; its second argument is 1 if another
// runner died half-way, otherwise 0. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is
// there, `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_once_call_force`.
// Thread use: as `shm_once_call_force`.
// Death: as `shm_once_call_force`.
shm_status_t shm_once_call_force_until_ns(struct shm_once_t once,
                                          shm_once_run_t run,
                                          void *user,
                                          int64_t deadline_ns);

// Calls the function if nobody has done so to the end, also after one who died half-way; who comes meanwhile waits, waiting
// until a deadline at most, or until a signal handler has run in this thread.
//
// Parameters: `once`: a handle. `run`, `user`: the function and what it is called with; its second argument is 1 if another
// runner died half-way, otherwise 0. `deadline_ns`: as for `shm_once_call_force_until_ns`.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_once_call_force_until_ns`.
// Thread use: as `shm_once_call_force`.
// Death: as `shm_once_call_force`.
shm_status_t shm_once_call_force_interruptible_ns(struct shm_once_t once,
                                                  shm_once_run_t run,
                                                  void *user,
                                                  int64_t deadline_ns);

// Says whether it is done.
//
// Parameters: `once`: a handle. `is_completed`: receives 1 or 0.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: of the runner half-way leaves it undone.
shm_status_t shm_once_is_completed(struct shm_once_t once,
                                   int32_t *is_completed);

// Creates a process mutex, on its own under a name or without one.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
// reach. `options`: or NULL for the defaults; one without a name takes none. `mutex`: receives the handle, which
// `shm_process_mutex_detach` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_process_mutex_create(const char *name,
                                      const struct shm_options_t *options,
                                      struct shm_process_mutex_t *mutex);

// Attaches to the process mutex under a name.
//
// Parameters: `name`: as it was created. `mutex`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
// of attaching.
// Thread use: any thread.
// Death: of the creator changes nothing, unless the segment's lifetime says so.
shm_status_t shm_process_mutex_attach(const char *name,
                                      struct shm_process_mutex_t *mutex);

// Attaches to the process mutex under a name, or creates it, without a race between the two.
//
// Parameters: as for `shm_process_mutex_create`, but the name is not NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, and the errors of creating and attaching.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_process_mutex_create_or_attach(const char *name,
                                                struct shm_process_mutex_t *mutex);

// Adds a process mutex to the plan of a segment, beside the data that it is for.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry.
// Returns: as `shm_contents_add_array`.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_process_mutex(struct shm_contents_t contents, const char *entry);

// Attaches to the process mutex in an entry of a segment.
//
// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `mutex`: receives the handle,
// which keeps the segment attached.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
// attachment.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_process_mutex_attach_in(struct shm_segment_t segment,
                                         const char *entry,
                                         struct shm_process_mutex_t *mutex);

// Makes a process mutex in zero bytes of the caller's, which are mapped shared between the processes that use it.
//
// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_process_mutex_size` at least. They stay mapped until the
// last handle is given back, are used at one address only in one process, and through handles only. Pages that a thread has used
// it in stay mapped until that thread has ended. `mutex`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: nobody else uses the bytes before this has returned.
// Death: in the middle leaves bytes that are none yet; zero them and begin again.
shm_status_t shm_process_mutex_create_at(void *address,
                                         uint64_t length,
                                         struct shm_process_mutex_t *mutex);

// Attaches to the process mutex at an address of the caller's. Zero bytes are one already.
//
// Parameters: as for `shm_process_mutex_create_at`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_process_mutex_attach_at(void *address, uint64_t length, struct shm_process_mutex_t *mutex);

// Says how many bytes a process mutex takes at an address.
//
// Parameters: `size`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_process_mutex_size(uint64_t *size);

// Gives the handle back. The process mutex itself stays where it is, for others.
//
// Parameters: `mutex`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
// `SHM_STATUS_INVALID_HANDLE`.
// Death: of the process gives all its handles back.
shm_status_t shm_process_mutex_detach(struct shm_process_mutex_t mutex);

// Takes the lock for this process, waiting as long as it takes. Signals do not end the wait.
//
// Parameters: `mutex`: a handle.
// Returns: `SHM_STATUS_OK`; `SHM_STATUS_OWNER_DIED`: *locked*, but the last holder died with it: mend what the lock guards and
// call `shm_process_mutex_recover`, then unlock as usual (unlocked without that, it is poisoned). Not locked:
// `SHM_STATUS_POISONED`, `SHM_STATUS_TOO_MANY_PROCESSES` (63), `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`,
// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread; a caller whose own process holds the lock waits too, for another thread to release it.
// Death: of the holding process opens the lock, and exactly one next locker gets `SHM_STATUS_OWNER_DIED`. That a thread of it
// ends changes nothing. After a fork the parent keeps the lock.
shm_status_t shm_process_mutex_lock(struct shm_process_mutex_t mutex);

// Takes the lock for this process, if that is possible at once.
//
// Parameters: `mutex`: a handle.
// Returns: `SHM_STATUS_BUSY` if somebody else has it; otherwise as `shm_process_mutex_lock`.
// Thread use: as `shm_process_mutex_lock`.
// Death: as `shm_process_mutex_lock`.
shm_status_t shm_process_mutex_try_lock(struct shm_process_mutex_t mutex);

// Takes the lock for this process, waiting for a time at most.
//
// Parameters: `mutex`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
// long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_process_mutex_lock`.
// Thread use: as `shm_process_mutex_lock`.
// Death: as `shm_process_mutex_lock`.
shm_status_t shm_process_mutex_lock_timeout_ns(struct shm_process_mutex_t mutex,
                                               int64_t timeout_ns);

// Takes the lock for this process, waiting until a deadline at most.
//
// Parameters: `mutex`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is there,
// `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_process_mutex_lock`.
// Thread use: as `shm_process_mutex_lock`.
// Death: as `shm_process_mutex_lock`.
shm_status_t shm_process_mutex_lock_until_ns(struct shm_process_mutex_t mutex,
                                             int64_t deadline_ns);

// Takes the lock for this process, waiting until a deadline at most, or until a signal handler has run in this thread.
//
// Parameters: `mutex`: a handle. `deadline_ns`: as for `shm_process_mutex_lock_until_ns`.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_process_mutex_lock_until_ns`.
// Thread use: as `shm_process_mutex_lock`.
// Death: as `shm_process_mutex_lock`.
shm_status_t shm_process_mutex_lock_interruptible_ns(struct shm_process_mutex_t mutex,
                                                     int64_t deadline_ns);

// Gives the lock up, whoever took it, and wakes one who waits for it.
//
// Parameters: `mutex`: any handle of it.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread of any process.
// Death: in the middle of it opens the lock.
shm_status_t shm_process_mutex_unlock(struct shm_process_mutex_t mutex);

// Declares what the lock guards sound again, for everybody, after `SHM_STATUS_OWNER_DIED` or `shm_process_mutex_repair`. The
// lock stays held.
//
// Parameters: `mutex`: any handle of it.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD` if nobody holds it, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: before this call leaves the news to the next locker.
shm_status_t shm_process_mutex_recover(struct shm_process_mutex_t mutex);

// Takes the lock in whatever state the guarded data is, to mend it: the way back from `SHM_STATUS_POISONED`.
//
// Parameters: `mutex`: a handle.
// Returns: `SHM_STATUS_OK` with the lock, which counts as given up until `shm_process_mutex_recover`; otherwise as
// `shm_process_mutex_lock`, without `SHM_STATUS_OWNER_DIED` and `SHM_STATUS_POISONED`.
// Thread use: as `shm_process_mutex_lock`.
// Death: as `shm_process_mutex_lock`.
shm_status_t shm_process_mutex_repair(struct shm_process_mutex_t mutex);

// Says which process holds the lock, as of now.
//
// Parameters: `mutex`: a handle. `pid`: receives the process id, or 0 if nobody holds it.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: a dead holder is named until the next locker is told.
shm_status_t shm_process_mutex_holder(struct shm_process_mutex_t mutex,
                                      uint32_t *pid);

// Creates a recursive mutex, on its own under a name or without one.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
// reach. `options`: or NULL for the defaults; one without a name takes none. `value_size`: bytes that the lock guards, zero at
// first, which lie with it and are reached with `_value` while it is held; 0 if it guards something else. `mutex`: receives the
// handle, which `shm_recursive_mutex_detach` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_recursive_mutex_create(const char *name,
                                        const struct shm_options_t *options,
                                        uint64_t value_size,
                                        struct shm_recursive_mutex_t *mutex);

// Attaches to the recursive mutex under a name.
//
// Parameters: `name`: as it was created. `value_size`: as it was created. `mutex`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name or a value of
// another size, and other errors of attaching.
// Thread use: any thread.
// Death: of the creator changes nothing, unless the segment's lifetime says so.
shm_status_t shm_recursive_mutex_attach(const char *name,
                                        uint64_t value_size,
                                        struct shm_recursive_mutex_t *mutex);

// Attaches to the recursive mutex under a name, or creates it, without a race between the two.
//
// Parameters: as for `shm_recursive_mutex_create`, but the name is not NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
// errors of creating and attaching.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_recursive_mutex_create_or_attach(const char *name,
                                                  uint64_t value_size,
                                                  struct shm_recursive_mutex_t *mutex);

// Adds a recursive mutex to the plan of a segment, beside the data that it is for.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `value_size`: bytes
// that the lock guards, zero at first, which lie with it and are reached with `_value` while it is held; 0 if it guards
// something else.
// Returns: as `shm_contents_add_array`.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_recursive_mutex(struct shm_contents_t contents,
                                              const char *entry,
                                              uint64_t value_size);

// Attaches to the recursive mutex in an entry of a segment.
//
// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `value_size`: as it was created.
// `mutex`: receives the handle, which keeps the segment attached.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
// attachment.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_recursive_mutex_attach_in(struct shm_segment_t segment,
                                           const char *entry,
                                           uint64_t value_size,
                                           struct shm_recursive_mutex_t *mutex);

// Makes a recursive mutex in zero bytes of the caller's, which are mapped shared between the processes that use it.
//
// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_recursive_mutex_size` at least. They stay mapped until
// the last handle is given back, are used at one address only in one process, and through handles only. `value_size`: bytes that
// the lock guards, zero at first, which lie with it and are reached with `_value` while it is held; 0 if it guards something
// else. `mutex`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: nobody else uses the bytes before this has returned.
// Death: in the middle leaves bytes that are none yet; zero them and begin again.
shm_status_t shm_recursive_mutex_create_at(void *address,
                                           uint64_t length,
                                           uint64_t value_size,
                                           struct shm_recursive_mutex_t *mutex);

// Attaches to the recursive mutex at an address of the caller's. Zero bytes are one already.
//
// Parameters: as for `shm_recursive_mutex_create_at`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_recursive_mutex_attach_at(void *address,
                                           uint64_t length,
                                           uint64_t value_size,
                                           struct shm_recursive_mutex_t *mutex);

// Says how many bytes a recursive mutex takes at an address.
//
// Parameters: `value_size`: bytes that the lock guards, zero at first, which lie with it and are reached with `_value` while it
// is held; 0 if it guards something else. `size`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_recursive_mutex_size(uint64_t value_size,
                                      uint64_t *size);

// Gives the handle back. The recursive mutex itself stays where it is, for others.
//
// Parameters: `mutex`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LOCK_HELD` if this thread holds something through this handle (the handle stays good
// then), `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
// `SHM_STATUS_INVALID_HANDLE`.
// Death: of the process gives all its handles back.
shm_status_t shm_recursive_mutex_detach(struct shm_recursive_mutex_t mutex);

// Takes the lock, once more if this thread has it, waiting as long as it takes. Signals do not end the wait.
//
// Parameters: `mutex`: a handle.
// Returns: `SHM_STATUS_OK`; `SHM_STATUS_OWNER_DIED`: *locked*, but the last holder died with it: mend what the lock guards and
// call `shm_recursive_mutex_recover`, then unlock as usual (unlocked without that, it is poisoned). Not locked:
// `SHM_STATUS_TOO_DEEP`, `SHM_STATUS_POISONED`, `SHM_STATUS_TOO_MANY_LOCKS` (2 000 in a thread), `SHM_STATUS_CORRUPTED`,
// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: the thread that locks owns the lock, and has to unlock it. Not for signal handlers.
// Death: of the holder, its thread or its process, opens the lock, and exactly one next locker gets `SHM_STATUS_OWNER_DIED`. A
// forked child does not have the locks that its parent holds.
shm_status_t shm_recursive_mutex_lock(struct shm_recursive_mutex_t mutex);

// Takes the lock, once more if this thread has it, if that is possible at once.
//
// Parameters: `mutex`: a handle.
// Returns: `SHM_STATUS_BUSY` if somebody else has it; otherwise as `shm_recursive_mutex_lock`.
// Thread use: as `shm_recursive_mutex_lock`.
// Death: as `shm_recursive_mutex_lock`.
shm_status_t shm_recursive_mutex_try_lock(struct shm_recursive_mutex_t mutex);

// Takes the lock, once more if this thread has it, waiting for a time at most.
//
// Parameters: `mutex`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
// long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_recursive_mutex_lock`.
// Thread use: as `shm_recursive_mutex_lock`.
// Death: as `shm_recursive_mutex_lock`.
shm_status_t shm_recursive_mutex_lock_timeout_ns(struct shm_recursive_mutex_t mutex,
                                                 int64_t timeout_ns);

// Takes the lock, once more if this thread has it, waiting until a deadline at most.
//
// Parameters: `mutex`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is there,
// `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as
// `shm_recursive_mutex_lock`.
// Thread use: as `shm_recursive_mutex_lock`.
// Death: as `shm_recursive_mutex_lock`.
shm_status_t shm_recursive_mutex_lock_until_ns(struct shm_recursive_mutex_t mutex,
                                               int64_t deadline_ns);

// Takes the lock, once more if this thread has it, waiting until a deadline at most, or until a signal handler has run in this
// thread.
//
// Parameters: `mutex`: a handle. `deadline_ns`: as for `shm_recursive_mutex_lock_until_ns`.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_recursive_mutex_lock_until_ns`.
// Thread use: as `shm_recursive_mutex_lock`.
// Death: as `shm_recursive_mutex_lock`.
shm_status_t shm_recursive_mutex_lock_interruptible_ns(struct shm_recursive_mutex_t mutex,
                                                       int64_t deadline_ns);

// Declares what the lock guards sound again, for everybody, after `SHM_STATUS_OWNER_DIED` or the repair. The lock stays held.
//
// Parameters: `mutex`: the handle through which this thread holds the lock.
// Returns: `SHM_STATUS_OK`, also if there was nothing to declare; `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`.
// Thread use: only the thread that locked.
// Death: before this call leaves the news to the next locker.
shm_status_t shm_recursive_mutex_recover(struct shm_recursive_mutex_t mutex);

// Takes the lock alone, in whatever state the guarded data is, to mend it: the way back from `SHM_STATUS_POISONED`.
//
// Parameters: `mutex`: a handle.
// Returns: `SHM_STATUS_OK` with the lock, which counts as given up until `shm_recursive_mutex_recover`; otherwise as for
// locking, without `SHM_STATUS_OWNER_DIED` and `SHM_STATUS_POISONED`.
// Thread use: as for locking.
// Death: as for locking.
shm_status_t shm_recursive_mutex_repair(struct shm_recursive_mutex_t mutex);

// Gives the lock up and wakes who waits for it. A lock that was taken several times is free after as many calls.
//
// Parameters: `mutex`: the handle through which this thread took the lock.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED` in a forked child whose parent holds it,
// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: only the thread that locked.
// Death: in the middle of it opens the lock, and is told to the next locker if the lock was still held.
shm_status_t shm_recursive_mutex_unlock(struct shm_recursive_mutex_t mutex);

// Gives the address of the bytes that the lock guards, for as long as this thread holds it.
//
// Parameters: `mutex`: the handle through which this thread holds the lock. `value`: receives the address, a multiple of 64;
// `value_size`: receives the number of bytes, or NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: only the thread that locked.
// Death: after `SHM_STATUS_OWNER_DIED` the bytes are as the dead holder left them, perhaps half-written.
shm_status_t shm_recursive_mutex_value(struct shm_recursive_mutex_t mutex,
                                       void **value,
                                       uint64_t *value_size);

// Creates a reader-writer lock, on its own under a name or without one.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
// reach. `options`: or NULL for the defaults; one without a name takes none. `value_size`: bytes that the lock guards, zero at
// first, which lie with it and are reached with `_value` while it is held; 0 if it guards something else. `lock`: receives the
// handle, which `shm_rwlock_detach` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_rwlock_create(const char *name,
                               const struct shm_options_t *options,
                               uint64_t value_size,
                               struct shm_rwlock_t *lock);

// Attaches to the reader-writer lock under a name.
//
// Parameters: `name`: as it was created. `value_size`: as it was created. `lock`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name or a value of
// another size, and other errors of attaching.
// Thread use: any thread.
// Death: of the creator changes nothing, unless the segment's lifetime says so.
shm_status_t shm_rwlock_attach(const char *name,
                               uint64_t value_size,
                               struct shm_rwlock_t *lock);

// Attaches to the reader-writer lock under a name, or creates it, without a race between the two.
//
// Parameters: as for `shm_rwlock_create`, but the name is not NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
// errors of creating and attaching.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_rwlock_create_or_attach(const char *name,
                                         uint64_t value_size,
                                         struct shm_rwlock_t *lock);

// Adds a reader-writer lock to the plan of a segment, beside the data that it is for.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `value_size`: bytes
// that the lock guards, zero at first, which lie with it and are reached with `_value` while it is held; 0 if it guards
// something else.
// Returns: as `shm_contents_add_array`.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_rwlock(struct shm_contents_t contents,
                                     const char *entry,
                                     uint64_t value_size);

// Attaches to the reader-writer lock in an entry of a segment.
//
// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `value_size`: as it was created.
// `lock`: receives the handle, which keeps the segment attached.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
// attachment.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_rwlock_attach_in(struct shm_segment_t segment,
                                  const char *entry,
                                  uint64_t value_size,
                                  struct shm_rwlock_t *lock);

// Makes a reader-writer lock in zero bytes of the caller's, which are mapped shared between the processes that use it.
//
// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_rwlock_size` at least. They stay mapped until the last
// handle is given back, are used at one address only in one process, and through handles only. `value_size`: bytes that the lock
// guards, zero at first, which lie with it and are reached with `_value` while it is held; 0 if it guards something else.
// `lock`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: nobody else uses the bytes before this has returned.
// Death: in the middle leaves bytes that are none yet; zero them and begin again.
shm_status_t shm_rwlock_create_at(void *address,
                                  uint64_t length,
                                  uint64_t value_size,
                                  struct shm_rwlock_t *lock);

// Attaches to the reader-writer lock at an address of the caller's. Zero bytes are one already.
//
// Parameters: as for `shm_rwlock_create_at`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_rwlock_attach_at(void *address,
                                  uint64_t length,
                                  uint64_t value_size,
                                  struct shm_rwlock_t *lock);

// Says how many bytes a reader-writer lock takes at an address.
//
// Parameters: `value_size`: bytes that the lock guards, zero at first, which lie with it and are reached with `_value` while it
// is held; 0 if it guards something else. `size`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_rwlock_size(uint64_t value_size,
                             uint64_t *size);

// Gives the handle back. The reader-writer lock itself stays where it is, for others.
//
// Parameters: `lock`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LOCK_HELD` if this thread holds something through this handle (the handle stays good
// then), `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
// `SHM_STATUS_INVALID_HANDLE`.
// Death: of the process gives all its handles back.
shm_status_t shm_rwlock_detach(struct shm_rwlock_t lock);

// Takes the lock for reading, together with other readers, waiting as long as it takes. Signals do not end the wait.
//
// Parameters: `lock`: a handle.
// Returns: `SHM_STATUS_OK`; `SHM_STATUS_OWNER_DIED`: *locked*, but the last holder died with it: mend what the lock guards and
// call `shm_rwlock_recover`, then unlock as usual (unlocked without that, it is poisoned). Not locked: `SHM_STATUS_DEADLOCK` if
// this thread is writing, `SHM_STATUS_TOO_MANY_READERS`, `SHM_STATUS_POISONED`, `SHM_STATUS_TOO_MANY_LOCKS` (2 000 in a thread),
// `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: the thread that locks owns the lock, and has to unlock it. Not for signal handlers.
// Death: of the holder, its thread or its process, opens the lock, and exactly one next locker gets `SHM_STATUS_OWNER_DIED`. A
// forked child does not have the locks that its parent holds.
shm_status_t shm_rwlock_read(struct shm_rwlock_t lock);

// Takes the lock for reading, together with other readers, if that is possible at once.
//
// Parameters: `lock`: a handle.
// Returns: `SHM_STATUS_BUSY` if somebody else has it; otherwise as `shm_rwlock_read`.
// Thread use: as `shm_rwlock_read`.
// Death: as `shm_rwlock_read`.
shm_status_t shm_rwlock_try_read(struct shm_rwlock_t lock);

// Takes the lock for reading, together with other readers, waiting for a time at most.
//
// Parameters: `lock`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as long
// as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_rwlock_read`.
// Thread use: as `shm_rwlock_read`.
// Death: as `shm_rwlock_read`.
shm_status_t shm_rwlock_read_timeout_ns(struct shm_rwlock_t lock,
                                        int64_t timeout_ns);

// Takes the lock for reading, together with other readers, waiting until a deadline at most.
//
// Parameters: `lock`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is there,
// `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_rwlock_read`.
// Thread use: as `shm_rwlock_read`.
// Death: as `shm_rwlock_read`.
shm_status_t shm_rwlock_read_until_ns(struct shm_rwlock_t lock,
                                      int64_t deadline_ns);

// Takes the lock for reading, together with other readers, waiting until a deadline at most, or until a signal handler has run
// in this thread.
//
// Parameters: `lock`: a handle. `deadline_ns`: as for `shm_rwlock_read_until_ns`.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_rwlock_read_until_ns`.
// Thread use: as `shm_rwlock_read`.
// Death: as `shm_rwlock_read`.
shm_status_t shm_rwlock_read_interruptible_ns(struct shm_rwlock_t lock,
                                              int64_t deadline_ns);

// Takes the lock for writing, alone, waiting as long as it takes. Signals do not end the wait.
//
// Parameters: `lock`: a handle.
// Returns: `SHM_STATUS_OK`; `SHM_STATUS_OWNER_DIED`: *locked*, but the last holder died with it: mend what the lock guards and
// call `shm_rwlock_recover`, then unlock as usual (unlocked without that, it is poisoned). Not locked: `SHM_STATUS_DEADLOCK` if
// this thread holds it already, `SHM_STATUS_POISONED`, `SHM_STATUS_TOO_MANY_LOCKS` (2 000 in a thread), `SHM_STATUS_CORRUPTED`,
// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: the thread that locks owns the lock, and has to unlock it. Not for signal handlers.
// Death: of the holder, its thread or its process, opens the lock, and exactly one next locker gets `SHM_STATUS_OWNER_DIED`. A
// forked child does not have the locks that its parent holds.
shm_status_t shm_rwlock_write(struct shm_rwlock_t lock);

// Takes the lock for writing, alone, if that is possible at once.
//
// Parameters: `lock`: a handle.
// Returns: `SHM_STATUS_BUSY` if somebody else has it; otherwise as `shm_rwlock_write`.
// Thread use: as `shm_rwlock_write`.
// Death: as `shm_rwlock_write`.
shm_status_t shm_rwlock_try_write(struct shm_rwlock_t lock);

// Takes the lock for writing, alone, waiting for a time at most.
//
// Parameters: `lock`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as long
// as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_rwlock_write`.
// Thread use: as `shm_rwlock_write`.
// Death: as `shm_rwlock_write`.
shm_status_t shm_rwlock_write_timeout_ns(struct shm_rwlock_t lock,
                                         int64_t timeout_ns);

// Takes the lock for writing, alone, waiting until a deadline at most.
//
// Parameters: `lock`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is there,
// `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_rwlock_write`.
// Thread use: as `shm_rwlock_write`.
// Death: as `shm_rwlock_write`.
shm_status_t shm_rwlock_write_until_ns(struct shm_rwlock_t lock,
                                       int64_t deadline_ns);

// Takes the lock for writing, alone, waiting until a deadline at most, or until a signal handler has run in this thread.
//
// Parameters: `lock`: a handle. `deadline_ns`: as for `shm_rwlock_write_until_ns`.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_rwlock_write_until_ns`.
// Thread use: as `shm_rwlock_write`.
// Death: as `shm_rwlock_write`.
shm_status_t shm_rwlock_write_interruptible_ns(struct shm_rwlock_t lock,
                                               int64_t deadline_ns);

// Turns writing into reading, without letting another writer in between.
//
// Parameters: `lock`: the handle through which this thread writes.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD` if it does not write, `SHM_STATUS_INHERITED`, `SHM_STATUS_INVALID_HANDLE`,
// `SHM_STATUS_WRONG_KIND`. After `SHM_STATUS_OWNER_DIED` call `shm_rwlock_recover` first.
// Thread use: only the thread that locked.
// Death: as for reading from then on.
shm_status_t shm_rwlock_downgrade(struct shm_rwlock_t lock);

// Declares what the lock guards sound again, for everybody, after `SHM_STATUS_OWNER_DIED` or the repair. The lock stays held.
//
// Parameters: `lock`: the handle through which this thread holds the lock.
// Returns: `SHM_STATUS_OK`, also if there was nothing to declare; `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`.
// Thread use: only the thread that locked.
// Death: before this call leaves the news to the next locker.
shm_status_t shm_rwlock_recover(struct shm_rwlock_t lock);

// Takes the lock alone, in whatever state the guarded data is, to mend it: the way back from `SHM_STATUS_POISONED`.
//
// Parameters: `lock`: a handle.
// Returns: `SHM_STATUS_OK` with the lock, which counts as given up until `shm_rwlock_recover`; otherwise as for locking, without
// `SHM_STATUS_OWNER_DIED` and `SHM_STATUS_POISONED`.
// Thread use: as for locking.
// Death: as for locking.
shm_status_t shm_rwlock_repair(struct shm_rwlock_t lock);

// Gives the lock up and wakes who waits for it. For readers and writers alike.
//
// Parameters: `lock`: the handle through which this thread took the lock.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED` in a forked child whose parent holds it,
// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: only the thread that locked.
// Death: in the middle of it opens the lock, and is told to the next locker if the lock was still held.
shm_status_t shm_rwlock_unlock(struct shm_rwlock_t lock);

// Gives the address of the bytes that the lock guards, for as long as this thread holds it.
//
// Parameters: `lock`: the handle through which this thread holds the lock. `value`: receives the address, a multiple of 64; who
// holds the lock for reading does not write there. `value_size`: receives the number of bytes, or NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: only the thread that locked.
// Death: after `SHM_STATUS_OWNER_DIED` the bytes are as the dead holder left them, perhaps half-written.
shm_status_t shm_rwlock_value(struct shm_rwlock_t lock,
                              void **value,
                              uint64_t *value_size);

// Creates a semaphore, on its own under a name or without one.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
// reach. `options`: or NULL for the defaults; one without a name takes none. `permits`: how many there are at first, 2 147 483
// 647 at most. `semaphore`: receives the handle, which `shm_semaphore_detach` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_semaphore_create(const char *name,
                                  const struct shm_options_t *options,
                                  uint32_t permits,
                                  struct shm_semaphore_t *semaphore);

// Attaches to the semaphore under a name.
//
// Parameters: `name`: as it was created. `semaphore`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
// of attaching.
// Thread use: any thread.
// Death: of the creator changes nothing, unless the segment's lifetime says so.
shm_status_t shm_semaphore_attach(const char *name,
                                  struct shm_semaphore_t *semaphore);

// Attaches to the semaphore under a name, or creates it, without a race between the two.
//
// Parameters: as for `shm_semaphore_create`, but the name is not NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
// errors of creating and attaching.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_semaphore_create_or_attach(const char *name,
                                            uint32_t permits,
                                            struct shm_semaphore_t *semaphore);

// Adds a semaphore to the plan of a segment, beside the data that it is for.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `permits`: how many
// there are at first, 2 147 483 647 at most.
// Returns: as `shm_contents_add_array`.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_semaphore(struct shm_contents_t contents,
                                        const char *entry,
                                        uint32_t permits);

// Attaches to the semaphore in an entry of a segment.
//
// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `semaphore`: receives the
// handle, which keeps the segment attached.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
// attachment.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_semaphore_attach_in(struct shm_segment_t segment,
                                     const char *entry,
                                     struct shm_semaphore_t *semaphore);

// Makes a semaphore in zero bytes of the caller's, which are mapped shared between the processes that use it.
//
// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_semaphore_size` at least. They stay mapped until the last
// handle is given back, are used at one address only in one process, and through handles only. `permits`: how many there are at
// first, 2 147 483 647 at most. `semaphore`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: nobody else uses the bytes before this has returned.
// Death: in the middle leaves bytes that are none yet; zero them and begin again.
shm_status_t shm_semaphore_create_at(void *address,
                                     uint64_t length,
                                     uint32_t permits,
                                     struct shm_semaphore_t *semaphore);

// Attaches to the semaphore at an address of the caller's. Zero bytes are one already.
//
// Parameters: as for `shm_semaphore_create_at`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_semaphore_attach_at(void *address, uint64_t length, struct shm_semaphore_t *semaphore);

// Says how many bytes a semaphore takes at an address.
//
// Parameters: `permits`: how many there are at first, 2 147 483 647 at most. `size`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_semaphore_size(uint32_t permits, uint64_t *size);

// Gives the handle back. The semaphore itself stays where it is, for others.
//
// Parameters: `semaphore`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
// `SHM_STATUS_INVALID_HANDLE`.
// Death: of the process gives all its handles back.
shm_status_t shm_semaphore_detach(struct shm_semaphore_t semaphore);

// Takes a permit, waiting as long as it takes. Signals do not end the wait.
//
// Parameters: `semaphore`: a handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`,
// `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread; a permit belongs to nobody in particular.
// Death: of whoever took a permit leaves it taken; of one who waits takes nothing away from the others.
shm_status_t shm_semaphore_acquire(struct shm_semaphore_t semaphore);

// Takes a permit, if that is possible at once.
//
// Parameters: `semaphore`: a handle.
// Returns: `SHM_STATUS_BUSY` if there is none; otherwise as `shm_semaphore_acquire`.
// Thread use: as `shm_semaphore_acquire`.
// Death: as `shm_semaphore_acquire`.
shm_status_t shm_semaphore_try_acquire(struct shm_semaphore_t semaphore);

// Takes a permit, waiting for a time at most.
//
// Parameters: `semaphore`: a handle. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there, `SHM_FOREVER` waits as
// long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_semaphore_acquire`.
// Thread use: as `shm_semaphore_acquire`.
// Death: as `shm_semaphore_acquire`.
shm_status_t shm_semaphore_acquire_timeout_ns(struct shm_semaphore_t semaphore,
                                              int64_t timeout_ns);

// Takes a permit, waiting until a deadline at most.
//
// Parameters: `semaphore`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed still takes what is
// there, `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_semaphore_acquire`.
// Thread use: as `shm_semaphore_acquire`.
// Death: as `shm_semaphore_acquire`.
shm_status_t shm_semaphore_acquire_until_ns(struct shm_semaphore_t semaphore,
                                            int64_t deadline_ns);

// Takes a permit, waiting until a deadline at most, or until a signal handler has run in this thread.
//
// Parameters: `semaphore`: a handle. `deadline_ns`: as for `shm_semaphore_acquire_until_ns`.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_semaphore_acquire_until_ns`.
// Thread use: as `shm_semaphore_acquire`.
// Death: as `shm_semaphore_acquire`.
shm_status_t shm_semaphore_acquire_interruptible_ns(struct shm_semaphore_t semaphore,
                                                    int64_t deadline_ns);

// Gives permits back, or new ones, and wakes as many who wait.
//
// Parameters: `semaphore`: a handle. `permits`: how many.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_OVERFLOW` if that is more than can be counted, with nothing changed;
// `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: half-way gives back all or none.
shm_status_t shm_semaphore_release(struct shm_semaphore_t semaphore, uint32_t permits);

// Says how many permits there are now.
//
// Parameters: `semaphore`: a handle. `permits`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`,
// `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread; it may be another number at once.
// Death: of others changes nothing.
shm_status_t shm_semaphore_available(struct shm_semaphore_t semaphore,
                                     uint32_t *permits);

// Creates a sequencer, on its own under a name or without one.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it
// reach. `options`: or NULL for the defaults; one without a name takes none. `first`: the number of the first turn. `sequencer`:
// receives the handle, which `shm_sequencer_detach` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_sequencer_create(const char *name,
                                  const struct shm_options_t *options,
                                  uint64_t first,
                                  struct shm_sequencer_t *sequencer);

// Attaches to the sequencer under a name.
//
// Parameters: `name`: as it was created. `sequencer`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors
// of attaching.
// Thread use: any thread.
// Death: of the creator changes nothing, unless the segment's lifetime says so.
shm_status_t shm_sequencer_attach(const char *name,
                                  struct shm_sequencer_t *sequencer);

// Attaches to the sequencer under a name, or creates it, without a race between the two.
//
// Parameters: as for `shm_sequencer_create`, but the name is not NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, or one with another parameter, and the
// errors of creating and attaching.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_sequencer_create_or_attach(const char *name,
                                            uint64_t first,
                                            struct shm_sequencer_t *sequencer);

// Adds a sequencer to the plan of a segment, beside the data that it is for.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry. `first`: the number
// of the first turn.
// Returns: as `shm_contents_add_array`.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_sequencer(struct shm_contents_t contents,
                                        const char *entry,
                                        uint64_t first);

// Attaches to the sequencer in an entry of a segment.
//
// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `sequencer`: receives the
// handle, which keeps the segment attached.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private
// attachment.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_sequencer_attach_in(struct shm_segment_t segment,
                                     const char *entry,
                                     struct shm_sequencer_t *sequencer);

// Makes a sequencer in zero bytes of the caller's, which are mapped shared between the processes that use it.
//
// Parameters: `address`: a multiple of 64. `length`: bytes there, `shm_sequencer_size` at least. They stay mapped until the last
// handle is given back, are used at one address only in one process, and through handles only. `first`: the number of the first
// turn. `sequencer`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH` for too few bytes, `SHM_STATUS_IN_USE` if the bytes
// are a primitive already, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: nobody else uses the bytes before this has returned.
// Death: in the middle leaves bytes that are none yet; zero them and begin again.
shm_status_t shm_sequencer_create_at(void *address,
                                     uint64_t length,
                                     uint64_t first,
                                     struct shm_sequencer_t *sequencer);

// Attaches to the sequencer at an address of the caller's. Zero bytes are one already.
//
// Parameters: as for `shm_sequencer_create_at`.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISALIGNED`, `SHM_STATUS_MISMATCH`.
// Thread use: any thread.
// Death: of others changes nothing here.
shm_status_t shm_sequencer_attach_at(void *address, uint64_t length, struct shm_sequencer_t *sequencer);

// Says how many bytes a sequencer takes at an address.
//
// Parameters: `first`: the number of the first turn. `size`: receives the number.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_sequencer_size(uint64_t first, uint64_t *size);

// Gives the handle back. The sequencer itself stays where it is, for others.
//
// Parameters: `sequencer`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LOCK_HELD` if this thread holds something through this handle (the handle stays good
// then), `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get
// `SHM_STATUS_INVALID_HANDLE`.
// Death: of the process gives all its handles back.
shm_status_t shm_sequencer_detach(struct shm_sequencer_t sequencer);

// Takes the turn with a number, when all before it are over, waiting as long as it takes. Signals do not end the wait.
//
// Parameters: `sequencer`: a handle. `number`: which turn.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BROKEN` if the holder of an earlier turn died (`shm_sequencer_recover`,
// `shm_sequencer_skip`), `SHM_STATUS_DEADLOCK` if this thread has a turn, `SHM_STATUS_INVALID_ARGUMENT` for a turn that is over
// or taken, `SHM_STATUS_TOO_MANY_LOCKS`, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: the thread that takes the turn owns it, and ends it.
// Death: of the holder, its thread or its process, is `SHM_STATUS_BROKEN` to all who wait or come, until somebody takes the turn
// over or skips it.
shm_status_t shm_sequencer_turn(struct shm_sequencer_t sequencer,
                                uint64_t number);

// Takes the turn with a number, when all before it are over, if that is possible at once.
//
// Parameters: `sequencer`: a handle. `number`: which turn.
// Returns: `SHM_STATUS_BUSY` if an earlier turn is not over; otherwise as `shm_sequencer_turn`.
// Thread use: as `shm_sequencer_turn`.
// Death: as `shm_sequencer_turn`.
shm_status_t shm_sequencer_try_turn(struct shm_sequencer_t sequencer, uint64_t number);

// Takes the turn with a number, when all before it are over, waiting for a time at most.
//
// Parameters: `sequencer`: a handle. `number`: which turn. `timeout_ns`: how long, in nanoseconds; 0 still takes what is there,
// `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_sequencer_turn`.
// Thread use: as `shm_sequencer_turn`.
// Death: as `shm_sequencer_turn`.
shm_status_t shm_sequencer_turn_timeout_ns(struct shm_sequencer_t sequencer,
                                           uint64_t number,
                                           int64_t timeout_ns);

// Takes the turn with a number, when all before it are over, waiting until a deadline at most.
//
// Parameters: `sequencer`: a handle. `number`: which turn. `deadline_ns`: in nanoseconds of `shm_clock_ns`; one that has passed
// still takes what is there, `SHM_FOREVER` waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_sequencer_turn`.
// Thread use: as `shm_sequencer_turn`.
// Death: as `shm_sequencer_turn`.
shm_status_t shm_sequencer_turn_until_ns(struct shm_sequencer_t sequencer,
                                         uint64_t number,
                                         int64_t deadline_ns);

// Takes the turn with a number, when all before it are over, waiting until a deadline at most, or until a signal handler has run
// in this thread.
//
// Parameters: `sequencer`: a handle. `number`: which turn. `deadline_ns`: as for `shm_sequencer_turn_until_ns`.
// Returns: `SHM_STATUS_INTERRUPTED` after a signal: call again to go on; a signal that comes before the wait begins is not
// noticed. Otherwise as `shm_sequencer_turn_until_ns`.
// Thread use: as `shm_sequencer_turn`.
// Death: as `shm_sequencer_turn`.
shm_status_t shm_sequencer_turn_interruptible_ns(struct shm_sequencer_t sequencer,
                                                 uint64_t number,
                                                 int64_t deadline_ns);

// Takes over the turn of somebody who died.
//
// Parameters: `sequencer`: a handle. `number`: the current turn.
// Returns: `SHM_STATUS_OK` with the turn, `SHM_STATUS_BUSY` if its holder lives or an earlier turn is not over,
// `SHM_STATUS_INVALID_ARGUMENT` if it is over; otherwise as `shm_sequencer_turn`.
// Thread use: as `shm_sequencer_turn`.
// Death: as `shm_sequencer_turn`.
shm_status_t shm_sequencer_recover(struct shm_sequencer_t sequencer,
                                   uint64_t number);

// Ends the turn of this thread: the next one begins.
//
// Parameters: `sequencer`: the handle through which this thread took the turn.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: only the thread that took the turn.
// Death: half-way has ended it or not.
shm_status_t shm_sequencer_end(struct shm_sequencer_t sequencer);

// Passes over a turn that nobody will take, or whose holder died.
//
// Parameters: `sequencer`: a handle. `number`: the current turn, or one that comes soon.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BUSY` if somebody has it, or it is too far ahead; `SHM_STATUS_INVALID_ARGUMENT` if it is
// over, `SHM_STATUS_CORRUPTED`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: half-way has skipped it or not.
shm_status_t shm_sequencer_skip(struct shm_sequencer_t sequencer,
                                uint64_t number);

// Begins anew, with another turn.
//
// Parameters: `sequencer`: a handle. `number`: the turn that comes next.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BUSY` if somebody has a turn, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_CORRUPTED`,
// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: half-way has reset it or not.
shm_status_t shm_sequencer_reset(struct shm_sequencer_t sequencer,
                                 uint64_t number);

// Says which turn it is now, and whether its holder died.
//
// Parameters: `sequencer`: a handle. `current`: receives the number of the turn. `is_broken`: receives 1 if its holder died,
// otherwise 0; or NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: of the holder shows as broken.
shm_status_t shm_sequencer_state(struct shm_sequencer_t sequencer,
                                 uint64_t *current,
                                 int32_t *is_broken);

// Returns the time that deadlines are given in: nanoseconds of CLOCK_MONOTONIC, which every process of a machine reads alike.
//
// Parameters: none.
// Returns: the number of nanoseconds.
// Thread use: any thread, signal handlers included.
// Death: no shared memory is touched.
int64_t shm_clock_ns(void);

// Calls a function in a forked child, and returns at once.
//
// Parameters: `pool`: a handle; its retries, hooks and warning are for this call too, and without workers the function is called here and now. `work`,
// `user`: the function, which makes its result with `shm_result_append`, and what it is called with. `background`: receives the handle, which
// `shm_background_free` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_FORK`, `SHM_STATUS_OUT_OF_MEMORY`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`,
// `SHM_STATUS_WRONG_KIND`. That the function failed is what the wait returns.
// Thread use: any thread. The process forks: other threads of it do not exist in the child.
// Death: of the child is told to whoever waits, at once. Of this process, not of this thread, ends the child.
shm_status_t shm_pool_background(struct shm_pool_t pool,
                                 shm_action_t work,
                                 void *user,
                                 struct shm_background_t *background);

// Waits for the end of a call in the background, as long as it takes. Signals do not end the wait, and their handlers run meanwhile.
//
// Parameters: `background`: a handle. `result`: receives the address of the bytes that the function has appended, which `shm_free` gives back; or NULL.
// `length`: receives how many there are; or NULL.
// Returns: `SHM_STATUS_OK`; `SHM_STATUS_CALLBACK_FAILED` if the function returned something else than 0, `SHM_STATUS_WORKER_DIED` if the child was
// killed, both after as many new tries as the pool allows (`shm_pool_failure` has pid, signal and exit code); `SHM_STATUS_FORK` if there was no other
// process for another try; `SHM_STATUS_BUSY` while another thread uses the handle; `SHM_STATUS_INHERITED` in a forked child;
// `SHM_STATUS_OUT_OF_MEMORY`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`. Another wait says the same again.
// Thread use: any thread, one at a time.
// Death: of the child ends the wait, at once.
shm_status_t shm_background_wait(struct shm_background_t background,
                                 void **result,
                                 uint64_t *length);

// Looks whether a call in the background has ended.
//
// Parameters: `background`: a handle. `result`, `length`: as for `shm_background_wait`.
// Returns: `SHM_STATUS_BUSY` if it has not; otherwise as `shm_background_wait`.
// Thread use: as `shm_background_wait`.
// Death: as `shm_background_wait`.
shm_status_t shm_background_try_wait(struct shm_background_t background, void **result, uint64_t *length);

// Waits for the end of a call in the background, for a time at most.
//
// Parameters: `background`: a handle. `timeout_ns`: how long, in nanoseconds; `SHM_FOREVER` waits as long as it takes. `result`, `length`: as for
// `shm_background_wait`.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative time; otherwise as `shm_background_wait`.
// Thread use: as `shm_background_wait`.
// Death: as `shm_background_wait`.
shm_status_t shm_background_wait_timeout_ns(struct shm_background_t background,
                                            int64_t timeout_ns,
                                            void **result,
                                            uint64_t *length);

// Waits for the end of a call in the background, until a deadline at most.
//
// Parameters: `background`: a handle. `deadline_ns`: in nanoseconds of `shm_clock_ns`; `SHM_FOREVER` waits as long as it takes. `result`, `length`: as
// for `shm_background_wait`.
// Returns: `SHM_STATUS_TIMED_OUT`, `SHM_STATUS_INVALID_ARGUMENT` for a negative deadline; otherwise as `shm_background_wait`.
// Thread use: as `shm_background_wait`.
// Death: as `shm_background_wait`.
shm_status_t shm_background_wait_until_ns(struct shm_background_t background,
                                          int64_t deadline_ns,
                                          void **result,
                                          uint64_t *length);

// Kills the child, unless it has ended. There is no other try, and waiting says that it died.
//
// Parameters: `background`: a handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BUSY` while another thread uses the handle, `SHM_STATUS_INHERITED` in a forked child,
// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread, one at a time.
// Death: of the child before that changes nothing.
shm_status_t shm_background_kill(struct shm_background_t background);

// Tells the process id of the child.
//
// Parameters: `background`: a handle. `pid`: receives it; -1 if the call has ended, or there was no child.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BUSY` while another thread uses the handle, `SHM_STATUS_INHERITED` in a forked child,
// `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread, one at a time.
// Death: of the child is noticed by the next wait; until then this is what its process id was.
shm_status_t shm_background_pid(struct shm_background_t background,
                                int64_t *pid);

// Gives the handle of a call in the background back. A child that has not ended is killed.
//
// Parameters: `background`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread; if another one is waiting, the child is killed when that wait ends.
// Death: of the process ends the child. A forked child of this process gives nothing but its handle back.
shm_status_t shm_background_free(struct shm_background_t background);

// Says how many failures the last run of this thread had: 1 if it failed, or one for each item that it went on without.
//
// Parameters: none.
// Returns: the number.
// Thread use: every thread has its own.
// Death: no shared memory is touched.
uint64_t shm_pool_failure_count(void);

// Tells of one failure of the last run of this thread.
//
// Parameters: `index`: which one, from 0 on. `failure`: begun with `SHM_POOL_FAILURE_INIT`; receives what is known. `text`: receives the complete text,
// which is good until the next run of this thread; or NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND` if there are not so many, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: every thread has its own.
// Death: no shared memory is touched.
shm_status_t shm_pool_failure(uint64_t index,
                              struct shm_pool_failure_t *failure,
                              const char **text);

// Tells of a range of items that the last run of this thread has left unfinished, because it failed.
//
// Parameters: `index`: which range, from 0 on. `first`, `end`: receive the first item and the one behind the last.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND` if there are not so many, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: every thread has its own.
// Death: no shared memory is touched.
shm_status_t shm_pool_unfinished(uint64_t index,
                                 uint64_t *first,
                                 uint64_t *end);

// Forks the workers of a pool now, for a function, and keeps them for many maps. It is also the way for a program with threads: fork
// before the threads start; the maps fork nothing, unless a worker that has ended is replaced.
//
// Parameters: `pool`: a handle of a pool without `SHM_POOL_ORDERED`; with `SHM_POOL_SKIP_FAILED` the maps go on without the items that fail, and
// `make_state` makes each worker's state, which lasts from map to map. `work`, `user`: the function and what it is called with. `kept`: receives the
// handle, which `shm_kept_free` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_FORK`, `SHM_STATUS_OUT_OF_MEMORY`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`,
// `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. The workers have a copy of the memory that is not shared, as it is now.
// Death: of this process, not of this thread, ends the workers.
shm_status_t shm_pool_keep(struct shm_pool_t pool,
                           shm_sent_item_t work,
                           void *user,
                           struct shm_kept_t *kept);

// Sends items of a fixed size to kept workers, and collects results of a fixed size in order.
//
// Parameters: `kept`: a handle. `items`, `item_size`, `count`: `count` items of so many bytes, one behind the other. `results`, `result_size`: receive the
// results, of so many bytes each; what a shorter one leaves is zero, and so are the results of items that failed.
// Returns: as `shm_pool_for`, and after a failure in a worker the workers are gone, unless the pool skips: `SHM_STATUS_ENDED` from then on.
// `SHM_STATUS_LIMIT_EXCEEDED` if a result was longer than `result_size`, which is cut; `SHM_STATUS_BUSY` while another thread uses the handle;
// `SHM_STATUS_INHERITED` in a forked child; `SHM_STATUS_SIZE_OVERFLOW`. Bad arguments change nothing.
// Thread use: any thread, one at a time.
// Death: of a worker is the failure of its item. Of the master ends the workers.
shm_status_t shm_kept_map(struct shm_kept_t kept,
                          const void *items,
                          uint64_t item_size,
                          uint64_t count,
                          void *results,
                          uint64_t result_size);

// Sends items of any length to kept workers, and calls a function in the master for each result.
//
// Parameters: `kept`: a handle. `items`, `count`: the items. `reduce`, `reduce_user`: what takes the results as they arrive, in no particular order, in
// the calling thread.
// Returns: as `shm_kept_map`; `SHM_STATUS_CALLBACK_FAILED` also if `reduce` returned something else than 0: the workers are gone then.
// Thread use: any thread, one at a time.
// Death: as `shm_kept_map`.
shm_status_t shm_kept_map_bytes(struct shm_kept_t kept,
                                const struct shm_bytes_t *items,
                                uint64_t count,
                                shm_reduce_t reduce,
                                void *reduce_user);

// Says how many kept workers there are.
//
// Parameters: `kept`: a handle. `workers`: receives the number; 0 means that the maps run in the calling thread.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_BUSY` while another thread uses the handle, `SHM_STATUS_INHERITED` in a forked child,
// `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread, one at a time.
// Death: of workers changes nothing here.
shm_status_t shm_kept_worker_count(struct shm_kept_t kept,
                                   uint64_t *workers);

// Tells the process id of a kept worker.
//
// Parameters: `kept`: a handle. `rank`: which worker, from 0 on. `pid`: receives its process id.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND` if there are not so many; otherwise as `shm_kept_worker_count`.
// Thread use: any thread, one at a time.
// Death: of a worker is noticed by the next map; until then this is what its process id was.
shm_status_t shm_kept_pid(struct shm_kept_t kept,
                          uint64_t rank,
                          int64_t *pid);

// Gives the handle of kept workers back: they end, and are gone when this returns.
//
// Parameters: `kept`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread; if another one is in a map, the workers end when that is over.
// Death: of the process ends the workers. A forked child of this process gives nothing but its handle back.
shm_status_t shm_kept_free(struct shm_kept_t kept);

// Describes a pool of worker processes.
//
// Parameters: `options`: begun with `SHM_POOL_OPTIONS_INIT`, or NULL for the defaults. `pool`: receives the handle, which `shm_pool_free` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: any thread.
// Death: nothing is forked yet.
shm_status_t shm_pool_create(const struct shm_pool_options_t *options,
                             struct shm_pool_t *pool);

// Gives the handle of a pool back.
//
// Parameters: `pool`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread; what another thread runs on the pool goes on to its end.
// Death: of the process gives all its handles back.
shm_status_t shm_pool_free(struct shm_pool_t pool);

// Says how many workers a run on the pool has.
//
// Parameters: `pool`: a handle. `workers`: receives the number; 0 means that everything runs in the calling thread.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread.
// Death: no shared memory is touched.
shm_status_t shm_pool_worker_count(struct shm_pool_t pool,
                                   uint64_t *workers);

// Calls a function for each number from `first` to before `end`, in forked workers: a parallel loop, whose results go to shared memory.
//
// Parameters: `pool`: a handle. `first`, `end`: the range; nothing happens if it is empty. `work`, `user`: the function and what it is called
// with. Every worker has its own copy of the memory that is not shared, as it was when the run began.
// Returns: `SHM_STATUS_OK`; `SHM_STATUS_CALLBACK_FAILED` if `work` returned something else than 0, `SHM_STATUS_WORKER_DIED` if a worker was killed,
// both after as many new tries as the pool allows (`shm_pool_failure` has the item, rank, pid, signal and exit code, `shm_pool_unfinished` what was not
// done); `SHM_STATUS_FORK`, `SHM_STATUS_OUT_OF_MEMORY`, `SHM_STATUS_INVALID_ARGUMENT`, `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread; several may run at once. The process forks: other threads of it do not exist in the workers.
// Death: of a worker is the failure of its item. Of the master ends the workers.
shm_status_t shm_pool_for(struct shm_pool_t pool,
                          uint64_t first,
                          uint64_t end,
                          shm_item_t work,
                          void *user);

// Calls a function for each number from 0 on, in forked workers, and collects results of a fixed size in order.
//
// Parameters: `pool`: a handle. `items`: how many. `work`, `user`: the function and what it is called with. `result_size`: bytes of one result.
// `results`: receives `items` of them. They are zero for items that failed; after an error those that were finished are there.
// Returns: as `shm_pool_for`.
// Thread use: as `shm_pool_for`.
// Death: as `shm_pool_for`.
shm_status_t shm_pool_map(struct shm_pool_t pool,
                          uint64_t items,
                          shm_item_result_t work,
                          void *user,
                          uint64_t result_size,
                          void *results);

// Calls a function for each number from 0 on, in forked workers, with results of any length, and another one in the master for each result.
//
// Parameters: `pool`: a handle. `items`: how many. `work`, `user`: the function, which makes its result with `shm_result_append`, and what it is
// called with. `reduce`, `reduce_user`: what takes the results as they arrive, in no particular order, in the calling thread.
// Returns: as `shm_pool_for`; `SHM_STATUS_CALLBACK_FAILED` also if `reduce` returned something else than 0, after the workers were ended.
// Thread use: as `shm_pool_for`.
// Death: as `shm_pool_for`.
shm_status_t shm_pool_map_bytes(struct shm_pool_t pool,
                                uint64_t items,
                                shm_item_t work,
                                void *user,
                                shm_reduce_t reduce,
                                void *reduce_user);

// Says which worker calls the function, and how many there are.
//
// Parameters: `rank`: receives the number of the worker, from 0 on. `workers`: receives how many there are, 0 if there are none and the master
// does the work itself; or NULL.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_IN_POOL`, `SHM_STATUS_INVALID_ARGUMENT`.
// Thread use: the thread in which a pool calls a function.
// Death: of a worker gives its rank to its successor.
shm_status_t shm_worker_rank(uint64_t *rank,
                             uint64_t *workers);

// Finds what this worker keeps from item to item, as the pool's `make_state` has made it.
//
// Parameters: `state`: receives its address.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_INVALID_ARGUMENT` if the pool was made without `make_state`, and in a call in the background,
// `SHM_STATUS_NOT_IN_POOL`.
// Thread use: the thread in which a pool calls a function. No other worker sees the state.
// Death: of a worker takes its state with it; its successor makes a fresh one.
shm_status_t shm_worker_state(void **state);

// Calls a function while no other worker of the run is in a critical section.
//
// Parameters: `section`, `user`: the function and what it is called with.
// Returns: `SHM_STATUS_OK`; `SHM_STATUS_CALLBACK_FAILED` if it returned something else than 0; `SHM_STATUS_DEADLOCK` from within a section,
// `SHM_STATUS_NOT_IN_POOL`, `SHM_STATUS_INVALID_ARGUMENT`. `SHM_STATUS_ENDED`: the run is over; return from the function, whatever with.
// Thread use: the thread in which a pool calls a function. The section does not leave by longjmp(3) or an exception.
// Death: of a worker in the section opens it, and is the failure of its item.
shm_status_t shm_worker_critical(shm_action_t section,
                                 void *user);

// Calls a function in the order of the items: when those of all earlier items are over, or their items are done without one.
//
// Parameters: `section`, `user`: the function and what it is called with.
// Returns: as `shm_worker_critical`; `SHM_STATUS_INVALID_ARGUMENT` also if the pool was made without `SHM_POOL_ORDERED`,
// and if the item has had its turn.
// Thread use: the thread in which a pool calls a function, once for an item. The section does not leave by longjmp(3) or an exception.
// Death: of a worker in the section is the failure of its item, and the next one's turn comes.
shm_status_t shm_worker_ordered(shm_action_t section,
                                void *user);

// Makes the result of this item longer.
//
// Parameters: `bytes`, `length`: what is added at its end; NULL only if that is nothing.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_IN_POOL` outside of a function that `shm_pool_map_bytes`, a map of kept workers or `shm_pool_background` calls, `SHM_STATUS_INVALID_ARGUMENT`,
// `SHM_STATUS_OUT_OF_MEMORY`.
// Thread use: the thread in which a pool calls a function.
// Death: what was added goes with the worker; a second try begins anew.
shm_status_t shm_result_append(const void *bytes,
                               uint64_t length);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

/* ---- What structs begin with ---- */

// The default options.
#define SHM_OPTIONS_INIT { sizeof(shm_options_t), 0, SHM_LIFETIME_PERSISTENT, SHM_ACCESS_READ_WRITE, 0, 0, 0 }

// An array description to be filled in.
#define SHM_ARRAY_INFO_INIT { sizeof(shm_array_info_t), NULL, { 0, 0, 0, 0, 0, 0, NULL }, 0, 0, 0, 0, 0, { 0 }, { 0 } }

// A segment's description to be filled in.
#define SHM_SEGMENT_INFO_INIT { sizeof(shm_segment_info_t), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, { 0 }, { 0 } }

// An entry's description to be filled in.
#define SHM_ENTRY_INFO_INIT { sizeof(shm_entry_info_t), NULL, 0, 0, 0, 0, 0, 0, 0, { 0 } }

// The default options of a pool.
#define SHM_POOL_OPTIONS_INIT { sizeof(shm_pool_options_t), 0, 0, 0, 0, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL }

// A failure's description to be filled in.
#define SHM_POOL_FAILURE_INIT { sizeof(shm_pool_failure_t), 0, 0, 0, 0, 0, 0, 0 }

// The element type with this code and this many bits: `shm_dtype(SHM_TYPE_FLOAT, 64)`.
static inline shm_dtype_t shm_dtype(uint8_t code, uint8_t bits)
{
    shm_dtype_t dtype = { 0, 0, 1, 0, 0, 0, NULL };
    dtype.code = code;
    dtype.bits = bits;
    return dtype;
}

#endif /* SHM_H */
