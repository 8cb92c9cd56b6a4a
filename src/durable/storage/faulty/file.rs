//! A file: its length, and its sectors.

use super::fate::Fate;
use std::sync::Arc;

/// Bytes that are stored together or not at all.
pub(super) const SECTOR: usize = 512;

/// A sector's bytes; `None` if all are zeros.
pub(super) type Sector = Option<Arc<[u8; SECTOR]>>;

#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) len: Fate<u64>,
    /// In the order of the file; behind its end all are zeros, and so are those not in here.
    pub(super) sectors: Vec<Fate<Sector>>,
    /// Whether a sync of it was asked for.
    pub(super) was_synced: bool,
}

/// The sector a byte is in, and where in it.
fn place(offset: u64) -> (usize, usize) {
    let sector = usize::try_from(offset / SECTOR as u64).unwrap_or(usize::MAX);
    let within = usize::try_from(offset % SECTOR as u64).unwrap_or(0);
    (sector, within)
}

fn to_usize(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

impl File {
    pub(super) fn new() -> Self {
        Self {
            len: Fate::stored(0),
            sectors: Vec::new(),
            was_synced: false,
        }
    }

    /// A file that is stored as given.
    pub(super) fn stored(len: u64, sectors: Vec<Fate<Sector>>) -> Self {
        Self {
            len: Fate::stored(len),
            sectors,
            was_synced: true,
        }
    }

    pub(super) fn len(&self) -> u64 {
        *self.len.now()
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        let mut at = self.len();
        let mut left = bytes;
        while !left.is_empty() {
            let (index, within) = place(at);
            let (part, rest) = left.split_at(left.len().min(SECTOR - within));
            self.change(index, |sector| {
                sector[within..within + part.len()].copy_from_slice(part);
            });
            at += part.len() as u64;
            left = rest;
        }
        self.grow(at);
    }

    /// Makes it longer; what is new is zeros.
    pub(super) fn grow(&mut self, len: u64) {
        if len > self.len() {
            self.len.set(len);
        }
    }

    pub(super) fn truncate(&mut self, len: u64) {
        if len >= self.len() {
            return;
        }
        let (index, within) = place(len);
        let end = self.sectors.len();
        if index < end && within > 0 {
            self.change(index, |sector| sector[within..].fill(0));
        }
        let whole = index + usize::from(within > 0);
        for sector in self.sectors.iter_mut().skip(whole) {
            sector.set(None);
        }
        self.len.set(len);
    }

    fn change(&mut self, index: usize, change: impl FnOnce(&mut [u8; SECTOR])) {
        if index >= self.sectors.len() {
            self.sectors.resize(index + 1, Fate::stored(None));
        }
        let sector = &mut self.sectors[index];
        let mut bytes = sector.now().as_deref().copied().unwrap_or([0; SECTOR]);
        change(&mut bytes);
        sector.set(bytes.iter().any(|&byte| byte != 0).then(|| Arc::new(bytes)));
    }

    pub(super) fn read_at(&self, into: &mut [u8], offset: u64) -> usize {
        let len = to_usize(self.len().saturating_sub(offset)).min(into.len());
        let mut done = 0;
        while done < len {
            let (index, within) = place(offset + done as u64);
            let part = (SECTOR - within).min(len - done);
            let to = &mut into[done..done + part];
            match self.sectors.get(index).and_then(|fate| fate.now().as_ref()) {
                Some(sector) => to.copy_from_slice(&sector[within..within + part]),
                None => to.fill(0),
            }
            done += part;
        }
        len
    }

    pub(super) fn contents(&self) -> Vec<u8> {
        let mut bytes = vec![0; to_usize(self.len())];
        self.read_at(&mut bytes, 0);
        bytes
    }

    pub(super) fn sync(&mut self) {
        self.len.sync();
        self.sectors.iter_mut().for_each(Fate::sync);
        // Those that were cut off for good.
        let is_gone = |fate: &Fate<Sector>| fate.options() == 1 && fate.option(0).is_none();
        while self.sectors.last().is_some_and(is_gone) {
            self.sectors.pop();
        }
    }

    pub(super) fn fail_sync(&mut self) {
        self.len.fail_sync();
        self.sectors.iter_mut().for_each(Fate::fail_sync);
    }

    /// Flips one bit where it lies; false if it lies behind the end.
    pub(super) fn flip(&mut self, bit: u64) -> bool {
        let offset = bit / 8;
        if offset >= self.len() {
            return false;
        }
        let (index, within) = place(offset);
        if index >= self.sectors.len() {
            self.sectors.resize(index + 1, Fate::stored(None));
        }
        self.sectors[index].rot(|sector| {
            let mut bytes = sector.as_deref().copied().unwrap_or([0; SECTOR]);
            bytes[within] ^= 1 << (bit % 8);
            *sector = Some(Arc::new(bytes));
        });
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_over_the_borders_of_sectors() {
        let bytes: Vec<u8> = (0..2_000_u32).map(|n| (n % 251) as u8 + 1).collect();
        let mut file = File::new();
        for part in bytes.chunks(300) {
            file.append(part);
        }
        assert_eq!(file.contents(), bytes);
        let mut part = [0; 700];
        assert_eq!(file.read_at(&mut part, 400), 700);
        assert_eq!(part, bytes[400..1_100]);
        assert_eq!(file.read_at(&mut part, 1_900), 100);
        assert_eq!(file.read_at(&mut part, u64::MAX), 0);
    }

    #[test]
    fn what_was_cut_off_never_comes_back_in_what_is_read() {
        for cut in [0, 1, 511, 512, 513, 1_024, 1_500] {
            let mut file = File::new();
            file.append(&[7; 1_600]);
            file.truncate(cut);
            file.grow(2_000);
            let mut expected = vec![7; usize::try_from(cut).unwrap()];
            expected.resize(2_000, 0);
            assert_eq!(file.contents(), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_bit_flips_where_it_lies_and_nowhere_else() {
        let mut file = File::new();
        file.append(&[0; 600]);
        assert!(file.flip(599 * 8 + 3));
        assert!(!file.flip(600 * 8));
        let mut expected = [0; 600];
        expected[599] = 8;
        assert_eq!(file.contents(), expected);
    }
}
