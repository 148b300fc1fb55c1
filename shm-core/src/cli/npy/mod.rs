//! Files of NumPy's format `.npy`, versions 1.0 to 3.0: the header, read and written. The data behind it are the elements in the order
//! of memory and stay with whoever reads or writes them.
//!
//! A file is untrusted: a header is read as far as it is there, never into room that it only asks for, and everything in it is checked
//! by the same code that checks a segment. Source: `numpy/lib/format.py` and
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>.

mod descr;
mod literal;
#[cfg(test)]
mod tests;

use std::io::{self, Read};

use crate::layout::{ArrayLayout, ByteOrder, ElementType, Number};

use literal::Literal;

pub(crate) use descr::Unsayable;

/// Begins every file, before the two bytes of the version.
const MAGIC: [u8; 6] = *b"\x93NUMPY";
/// Length of a header that is believed: more than the longest description of a record needs.
const MAX_HEADER: u64 = 16 << 20;
/// The data begin at a multiple of this.
const ALIGN: usize = 64;
/// From this length on `numpy.load` wants to be asked (`max_header_size`).
pub(crate) const NUMPY_MAX_HEADER: usize = 10_000;

/// Why a file cannot be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The system says no.
    Io(io::Error),
    /// The bytes are wrong: a clause for people.
    Wrong(String),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => ReadError::Wrong("it ends within its header".to_owned()),
            _ => ReadError::Io(error),
        }
    }
}

fn wrong<T>(reason: impl Into<String>) -> Result<T, ReadError> {
    Err(ReadError::Wrong(reason.into()))
}

/// Reads a header; the reader stands at the data then. Returns the layout that they have, and the header's length.
pub(crate) fn read_header(reader: &mut impl Read) -> Result<(ArrayLayout, u64), ReadError> {
    let mut start = [0; 8];
    let mut magic = 0;
    // A short file that is something else shall not be called a short .npy file.
    while magic < start.len() {
        match reader.read(&mut start[magic..]) {
            Ok(0) => break,
            Ok(n) => magic += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(ReadError::Io(error)),
        }
    }
    if magic < start.len() || start[..6] != MAGIC {
        return wrong("it is no .npy file: it does not begin as one");
    }
    let (wide, utf8) = match (start[6], start[7]) {
        (1, 0) => (false, false),
        (2, 0) => (true, false),
        (3, 0) => (true, true),
        (major, minor) => {
            return wrong(format!(
                "it has version {major}.{minor} of the format, and 1.0, 2.0 and 3.0 are known"
            ));
        }
    };
    let mut len = [0; 4];
    reader.read_exact(&mut len[..if wide { 4 } else { 2 }])?;
    let len = u64::from(u32::from_le_bytes(len));
    if len > MAX_HEADER {
        return wrong(format!("its header claims {len} bytes, and at most {MAX_HEADER} are read"));
    }
    let mut header = Vec::new();
    if reader.take(len).read_to_end(&mut header)? as u64 != len {
        return wrong("it ends within its header");
    }
    let text = match utf8 {
        true => String::from_utf8(header).or_else(|_| wrong("its header is no UTF-8"))?,
        false => header.into_iter().map(char::from).collect(), // Latin-1
    };
    let layout = layout_of(&text).map_err(ReadError::Wrong)?;
    Ok((layout, 8 + if wide { 4 } else { 2 } + len))
}

fn layout_of(text: &str) -> Result<ArrayLayout, String> {
    let Literal::Dict(pairs) = literal::parse(text).map_err(|e| e.to_string())? else {
        return Err("its header is no dictionary".to_owned());
    };
    let value = |key: &str| {
        let found = pairs.iter().find(|(known, _)| known == key);
        found.map(|(_, value)| value).ok_or_else(|| format!("its header has no '{key}'"))
    };
    let (element, order, shape) = (value("descr")?, value("fortran_order")?, value("shape")?);
    if pairs.len() != 3 {
        return Err("its header has other keys than descr, fortran_order and shape".to_owned());
    }
    let Literal::Bool(fortran) = order else {
        return Err("its header's 'fortran_order' is neither True nor False".to_owned());
    };
    let Literal::Tuple(_) = shape else { return Err("its shape is no tuple of numbers".to_owned()) };
    let (element, shape) = (descr::from_descr(element)?, descr::to_shape(shape)?);
    let layout =
        if *fortran { ArrayLayout::f_order(element, &shape) } else { ArrayLayout::c_order(element, &shape) };
    layout.map_err(|e| e.to_string())
}

/// Elements that a file cannot tell apart from opaque ones of two bytes: bfloat16, as it was written by [`header`] as opaque, or by NumPy with the
/// package `ml_dtypes`.
pub(crate) fn as_bf16(layout: &ArrayLayout) -> Option<ArrayLayout> {
    if *layout.element() != ElementType::Opaque(2) {
        return None;
    }
    let element = ElementType::Number(Number::BF16, ByteOrder::Little);
    if layout.is_f_contiguous() && !layout.is_c_contiguous() {
        ArrayLayout::f_order(element, layout.shape()).ok()
    } else {
        ArrayLayout::c_order(element, layout.shape()).ok()
    }
}

/// Returns the `descr` of an element type, if it has one.
pub(crate) fn descr_of(element: &ElementType) -> Result<String, Unsayable> {
    descr::to_descr(element)
}

/// Makes the header of a file with such elements.
///
/// `opaque` says that elements for which there is no type shall be called opaque bytes, in place of an error.
pub(crate) fn header(
    element: &ElementType,
    shape: &[usize],
    fortran: bool,
    opaque: bool,
) -> Result<Vec<u8>, Unsayable> {
    let descr = match descr::to_descr(element) {
        Err(_) if opaque => descr::opaque(element.item_size()),
        descr => descr?,
    };
    let fortran = if fortran { "True" } else { "False" };
    let shape = descr::shape_text(shape);
    let text = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}");
    let padded = |start: usize| (start + text.len() + 1).next_multiple_of(ALIGN) - start;
    let narrow = padded(10);
    let (version, len) = match u16::try_from(narrow) {
        Ok(_) if text.is_ascii() => (1, narrow),
        _ => (if text.is_ascii() { 2 } else { 3 }, padded(12)),
    };
    let mut bytes = Vec::with_capacity(12 + len);
    bytes.extend(MAGIC);
    bytes.extend([version, 0]);
    match version {
        1 => bytes.extend((len as u16).to_le_bytes()),
        // A description has at most 1 MiB, and its spelling here a few times as much.
        _ => bytes.extend((len as u32).to_le_bytes()),
    }
    bytes.extend(text.as_bytes());
    bytes.resize(bytes.len() + len - text.len() - 1, b' ');
    bytes.push(b'\n');
    Ok(bytes)
}
