//! The frames of an event file (TFRecord): a length, its checksum, the data, its checksum. Checksums are CRC-32C (RFC
//! 3720, B.4), rotated and shifted.

/// Bytes of a length and its checksum, and of a checksum.
const HEAD: usize = 12;
const CHECKSUM: usize = 4;
/// Longer records hold no scalars but images and the like; they are passed over without being kept.
const MAX_RECORD: u64 = 8 << 20;

/// What can be read of a file next.
#[derive(Debug, PartialEq)]
pub(super) enum Frame {
    /// A record's data.
    Record(Vec<u8>),
    /// A record that is too long, or does not match its checksum.
    Skipped,
}

/// Cuts a file into its records, as its bytes come in. A record that is half written waits.
#[derive(Default)]
pub(super) struct Frames {
    kept: Vec<u8>,
    /// Bytes of a long record that are yet to come.
    skip: u64,
    broken: bool,
}

impl Frames {
    /// The next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        self.skip -= skipped as u64;
        if !self.broken {
            self.kept.extend_from_slice(&bytes[skipped..]);
        }
    }

    /// A length did not match its checksum: this is no event file, or one whose rest cannot be made out.
    pub fn is_broken(&self) -> bool {
        self.broken
    }

    /// All that is whole.
    pub fn take(&mut self) -> Vec<Frame> {
        let mut frames = Vec::new();
        let mut at = 0;
        while let Some((frame, next)) = self.next(at) {
            frames.push(frame);
            at = next;
        }
        self.kept.drain(..at.min(self.kept.len()));
        if self.broken {
            self.kept = Vec::new();
        }
        frames
    }

    fn next(&mut self, at: usize) -> Option<(Frame, usize)> {
        let rest = self.kept.get(at..).filter(|_| self.skip == 0 && !self.broken)?;
        let head = rest.get(..HEAD)?;
        let (length, checksum) = head.split_at(8);
        if masked(length) != little_endian(checksum) as u32 {
            self.broken = true;
            return None;
        }
        let length = little_endian(length);
        if length > MAX_RECORD {
            let whole = length.saturating_add((HEAD + CHECKSUM) as u64);
            let here = rest.len() as u64;
            self.skip = whole.saturating_sub(here);
            return Some((Frame::Skipped, at + whole.min(here) as usize));
        }
        let end = HEAD + length as usize;
        let data = rest.get(HEAD..end)?;
        let checksum = rest.get(end..end + CHECKSUM)?;
        let right = masked(data) == little_endian(checksum) as u32;
        let frame = if right { Frame::Record(data.to_vec()) } else { Frame::Skipped };
        Some((frame, at + end + CHECKSUM))
    }
}

/// A number, least significant byte first.
pub(super) fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

/// The checksum of bytes, as it stands in the file.
fn masked(bytes: &[u8]) -> u32 {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// CRC-32C, Castagnoli's polynomial reflected, a byte a step.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| TABLE[usize::from((crc as u8) ^ byte)] ^ (crc >> 8);
    !bytes.iter().fold(!0, step)
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
};

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A record as it is written.
    pub fn framed(data: &[u8]) -> Vec<u8> {
        let length = (data.len() as u64).to_le_bytes();
        [&length[..], &masked(&length).to_le_bytes(), data, &masked(data).to_le_bytes()].concat()
    }

    #[test]
    fn checksums() {
        // RFC 3720, B.4, and the usual check value.
        let table: [(&[u8], u32); 4] =
            [(&[0; 32], 0x8a91_36aa), (&[0xff; 32], 0x62a8_ab43), (b"123456789", 0xe306_9283), (b"", 0)];
        for (bytes, checksum) in table {
            assert_eq!(crc32c(bytes), checksum, "{bytes:?}");
        }
    }

    #[test]
    fn damage_is_passed_over_where_lengths_still_tell() {
        let mut damaged = framed(b"one");
        damaged[13] ^= 1;
        let long = framed(&vec![7; 9 << 20]);
        let file = [framed(b"zero"), damaged, long, framed(b"two")].concat();
        let expected =
            [Frame::Record(b"zero".to_vec()), Frame::Skipped, Frame::Skipped, Frame::Record(b"two".to_vec())];
        for piece in [1 << 16, 64 << 20] {
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for piece in file.chunks(piece) {
                frames.push(piece);
                found.extend(frames.take());
                assert!(frames.kept.len() <= MAX_RECORD as usize);
            }
            assert_eq!(found, expected);
        }
        let mut frames = Frames::default();
        frames.push(&[framed(b"one"), b"this is no record".to_vec()].concat());
        assert_eq!((frames.take().len(), frames.is_broken()), (1, true));
    }

    proptest! {
        #[test]
        fn records_come_out_as_they_went_in(
            records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..6), piece in 1_usize..30,
        ) {
            let file: Vec<u8> = records.iter().flat_map(|record| framed(record)).collect();
            let mut frames = Frames::default();
            let mut found = Vec::new();
            for piece in file.chunks(piece) {
                frames.push(piece);
                found.extend(frames.take());
            }
            prop_assert_eq!(found, records.into_iter().map(Frame::Record).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_will_do(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let mut frames = Frames::default();
            frames.push(&bytes);
            frames.take();
        }
    }
}
