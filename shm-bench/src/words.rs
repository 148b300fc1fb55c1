//! The word count: how often each of some words stands in a file, and where the files are found.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The words that are counted.
pub const WORDS: [&str; 8] = ["sharedmem", "pool", "shared", "memory", "array", "lock", "process", "the"];

/// What was found in some text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Count {
    /// Bytes read.
    pub bytes: u64,
    /// All words.
    pub words: u64,
    /// Each of [`WORDS`].
    pub each: [u64; WORDS.len()],
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        self.bytes += other.bytes;
        self.words += other.words;
        for (mine, others) in self.each.iter_mut().zip(other.each) {
            *mine += others;
        }
    }
}

/// Counts in a piece of text. Words are what white space and full stops separate.
///
/// ```
/// let count = shm_bench::words::count(b"The lock. the pool\n");
/// assert_eq!((count.words, count.each[1], count.each[7]), (4, 1, 1));
/// ```
pub fn count(text: &[u8]) -> Count {
    let mut count = Count { bytes: text.len() as u64, ..Count::default() };
    let words =
        text.split(|byte| byte.is_ascii_whitespace() || *byte == b'.').filter(|word| !word.is_empty());
    for word in words {
        count.words += 1;
        if let Some(at) = WORDS.iter().position(|wanted| wanted.as_bytes() == word) {
            count.each[at] += 1;
        }
    }
    count
}

/// Counts in a file.
///
/// # Errors
/// If it cannot be read.
///
/// ```
/// # let path = std::env::temp_dir().join(format!("shm-doc-words-{}", std::process::id()));
/// std::fs::write(&path, "shared memory")?;
/// assert_eq!(shm_bench::words::count_file(&path)?.words, 2);
/// # std::fs::remove_file(path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn count_file(path: &Path) -> io::Result<Count> {
    Ok(count(&fs::read(path)?))
}

/// Finds the text files among the paths and below them, sorted, each once. What is hidden, linked or not text (has a zero byte near its
/// start) is passed over.
///
/// # Errors
/// If one of the given paths cannot be read; what is below them and unreadable is passed over.
///
/// ```
/// let files = shm_bench::words::text_files(&[env!("CARGO_MANIFEST_DIR").into()])?;
/// assert!(files.iter().any(|file| file.ends_with("src/words.rs")));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn text_files(paths: &[PathBuf]) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        let kind =
            fs::metadata(path).map_err(|e| io::Error::new(e.kind(), format!("{}: {e}", path.display())))?;
        if kind.is_dir() {
            below(path, &mut found);
        } else {
            found.push(path.clone());
        }
    }
    found.retain(|path| is_text(path));
    found.sort();
    found.dedup();
    Ok(found)
}

fn below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') || path.join("CACHEDIR.TAG").exists() {
            continue;
        }
        if kind.is_dir() {
            below(&path, found);
        } else if kind.is_file() {
            found.push(path);
        }
    }
}

fn is_text(path: &Path) -> bool {
    use std::io::Read;
    let mut start = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(4096).read_to_end(&mut start));
    read.is_ok() && !start.contains(&0)
}
