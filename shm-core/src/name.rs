//! Validated names of segments: `shm://name` and `file://path`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::error::{Error, ErrorKind, Result};

/// Where the kernel keeps the segments with a `shm://` name.
pub(crate) const SHM_DIR: &str = "/dev/shm";

/// Bytes that a file name may have on every file system of Linux.
const NAME_MAX: usize = 255;
/// Bytes that a path may have (Linux, without the zero byte at its end).
const PATH_MAX: usize = 4095;
/// Characters of a bad path that a message shows.
const SHOWN: usize = 300;

/// The name of a segment: in shared memory (`shm://name`) or a file on disk (`file://path`).
///
/// Text without a prefix means `shm://`. A name in shared memory is 1 to 255 bytes of UTF-8 without `/` and without control characters,
/// and neither `.` nor `..`. A path may be relative (to the working directory at the time of use) and
/// may contain any bytes but zero; it must end in a file name. Nothing is decoded or shortened: a name that does not fit is an error.
///
/// ```
/// use shm_core::SegmentName;
/// let name: SegmentName = "table".parse()?;
/// assert_eq!(name.to_string(), "shm://table");
/// assert_eq!(name.path().to_str(), Some("/dev/shm/table"));
/// assert!("shm://a/b".parse::<SegmentName>().is_err());
/// assert!("http://a".parse::<SegmentName>().is_err());
/// # Ok::<(), shm_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentName {
    kind: Kind,
    path: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Kind {
    Shm,
    File,
}

impl SegmentName {
    /// Makes the name `shm://{name}`; `name` comes without prefix.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] as described for the type.
    ///
    /// ```
    /// let name = shm_core::SegmentName::shm("Größe")?;
    /// assert_eq!(name.to_string(), "shm://Größe");
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn shm(name: &str) -> Result<SegmentName> {
        let invalid = |reason: String| {
            let shown = name.escape_debug();
            Err(Error::new(ErrorKind::InvalidName, "use", format_args!("the name \"{shown}\""), reason)
                .remedy("a shm:// name is 1 to 255 bytes of text without '/' and control characters"))
        };
        match name {
            "" => return invalid("it is empty".into()),
            "." | ".." => return invalid("it means a directory".into()),
            _ => {}
        }
        if name.len() > NAME_MAX {
            return invalid(format!("it has {} bytes", name.len()));
        }
        // Most names are ASCII, which needs no decoding.
        let plain = |byte: &u8| matches!(byte, b' '..=b'~') && *byte != b'/';
        if !name.as_bytes().iter().all(plain)
            && let Some(odd) = name.chars().find(|c| *c == '/' || c.is_control())
        {
            return invalid(format!("it contains {odd:?}"));
        }
        let mut path = String::with_capacity(SHM_DIR.len() + 1 + name.len());
        path.extend([SHM_DIR, "/", name]);
        Ok(SegmentName { kind: Kind::Shm, path: path.into() })
    }

    /// Makes the name `file://{path}`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] if the path is empty, contains a zero byte, does not end in a file name or has parts that are longer
    /// than Linux allows (255 bytes each, 4095 in all).
    ///
    /// ```
    /// let name = shm_core::SegmentName::file("results/run-1.shm")?;
    /// assert_eq!(name.to_string(), "file://results/run-1.shm");
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn file(path: impl AsRef<Path>) -> Result<SegmentName> {
        use std::os::unix::ffi::OsStrExt;
        let path = path.as_ref();
        let bytes = path.as_os_str().as_bytes();
        let invalid = |reason: &str| {
            let shown = path.to_string_lossy();
            let shown = match shown.char_indices().nth(SHOWN) {
                None => format!("the path {shown:?}"),
                Some((cut, _)) => format!("the path {:?}…", &shown[..cut]),
            };
            Err(Error::new(ErrorKind::InvalidName, "use", shown, reason)
                .remedy("a file:// name is a path that ends in a file name, and as long as Linux allows"))
        };
        if bytes.is_empty() {
            return invalid("it is empty");
        }
        if bytes.contains(&0) {
            return invalid("it contains a zero byte");
        }
        // `Path` passes over a dot at the end, the kernel does not.
        if bytes.ends_with(b"/") || bytes.ends_with(b"/.") || path.file_name().is_none() {
            return invalid("it does not end in a file name");
        }
        if path.components().any(|part| part.as_os_str().len() > NAME_MAX) {
            return invalid("a part of it has more than 255 bytes");
        }
        if bytes.len() > PATH_MAX {
            return invalid("it has more than 4095 bytes");
        }
        Ok(SegmentName { kind: Kind::File, path: path.to_path_buf() })
    }

    /// Returns the path of the file behind the name.
    ///
    /// ```
    /// use shm_core::SegmentName;
    /// use std::path::Path;
    /// assert_eq!(SegmentName::shm("table")?.path(), Path::new("/dev/shm/table"));
    /// assert_eq!(SegmentName::file("run/1.shm")?.path(), Path::new("run/1.shm"));
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Tells whether this is a `shm://` name.
    ///
    /// ```
    /// use shm_core::SegmentName;
    /// assert!("table".parse::<SegmentName>()?.is_shm());
    /// assert!(!"file://table".parse::<SegmentName>()?.is_shm());
    /// # Ok::<(), shm_core::Error>(())
    /// ```
    pub fn is_shm(&self) -> bool {
        self.kind == Kind::Shm
    }

    /// Returns the directory in which the name is made.
    pub(crate) fn directory(&self) -> &Path {
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    /// Alignment of the data in a segment with this kind of name; see `FORMAT.md`.
    pub(crate) fn data_alignment(&self) -> u64 {
        match self.kind {
            Kind::Shm => crate::header::PAGE,
            Kind::File => crate::header::FILE_DATA_ALIGNMENT,
        }
    }
}

impl FromStr for SegmentName {
    type Err = Error;

    fn from_str(text: &str) -> Result<SegmentName> {
        if !text.contains(':') {
            return SegmentName::shm(text);
        }
        match text.split_once("://") {
            Some(("shm", name)) => SegmentName::shm(name),
            Some(("file", path)) => SegmentName::file(path),
            Some((scheme, _)) => Err(Error::new(
                ErrorKind::InvalidName,
                "use",
                format_args!("the name \"{}\"", text.escape_debug()),
                format!("\"{}://\" is no prefix of a segment", scheme.escape_debug()),
            )
            .remedy("write shm://NAME or file://PATH")),
            None => SegmentName::shm(text),
        }
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Shm => {
                let name = self.path.file_name().unwrap_or_default();
                write!(f, "shm://{}", Path::new(name).display())
            }
            Kind::File => write!(f, "file://{}", self.path.display()),
        }
    }
}

/// Anything that names a segment: text, or a [`SegmentName`].
///
/// ```
/// use shm_core::{AsSegmentName, SegmentName};
/// assert_eq!("x".to_segment_name()?, SegmentName::shm("x")?);
/// # Ok::<(), shm_core::Error>(())
/// ```
pub trait AsSegmentName {
    /// Returns the validated name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidName`] if the text is no valid name.
    fn to_segment_name(&self) -> Result<SegmentName>;
}

impl AsSegmentName for str {
    fn to_segment_name(&self) -> Result<SegmentName> {
        self.parse()
    }
}

impl AsSegmentName for String {
    fn to_segment_name(&self) -> Result<SegmentName> {
        self.parse()
    }
}

impl AsSegmentName for SegmentName {
    fn to_segment_name(&self) -> Result<SegmentName> {
        Ok(self.clone())
    }
}

impl<T: AsSegmentName + ?Sized> AsSegmentName for &T {
    fn to_segment_name(&self) -> Result<SegmentName> {
        (**self).to_segment_name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        assert_eq!("a".parse::<SegmentName>().unwrap(), SegmentName::shm("a").unwrap());
        assert_eq!("shm://a".parse::<SegmentName>().unwrap(), SegmentName::shm("a").unwrap());
        assert_eq!("file://a/b".parse::<SegmentName>().unwrap().path(), Path::new("a/b"));
        assert_eq!("file:///a".parse::<SegmentName>().unwrap().directory(), Path::new("/"));
        assert_eq!("file://a".parse::<SegmentName>().unwrap().directory(), Path::new("."));
    }

    #[test]
    fn odd_names_are_refused_with_a_reason() {
        let long = "x".repeat(256);
        for (name, reason) in [
            ("", "empty"),
            (".", "directory"),
            ("..", "directory"),
            ("a/b", "'/'"),
            ("a\0b", "'\\0'"),
            ("a\nb", "'\\n'"),
            ("\u{7f}", "\\u{7f}"),
            (long.as_str(), "256 bytes"),
            ("ftp://x", "no prefix"),
            ("file://", "empty"),
            ("file://a/", "file name"),
            ("file://..", "file name"),
            ("file://a\0", "zero byte"),
            ("file://a/.", "file name"),
            (&format!("file://{long}"), "255 bytes"),
            (&format!("file://{long}/a"), "255 bytes"),
            (&format!("file://{}", "a/".repeat(2047) + "bc"), "4095 bytes"),
        ] {
            let error = name.parse::<SegmentName>().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidName);
            assert!(error.to_string().contains(reason), "{name:?}: {error}");
        }
        assert!(SegmentName::shm(&"x".repeat(255)).is_ok());
        assert!(SegmentName::file("a/".repeat(2047) + "b").is_ok());
        assert!(SegmentName::shm("-ä \u{1F980}.").is_ok());
    }

    #[test]
    fn names_print_as_they_parse() {
        for text in ["shm://a b", "file://x/y", "file:///tmp/z", "shm://ß"] {
            assert_eq!(text.parse::<SegmentName>().unwrap().to_string(), text);
        }
    }
}
