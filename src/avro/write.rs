//! The encodings that are written by hand. Each appends to a buffer.

/// `int` and `long`: the zig-zag varint.
pub fn long(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned();
    while rest >= 0x80 {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// A count or an index. Lengths of things in memory fit an `i64`.
pub fn count(out: &mut Vec<u8>, count: usize) {
    long(out, i64::try_from(count).unwrap_or(i64::MAX));
}

pub fn boolean(out: &mut Vec<u8>, value: bool) {
    out.push(u8::from(value));
}

pub fn float(out: &mut Vec<u8>, value: f32) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub fn double(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub fn bytes(out: &mut Vec<u8>, value: &[u8]) {
    count(out, value.len());
    out.extend_from_slice(value);
}

pub fn text(out: &mut Vec<u8>, value: &str) {
    bytes(out, value.as_bytes());
}

/// An array of strings, as one block.
pub fn texts<T: AsRef<str>>(out: &mut Vec<u8>, values: impl ExactSizeIterator<Item = T>) {
    if values.len() > 0 {
        count(out, values.len());
        for value in values {
            text(out, value.as_ref());
        }
    }
    out.push(0);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Wire;

    proptest! {
        #[test]
        fn what_is_written_is_read_again(number in any::<i64>(), double in any::<f64>(), flag in any::<bool>(), texts in prop::collection::vec(".{0,8}", 0..4)) {
            let mut out = Vec::new();
            super::long(&mut out, number);
            super::double(&mut out, double);
            super::boolean(&mut out, flag);
            super::texts(&mut out, texts.iter());
            let mut wire = Wire::new(&out);
            prop_assert_eq!(wire.long(), Ok(number));
            prop_assert_eq!(wire.double().map(f64::to_bits), Ok(double.to_bits()));
            prop_assert_eq!(wire.boolean(), Ok(flag));
            let read = wire.texts().unwrap();
            prop_assert_eq!(read, texts.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert!(wire.rest().is_empty());
        }
    }
}
