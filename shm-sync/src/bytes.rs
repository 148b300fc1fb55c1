//! Locks of as many bytes as somebody says at run time: for languages that know no Rust types, and for formats of one's own.
//!
//! In shared pages they are the locks of `mutex`, `recursive` and `rwlock` with a value of that length, and everything but making and finding
//! them is written there.

use crate::error::Error;
use crate::handle::Kind;
use crate::mutex::Mutex;
use crate::placement::Placement;
use crate::primitive::{Image, Object, Primitive};
use crate::recursive::RecursiveMutex;
use crate::rwlock::RwLock;
use core::ops::Deref;

/// Makes the type of a lock of bytes.
macro_rules! lock_of_bytes {
    ($(#[$doc:meta])* $name:ident, $lock:ty, $text:literal, $kind:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name($lock);

        impl $name {
            /// How many bytes it guards.
            ///
            /// ```
            #[doc = concat!("# use shm_sync::{Primitive, ", $text, "};")]
            #[doc = concat!("assert_eq!(", $text, "::anonymous(24)?.value_len(), 24);")]
            /// # Ok::<(), shm_sync::Error>(())
            /// ```
            pub fn value_len(&self) -> usize {
                self.0.length()
            }
        }

        /// Everything that can be done with it.
        impl Deref for $name {
            type Target = $lock;

            #[inline(always)]
            fn deref(&self) -> &$lock {
                &self.0
            }
        }

        impl Object for $name {
            type Initial = usize;

            const KIND: Kind = $kind;

            fn image(value_len: usize) -> Result<Image, Error> {
                <$lock>::image_of(&value_len)
            }

            fn open(place: Placement, verb: &str) -> Result<Self, Error> {
                Ok(Self(<$lock>::open_at(place, verb)?))
            }

            fn identity(&self) -> u64 {
                self.0.guarded()
            }
        }

        /// A handle to one lock; `Initial` is how many bytes it guards, which are zero at first. Zero bytes are a free, never used lock of as
        /// many as there are behind it. Whoever attaches finds the length there.
        impl Primitive for $name {}
    };
}

lock_of_bytes!(
    /// A [`Mutex`] of bytes.
    ///
    /// ```
    /// use shm_sync::{ByteMutex, Mutex, Primitive};
    /// # let name = format!("shm://doc-byte-mutex-{}", std::process::id());
    /// # let name = name.as_str();
    ///
    /// let bytes = ByteMutex::create(name, 8)?;
    /// bytes.lock()?[0] = 7;
    /// assert_eq!(*Mutex::<[u8; 8]>::attach(name)?.lock()?, [7, 0, 0, 0, 0, 0, 0, 0]);
    /// shm_core::delete(name)?;
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    ByteMutex,
    Mutex<[u8]>,
    "ByteMutex",
    Kind::MUTEX
);

lock_of_bytes!(
    /// A [`RecursiveMutex`] of bytes.
    ///
    /// ```
    /// use shm_sync::{ByteRecursiveMutex, Primitive};
    ///
    /// let bytes = ByteRecursiveMutex::anonymous(8)?;
    /// bytes.lock()?.as_slice_of_cells()[7].set(1);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    ByteRecursiveMutex,
    RecursiveMutex<[u8]>,
    "ByteRecursiveMutex",
    Kind::RECURSIVE_MUTEX
);

lock_of_bytes!(
    /// A [`RwLock`] of bytes, with places for 62 readers.
    ///
    /// ```
    /// use shm_sync::{ByteRwLock, Primitive};
    ///
    /// let bytes = ByteRwLock::anonymous(8)?;
    /// bytes.write()?.fill(3);
    /// assert_eq!(bytes.read()?.iter().sum::<u8>(), 24);
    /// # Ok::<(), shm_sync::Error>(())
    /// ```
    ByteRwLock,
    RwLock<[u8]>,
    "ByteRwLock",
    Kind::RW_LOCK
);
