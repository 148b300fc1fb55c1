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

// A handle of a mutex. Zero is no handle.
//
// A mutex belongs to the thread that locks it. Death of the holder is news to the next locker: see `shm_mutex_lock`.
typedef struct shm_mutex_t {
    // The number of the handle; 0 is none.
    uint64_t id;
} shm_mutex_t;

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

// Creates a mutex, on its own under a name or without one.
//
// Parameters: `name`: `shm://NAME`, `NAME` or `file://PATH`, or NULL for one that only this process and those forked from it reach.
// `options`: or NULL for the defaults; an anonymous one takes none. `mutex`: receives the handle, which `shm_mutex_detach` gives back.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_ALREADY_EXISTS`, `SHM_STATUS_INVALID_NAME`, `SHM_STATUS_OUT_OF_SPACE` and other errors of creating a segment.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_mutex_create(const char *name,
                              const struct shm_options_t *options,
                              struct shm_mutex_t *mutex);

// Attaches to the mutex under a name.
//
// Parameters: `name`: as it was created. `mutex`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_FOUND`, `SHM_STATUS_MISMATCH` for something else under that name, and other errors of attaching.
// Thread use: any thread.
// Death: of the creator changes nothing, unless the segment's lifetime says so.
shm_status_t shm_mutex_attach(const char *name,
                              struct shm_mutex_t *mutex);

// Attaches to the mutex under a name, or creates it, without a race between the two.
//
// Parameters: `name`: as for `shm_mutex_create`, but not NULL. `mutex`: receives the handle.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_MISMATCH` for something else under that name, and the errors of creating and attaching.
// Thread use: any thread.
// Death: the name appears whole or not at all.
shm_status_t shm_mutex_create_or_attach(const char *name,
                                        struct shm_mutex_t *mutex);

// Attaches to the mutex in an entry of a segment.
//
// Parameters: `segment`: a segment attached for reading and writing. `entry`: the entry's name. `mutex`: receives the handle, which keeps the
// segment attached.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NO_SUCH_ENTRY`, `SHM_STATUS_MISMATCH`, `SHM_STATUS_NOT_SHARED` in a read-only or private attachment.
// Thread use: any thread.
// Death: as for `shm_mutex_lock`.
shm_status_t shm_mutex_attach_in(struct shm_segment_t segment,
                                 const char *entry,
                                 struct shm_mutex_t *mutex);

// Adds a mutex to the plan of a segment, beside the data that it guards.
//
// Parameters: `contents`: a handle. `entry`: a name that no other entry has; empty only for an only entry.
// Returns: as `shm_contents_add_array`.
// Thread use: one thread at a time.
// Death: no shared memory is touched.
shm_status_t shm_contents_add_mutex(struct shm_contents_t contents, const char *entry);

// Gives the handle back. The mutex itself stays where it is, for others.
//
// Parameters: `mutex`: a handle, which is none afterwards.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_LOCK_HELD` if this thread holds the lock through this handle (the handle stays good then),
// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: any thread. It does not wait for threads that are using the handle: they finish, and new calls get `SHM_STATUS_INVALID_HANDLE`.
// Death: of the process gives all its handles back.
shm_status_t shm_mutex_detach(struct shm_mutex_t mutex);

// Takes the lock, waiting for it as long as it takes. Signals do not end the wait.
//
// Parameters: `mutex`: a handle.
// Returns: `SHM_STATUS_OK`; `SHM_STATUS_OWNER_DIED`: *locked*, but the last holder died with it: mend what the lock guards and call
// `shm_mutex_recover`, then unlock as usual (unlocked without that, the mutex is poisoned). Not locked: `SHM_STATUS_DEADLOCK` if this
// thread holds it already, `SHM_STATUS_POISONED`, `SHM_STATUS_TOO_MANY_LOCKS` (2 000 in a thread), `SHM_STATUS_CORRUPTED`,
// `SHM_STATUS_INVALID_HANDLE`, `SHM_STATUS_WRONG_KIND`.
// Thread use: the thread that locks owns the lock, and has to unlock it. Not for signal handlers.
// Death: of the holder, its thread or its process, opens the lock, and exactly one next locker gets `SHM_STATUS_OWNER_DIED`. A forked child
// does not have the locks that its parent holds.
shm_status_t shm_mutex_lock(struct shm_mutex_t mutex);

// Takes the lock if that is possible at once.
//
// Parameters: `mutex`: a handle.
// Returns: `SHM_STATUS_BUSY` if somebody else holds it; otherwise as `shm_mutex_lock`.
// Thread use: as `shm_mutex_lock`.
// Death: as `shm_mutex_lock`.
shm_status_t shm_mutex_try_lock(struct shm_mutex_t mutex);

// Takes the lock, waiting for it for a time at most.
//
// Parameters: `mutex`: a handle. `seconds`: how long; 0 still takes a free lock, infinity waits as long as it takes.
// Returns: `SHM_STATUS_TIMED_OUT` if it was not free in that time, `SHM_STATUS_INVALID_ARGUMENT` for a time that is negative or not a number;
// otherwise as `shm_mutex_lock`.
// Thread use: as `shm_mutex_lock`.
// Death: as `shm_mutex_lock`.
shm_status_t shm_mutex_lock_timeout(struct shm_mutex_t mutex,
                                    double seconds);

// Declares what the lock guards sound again, for everybody, after `SHM_STATUS_OWNER_DIED` or `shm_mutex_repair`. The lock stays held.
//
// Parameters: `mutex`: the handle through which this thread holds the lock.
// Returns: `SHM_STATUS_OK`, also if there was nothing to declare; `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED`.
// Thread use: only the thread that locked.
// Death: before this call leaves the news to the next locker.
shm_status_t shm_mutex_recover(struct shm_mutex_t mutex);

// Takes the lock in whatever state the guarded data is, to mend it: the way back from `SHM_STATUS_POISONED`.
//
// Parameters: `mutex`: a handle.
// Returns: `SHM_STATUS_OK` with the lock, which counts as given up until `shm_mutex_recover`; otherwise as `shm_mutex_lock`, without
// `SHM_STATUS_OWNER_DIED` and `SHM_STATUS_POISONED`.
// Thread use: as `shm_mutex_lock`.
// Death: as `shm_mutex_lock`.
shm_status_t shm_mutex_repair(struct shm_mutex_t mutex);

// Gives the lock up and wakes one who waits for it.
//
// Parameters: `mutex`: the handle through which this thread took the lock.
// Returns: `SHM_STATUS_OK`, `SHM_STATUS_NOT_HELD`, `SHM_STATUS_INHERITED` in a forked child whose parent holds it, `SHM_STATUS_INVALID_HANDLE`,
// `SHM_STATUS_WRONG_KIND`.
// Thread use: only the thread that locked.
// Death: in the middle of it opens the lock, and is told to the next locker if the lock was still held.
shm_status_t shm_mutex_unlock(struct shm_mutex_t mutex);

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

// The element type with this code and this many bits: `shm_dtype(SHM_TYPE_FLOAT, 64)`.
static inline shm_dtype_t shm_dtype(uint8_t code, uint8_t bits)
{
    shm_dtype_t dtype = { 0, 0, 1, 0, 0, 0, NULL };
    dtype.code = code;
    dtype.bits = bits;
    return dtype;
}

#endif /* SHM_H */
