//! Replay ids: a position on the org-wide bus, 8 bytes big-endian, followed by two zero bytes. Clients must take
//! them as opaque; the server accepts the full ten bytes and, as Salesforce does, the first eight alone.

use bytes::Bytes;

/// A position on the bus. Later events have higher ones; they are not contiguous.
pub(crate) type Position = u64;

/// What a subscriber gets and sends back.
pub(crate) fn encode(position: Position) -> Bytes {
    let mut id = [0_u8; 10];
    id[..8].copy_from_slice(&position.to_be_bytes());
    Bytes::copy_from_slice(&id)
}

/// The position in an id from a client; `None` is a corrupted id.
pub(crate) fn decode(id: &[u8]) -> Option<Position> {
    let (position, rest) = id.split_first_chunk::<8>()?;
    matches!(rest, [] | [0, 0]).then(|| u64::from_be_bytes(*position))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_the_ten_bytes_that_were_observed() {
        assert_eq!(
            encode(1_104_717).as_ref(),
            [0, 0, 0, 0, 0, 0x10, 0xDB, 0x4D, 0, 0]
        );
    }

    #[test]
    fn ten_or_eight_bytes_are_read_and_nothing_else() {
        let id = encode(77);
        assert_eq!(decode(&id), Some(77));
        assert_eq!(decode(&id[..8]), Some(77));
        assert_eq!(decode(&id[..9]), None);
        assert_eq!(decode(b"1104717"), None);
        assert_eq!(decode(b""), None);
        assert_eq!(decode(&[0, 0, 0, 0, 0, 0, 0, 77, 0, 1]), None);
    }
}
