//! Records: elements made of named fields at fixed offsets ([`Record`], [`Field`]), and the rules that they obey.
//!
//! Fields may lie in any order, leave gaps and overlap, as in NumPy. How a record is spelled is the business of `grammar.rs`.

use std::collections::HashSet;
use std::fmt::{self, Write};

use super::dtype::ElementType;
use super::error::LayoutError;
use super::shape::size_of_shape;
use super::{MAX_BYTES, MAX_DIMENSIONS, grammar};

/// The longest description, in bytes.
pub(crate) const MAX_DESCRIPTION: usize = 1 << 20;
/// The deepest nesting; a record without records in it has depth 1.
pub(crate) const MAX_DEPTH: usize = 32;
/// The most fields in one record.
pub(crate) const MAX_FIELDS: usize = 65_535;

/// An element made of named fields: a C struct, or a structured NumPy type.
///
/// A record that exists obeys all rules of the format: names and titles are distinct, every field ends within the record,
/// and the description that [`Display`](fmt::Display) writes is not too long and not nested too deep.
///
/// # Examples
/// ```
/// use shm_core::layout::{ElementType, Field, Record};
///
/// let record = Record::new(
///     16,
///     true,
///     vec![Field::new("id", 0, ElementType::U64), Field::new("rgb", 8, ElementType::U8).with_shape(&[3])?],
/// )?;
/// assert_eq!(record.to_string(), "{16a;2:id@0=<u8;3:rgb@8=(3)<u1}");
/// assert_eq!(Record::parse(b"{16a;2:id@0=<u8;3:rgb@8=(3)<u1}")?, record);
/// # Ok::<(), shm_core::layout::LayoutError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    size: usize,
    aligned: bool,
    depth: usize,
    alignment: usize,
    fields: Vec<Field>,
}

/// One field of a [`Record`]: its name, where it lies and what it holds.
///
/// # Examples
/// ```
/// use shm_core::layout::{ElementType, Field};
///
/// let field = Field::new("position", 8, ElementType::F64).with_title("in metres").with_shape(&[3])?;
/// assert_eq!(field.size_bytes(), 24);
/// # Ok::<(), shm_core::layout::LayoutError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    name: Box<str>,
    title: Option<Box<str>>,
    offset: usize,
    element: ElementType,
    shape: Box<[usize]>,
    size_bytes: usize,
}

impl Field {
    /// Makes a field that holds one `element`, `offset` bytes from the start of the record.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ElementType, Field};
    ///
    /// let field = Field::new("id", 16, ElementType::U64);
    /// assert_eq!((field.offset(), field.size_bytes()), (16, 8));
    /// ```
    pub fn new(name: impl Into<Box<str>>, offset: usize, element: ElementType) -> Self {
        let size_bytes = element.item_size();
        Field { name: name.into(), title: None, offset, element, shape: Box::default(), size_bytes }
    }

    /// Gives the field a second name (a title in NumPy's words).
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ElementType, Field};
    ///
    /// let field = Field::new("x", 0, ElementType::F64).with_title("in metres");
    /// assert_eq!(field.title(), Some("in metres"));
    /// ```
    #[must_use]
    pub fn with_title(self, title: impl Into<Box<str>>) -> Self {
        Field { title: Some(title.into()), ..self }
    }

    /// Makes the field a sub-array of its element, in C order; an empty shape makes it a single element again.
    ///
    /// # Errors
    /// [`LayoutError::TooManyDimensions`] above 64, [`LayoutError::TooLarge`] when the sub-array overflows.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ElementType, Field};
    ///
    /// let matrix = Field::new("matrix", 0, ElementType::F32).with_shape(&[3, 3])?;
    /// assert_eq!(matrix.size_bytes(), 36);
    /// assert!(Field::new("huge", 0, ElementType::F32).with_shape(&[usize::MAX]).is_err());
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn with_shape(self, shape: &[usize]) -> Result<Self, LayoutError> {
        if shape.len() > MAX_DIMENSIONS {
            return Err(LayoutError::TooManyDimensions { found: shape.len() });
        }
        let size_bytes = size_of_shape(shape, self.element.item_size())?.bytes;
        Ok(Field { shape: shape.into(), size_bytes, ..self })
    }

    /// Returns the name; it may be empty.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ElementType, Field};
    ///
    /// assert_eq!(Field::new("x", 0, ElementType::F64).name(), "x");
    /// ```
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the title, if there is one.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ElementType, Field};
    ///
    /// assert_eq!(Field::new("x", 0, ElementType::F64).title(), None);
    /// ```
    pub fn title(&self) -> Option<&str> {
        self.title.as_deref()
    }

    /// Returns the distance from the start of the record, in bytes.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::Record;
    ///
    /// let record = Record::parse(b"{16a;2:id@0=<u8;3:rgb@8=(3)<u1}")?;
    /// assert_eq!(record.fields()[1].offset(), 8);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Returns what the field, or each item of its sub-array, is.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ElementType, Record};
    ///
    /// let record = Record::parse(b"{16a;2:id@0=<u8;3:rgb@8=(3)<u1}")?;
    /// assert_eq!(record.fields()[1].element(), &ElementType::U8);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn element(&self) -> &ElementType {
        &self.element
    }

    /// Returns the shape of the sub-array, in C order; empty for a single element.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::Record;
    ///
    /// let record = Record::parse(b"{16a;2:id@0=<u8;3:rgb@8=(3)<u1}")?;
    /// assert!(record.fields()[0].shape().is_empty());
    /// assert_eq!(record.fields()[1].shape(), [3]);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the length of the whole field in bytes.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::Record;
    ///
    /// let record = Record::parse(b"{16a;2:id@0=<u8;3:rgb@8=(3)<u1}")?;
    /// assert_eq!(record.fields()[1].size_bytes(), 3);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn size_bytes(&self) -> usize {
        self.size_bytes
    }
}

impl Record {
    /// Makes a record of `size` bytes; `aligned` says that it is laid out as C would.
    ///
    /// # Errors
    /// [`LayoutError::FieldOutOfBounds`], [`LayoutError::NameTaken`] when names and titles are not all distinct,
    /// [`LayoutError::Misaligned`] when the record is marked as aligned and is not, and [`LayoutError::RecordLimit`] for more
    /// than 65 535 fields, 32 levels, or 1 MiB of description.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::{ElementType, Field, LayoutError, Record};
    ///
    /// let error = Record::new(4, false, vec![Field::new("x", 0, ElementType::F64)]).unwrap_err();
    /// assert_eq!(error.to_string(), "field \"x\" of 8 bytes at offset 0 does not fit a record of 4 bytes");
    /// ```
    pub fn new(size: usize, aligned: bool, fields: Vec<Field>) -> Result<Self, LayoutError> {
        let record = Record::checked(size, aligned, fields)?;
        let mut length = Counter(0);
        // Counting cannot fail.
        let _ = write!(length, "{record}");
        limit("a description", length.0, MAX_DESCRIPTION)?;
        Ok(record)
    }

    /// Checks everything but the length of the description, which a parser knows already.
    pub(crate) fn checked(size: usize, aligned: bool, fields: Vec<Field>) -> Result<Self, LayoutError> {
        limit("a number of fields", fields.len(), MAX_FIELDS)?;
        limit("a size", size, MAX_BYTES)?;
        let mut names = HashSet::with_capacity(fields.len());
        let (mut depth, mut alignment) = (1, 1);
        for field in &fields {
            let end = field.offset.checked_add(field.size_bytes);
            if end.is_none_or(|end| end > size) {
                let (offset, len) = (field.offset, field.size_bytes);
                return Err(LayoutError::FieldOutOfBounds {
                    field: field.name.clone(),
                    offset,
                    len,
                    record: size,
                });
            }
            for name in [Some(&field.name), field.title.as_ref()].into_iter().flatten() {
                if !names.insert(&**name) {
                    return Err(LayoutError::NameTaken { name: name.clone() });
                }
            }
            if aligned {
                let needed = field.element.alignment();
                alignment = alignment.max(needed);
                if !field.offset.is_multiple_of(needed) {
                    let (field, value) = (Some(field.name.clone()), field.offset);
                    return Err(LayoutError::Misaligned { field, value, alignment: needed });
                }
            }
            if let ElementType::Record(inner) = &field.element {
                depth = depth.max(inner.depth + 1);
            }
        }
        if !size.is_multiple_of(alignment) {
            return Err(LayoutError::Misaligned { field: None, value: size, alignment });
        }
        limit("a nesting", depth, MAX_DEPTH)?;
        Ok(Record { size, aligned, depth, alignment, fields })
    }

    /// Reads a description in the grammar of `FORMAT.md`, section 3.3.
    ///
    /// Only the one spelling that [`Display`](fmt::Display) writes is accepted.
    ///
    /// # Errors
    /// [`LayoutError::RecordSyntax`] with the position, and all those of [`Record::new`].
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::Record;
    ///
    /// assert_eq!(Record::parse(b"{8;1:x@0=<f8}")?.fields()[0].name(), "x");
    /// assert!(Record::parse(b"{08;1:x@0=<f8}").is_err());
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn parse(description: &[u8]) -> Result<Self, LayoutError> {
        limit("a description", description.len(), MAX_DESCRIPTION)?;
        grammar::parse(description)
    }

    /// Returns the size of the record in bytes.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::Record;
    ///
    /// let record = Record::parse(b"{16a;2:id@0=<u8;3:rgb@8=(3)<u1}")?;
    /// assert_eq!(record.size(), 16); // 5 bytes at the end are a gap
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn size(&self) -> usize {
        self.size
    }

    /// Returns whether the record is marked as laid out by C's rules.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::Record;
    ///
    /// assert!(Record::parse(b"{8a;1:x@0=<f8}")?.is_aligned());
    /// assert!(!Record::parse(b"{8;1:x@0=<f8}")?.is_aligned());
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn is_aligned(&self) -> bool {
        self.aligned
    }

    /// Returns the alignment in bytes: the largest of the fields when the record is marked as aligned, otherwise 1.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::Record;
    ///
    /// assert_eq!(Record::parse(b"{8a;1:x@0=<f8}")?.alignment(), 8);
    /// assert_eq!(Record::parse(b"{8;1:x@0=<f8}")?.alignment(), 1);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn alignment(&self) -> usize {
        self.alignment
    }

    /// Returns the fields in the order in which they are listed, which need not be that of their offsets.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::Record;
    ///
    /// let record = Record::parse(b"{8;1:b@4=<f4;1:a@0=<f4}")?;
    /// let names: Vec<_> = record.fields().iter().map(|field| field.name()).collect();
    /// assert_eq!(names, ["b", "a"]);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Finds the field with this name; titles are not searched.
    ///
    /// # Examples
    /// ```
    /// use shm_core::layout::Record;
    ///
    /// let record = Record::parse(b"{8;1:x@0=<f4;1:y@4=<f4}")?;
    /// assert_eq!(record.field("y").unwrap().offset(), 4);
    /// # Ok::<(), shm_core::layout::LayoutError>(())
    /// ```
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| &*field.name == name)
    }

    /// See [`ElementType::is_compatible_with`].
    pub(crate) fn is_compatible_with(&self, other: &Record) -> bool {
        let sorted = |record: &'_ Record| {
            let mut order: Vec<usize> = (0..record.fields.len()).collect();
            order.sort_by(|&a, &b| record.fields[a].name.cmp(&record.fields[b].name));
            order
        };
        self.size == other.size
            && self.fields.len() == other.fields.len()
            && sorted(self).into_iter().zip(sorted(other)).all(|(ours, theirs)| {
                let (ours, theirs) = (&self.fields[ours], &other.fields[theirs]);
                ours.name == theirs.name
                    && ours.offset == theirs.offset
                    && ours.shape == theirs.shape
                    && ours.element.is_compatible_with(&theirs.element)
            })
    }
}

/// Writes the description in the grammar of `FORMAT.md`, section 3.3; [`Record::parse`] reads it.
impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        grammar::write(self, f)
    }
}

pub(crate) fn limit(what: &'static str, found: usize, limit: usize) -> Result<(), LayoutError> {
    if found > limit { Err(LayoutError::RecordLimit { what, found, limit }) } else { Ok(()) }
}

/// A writer that only counts the bytes.
struct Counter(usize);

impl Write for Counter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn byte(name: &str, offset: usize) -> Field {
        Field::new(name, offset, ElementType::U8)
    }

    #[test]
    fn names_and_titles_are_distinct() {
        let taken =
            |fields| Record::new(4, false, fields) == Err(LayoutError::NameTaken { name: "a".into() });
        assert!(taken(vec![byte("a", 0), byte("a", 1)]));
        assert!(taken(vec![byte("a", 0), byte("b", 1).with_title("a")]));
        assert!(taken(vec![byte("a", 0).with_title("a")]));
        assert!(taken(vec![byte("b", 0).with_title("a"), byte("c", 1).with_title("a")]));
        assert!(Record::new(4, false, vec![byte("a", 0), byte("b", 0).with_title("")]).is_ok());
    }

    #[test]
    fn fields_end_within_the_record() {
        assert!(Record::new(4, false, vec![byte("a", 3)]).is_ok());
        assert!(matches!(
            Record::new(4, false, vec![byte("a", 4)]),
            Err(LayoutError::FieldOutOfBounds { .. })
        ));
        let far = vec![byte("a", usize::MAX)];
        assert!(matches!(Record::new(4, false, far), Err(LayoutError::FieldOutOfBounds { .. })));
        assert!(Record::new(4, false, vec![Field::new("none", 4, ElementType::Bytes(0))]).is_ok());
    }

    #[test]
    fn aligned_means_aligned() {
        let field = |offset| vec![Field::new("x", offset, ElementType::I32)];
        assert_eq!(Record::new(8, true, field(4)).unwrap().alignment(), 4);
        assert_eq!(Record::new(8, false, field(3)).unwrap().alignment(), 1);
        assert!(matches!(
            Record::new(8, true, field(2)),
            Err(LayoutError::Misaligned { field: Some(_), .. })
        ));
        assert!(matches!(Record::new(6, true, field(0)), Err(LayoutError::Misaligned { field: None, .. })));
    }

    #[test]
    fn nesting_is_limited() {
        let mut inner = Record::new(1, false, vec![]).unwrap();
        for _ in 1..MAX_DEPTH {
            let field = Field::new("r", 0, ElementType::Record(Arc::new(inner)));
            inner = Record::new(1, false, vec![field]).unwrap();
        }
        assert_eq!(Record::parse(inner.to_string().as_bytes()).as_ref(), Ok(&inner));
        let field = Field::new("r", 0, ElementType::Record(Arc::new(inner)));
        let found = Record::new(1, false, vec![field]);
        assert_eq!(found, Err(LayoutError::RecordLimit { what: "a nesting", found: 33, limit: 32 }));
    }

    #[test]
    #[cfg_attr(miri, ignore = "allocates and frees 65 536 fields twice, which takes minutes")]
    fn numbers_of_fields_and_bytes_are_limited() {
        let many = (0..MAX_FIELDS).map(|i| byte(&i.to_string(), 0)).collect();
        assert!(Record::new(1, false, many).is_ok());
        let found = Record::new(1, false, vec![byte("x", 0); MAX_FIELDS + 1]);
        assert!(matches!(found, Err(LayoutError::RecordLimit { what: "a number of fields", .. })));
        let found = Record::new(1, false, vec![byte(&"x".repeat(MAX_DESCRIPTION), 0)]);
        assert!(matches!(found, Err(LayoutError::RecordLimit { what: "a description", .. })));
        assert!(Record::new(MAX_BYTES + 1, false, vec![]).is_err());
    }

    #[test]
    fn compatible_records_have_the_same_bytes() {
        let parse = |text: &str| ElementType::Record(Arc::new(Record::parse(text.as_bytes()).unwrap()));
        let plain = parse("{8;1:x@0=<i4;1:y@4=<i4}");
        assert!(plain.is_compatible_with(&parse("{8a;1:x@0=<i4;1:y@4=<i4}")));
        assert!(plain.is_compatible_with(&parse("{8;1:y~1:t@4=<i4;1:x@0=<i4}")));
        assert!(!plain.is_compatible_with(&parse("{8;1:x@0=<i4;1:y@4=<u4}")));
        assert!(!plain.is_compatible_with(&parse("{8;1:x@4=<i4;1:y@0=<i4}")));
        assert!(!plain.is_compatible_with(&parse("{9;1:x@0=<i4;1:y@4=<i4}")));
        assert!(!plain.is_compatible_with(&parse("{8;1:x@0=<i4;1:y@4=(1)<i4}")));
        assert_ne!(plain, parse("{8a;1:x@0=<i4;1:y@4=<i4}"));
    }
}
