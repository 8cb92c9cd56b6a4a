//! The bytes of a file of marks, version 1. All integers are little-endian.
//!
//! | bytes | field | |
//! |---|---|---|
//! | 0..8 | magic | `BSTPMARK` |
//! | 8..12 | version | 1 |
//! | 12..16 | flags | bit 0 provisional, 1 verified, 2 suspect; the others are 0 |
//! | 16..24 | sequence | of the checkpoint |
//! | 24..28 | strikes | |
//! | 28..32 | CRC-32C | of bytes 0..28 |

use super::marks::{Mark, Marks};

const MAGIC: [u8; 8] = *b"BSTPMARK";
const VERSION: u32 = 1;

pub(super) const LEN: usize = 32;

const PROVISIONAL: u32 = 1;
const VERIFIED: u32 = 2;
const SUSPECT: u32 = 4;

pub(super) fn encode(sequence: u64, marks: Marks) -> [u8; LEN] {
    let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
    let flags = flag(marks.provisional, PROVISIONAL)
        | flag(marks.verified, VERIFIED)
        | flag(marks.suspect, SUSPECT);
    let mut bytes = [0; LEN];
    bytes[0..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&flags.to_le_bytes());
    bytes[16..24].copy_from_slice(&sequence.to_le_bytes());
    bytes[24..28].copy_from_slice(&marks.strikes.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..28]);
    bytes[28..32].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// The marks; `None` if these bytes are no sound marks of that sequence.
pub(super) fn decode(sequence: u64, bytes: &[u8]) -> Option<Marks> {
    let bytes: &[u8; LEN] = bytes.try_into().ok()?;
    let u32_at = |at: usize| {
        let mut value = [0; 4];
        value.copy_from_slice(&bytes[at..at + 4]);
        u32::from_le_bytes(value)
    };
    let (flags, strikes) = (u32_at(12), u32_at(24));
    let has = |flag| flags & flag != 0;
    let marks = Marks {
        provisional: has(PROVISIONAL),
        verified: has(VERIFIED),
        suspect: has(SUSPECT),
        strikes,
    };
    // What encodes to the same bytes is sound in each of them.
    (encode(sequence, marks) == *bytes).then_some(marks)
}

/// What is taken for noted where nobody can tell: nothing is to go on from such a checkpoint.
pub(super) const UNREADABLE: Marks = Marks::none().with(Mark::Suspect);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_and_no_bit_of_them_can_flip() {
        let all = [
            Marks::none(),
            Marks::none().with(Mark::Provisional).with(Mark::Strike),
            Marks::none().with(Mark::Verified).with(Mark::Suspect),
        ];
        for marks in all {
            let bytes = encode(7, marks);
            assert_eq!(decode(7, &bytes), Some(marks));
            assert_eq!(decode(8, &bytes), None);
            for bit in 0..LEN * 8 {
                let mut flipped = bytes;
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(decode(7, &flipped), None, "bit {bit}");
            }
            for cut in 0..LEN {
                assert_eq!(decode(7, &bytes[..cut]), None, "cut at {cut}");
            }
        }
    }
}
