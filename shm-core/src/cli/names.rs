//! What the words of a command line name: a segment, or a .npy file.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::{Error, ErrorKind, SegmentName};
use clap::builder::{OsStringValueParser, TypedValueParser};

/// One end of a copy.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    Segment(SegmentName),
    Npy(PathBuf),
}

/// Understands the name of a segment: `NAME`, `shm://NAME`, `file://PATH`. Only a path may have bytes that are no UTF-8.
pub(crate) fn segment(word: &OsStr) -> Result<SegmentName, Error> {
    if let Some(path) = word.as_bytes().strip_prefix(b"file://") {
        return SegmentName::file(Path::new(OsStr::from_bytes(path)));
    }
    match word.to_str() {
        Some(text) => text.parse(),
        None => Err(Error::new(
            ErrorKind::InvalidName,
            "use",
            format_args!("the name {word:?}"),
            "it is no UTF-8",
        )
        .remedy("a shm:// name is text; a file of any name can be reached as file://PATH")),
    }
}

/// Understands one end of a copy: a name with a prefix is a segment; what has a `/` in it or ends in `.npy` is a file; the rest are
/// segments in shared memory.
fn place(word: &OsStr) -> Result<Place, Error> {
    let bytes = word.as_bytes();
    let prefixed = [&b"shm://"[..], b"file://"].iter().any(|prefix| bytes.starts_with(prefix));
    let url = word.to_str().is_some_and(|text| text.contains("://"));
    if !prefixed && !url && (bytes.contains(&b'/') || bytes.ends_with(b".npy")) {
        return Ok(Place::Npy(PathBuf::from(word)));
    }
    segment(word).map(Place::Segment)
}

/// For clap: a word that cannot be understood is a mistake of usage.
pub(crate) fn segment_parser() -> impl TypedValueParser<Value = SegmentName> {
    OsStringValueParser::new().try_map(|word: OsString| segment(&word))
}

/// For clap.
pub(crate) fn place_parser() -> impl TypedValueParser<Value = Place> {
    OsStringValueParser::new().try_map(|word: OsString| place(&word))
}

/// Text that a terminal does not act on and that stays on its line.
pub(crate) struct Plain<T>(pub(crate) T);

impl<T: AsRef<str>> fmt::Display for Plain<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.as_ref().chars() {
            match c.is_control() {
                true => write!(f, "{}", c.escape_debug())?,
                false => write!(f, "{c}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_a_copy() {
        let kind = |word: &str| match place(OsStr::new(word)) {
            Ok(Place::Segment(name)) => name.to_string(),
            Ok(Place::Npy(path)) => path.display().to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(kind("x"), "shm://x");
        assert_eq!(kind("-x"), "shm://-x");
        assert_eq!(kind("shm://x.npy"), "shm://x.npy");
        assert_eq!(kind("file://a/x.npy"), "file://a/x.npy");
        assert_eq!(kind("x.npy"), "x.npy");
        assert_eq!(kind("./x"), "./x");
        assert!(kind("http://a/x.npy").contains("no prefix of a segment"));
        assert!(segment(OsStr::from_bytes(b"a\xff")).unwrap_err().to_string().contains("no UTF-8"));
        let odd = segment(OsStr::from_bytes(b"file://a\xff")).unwrap();
        assert_eq!(odd.path().as_os_str().as_bytes(), b"a\xff");
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(Plain("a\u{1b}[1m\tß\n").to_string(), "a\\u{1b}[1m\\tß\\n");
    }
}
