//! The bytes of a journal. They stand in the docs of this room, byte by byte.

/// How a segment begins.
pub(crate) const MAGIC: [u8; 8] = *b"BSTPJRNL";

/// The version of this format.
pub(crate) const VERSION: u32 = 1;

/// Bytes of a segment header.
pub(crate) const SEGMENT_HEADER: usize = 64;

/// Bytes of a record before its payload.
pub(crate) const RECORD_HEADER: usize = 40;

/// Bytes of a record behind its payload and padding.
pub(crate) const RECORD_TRAILER: usize = 4;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) epoch: u64,
    pub(crate) salt: u64,
    pub(crate) first_sequence: u64,
    pub(crate) synced_through: u64,
    pub(crate) previous_epoch: u64,
    pub(crate) previous_crc: u32,
}

/// Why bytes are no segment header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadSegmentHeader {
    /// Fewer bytes than a header has.
    Short,
    /// It does not begin with the magic.
    Magic,
    /// It is sound, and of a version this code does not know.
    Version(u32),
    /// The checksum does not match.
    Checksum,
}

/// What a record says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) length: u32,
    pub(crate) kind: u32,
    pub(crate) sequence: u64,
    pub(crate) wall_nanos: u64,
    pub(crate) synced_through: u64,
    pub(crate) previous_crc: u32,
}

/// The state of a CRC that has seen the salt of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seed(u32);

impl Seed {
    pub(crate) fn of(salt: u64) -> Self {
        Self(crc32c::crc32c(&salt.to_le_bytes()))
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(value)
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER] {
        let mut bytes = [0; SEGMENT_HEADER];
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&64_u32.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.salt.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.synced_through.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.previous_epoch.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.previous_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadSegmentHeader> {
        let Some(bytes) = bytes.get(..SEGMENT_HEADER) else {
            return Err(BadSegmentHeader::Short);
        };
        if bytes[0..8] != MAGIC {
            return Err(BadSegmentHeader::Magic);
        }
        if crc32c::crc32c(&bytes[..60]) != u32_at(bytes, 60) {
            return Err(BadSegmentHeader::Checksum);
        }
        let version = u32_at(bytes, 8);
        if version != VERSION || u32_at(bytes, 12) != 64 {
            return Err(BadSegmentHeader::Version(version));
        }
        Ok(Self {
            epoch: u64_at(bytes, 16),
            salt: u64_at(bytes, 24),
            first_sequence: u64_at(bytes, 32),
            synced_through: u64_at(bytes, 40),
            previous_epoch: u64_at(bytes, 48),
            previous_crc: u32_at(bytes, 56),
        })
    }

    /// The name of its file.
    pub(crate) fn file_name(&self) -> String {
        segment_file_name(self.epoch, self.first_sequence, self.salt)
    }
}

/// The name of a segment's file.
pub(crate) fn segment_file_name(epoch: u64, first_sequence: u64, salt: u64) -> String {
    format!("{epoch:016x}-{first_sequence:016x}-{salt:016x}.segment")
}

/// Epoch, first sequence and salt from the name of a segment's file; `None` for other names.
pub(crate) fn parse_segment_file_name(name: &str) -> Option<(u64, u64, u64)> {
    let mut parts = name.strip_suffix(".segment")?.split('-');
    let mut number = || {
        let part = parts.next()?;
        let digits = part.len() == 16
            && part
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        digits.then(|| u64::from_str_radix(part, 16).ok())?
    };
    let found = (number()?, number()?, number()?);
    parts.next().is_none().then_some(found)
}

/// Bytes of a record with a payload of `length`.
pub(crate) const fn record_len(length: u32) -> u64 {
    (RECORD_HEADER as u64 + length as u64 + RECORD_TRAILER as u64).next_multiple_of(8)
}

impl RecordHeader {
    /// Bytes of the whole record.
    pub(crate) const fn record_len(&self) -> u64 {
        record_len(self.length)
    }

    /// Writes the header, the padding and both CRCs around the payload, which is in its place in
    /// `record`; answers the trailing CRC.
    pub(crate) fn seal(&self, record: &mut [u8], seed: Seed) -> u32 {
        let (header, rest) = record.split_at_mut(RECORD_HEADER);
        header[0..4].copy_from_slice(&self.length.to_le_bytes());
        header[4..8].copy_from_slice(&self.kind.to_le_bytes());
        header[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        header[16..24].copy_from_slice(&self.wall_nanos.to_le_bytes());
        header[24..32].copy_from_slice(&self.synced_through.to_le_bytes());
        header[32..36].copy_from_slice(&self.previous_crc.to_le_bytes());
        let crc = crc32c::crc32c_append(seed.0, &header[..36]);
        header[36..40].copy_from_slice(&crc.to_le_bytes());
        let (body, trailer) = rest.split_at_mut(rest.len() - RECORD_TRAILER);
        body[self.length as usize..].fill(0);
        let crc = crc32c::crc32c_append(crc, body);
        trailer.copy_from_slice(&crc.to_le_bytes());
        crc
    }

    /// The header at the front of `bytes`, if its own CRC matches. Its length is checked by nobody
    /// yet: look at it before anything is allocated.
    pub(crate) fn decode(bytes: &[u8], seed: Seed) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER)?;
        if crc32c::crc32c_append(seed.0, &bytes[..36]) != u32_at(bytes, 36) {
            return None;
        }
        Some(Self {
            length: u32_at(bytes, 0),
            kind: u32_at(bytes, 4),
            sequence: u64_at(bytes, 8),
            wall_nanos: u64_at(bytes, 16),
            synced_through: u64_at(bytes, 24),
            previous_crc: u32_at(bytes, 32),
        })
    }

    /// A check of the record whose header these bytes are, for one that is longer than a buffer.
    pub(crate) fn check(header: &[u8]) -> Check {
        Check(u32_at(header, 36))
    }

    /// The trailing CRC of a whole record whose header this is, if it matches.
    pub(crate) fn verify(&self, record: &[u8]) -> Option<u32> {
        let record = record.get(..usize::try_from(self.record_len()).ok()?)?;
        let (body, trailer) = record.split_at(record.len() - RECORD_TRAILER);
        let crc = crc32c::crc32c_append(u32_at(record, 36), &body[RECORD_HEADER..]);
        (crc == u32_at(trailer, 0)).then_some(crc)
    }
}

/// The trailing CRC of a record, taken piece by piece.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Check(u32);

impl Check {
    /// The next bytes behind the header, up to the trailing CRC.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.0 = crc32c::crc32c_append(self.0, bytes);
    }

    /// The trailing CRC, if it is that of what was added.
    pub(crate) fn end(self, trailer: &[u8]) -> Option<u32> {
        let is_whole = trailer.len() == RECORD_TRAILER && u32_at(trailer, 0) == self.0;
        is_whole.then_some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: SegmentHeader = SegmentHeader {
        epoch: 3,
        salt: 0x0123_4567_89ab_cdef,
        first_sequence: 7,
        synced_through: 6,
        previous_epoch: 2,
        previous_crc: 0xdead_beef,
    };

    fn record(payload: &[u8]) -> (RecordHeader, Vec<u8>, u32) {
        let header = RecordHeader {
            length: u32::try_from(payload.len()).unwrap(),
            kind: 5,
            sequence: 8,
            wall_nanos: 1_700_000_000_000_000_000,
            synced_through: 7,
            previous_crc: 9,
        };
        let mut bytes = vec![0xff; usize::try_from(header.record_len()).unwrap()];
        bytes[RECORD_HEADER..RECORD_HEADER + payload.len()].copy_from_slice(payload);
        let crc = header.seal(&mut bytes, Seed::of(HEADER.salt));
        (header, bytes, crc)
    }

    #[test]
    fn jn1a_a_segment_header_comes_back_and_no_bit_of_it_can_flip() {
        let bytes = HEADER.encode();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(HEADER));
        for bit in 0..SEGMENT_HEADER * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn jn1a_the_bytes_are_those_that_are_documented() {
        let mut expected = b"BSTPJRNL\x01\0\0\0\x40\0\0\0\x03\0\0\0\0\0\0\0".to_vec();
        expected.extend([0xef, 0xcd, 0xab, 0x89, 0x67, 0x45, 0x23, 0x01]);
        expected.extend([7, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]);
        expected.extend([2, 0, 0, 0, 0, 0, 0, 0, 0xef, 0xbe, 0xad, 0xde]);
        expected.extend(crc32c::crc32c(&expected).to_le_bytes());
        assert_eq!(HEADER.encode()[..], expected);

        let (_, bytes, crc) = record(b"12345");
        let mut expected = vec![5, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0];
        expected.extend(1_700_000_000_000_000_000_u64.to_le_bytes());
        expected.extend([7, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0]);
        let salted = |bytes: &[u8]| {
            let salt = HEADER.salt.to_le_bytes();
            crc32c::crc32c(&[&salt[..], bytes].concat())
        };
        let front = expected.clone();
        expected.extend(salted(&front).to_le_bytes());
        expected.extend(*b"12345\0\0\0\0\0\0\0");
        assert_eq!(crc, salted(&[&front[..], b"12345\0\0\0\0\0\0\0"].concat()));
        expected.extend(crc.to_le_bytes());
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_segment_is_found_by_its_name_and_by_no_other() {
        let name = HEADER.file_name();
        assert_eq!(
            name,
            "0000000000000003-0000000000000007-0123456789abcdef.segment"
        );
        assert_eq!(
            parse_segment_file_name(&name),
            Some((3, 7, 0x0123_4567_89ab_cdef))
        );
        for other in [
            "",
            ".segment",
            "3-7-1.segment",
            "0000000000000003-0000000000000007.segment",
            "0000000000000003-0000000000000007-0123456789ABCDEF.segment",
            "0000000000000003-0000000000000007-0123456789abcdef-00.segment",
            "+000000000000003-0000000000000007-0123456789abcdef.segment",
            "0000000000000003-0000000000000007-0123456789abcdef.segment.bak",
        ] {
            assert_eq!(parse_segment_file_name(other), None, "{other}");
        }
    }

    #[test]
    fn jn1b_a_record_comes_back_and_no_bit_of_it_can_flip() {
        for length in [0, 1, 3, 4, 5, 11, 12, 100] {
            let payload: Vec<u8> = (0..length).collect();
            let (header, bytes, crc) = record(&payload);
            let seed = Seed::of(HEADER.salt);
            assert_eq!(bytes.len() % 8, 0);
            assert_eq!(RecordHeader::decode(&bytes, seed), Some(header));
            assert_eq!(header.verify(&bytes), Some(crc));
            let mut check = RecordHeader::check(&bytes);
            let end = bytes.len() - RECORD_TRAILER;
            for piece in bytes[RECORD_HEADER..end].chunks(3) {
                check.add(piece);
            }
            assert_eq!(check.end(&bytes[end..]), Some(crc));
            check.add(&[0]);
            assert_eq!(check.end(&bytes[end..]), None);
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let verified =
                    RecordHeader::decode(&flipped, seed).and_then(|found| found.verify(&flipped));
                assert_eq!(verified, None, "length {length}, bit {bit}");
            }
            for cut in 0..bytes.len() {
                let verified = RecordHeader::decode(&bytes[..cut], seed)
                    .and_then(|found| found.verify(&bytes[..cut]));
                assert_eq!(verified, None, "length {length}, cut at {cut}");
            }
        }
    }

    #[test]
    fn jn1b_a_record_verifies_under_its_own_salt_only() {
        let (_, bytes, _) = record(b"of another segment");
        assert_eq!(
            RecordHeader::decode(&bytes, Seed::of(HEADER.salt + 1)),
            None
        );
    }
}
