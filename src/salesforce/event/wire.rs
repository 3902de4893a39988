//! The few Avro encodings that the header is made of, read by hand from a slice.
//!
//! Every read checks its bounds and moves forward only when it succeeds in full; nothing is allocated by a
//! count that the data claims.

/// Why bytes are not what the schema says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    #[error("the data ends early")]
    Truncated,
    #[error("an integer of more than 64 bits")]
    TooWide,
    #[error("a negative length")]
    NegativeLength,
    #[error("text that is not UTF-8")]
    NotUtf8,
    #[error("no such enum symbol")]
    NoSuchSymbol,
}

/// A place in a payload.
pub(super) struct Wire<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Wire<'a> {
    pub(super) const fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    /// How many bytes have been read.
    pub(super) const fn offset(&self) -> usize {
        self.at
    }

    /// What has not been read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.data.get(self.at..).unwrap_or_default()
    }

    /// Passes over bytes that somebody else has read from [`Self::rest`].
    pub(super) fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes).min(self.data.len());
    }

    /// `int` and `long`: the same zig-zag varint.
    pub(super) fn long(&mut self) -> Result<i64, WireError> {
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

    pub(super) fn text(&mut self) -> Result<&'a str, WireError> {
        let length = usize::try_from(self.long()?).map_err(|_| WireError::NegativeLength)?;
        let bytes = self.rest().get(..length).ok_or(WireError::Truncated)?;
        self.at += length;
        std::str::from_utf8(bytes).map_err(|_| WireError::NotUtf8)
    }

    /// An array of strings. Every element takes at least a byte, so the payload bounds the answer.
    pub(super) fn texts(&mut self) -> Result<Vec<&'a str>, WireError> {
        let mut texts = Vec::new();
        loop {
            let count = self.long()?;
            if count == 0 {
                return Ok(texts);
            }
            if count < 0 {
                // A negative count is followed by the block's size in bytes, for those who want to skip it.
                self.long()?;
            }
            for _ in 0..count.unsigned_abs() {
                texts.push(self.text()?);
            }
        }
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
        assert_eq!(Wire::new(&claims_billions).texts(), Err(WireError::Truncated));
    }
}
