//! A digest of a state that means the same in every process.

use std::fmt;

/// 64 bits that stand for a state: two states with different digests are different, and two with
/// one digest are the same but for bad luck (2^-64). It guards against mistakes, not against
/// somebody who wants two states to look alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(u64);

impl Digest {
    /// A digest that was made elsewhere.
    pub const fn from_u64(digest: u64) -> Self {
        Self(digest)
    }

    /// The bits.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Makes a [`Digest`] of the parts of a state, in the order in which they are given.
///
/// The result depends on nothing else: not on the process, the machine or the version of Rust, as
/// that of `std::hash` may. Of a hash map, whose order is of the process, give the digests of its
/// entries to [`unordered`](Self::unordered).
///
/// ```
/// use backstop::durable::replay::Digester;
/// use std::collections::HashMap;
///
/// let balances = HashMap::from([("ada", 3_u64), ("bob", 4)]);
/// let entries = balances.iter().map(|(name, balance)| {
///     Digester::new().bytes(name.as_bytes()).number(*balance).finish()
/// });
/// let digest = Digester::new().unordered(entries).finish();
/// assert_eq!(digest.to_string(), "89d6385f3d8283cd");
/// ```
///
/// Each number `n` turns the state `h` into `fold((h ^ n) * K) + n` with the 128-bit product's halves
/// folded by exclusive or, and K = 0x9e3779b97f4a7c15. Bytes are their length and then numbers of 8
/// bytes, little-endian, the last one filled up with zeros. The end is the mixer of splitmix64.
#[derive(Clone, Copy, Debug)]
pub struct Digester(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Digester {
    /// Nothing so far.
    pub const fn new() -> Self {
        Self(0x0123_4567_89ab_cdef)
    }

    /// A number is next.
    pub const fn number(self, number: u64) -> Self {
        let product = (self.0 ^ number) as u128 * GOLDEN as u128;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the halves of the product are folded"
        )]
        let folded = (product >> 64) as u64 ^ product as u64;
        Self(folded.wrapping_add(number))
    }

    /// Bytes are next; where they end is part of the digest.
    pub fn bytes(self, bytes: &[u8]) -> Self {
        bytes
            .chunks(8)
            .fold(self.number(bytes.len() as u64), |digester, chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                digester.number(u64::from_le_bytes(word))
            })
    }

    /// Parts that have no order are next, as the entries of a hash map.
    pub fn unordered(self, parts: impl IntoIterator<Item = Digest>) -> Self {
        let (count, sum) = parts
            .into_iter()
            .fold((0_u64, 0_u64), |(count, sum), part| {
                (count.wrapping_add(1), sum.wrapping_add(part.0))
            });
        self.number(count).number(sum)
    }

    /// The digest of what was given.
    pub const fn finish(self) -> Digest {
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Digest(z ^ (z >> 31))
    }
}

impl Default for Digester {
    fn default() -> Self {
        Self::new()
    }
}
