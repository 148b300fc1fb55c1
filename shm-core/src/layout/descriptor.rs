//! The bytes in which a segment stores the layout of an array (`FORMAT.md`, section 3.1): [`encode`] and [`decode`].
//!
//! Where the descriptor lies and how long its array's entry is stands in the segment's table of contents, which is read elsewhere.

use super::dims::Dims;
use super::dtype::{ElementType, TypeCode};
use super::error::LayoutError;
use super::shape::ArrayLayout;
use super::{MAX_DIMENSIONS, record::MAX_DESCRIPTION};
use crate::header::{u32_at, u64_at};

/// Length of the fixed part; shape, strides and the record description follow it.
const FIXED: usize = 40;

/// The largest descriptor: 64 dimensions and a record description of 1 MiB.
pub(crate) const MAX_LEN: usize = FIXED + 16 * MAX_DIMENSIONS + MAX_DESCRIPTION;

// A descriptor's length and a record's length are stored in 32 bits.
const _: () = assert!(MAX_LEN < u32::MAX as usize);

/// Returns the descriptor of a layout: 40 bytes, 16 for each dimension, and the record description if there is one.
///
/// # Examples
/// ```
/// use shm_core::layout::{ArrayLayout, ElementType, descriptor};
///
/// let layout = ArrayLayout::c_order(ElementType::F64, &[3, 5])?;
/// assert_eq!(descriptor::encode(&layout).len(), 40 + 2 * 16);
/// # Ok::<(), shm_core::layout::LayoutError>(())
/// ```
pub fn encode(layout: &ArrayLayout) -> Vec<u8> {
    let element = layout.element();
    let TypeCode { code, bits, count, unit } = element.type_code();
    let record = match element {
        ElementType::Record(record) => record.to_string(),
        _ => String::new(),
    };
    let mut bytes = Vec::with_capacity(FIXED + 16 * layout.ndim() + record.len());
    bytes.extend([code, bits]);
    bytes.extend(1_u16.to_le_bytes());
    bytes.extend(count.to_le_bytes());
    bytes.extend(unit.to_le_bytes());
    bytes.extend((layout.ndim() as u32).to_le_bytes());
    bytes.extend((element.item_size() as u64).to_le_bytes());
    bytes.extend((layout.origin() as u64).to_le_bytes());
    bytes.extend((record.len() as u32).to_le_bytes());
    bytes.extend(0_u32.to_le_bytes());
    for extent in layout.shape() {
        bytes.extend((*extent as u64).to_le_bytes());
    }
    for stride in layout.strides_bytes() {
        bytes.extend((*stride as i64).to_le_bytes());
    }
    bytes.extend(record.as_bytes());
    bytes
}

/// Reads the descriptor of an array whose entry has `entry_len` bytes, trusting nothing in it.
///
/// Without a record, and with up to 4 dimensions, this allocates nothing.
///
/// # Errors
/// [`LayoutError::DescriptorLength`] when `bytes` is shorter or longer than its fields say,
/// [`LayoutError::DescriptorField`] for a field that breaks the format, [`LayoutError::OutOfBounds`] when the array does not fit
/// the entry, and those of [`ElementType::from_type_code`] and [`ArrayLayout::strided_from`].
///
/// # Examples
/// ```
/// use shm_core::layout::{ArrayLayout, ElementType, LayoutError, descriptor};
///
/// let layout = ArrayLayout::c_order(ElementType::F64, &[3, 5])?;
/// let bytes = descriptor::encode(&layout);
/// assert_eq!(descriptor::decode(&bytes, 120)?, layout);
///
/// let error = descriptor::decode(&bytes, 119).unwrap_err();
/// assert_eq!(error, LayoutError::OutOfBounds { needed: 120, available: 119 });
/// # Ok::<(), shm_core::layout::LayoutError>(())
/// ```
pub fn decode(bytes: &[u8], entry_len: u64) -> Result<ArrayLayout, LayoutError> {
    let length = |expected: usize| LayoutError::DescriptorLength {
        expected: expected as u64,
        found: bytes.len() as u64,
    };
    let fixed: &[u8; FIXED] = bytes.first_chunk().ok_or_else(|| length(FIXED))?;

    let dimensions = u32_at(fixed, 12) as usize;
    if dimensions > MAX_DIMENSIONS {
        return Err(LayoutError::TooManyDimensions { found: dimensions });
    }
    let record_len = u32_at(fixed, 32) as usize;
    let strides_at = FIXED + 8 * dimensions;
    let record_at = strides_at + 8 * dimensions;
    if bytes.len() != record_at + record_len {
        return Err(length(record_at + record_len));
    }

    exactly("lanes", u64::from(u16::from_le_bytes([fixed[2], fixed[3]])), 1)?;
    exactly("zero", u64::from(u32_at(fixed, 36)), 0)?;
    let code = TypeCode { code: fixed[0], bits: fixed[1], count: u32_at(fixed, 4), unit: u32_at(fixed, 8) };
    let element = ElementType::from_type_code(code, &bytes[record_at..])?;
    exactly("item size", u64_at(fixed, 16), element.item_size() as u64)?;

    let dims = Dims::from_fn(dimensions, |index| {
        let extent = u64_at(bytes, FIXED + 8 * index) as usize;
        let stride = u64_at(bytes, strides_at + 8 * index) as i64 as isize;
        (extent, stride)
    });
    let layout = ArrayLayout::from_dims(element, dims, u64_at(fixed, 24) as usize)?;
    let needed = layout.data_len_bytes() as u64;
    if needed > entry_len {
        return Err(LayoutError::OutOfBounds { needed, available: entry_len });
    }
    Ok(layout)
}

fn exactly(field: &'static str, found: u64, expected: u64) -> Result<(), LayoutError> {
    if found == expected { Ok(()) } else { Err(LayoutError::DescriptorField { field, found, expected }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{ByteOrder, Record, TimeBase, TimeUnit};
    use std::sync::Arc;

    /// Bytes from a hex literal; blanks do not count.
    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit as u8).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn golden(layout: ArrayLayout, expected: &str) {
        let bytes = encode(&layout);
        assert_eq!(bytes, hex(expected), "{layout}");
        assert_eq!(decode(&bytes, layout.data_len_bytes() as u64), Ok(layout));
    }

    #[test]
    fn golden_f64_in_c_order() {
        golden(
            ArrayLayout::c_order(ElementType::F64, &[3, 5]).unwrap(),
            "02 40 0100 00000000 00000000 02000000 0800000000000000 0000000000000000 00000000 00000000 \
             0300000000000000 0500000000000000 2800000000000000 0800000000000000",
        );
    }

    #[test]
    fn golden_big_endian_with_a_negative_stride() {
        golden(
            ArrayLayout::strided(ElementType::I32.with_byte_order(ByteOrder::Big), &[258], &[-8]).unwrap(),
            "80 20 0100 00000000 00000000 01000000 0400000000000000 0808000000000000 00000000 00000000 \
             0201000000000000 f8ffffffffffffff",
        );
    }

    #[test]
    fn golden_datetime_without_dimensions() {
        let step = TimeUnit::new(25, TimeBase::Second).unwrap();
        golden(
            ArrayLayout::c_order(ElementType::DateTime(step, ByteOrder::Little), &[]).unwrap(),
            "a3 40 0100 19000000 07000000 00000000 0800000000000000 0000000000000000 00000000 00000000",
        );
    }

    #[test]
    fn golden_record() {
        // The description is {4a;1:x@0=<f4}, 14 bytes.
        let record = Arc::new(Record::parse(b"{4a;1:x@0=<f4}").unwrap());
        golden(
            ArrayLayout::c_order(ElementType::Record(record), &[2]).unwrap(),
            "a8 08 0100 00000000 00000000 01000000 0400000000000000 0000000000000000 0e000000 00000000 \
             0200000000000000 0400000000000000 7b34613b313a7840303d3c66347d",
        );
    }

    #[test]
    fn every_byte_counts() {
        // Whatever one byte is changed to, the result is refused or means something else.
        let record = Arc::new(Record::parse(b"{4a;1:x@0=<f4}").unwrap());
        for element in
            [ElementType::F64, ElementType::Text(3, ByteOrder::Little), ElementType::Record(record)]
        {
            let layout = ArrayLayout::c_order(element, &[2, 3]).unwrap();
            let good = encode(&layout);
            for position in 0..good.len() {
                for bit in if cfg!(miri) { 3..4 } else { 0..8 } {
                    let mut bad = good.clone();
                    bad[position] ^= 1 << bit;
                    if let Ok(other) = decode(&bad, u64::MAX) {
                        assert_ne!(other, layout, "byte {position} bit {bit}");
                        assert_eq!(encode(&other), bad);
                    }
                }
            }
        }
    }

    #[test]
    fn fields_are_checked_by_name() {
        let good = encode(&ArrayLayout::c_order(ElementType::F64, &[2]).unwrap());
        for (position, field) in
            [(2, "lanes"), (3, "lanes"), (4, "count"), (8, "unit"), (16, "item size"), (36, "zero")]
        {
            let mut bad = good.clone();
            bad[position] ^= 0x80;
            match decode(&bad, 16) {
                Err(LayoutError::DescriptorField { field: found, .. }) => assert_eq!(found, field),
                other => panic!("byte {position}: {other:?}"),
            }
        }
    }

    #[test]
    fn length_is_exact() {
        let good = encode(&ArrayLayout::c_order(ElementType::F64, &[2]).unwrap());
        for cut in 0..good.len() {
            assert!(matches!(decode(&good[..cut], 16), Err(LayoutError::DescriptorLength { .. })));
        }
        let longer = [&good[..], &[0]].concat();
        assert_eq!(decode(&longer, 16), Err(LayoutError::DescriptorLength { expected: 56, found: 57 }));
        let mut many = good.clone();
        many[12] = 65;
        assert_eq!(decode(&many, 16), Err(LayoutError::TooManyDimensions { found: 65 }));
    }
}
