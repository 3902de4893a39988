//! A record on its way to Kafka.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;

/// Everything that is written: data, dead letters, gap reports, positions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub topic: Arc<str>,
    /// None: the key decides, as it does for Java's producers.
    pub partition: Option<i32>,
    pub key: Option<Bytes>,
    /// None: a tombstone.
    pub value: Option<Bytes>,
    pub headers: Vec<(Cow<'static, str>, Bytes)>,
    /// Milliseconds since the epoch.
    pub timestamp_ms: i64,
}

impl Record {
    /// What the record takes of a producer's memory and of the topic's `max.message.bytes`, but for framing.
    pub fn bytes(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        self.key.as_ref().map_or(0, Bytes::len) + self.value.as_ref().map_or(0, Bytes::len) + headers
    }
}

/// Where a name belongs among `partitions`, computed here and stored with nobody: Java's murmur2 of the UTF-8
/// bytes, without its sign, modulo the count. Every release must answer the same, or routes lose their
/// positions.
pub fn partition_of(name: &str, partitions: i32) -> i32 {
    let hash = murmur2(name.as_bytes()) & 0x7fff_ffff;
    #[allow(clippy::cast_possible_wrap, reason = "the sign bit is gone")]
    let hash = hash as i32;
    hash % partitions.max(1)
}

/// The 32-bit MurmurHash2 with the seed that Kafka's clients use.
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    #[allow(clippy::cast_possible_truncation, reason = "names are short")]
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in words.by_ref() {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_one_of_javas_clients() {
        // Vectors of the Java client's own tests, as unsigned numbers.
        let signed = |hash: i32| u32::from_ne_bytes(hash.to_ne_bytes());
        assert_eq!(murmur2(b"21"), signed(-973_932_308));
        assert_eq!(murmur2(b"foobar"), signed(-790_332_482));
        assert_eq!(murmur2(b"a-little-bit-long-string"), signed(-985_981_536));
        assert_eq!(murmur2(b"a-little-bit-longer-string"), signed(-1_486_304_829));
        assert_eq!(
            murmur2(b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8"),
            signed(-58_897_971)
        );
        assert_eq!(murmur2(b"abc"), signed(479_470_107));
    }

    #[test]
    fn every_name_has_one_of_the_partitions() {
        for route in ["account-changes", "order-shipped", "ä", ""] {
            assert!((0..16).contains(&partition_of(route, 16)), "{route}");
        }
        assert_eq!(partition_of("account-changes", 1), 0);
    }
}
