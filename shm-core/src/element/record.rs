//! [`record!`](crate::record!): structs as elements, described field by field.
//!
//! The macro expands to `unsafe impl`s in the user's crate; its arms say why each of them holds. What it cannot see from the
//! text of the struct it asserts at compile time: every field is an [`Element`] or an array of them, there is no padding, and
//! no attribute has changed the alignment.

use std::sync::Arc;

use super::Element;
use crate::layout::{ElementType, Field, LayoutError, Record};

#[doc(hidden)]
pub use ::bytemuck;
#[doc(hidden)]
pub use ::once_cell::race::OnceBox;

mod sealed {
    pub trait Sealed {}

    impl<T: super::Element> Sealed for T {}
    impl<T: super::RecordField, const N: usize> Sealed for [T; N] {}
}

/// What a field of a [`record!`](crate::record!) may be: an element, or an array of fields (a sub-array); sealed.
///
/// # Examples
/// ```
/// use shm_core::element::RecordField;
/// use shm_core::layout::ElementType;
///
/// assert_eq!(<[[f64; 3]; 2]>::element_and_shape(), (ElementType::F64, vec![2, 3]));
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a field of a record in shared memory",
    note = "fields are elements (see `shm_core::element::Element`) and arrays `[T; N]` of them"
)]
pub trait RecordField: bytemuck::Pod + Send + Sync + sealed::Sealed {
    /// Returns the element type, and the shape if the field is an array.
    ///
    /// # Examples
    /// ```
    /// use shm_core::element::RecordField;
    /// use shm_core::layout::ElementType;
    ///
    /// assert_eq!(u8::element_and_shape(), (ElementType::U8, vec![]));
    /// assert_eq!(<[u8; 3]>::element_and_shape(), (ElementType::U8, vec![3]));
    /// ```
    fn element_and_shape() -> (ElementType, Vec<usize>);
}

impl<T: Element> RecordField for T {
    fn element_and_shape() -> (ElementType, Vec<usize>) {
        (T::element_type(), Vec::new())
    }
}

impl<T: RecordField, const N: usize> RecordField for [T; N] {
    fn element_and_shape() -> (ElementType, Vec<usize>) {
        let (element, mut shape) = T::element_and_shape();
        shape.insert(0, N);
        (element, shape)
    }
}

/// What the macro adds up at compile time; that this compiles shows that the type may be a field.
#[doc(hidden)]
pub const fn size_and_align<T: RecordField>() -> (usize, usize) {
    (size_of::<T>(), align_of::<T>())
}

/// Describes one field of the struct that the macro has defined.
#[doc(hidden)]
pub fn field<T: RecordField>(name: &str, offset: usize) -> Result<Field, LayoutError> {
    let (element, shape) = T::element_and_shape();
    Field::new(name.strip_prefix("r#").unwrap_or(name), offset, element).with_shape(&shape)
}

/// Describes the struct that the macro has defined.
#[doc(hidden)]
pub fn describe(name: &str, size: usize, fields: Vec<Result<Field, LayoutError>>) -> ElementType {
    let fields: Result<Vec<Field>, LayoutError> = fields.into_iter().collect();
    match fields.and_then(|fields| Record::new(size, true, fields)) {
        Ok(record) => ElementType::Record(Arc::new(record)),
        Err(error) => panic!("the struct {name} cannot be described as an element: {error}"),
    }
}

/// Defines a struct whose values may lie in shared pages, and implements [`Element`] for it.
///
/// The fields are elements, other records among them, or arrays of elements. The struct is `repr(C)`, `Copy` and bytemuck's
/// `Pod`; other derives and documentation can be added as usual. It must not have padding: order the fields by size, or fill
/// the gaps with fields of your own, such as `_unused: [u8; 4]`.
///
/// The description is made once per process and kept; calling `element_type` panics if a limit of the format is exceeded: 32
/// levels, 65 535 fields, 64 dimensions of an array, 1 MiB of description.
///
/// The macro expands to `unsafe impl`; a crate that *forbids* `unsafe_code` cannot use it.
///
/// # Examples
/// ```
/// use shm_core::element::Element;
///
/// shm_core::record! {
///     /// A particle.
///     #[derive(Debug, PartialEq)]
///     pub struct Particle {
///         pub id: u64,
///         pub position: [f64; 3],
///         pub mass: f32,
///         pub flags: u32,
///     }
/// }
///
/// let name = Particle::element_type().to_string();
/// assert_eq!(name, "record{id: u64, position: f64[3], mass: f32, flags: u32}");
/// ```
///
/// Padding does not compile, because its bytes would be undefined:
/// ```compile_fail,E0080
/// shm_core::record! {
///     struct Padded { small: u8, large: u64 }
/// }
/// ```
///
/// Neither do fields that are no elements:
/// ```compile_fail,E0277
/// shm_core::record! {
///     struct Named { name: String }
/// }
/// ```
#[macro_export]
macro_rules! record {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $($(#[$field_meta:meta])* $field_vis:vis $field:ident : $type:ty),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(::core::clone::Clone, ::core::marker::Copy)]
        #[repr(C)]
        $vis struct $name {
            $($(#[$field_meta])* $field_vis $field: $type,)*
        }

        const _: () = {
            // A slice, so that a struct without fields works too.
            const FIELDS: &[(usize, usize)] = &[$($crate::element::size_and_align::<$type>()),*];
            let (mut size, mut align, mut index) = (0, 1, 0);
            while index < FIELDS.len() {
                size += FIELDS[index].0;
                align = if FIELDS[index].1 > align { FIELDS[index].1 } else { align };
                index += 1;
            }
            assert!(
                size == ::core::mem::size_of::<$name>(),
                "the struct has padding: order its fields by size, or fill the gaps with fields"
            );
            assert!(align == ::core::mem::align_of::<$name>(), "`record!` sets the representation itself");

            // SAFETY: all fields are `Pod` (a supertrait of `RecordField`, asserted by `FIELDS`) and so may be zero.
            #[allow(unsafe_code)]
            unsafe impl $crate::element::bytemuck::Zeroable for $name {}

            // SAFETY: the struct is `repr(C)`, `Copy`, without type or lifetime parameters and so `'static`; all its fields
            // are `Pod`; and it has no padding, because its size is the sum of theirs (asserted above).
            #[allow(unsafe_code)]
            unsafe impl $crate::element::bytemuck::Pod for $name {}

            // SAFETY: every field is an element or an array of elements, and so holds nothing of one process only and has the
            // same size everywhere. Size, names, offsets and types in the description are the compiler's. The alignment is
            // the largest of the fields' (asserted above), as the description, marked as aligned, says.
            #[allow(unsafe_code)]
            unsafe impl $crate::element::Element for $name {
                fn element_type() -> $crate::layout::ElementType {
                    // A `OnceLock` that another thread is filling during a fork is never filled in the child.
                    static DESCRIPTION: $crate::element::OnceBox<$crate::layout::ElementType> =
                        $crate::element::OnceBox::new();
                    let describe = || {
                        ::std::boxed::Box::new($crate::element::describe(
                            ::core::stringify!($name),
                            ::core::mem::size_of::<$name>(),
                            ::std::vec![$($crate::element::field::<$type>(
                                ::core::stringify!($field),
                                ::core::mem::offset_of!($name, $field),
                            )),*],
                        ))
                    };
                    ::core::clone::Clone::clone(DESCRIPTION.get_or_init(describe))
                }
            }
        };
    };
}

#[cfg(test)]
mod tests {
    use crate::element::{BigEndian, Bool, DateTime, Element, FixedBytes, FixedText, unit};
    use crate::layout::ElementType;

    record! {
        #[derive(Debug, PartialEq)]
        struct Inner {
            real: f32,
            count: BigEndian<u32>,
        }
    }

    record! {
        #[derive(Debug, PartialEq)]
        pub(crate) struct Outer {
            r#type: u64,
            /// A matrix of records.
            inner: [[Inner; 3]; 2],
            name: FixedText<2>,
            at: DateTime<unit::Second>,
            ok: Bool,
            tag: FixedBytes<3>,
            _unused: [u8; 4],
        }
    }

    record! { struct Nothing {} }

    fn description<T: Element>() -> String {
        match T::element_type() {
            ElementType::Record(record) => record.to_string(),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn structs_are_described_field_by_field() {
        assert_eq!(description::<Inner>(), "{8a;4:real@0=<f4;5:count@4=>u4}");
        assert_eq!(
            description::<Outer>(),
            "{80a;4:type@0=<u8;5:inner@8=(2,3){8a;4:real@0=<f4;5:count@4=>u4};4:name@56=<U2;2:at@64=<M8[s]\
             ;2:ok@72=?;3:tag@73=S3;7:_unused@76=(4)<u1}"
        );
        assert_eq!(description::<Nothing>(), "{0a}");
    }

    #[test]
    fn size_and_alignment_are_those_of_the_struct() {
        let outer = Outer::element_type();
        assert_eq!((outer.item_size(), outer.alignment()), (size_of::<Outer>(), align_of::<Outer>()));
        assert_eq!((size_of::<Nothing>(), Nothing::element_type().alignment()), (0, 1));
    }

    #[test]
    fn the_description_is_made_once() {
        let (ElementType::Record(first), ElementType::Record(second)) =
            (Inner::element_type(), Inner::element_type())
        else {
            panic!("not a record");
        };
        assert!(std::sync::Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn bytes_become_structs_and_back() {
        let mut outer: Outer = bytemuck::Zeroable::zeroed();
        outer.inner[1][2] = Inner { real: 1.0, count: 7.into() };
        let bytes = bytemuck::bytes_of(&outer);
        assert_eq!(bytes[48..56], [0, 0, 0x80, 0x3F, 0, 0, 0, 7]);
        assert_eq!(*bytemuck::from_bytes::<Outer>(bytes), outer);
    }
}
