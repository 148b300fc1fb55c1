//! How a record is spelled (`FORMAT.md`, section 3.3): one function writes a description, one recursive descent reads it.
//!
//! There is one spelling for each record, and the parser takes no other, so descriptions are equal when their bytes are.
//! What a record may hold is checked in `record.rs`; here is only what the text may look like. The parser's own depth is
//! bounded, so that a hostile description cannot exhaust the stack.

use std::fmt;
use std::sync::Arc;

use super::MAX_DIMENSIONS;
use super::dtype::ElementType;
use super::error::LayoutError;
use super::number::{ByteOrder, LongDouble, Number};
use super::record::{Field, MAX_DEPTH, MAX_FIELDS, Record, limit};
use super::time_unit::{TimeBase, TimeUnit};

/// Writes the description of a record.
pub(crate) fn write(record: &Record, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "{{{}", record.size())?;
    if record.is_aligned() {
        f.write_str("a")?;
    }
    for field in record.fields() {
        write!(f, ";{}:{}", field.name().len(), field.name())?;
        if let Some(title) = field.title() {
            write!(f, "~{}:{title}", title.len())?;
        }
        write!(f, "@{}=", field.offset())?;
        for (index, extent) in field.shape().iter().enumerate() {
            write!(f, "{}{extent}", if index == 0 { '(' } else { ',' })?;
        }
        if !field.shape().is_empty() {
            f.write_str(")")?;
        }
        write_scalar(field.element(), f)?;
    }
    f.write_str("}")
}

fn write_scalar(element: &ElementType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match element {
        ElementType::Bool => f.write_str("?"),
        ElementType::I8 => f.write_str("<i1"),
        ElementType::U8 => f.write_str("<u1"),
        ElementType::Number(number, order) => write!(f, "{}{}", order.sign(), number.grammar()),
        ElementType::LongDouble(long) => write!(f, "<{}", long.grammar()),
        ElementType::Bytes(bytes) => write!(f, "S{bytes}"),
        ElementType::Text(points, order) => write!(f, "{}U{points}", order.sign()),
        ElementType::DateTime(unit, order) => write!(f, "{}M8[{unit}]", order.sign()),
        ElementType::TimeSpan(unit, order) => write!(f, "{}m8[{unit}]", order.sign()),
        ElementType::Opaque(bytes) => write!(f, "V{bytes}"),
        ElementType::Record(record) => write(record, f),
    }
}

/// Reads the description of a record; nothing may follow it.
pub(crate) fn parse(description: &[u8]) -> Result<Record, LayoutError> {
    let mut parser = Parser { text: description, at: 0 };
    let record = parser.record(1)?;
    if parser.at != description.len() {
        return Err(parser.expected("the end of the description"));
    }
    Ok(record)
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Parser<'a> {
    fn expected(&self, expected: &'static str) -> LayoutError {
        LayoutError::RecordSyntax { at: self.at, expected }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Passes over `byte` if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, name: &'static str) -> Result<(), LayoutError> {
        if self.take(byte) { Ok(()) } else { Err(self.expected(name)) }
    }

    /// Reads a decimal number without leading zeros.
    fn number(&mut self) -> Result<usize, LayoutError> {
        let start = self.at;
        let mut value = 0_usize;
        while let Some(digit) = self.peek().filter(u8::is_ascii_digit) {
            if self.at > start && self.text[start] == b'0' {
                self.at = start;
                return Err(self.expected("a number without leading zeros"));
            }
            let larger = value.checked_mul(10).and_then(|value| value.checked_add(usize::from(digit - b'0')));
            value = larger.ok_or_else(|| self.expected("a number below 2^64"))?;
            self.at += 1;
        }
        if self.at == start { Err(self.expected("a number")) } else { Ok(value) }
    }

    /// Reads a number of bytes, of code points or of units.
    fn count(&mut self) -> Result<u32, LayoutError> {
        let start = self.at;
        let number = self.number()?;
        u32::try_from(number)
            .map_err(|_| LayoutError::RecordSyntax { at: start, expected: "a count below 2^32" })
    }

    /// Reads a name or a title.
    fn text(&mut self) -> Result<&'a str, LayoutError> {
        let length = self.number()?;
        self.expect(b':', "\":\" after the length of a name")?;
        let end = self.at.checked_add(length).filter(|end| *end <= self.text.len());
        let end = end.ok_or_else(|| self.expected("a name of the length that precedes it"))?;
        let text =
            std::str::from_utf8(&self.text[self.at..end]).map_err(|_| self.expected("a name in UTF-8"))?;
        self.at = end;
        Ok(text)
    }

    fn record(&mut self, depth: usize) -> Result<Record, LayoutError> {
        limit("a nesting", depth, MAX_DEPTH)?;
        self.expect(b'{', "\"{\"")?;
        let size = self.number()?;
        let aligned = self.take(b'a');
        let mut fields = Vec::new();
        while self.take(b';') {
            limit("a number of fields", fields.len() + 1, MAX_FIELDS)?;
            fields.push(self.field(depth)?);
        }
        self.expect(b'}', "\";\" or \"}\"")?;
        Record::checked(size, aligned, fields)
    }

    fn field(&mut self, depth: usize) -> Result<Field, LayoutError> {
        let name = self.text()?;
        let title = if self.take(b'~') { Some(self.text()?) } else { None };
        self.expect(b'@', "\"@\" and the offset")?;
        let offset = self.number()?;
        self.expect(b'=', "\"=\" and the type")?;
        let mut shape = [0; MAX_DIMENSIONS];
        let dimensions = self.shape(&mut shape)?;
        let mut field = Field::new(name, offset, self.scalar(depth)?).with_shape(&shape[..dimensions])?;
        if let Some(title) = title {
            field = field.with_title(title);
        }
        Ok(field)
    }

    /// Reads the extents of a sub-array into `shape` and returns how many there are; 0 without a sub-array.
    fn shape(&mut self, shape: &mut [usize; MAX_DIMENSIONS]) -> Result<usize, LayoutError> {
        if !self.take(b'(') {
            return Ok(0);
        }
        let mut dimensions = 0;
        loop {
            let extent = self.number()?;
            *shape.get_mut(dimensions).ok_or(LayoutError::TooManyDimensions { found: dimensions + 1 })? =
                extent;
            dimensions += 1;
            if !self.take(b',') {
                self.expect(b')', "\",\" or \")\"")?;
                return Ok(dimensions);
            }
        }
    }

    fn scalar(&mut self, depth: usize) -> Result<ElementType, LayoutError> {
        let start = self.at;
        let element = match self.peek() {
            Some(b'{') => return Ok(ElementType::Record(Arc::new(self.record(depth + 1)?))),
            Some(b'?') => Some(ElementType::Bool),
            Some(b'S' | b'V' | b'<' | b'>') => None,
            _ => return Err(self.expected("a type")),
        };
        self.at += 1;
        match (element, self.text[start]) {
            (Some(element), _) => Ok(element),
            (None, b'S') => Ok(ElementType::Bytes(self.count()?)),
            (None, b'V') => Ok(ElementType::Opaque(self.count()?)),
            (None, b'<') => self.ordered(ByteOrder::Little, start),
            (None, _) => self.ordered(ByteOrder::Big, start),
        }
    }

    /// Reads what follows a byte order.
    fn ordered(&mut self, order: ByteOrder, start: usize) -> Result<ElementType, LayoutError> {
        let kind = self.peek().ok_or_else(|| self.expected("a type after the byte order"))?;
        self.at += 1;
        match kind {
            b'U' => return Ok(ElementType::Text(self.count()?, order)),
            b'M' => return Ok(ElementType::DateTime(self.time_unit()?, order)),
            b'm' => return Ok(ElementType::TimeSpan(self.time_unit()?, order)),
            _ => {}
        }
        let little_only = |element| (order == ByteOrder::Little).then_some(element);
        let known = self.number().ok().and_then(|bytes| match (kind, bytes as u64) {
            (b'i', 1) => little_only(ElementType::I8),
            (b'u', 1) => little_only(ElementType::U8),
            (b'x' | b'q', bytes) => {
                LongDouble::from_grammar(kind, bytes).map(ElementType::LongDouble).and_then(little_only)
            }
            (_, bytes) => Number::from_grammar(kind, bytes).map(|number| ElementType::Number(number, order)),
        });
        known.ok_or(LayoutError::RecordSyntax { at: start, expected: "a type that the format knows" })
    }

    /// Reads `8[25s]`, the rest of a point or span of time.
    fn time_unit(&mut self) -> Result<TimeUnit, LayoutError> {
        self.expect(b'8', "\"8[\"")?;
        self.expect(b'[', "\"[\"")?;
        let start = self.at;
        let wrong =
            LayoutError::RecordSyntax { at: start, expected: "a unit of time, the multiplier only above 1" };
        let multiplier = match self.peek() {
            Some(digit) if digit.is_ascii_digit() => match self.count()? {
                0 | 1 => return Err(wrong),
                many => many,
            },
            _ => 1,
        };
        let rest = &self.text[self.at..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let symbol = std::str::from_utf8(&rest[..length]).unwrap_or_default();
        let unit =
            TimeBase::from_symbol(symbol).and_then(|base| TimeUnit::new(multiplier, base)).ok_or(wrong)?;
        self.at += length;
        self.expect(b']', "\"]\"")?;
        Ok(unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(text: &str) -> Record {
        let record = Record::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(record.to_string(), text);
        record
    }

    #[test]
    fn every_scalar_has_one_spelling() {
        let scalars = "<i1 <u1 <i2 >i2 <i4 <i8 <u2 >u4 <u8 <f2 <f4 >f8 <b2 >b2 <c8 >c16 <x16 <x32 <q16 <q32 ? S0 S10 <U5 >U0 \
                       V7 <M8[ns] >M8[25s] <m8[generic] <m8[as] >m8[4294967295Y] {0} {3a;1:x@0=(3,1)<u1}";
        for scalar in scalars.split_whitespace() {
            round_trip(&format!("{{64;1:f@32={scalar}}}"));
            round_trip(&format!("{{64;1:f~0:@32=(1,1){scalar}}}"));
        }
    }

    #[test]
    fn names_hold_anything() {
        let record = round_trip("{4;8:;1:x@0=?~4:grün@1=?;0:@2=?}".replace("~4", "~5").as_str());
        assert_eq!(record.fields()[0].name(), ";1:x@0=?");
        assert_eq!(record.fields()[0].title(), Some("grün"));
        assert_eq!(record.fields()[1].name(), "");
    }

    #[test]
    fn errors_tell_the_position() {
        #[rustfmt::skip]
        let wrong: [(&[u8], usize); 32] = [
            (b"", 0), (b"4", 0), (b"{", 1), (b"{4", 2), (b"{4}x", 3), (b"{04}", 1), (b"{4;}", 3), (b"{4;1x@0=?}", 4),
            (b"{4;2:x", 5), (b"{4;1:\xff@0=?}", 5), (b"{4;1:x=?}", 6), (b"{4;1:x@0?}", 8), (b"{4;1:x@0=}", 9),
            (b"{4;1:x@0=()?}", 10), (b"{4;1:x@0=(1?}", 11), (b"{4;1:x@0=i4}", 9), (b"{4;1:x@0=>i1}", 9),
            (b"{4;1:x@0=>x16}", 9), (b"{4;1:x@0=<f16}", 9), (b"{4;1:x@0=<i04}", 9), (b"{4;1:x@0=<}", 9),
            (b"{4;1:x@0=<", 10), (b"{8;1:x@0=<M8[1s]}", 13), (b"{8;1:x@0=<M8[0s]}", 13), (b"{8;1:x@0=<M8[02s]}", 13),
            (b"{8;1:x@0=<M8[2generic]}", 13), (b"{8;1:x@0=<M8[min]}", 13), (b"{8;1:x@0=<M8[s}", 14),
            (b"{8;1:x@0=<M4[s]}", 11), (b"{8;1:x@0=S4294967296}", 10), (b"{99999999999999999999}", 20),
            (b"{4;18446744073709551615:x@0=?}", 24),
        ];
        for (text, position) in wrong {
            let shown = String::from_utf8_lossy(text);
            match Record::parse(text) {
                Err(LayoutError::RecordSyntax { at, .. }) => assert_eq!(at, position, "{shown}"),
                other => panic!("{shown}: {other:?}"),
            }
        }
    }

    #[test]
    fn depth_is_bounded_before_the_stack_is() {
        let text = "{0;1:x@0=".repeat(if cfg!(miri) { 1_000 } else { 100_000 });
        assert!(matches!(
            Record::parse(text.as_bytes()),
            Err(LayoutError::RecordLimit { what: "a nesting", .. })
        ));
    }

    #[test]
    fn sub_arrays_are_limited() {
        let extents = |count: usize| vec!["1"; count].join(",");
        round_trip(&format!("{{1;1:x@0=({})?}}", extents(64)));
        let found = Record::parse(format!("{{1;1:x@0=({})?}}", extents(65)).as_bytes());
        assert_eq!(found, Err(LayoutError::TooManyDimensions { found: 65 }));
        let found = Record::parse(b"{0;1:x@0=(4294967296,4294967296,0)?}");
        assert_eq!(found, Err(LayoutError::TooLarge));
        round_trip("{0;1:x@0=(4294967295,0)?}");
    }
}
