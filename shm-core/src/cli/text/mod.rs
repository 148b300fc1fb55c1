//! Arrays as text: a row of the last dimension on a line, values separated by blanks, an empty line after each matrix. What has one
//! dimension has a line for each element, as `numpy.savetxt` writes it.

mod time;
mod value;

use crate::layout::{ArrayLayout, ElementType};

use crate::cli::failure::Outcome;

pub(crate) use time::point;

/// Text is handed on in pieces of about this length.
const PIECE: usize = 1 << 16;

/// Turns the bytes of elements in C order, which come in pieces, into text.
pub(crate) struct Text<'a> {
    element: &'a ElementType,
    /// Elements on a line, and in a matrix; without the latter there are no empty lines.
    row: usize,
    matrix: Option<usize>,
    /// Number of elements, and how many of them are written.
    len: usize,
    done: usize,
    /// The beginning of an element.
    part: Vec<u8>,
    text: String,
}

impl<'a> Text<'a> {
    pub(crate) fn new(layout: &'a ArrayLayout) -> Text<'a> {
        let (shape, ndim) = (layout.shape(), layout.ndim());
        let row = if ndim < 2 { 1 } else { shape[ndim - 1] };
        let matrix = (ndim > 2).then(|| shape[ndim - 2].saturating_mul(row));
        let (part, text) = (Vec::new(), String::with_capacity(2 * PIECE));
        Text { element: layout.element(), row, matrix, len: layout.len(), done: 0, part, text }
    }

    /// Takes bytes.
    pub(crate) fn push(&mut self, mut bytes: &[u8], sink: &mut dyn FnMut(&[u8]) -> Outcome) -> Outcome {
        let size = self.element.item_size();
        if size == 0 {
            return Ok(());
        }
        while self.part.len() + bytes.len() >= size {
            if self.part.is_empty() {
                let (element, rest) = bytes.split_at(size);
                self.element(element, sink)?;
                bytes = rest;
            } else {
                let (end, rest) = bytes.split_at(size - self.part.len());
                let mut element = std::mem::take(&mut self.part);
                element.extend_from_slice(end);
                self.element(&element, sink)?;
                bytes = rest;
            }
        }
        self.part.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes the elements that have no bytes and so never came, and what is still here.
    pub(crate) fn finish(mut self, sink: &mut dyn FnMut(&[u8]) -> Outcome) -> Outcome {
        if self.element.item_size() == 0 {
            while self.done < self.len {
                self.element(&[], sink)?;
            }
        }
        sink(self.text.as_bytes())
    }

    fn element(&mut self, bytes: &[u8], sink: &mut dyn FnMut(&[u8]) -> Outcome) -> Outcome {
        value::write(&mut self.text, self.element, bytes);
        self.done += 1;
        let ends_row = self.done.is_multiple_of(self.row);
        self.text.push(if ends_row { '\n' } else { ' ' });
        if ends_row
            && self.done < self.len
            && self.matrix.is_some_and(|matrix| self.done.is_multiple_of(matrix))
        {
            self.text.push('\n');
        }
        if self.text.len() >= PIECE {
            sink(self.text.as_bytes())?;
            self.text.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(shape: &[usize], bytes: &[u8], piece: usize) -> String {
        let layout = ArrayLayout::c_order(ElementType::U16, shape).unwrap();
        let (mut text, mut out) = (Text::new(&layout), Vec::new());
        for bytes in bytes.chunks(piece) {
            text.push(bytes, &mut |piece| {
                out.extend_from_slice(piece);
                Ok(())
            })
            .unwrap();
        }
        text.finish(&mut |piece| {
            out.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn shapes() {
        let bytes: Vec<u8> = (0..8_u16).flat_map(u16::to_le_bytes).collect();
        for piece in [1, 3, 16] {
            assert_eq!(shown(&[2, 2, 2], &bytes, piece), "0 1\n2 3\n\n4 5\n6 7\n");
            assert_eq!(shown(&[2, 4], &bytes, piece), "0 1 2 3\n4 5 6 7\n");
            assert_eq!(shown(&[3], &bytes[..6], piece), "0\n1\n2\n");
            assert_eq!(shown(&[], &bytes[2..4], piece), "1\n");
            assert_eq!(shown(&[0, 3], &[], piece), "");
            assert_eq!(shown(&[3, 0], &[], piece), "");
        }
    }

    #[test]
    fn elements_without_bytes() {
        let layout = ArrayLayout::c_order(ElementType::Bytes(0), &[2, 2]).unwrap();
        let mut out = Vec::new();
        let mut text = Text::new(&layout);
        text.push(&[], &mut |_| Ok(())).unwrap();
        text.finish(&mut |piece| {
            out.extend_from_slice(piece);
            Ok(())
        })
        .unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "\"\" \"\"\n\"\" \"\"\n");
    }
}
