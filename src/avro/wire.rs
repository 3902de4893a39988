//! A datum read in place, from a slice.
//!
//! Every read checks its bounds and moves forward only when it succeeds in full; nothing is allocated by a
//! count that the data claims.

use super::schema::{Kind, Schema, TypeId};

/// More elements than an event of 1 MB has room for; only elements that take no bytes could go on for ever.
const ELEMENTS_MAX: u64 = 1 << 20;

/// Deeper than any record of Salesforce; a type that contains itself could nest as deep as the data says.
const DEPTH_MAX: usize = 64;

/// Why bytes are not what the schema says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    #[error("the data ends early")]
    Truncated,
    #[error("an integer wider than its type")]
    TooWide,
    #[error("a negative length")]
    NegativeLength,
    #[error("text that is not UTF-8")]
    NotUtf8,
    #[error("no such enum symbol")]
    NoSuchSymbol,
    #[error("no such branch of the union")]
    NoSuchBranch,
    #[error("a boolean that is neither true nor false")]
    NotBoolean,
    #[error("too many elements")]
    TooMany,
    #[error("nested too deeply")]
    TooDeep,
}

/// A place in a payload.
pub struct Wire<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Wire<'a> {
    pub const fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// How many bytes have been read.
    pub const fn offset(&self) -> usize {
        self.at
    }

    /// What has not been read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.data.get(self.at..).unwrap_or_default()
    }

    /// Passes over bytes that somebody else has read from [`Self::rest`].
    pub fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes).min(self.data.len());
    }

    /// `long`: a zig-zag varint. Whatever an `int` holds reads the same.
    pub fn long(&mut self) -> Result<i64, WireError> {
        let mut value = 0_u64;
        for (index, byte) in self.rest().iter().enumerate() {
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if index == 9 && bits > 1 || index > 9 {
                return Err(WireError::TooWide);
            }
            value |= bits << (7 * index);
            if byte & 0x80 == 0 {
                self.at += index + 1;
                return Ok((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        Err(WireError::Truncated)
    }

    /// `int`: no more than 32 bits. Other readers refuse what is wider, so it must not be passed on.
    pub fn int(&mut self) -> Result<i32, WireError> {
        let at = self.at;
        i32::try_from(self.long()?).map_err(|_| {
            self.at = at;
            WireError::TooWide
        })
    }

    /// A union's branch or an enum's symbol, by its index.
    pub fn index(&mut self, count: usize, beyond: WireError) -> Result<usize, WireError> {
        let at = self.at;
        let index = usize::try_from(self.long()?).ok().filter(|index| *index < count);
        index.ok_or_else(|| {
            self.at = at;
            beyond
        })
    }

    pub fn boolean(&mut self) -> Result<bool, WireError> {
        let flag = match self.rest().first() {
            Some(0) => false,
            Some(1) => true,
            Some(_) => return Err(WireError::NotBoolean),
            None => return Err(WireError::Truncated),
        };
        self.at += 1;
        Ok(flag)
    }

    pub fn float(&mut self) -> Result<f32, WireError> {
        self.array().map(f32::from_le_bytes)
    }

    pub fn double(&mut self) -> Result<f64, WireError> {
        self.array().map(f64::from_le_bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let bytes = self.rest().first_chunk().ok_or(WireError::Truncated)?;
        self.at += N;
        Ok(*bytes)
    }

    /// The next so many bytes.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let bytes = self.rest().get(..length).ok_or(WireError::Truncated)?;
        self.at += length;
        Ok(bytes)
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let at = self.at;
        let length = usize::try_from(self.long()?).map_err(|_| WireError::NegativeLength);
        length
            .and_then(|length| self.take(length))
            .inspect_err(|_| self.at = at)
    }

    pub fn text(&mut self) -> Result<&'a str, WireError> {
        let at = self.at;
        std::str::from_utf8(self.bytes()?).map_err(|_| {
            self.at = at;
            WireError::NotUtf8
        })
    }

    /// The elements of an array or the entries of a map, block by block.
    pub fn elements<E: From<WireError>>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut left = ELEMENTS_MAX;
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(());
            }
            if count < 0 {
                // A negative count is followed by the block's size in bytes, for those who want to skip it.
                self.long()?;
            }
            left = left.checked_sub(count.unsigned_abs()).ok_or(WireError::TooMany)?;
            for _ in 0..count.unsigned_abs() {
                element(self)?;
            }
        }
    }

    /// Passes over one value, reading all of it.
    pub fn skip_value(&mut self, schema: &Schema, id: TypeId) -> Result<(), WireError> {
        self.skip_nested(schema, id, DEPTH_MAX)
    }

    fn skip_nested(&mut self, schema: &Schema, id: TypeId, depth: usize) -> Result<(), WireError> {
        let depth = depth.checked_sub(1).ok_or(WireError::TooDeep)?;
        match schema.kind(id) {
            Kind::Null => Ok(()),
            Kind::Boolean => self.boolean().map(drop),
            Kind::Int => self.int().map(drop),
            Kind::Long => self.long().map(drop),
            Kind::Float => self.float().map(drop),
            Kind::Double => self.double().map(drop),
            Kind::Bytes => self.bytes().map(drop),
            Kind::String => self.text().map(drop),
            Kind::Fixed { size, .. } => self.take(*size).map(drop),
            Kind::Enum { symbols, .. } => self.index(symbols.len(), WireError::NoSuchSymbol).map(drop),
            Kind::Array(items) => self.elements(|wire| wire.skip_nested(schema, *items, depth)),
            Kind::Map(values) => self.elements(|wire| {
                wire.text()?;
                wire.skip_nested(schema, *values, depth)
            }),
            Kind::Union(branches) => {
                let index = self.index(branches.len(), WireError::NoSuchBranch)?;
                let branch = branches.get(index).ok_or(WireError::NoSuchBranch)?;
                self.skip_nested(schema, *branch, depth)
            }
            Kind::Record(record) => record
                .fields
                .iter()
                .try_for_each(|field| self.skip_nested(schema, field.type_id, depth)),
        }
    }

    /// An array of strings. Every element takes at least a byte, so the payload bounds the answer.
    pub fn texts(&mut self) -> Result<Vec<&'a str>, WireError> {
        let mut texts = Vec::new();
        self.elements(|wire| {
            texts.push(wire.text()?);
            Ok::<_, WireError>(())
        })?;
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(bytes: &[u8]) -> Result<i64, WireError> {
        Wire::new(bytes).long()
    }

    #[test]
    fn integers_are_exact_up_to_both_ends() {
        assert_eq!(long(&[0]), Ok(0));
        assert_eq!(long(&[1]), Ok(-1));
        assert_eq!(long(&[0x80, 0x01]), Ok(64));
        let widest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(long(&widest), Ok(i64::MIN));
        let largest = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(long(&largest), Ok(i64::MAX));
    }

    #[test]
    fn an_int_has_room_for_32_bits() {
        let (largest, beyond) = ([0xfe, 0xff, 0xff, 0xff, 0x0f], [0x80, 0x80, 0x80, 0x80, 0x10]);
        assert_eq!(Wire::new(&largest).int(), Ok(i32::MAX));
        let mut wire = Wire::new(&beyond);
        assert_eq!((wire.int(), wire.offset()), (Err(WireError::TooWide), 0));
        let schema = Schema::parse("\"int\"").unwrap();
        let skipped = wire.skip_value(&schema, schema.root());
        assert_eq!(skipped, Err(WireError::TooWide), "it is no value of the type");
        assert_eq!(long(&beyond), Ok(1 << 31));
    }

    #[test]
    fn an_integer_that_never_ends_is_an_error() {
        assert_eq!(long(&[0xff; 3]), Err(WireError::Truncated));
        assert_eq!(long(&[0xff; 10]), Err(WireError::TooWide));
        assert_eq!(long(&[0x80; 40]), Err(WireError::TooWide));
    }

    #[test]
    fn a_length_beyond_the_data_is_an_error_and_allocates_nothing() {
        assert_eq!(
            Wire::new(&[0xfe, 0xff, 0xff, 0x7f, b'a']).text(),
            Err(WireError::Truncated)
        );
        assert_eq!(Wire::new(&[0x01]).text(), Err(WireError::NegativeLength));
        assert_eq!(Wire::new(&[0x02, 0xff]).text(), Err(WireError::NotUtf8));
    }

    #[test]
    fn blocks_with_and_without_a_size_read_the_same() {
        let plain = [4, 2, b'a', 2, b'b', 0];
        let sized = [3, 8, 2, b'a', 2, b'b', 0];
        let two_blocks = [2, 2, b'a', 2, 2, b'b', 0];
        for bytes in [&plain[..], &sized, &two_blocks] {
            assert_eq!(Wire::new(bytes).texts(), Ok(vec!["a", "b"]));
        }
    }

    #[test]
    fn a_block_that_claims_more_than_it_holds_is_an_error() {
        let claims_billions = [0xfe, 0xff, 0xff, 0xff, 0x0f, 2, b'a'];
        assert_eq!(Wire::new(&claims_billions).texts(), Err(WireError::TooMany));
        let claims_three = [6, 2, b'a'];
        assert_eq!(Wire::new(&claims_three).texts(), Err(WireError::Truncated));
    }

    #[test]
    fn a_value_is_passed_over_whole_or_not_at_all() {
        let schema = Schema::parse(
            r#"{"type":"record","name":"R","fields":[
                {"name":"a","type":["null","string"]},{"name":"b","type":{"type":"map","values":"double"}},
                {"name":"c","type":{"type":"enum","name":"E","symbols":["X","Y"]}},{"name":"d","type":"boolean"},
                {"name":"e","type":{"type":"fixed","name":"F","size":3}}]}"#,
        )
        .unwrap();
        let datum = [
            2, 2, b'a', // a
            2, 2, b'k', 0, 0, 0, 0, 0, 0, 0, 0, 0, // b
            2, 1, 7, 7, 7, // c d e
        ];
        let mut wire = Wire::new(&datum);
        assert_eq!(wire.skip_value(&schema, schema.root()), Ok(()));
        assert!(wire.rest().is_empty());
        for end in 0..datum.len() {
            let mut wire = Wire::new(&datum[..end]);
            assert_eq!(
                wire.skip_value(&schema, schema.root()),
                Err(WireError::Truncated),
                "{end}"
            );
        }
    }

    #[test]
    fn a_type_that_contains_itself_ends_somewhere() {
        let schema =
            Schema::parse(r#"{"type":"record","name":"R","fields":[{"name":"next","type":["null","R"]}]}"#)
                .unwrap();
        let endless = [2; 1000];
        assert_eq!(
            Wire::new(&endless).skip_value(&schema, schema.root()),
            Err(WireError::TooDeep)
        );
    }
}
