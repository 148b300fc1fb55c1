//! What goes in and comes out by value: options, element types, descriptions. Numbers and structs only; `input` checks them.
//!
//! Structs that can grow begin with `size`, which the caller sets to the struct's size as its header knows it.

#![allow(non_camel_case_types, reason = "the names are C's")]

use std::ffi::{c_char, c_void};

/// When a segment ends without being deleted.
pub type shm_lifetime_t = i32;
/// Stays until somebody deletes it, whoever dies.
pub const SHM_LIFETIME_PERSISTENT: shm_lifetime_t = 0;
/// Ends with its last attachment, also when that is a SIGKILL.
pub const SHM_LIFETIME_LAST_DETACH: shm_lifetime_t = 1;
/// Ends with the handle that created it, or its process. Others that have it attached keep it.
pub const SHM_LIFETIME_SCOPED: shm_lifetime_t = 2;

/// How a segment is mapped.
pub type shm_access_t = i32;
/// Reads and writes what everybody sees.
pub const SHM_ACCESS_READ_WRITE: shm_access_t = 0;
/// Reads. A write through a pointer kills the process (SIGSEGV).
pub const SHM_ACCESS_READ_ONLY: shm_access_t = 1;
/// Reads what is shared, and keeps its own writes to itself.
pub const SHM_ACCESS_COPY_ON_WRITE: shm_access_t = 2;

/// Flag: the pages of a new segment are allocated at first touch. Creation is quick, and a touch is a SIGBUS when memory has run out.
pub const SHM_SPARSE: u32 = 1;
/// Flag: all pages are entered into this process's page table at once.
pub const SHM_PREFAULT: u32 = 2;
/// Flag: huge pages are asked for, where the kernel has them for shared memory.
pub const SHM_HUGE_PAGES: u32 = 4;
/// Flag: the pages are kept in memory; an error if the process may not lock that much.
pub const SHM_LOCK_MEMORY: u32 = 8;
/// Flag: segments of other users are attached too. Their owners can change every byte at any time.
pub const SHM_ANY_OWNER: u32 = 16;

/// How a segment is created or attached. Zero in every field but `size` is the default; `SHM_OPTIONS_INIT` is that.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_options_t {
    /// `sizeof(shm_options_t)`.
    pub size: u64,
    /// Permission bits of a new segment, whatever the umask says; 0 means 0600.
    pub mode: u32,
    /// When a new segment ends.
    pub lifetime: shm_lifetime_t,
    /// How it is mapped when attached. A new segment is always read-write.
    pub access: shm_access_t,
    /// `SHM_SPARSE` and others, or-ed.
    pub flags: u32,
    /// Alignment of a new segment's first entry, in every process: a power of two up to 2^40; 0 means that of pages.
    pub alignment: u64,
    /// Bytes that a new segment may grow to, header included; 0 means that it cannot grow.
    pub reserve_max: u64,
}

/// In which order the elements of a new array lie.
pub type shm_order_t = i32;
/// C order: the last index runs fastest.
pub const SHM_ORDER_C: shm_order_t = 0;
/// Fortran order: the first index runs fastest (Julia, MATLAB).
pub const SHM_ORDER_F: shm_order_t = 1;

/// Element code: signed integer; 8, 16, 32 or 64 bits.
pub const SHM_TYPE_INT: u8 = 0;
/// Element code: unsigned integer; 8, 16, 32 or 64 bits.
pub const SHM_TYPE_UINT: u8 = 1;
/// Element code: IEEE float; 16, 32 or 64 bits.
pub const SHM_TYPE_FLOAT: u8 = 2;
/// Element code: bfloat16; 16 bits.
pub const SHM_TYPE_BFLOAT: u8 = 4;
/// Element code: complex of two IEEE floats; 64 or 128 bits.
pub const SHM_TYPE_COMPLEX: u8 = 5;
/// Element code: truth value in one byte; 8 bits.
pub const SHM_TYPE_BOOL: u8 = 6;
/// Added to the five codes of numbers above: each number's bytes are in big-endian order.
pub const SHM_TYPE_BIG_ENDIAN: u8 = 128;
/// Element code: `count` bytes, padded with zeros; 8 bits.
pub const SHM_TYPE_BYTES: u8 = 160;
/// Element code: text of `count` code points in 4 bytes each, padded with zeros; 32 bits. 162 is big-endian.
pub const SHM_TYPE_TEXT: u8 = 161;
/// Element code: point in time as steps of `count` units since 1970; 64 bits. 164 is big-endian.
pub const SHM_TYPE_DATETIME: u8 = 163;
/// Element code: span of time in steps of `count` units; 64 bits. 166 is big-endian.
pub const SHM_TYPE_TIMESPAN: u8 = 165;
/// Element code: `count` bytes without a meaning; 8 bits.
pub const SHM_TYPE_OPAQUE: u8 = 167;
/// Element code: record, with its description (FORMAT.md, section 3.3); 8 bits.
pub const SHM_TYPE_RECORD: u8 = 168;
/// Element code: x87 extended float in 16 bytes, x86-64's `long double`; 128 bits. 170 is complex, with 0 bits.
pub const SHM_TYPE_X87: u8 = 169;
/// Element code: IEEE binary128, aarch64's `long double`; 128 bits. 172 is complex, with 0 bits.
pub const SHM_TYPE_QUAD: u8 = 171;

/// What the elements of an array are: DLPack's numbers where `code` is below 128, the format's own from there on (FORMAT.md, section 3.2).
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_dtype_t {
    /// `SHM_TYPE_INT` and others.
    pub code: u8,
    /// Bits of one number, as the code says.
    pub bits: u8,
    /// Always 1.
    pub lanes: u16,
    /// Bytes, code points or the multiplier of a time unit; 0 for other types.
    pub count: u32,
    /// The time unit's number (FORMAT.md); 0 for other types.
    pub unit: u32,
    /// Bytes of the record description; 0 for other types.
    pub record_length: u32,
    /// The record description on the way in. On the way out it is NULL: `shm_array_record` copies it.
    pub record: *const c_char,
}

/// The most dimensions that an array can have.
pub const SHM_MAX_DIMENSIONS: usize = 64;

/// Flag of an array: its elements lie in C order without gaps.
pub const SHM_ARRAY_C_CONTIGUOUS: u32 = 1;
/// Flag of an array: its elements lie in Fortran order without gaps.
pub const SHM_ARRAY_F_CONTIGUOUS: u32 = 2;
/// Flag of an array: it is attached for reading and writing what everybody sees.
pub const SHM_ARRAY_WRITABLE: u32 = 4;
/// Flag of an array: it can grow along its first dimension.
pub const SHM_ARRAY_GROWS: u32 = 8;

/// Everything about an attached array, as of one moment. Begin with `SHM_ARRAY_INFO_INIT`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct shm_array_info_t {
    /// `sizeof(shm_array_info_t)`.
    pub size: u64,
    /// Address of the element with all indices 0. It stays the same while the array is attached, growth included.
    pub data: *mut c_void,
    /// The element type.
    pub dtype: shm_dtype_t,
    /// Bytes of one element.
    pub item_size: u64,
    /// Number of elements.
    pub length: u64,
    /// Changes exactly when the segment has grown, in whichever process.
    pub generation: u64,
    /// Number of dimensions.
    pub ndim: i32,
    /// `SHM_ARRAY_C_CONTIGUOUS` and others, or-ed.
    pub flags: u32,
    /// Elements along each dimension; the first `ndim` count.
    pub shape: [i64; SHM_MAX_DIMENSIONS],
    /// Bytes from one element to the next along each dimension, of any sign; the first `ndim` count.
    pub strides: [i64; SHM_MAX_DIMENSIONS],
}

/// Bytes for the name of a segment in a description, the zero byte included.
pub const SHM_NAME_SIZE: usize = 4104;
/// Bytes for the name of an entry in a description, the zero byte included.
pub const SHM_ENTRY_NAME_SIZE: usize = 256;
/// Bytes for a remark in a description, the zero byte included.
pub const SHM_REMARK_SIZE: usize = 256;

/// What a segment is for.
pub type shm_segment_kind_t = i32;
/// Arrays, perhaps with the locks that belong to them.
pub const SHM_SEGMENT_KIND_ARRAY: shm_segment_kind_t = 1;
/// A primitive on its own.
pub const SHM_SEGMENT_KIND_PRIMITIVE: shm_segment_kind_t = 2;
/// Many small objects.
pub const SHM_SEGMENT_KIND_ARENA: shm_segment_kind_t = 3;
/// The shared state of an executor.
pub const SHM_SEGMENT_KIND_POOL: shm_segment_kind_t = 4;

/// What is known about the life of a process.
pub type shm_liveness_t = i32;
/// It cannot be seen from here: another pid namespace or boot, or no /proc.
pub const SHM_LIVENESS_UNKNOWN: shm_liveness_t = 0;
/// It runs.
pub const SHM_LIVENESS_ALIVE: shm_liveness_t = 1;
/// It has ended.
pub const SHM_LIVENESS_DEAD: shm_liveness_t = 2;

/// Flag of a segment: somebody is attached.
pub const SHM_SEGMENT_ATTACHED: u32 = 1;
/// Flag of a segment: somebody has its exclusive lease.
pub const SHM_SEGMENT_LEASED: u32 = 2;
/// Flag of a segment: its pages are there for certain. Without it `remark` says why a touch might fail with SIGBUS.
pub const SHM_SEGMENT_GUARANTEED: u32 = 4;
/// Flag of a segment: it can grow.
pub const SHM_SEGMENT_GROWS: u32 = 8;

/// What is known about a segment from outside. Begin with `SHM_SEGMENT_INFO_INIT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_segment_info_t {
    /// `sizeof(shm_segment_info_t)`.
    pub size: u64,
    /// Bytes that it has now, header included.
    pub length: u64,
    /// Bytes that it may grow to.
    pub capacity: u64,
    /// When it was created, in nanoseconds since 1970.
    pub created_at: i64,
    /// Number of entries in its table of contents.
    pub entries: u64,
    /// What it is for.
    pub kind: shm_segment_kind_t,
    /// When it ends without being deleted.
    pub lifetime: shm_lifetime_t,
    /// Permission bits.
    pub mode: u32,
    /// User that owns it.
    pub owner: u32,
    /// Process that created it, as it numbers itself.
    pub creator: u32,
    /// Whether that process lives.
    pub creator_liveness: shm_liveness_t,
    /// Process that has the exclusive lease, as far as it left its number; otherwise 0.
    pub leased_by: u32,
    /// `SHM_SEGMENT_ATTACHED` and others, or-ed.
    pub flags: u32,
    /// Its name with the prefix, `shm://` or `file://`; empty if it has none.
    pub name: [c_char; SHM_NAME_SIZE],
    /// Why its pages may not be there; empty if they are.
    pub remark: [c_char; SHM_REMARK_SIZE],
}

/// What an entry of a segment is.
pub type shm_entry_kind_t = i32;
/// An array.
pub const SHM_ENTRY_KIND_ARRAY: shm_entry_kind_t = 1;
/// A primitive; `primitive` says which.
pub const SHM_ENTRY_KIND_PRIMITIVE: shm_entry_kind_t = 2;
/// Many small objects.
pub const SHM_ENTRY_KIND_ARENA: shm_entry_kind_t = 3;
/// Bytes without a meaning to this library.
pub const SHM_ENTRY_KIND_BYTES: shm_entry_kind_t = 4;

/// One entry in a segment's table of contents. Begin with `SHM_ENTRY_INFO_INIT`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct shm_entry_info_t {
    /// `sizeof(shm_entry_info_t)`.
    pub size: u64,
    /// Address of its first byte; NULL if the segment is not attached.
    pub data: *mut c_void,
    /// Where it begins, in bytes from the start of the segment.
    pub offset: u64,
    /// Bytes that it had when the segment was created.
    pub length: u64,
    /// Alignment of its offset.
    pub alignment: u64,
    /// What it is.
    pub kind: shm_entry_kind_t,
    /// Which primitive it is (PROTOCOL.md); otherwise 0.
    pub primitive: u32,
    /// 1 if it grows with the segment, otherwise 0.
    pub grows: u32,
    /// 0.
    pub reserved: u32,
    /// Its name; empty for the only entry of a segment.
    pub name: [c_char; SHM_ENTRY_NAME_SIZE],
}

/// How far `shm_segment_sync` goes.
pub type shm_sync_t = i32;
/// Starts writing and returns.
pub const SHM_SYNC_START: shm_sync_t = 0;
/// Returns when everything is written.
pub const SHM_SYNC_WAIT: shm_sync_t = 1;
/// Makes other mappings of the file see the file's bytes; on Linux they always do.
pub const SHM_SYNC_INVALIDATE: shm_sync_t = 2;

/// What the kernel may expect of a segment's pages.
pub type shm_advice_t = i32;
/// No particular order.
pub const SHM_ADVICE_NORMAL: shm_advice_t = 0;
/// Ascending order: read ahead.
pub const SHM_ADVICE_SEQUENTIAL: shm_advice_t = 1;
/// No order: do not read ahead.
pub const SHM_ADVICE_RANDOM: shm_advice_t = 2;
/// Soon: start reading.
pub const SHM_ADVICE_WILL_NEED: shm_advice_t = 3;
/// Huge pages are welcome.
pub const SHM_ADVICE_HUGE_PAGE: shm_advice_t = 4;
/// No huge pages.
pub const SHM_ADVICE_NO_HUGE_PAGE: shm_advice_t = 5;
/// Leave the pages out of core dumps.
pub const SHM_ADVICE_DONT_DUMP: shm_advice_t = 6;
