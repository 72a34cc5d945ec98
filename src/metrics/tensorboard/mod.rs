//! TensorBoard's event files: the scalars that PyTorch, tensorboardX, Lightning, Keras and TensorFlow write.

mod frame;
mod scalar;
mod wire;

use super::text::object;
use super::wanted::Wanted;
use super::{Found, Observation};
use frame::{Frame, Frames};
use jiff::Timestamp;
use scalar::Event;

/// One file that is read as it grows.
pub struct EventFile {
    folder: String,
    frames: Frames,
    records: u64,
    skipped: u64,
}

impl EventFile {
    /// A file in this folder of a tree, such as `train` or `validation`, in which writers put their files; empty for the
    /// tree's root.
    pub fn new(folder: impl Into<String>) -> Self {
        EventFile { folder: folder.into(), frames: Frames::default(), records: 0, skipped: 0 }
    }

    /// What is wrong with the file, if anything is: a sentence.
    pub fn problem(&self) -> Option<String> {
        if self.frames.is_broken() {
            return Some(match self.records {
                0 => "this is no event file of TensorBoard".to_owned(),
                records => format!("what follows record {records} is damaged and cannot be read"),
            });
        }
        (self.skipped > 0).then(|| format!("{} records are damaged or too long and were left out", self.skipped))
    }
}

/// Finds the wanted metrics in event files.
pub struct TensorBoard {
    wanted: Wanted,
}

impl TensorBoard {
    /// A parser for these tags. `validation/accuracy` is that tag, or the tag `accuracy` of a file in a folder
    /// `validation`.
    pub fn new(wanted: impl IntoIterator<Item = String>) -> Self {
        TensorBoard { wanted: Wanted::new(wanted) }
    }

    /// A parser for every scalar there is.
    pub fn all() -> Self {
        TensorBoard { wanted: Wanted::all() }
    }

    /// The observations of the records that these bytes complete, at the time when they were written.
    pub fn feed(&mut self, file: &mut EventFile, bytes: &[u8], time: Timestamp) -> Vec<Found> {
        let mut found = Vec::new();
        file.frames.push(bytes);
        for frame in file.frames.take() {
            file.records += 1;
            match frame {
                Frame::Skipped => file.skipped += 1,
                Frame::Record(record) => {
                    let Event { wall_time, step, scalars } = scalar::event(&record);
                    let time = object::at(wall_time).filter(object::is_recent).unwrap_or(time);
                    for (tag, value) in scalars {
                        let Some(metric) = self.metric(&file.folder, &tag) else { continue };
                        let observation = Observation { metric, step, value, time };
                        found.push(Found { line: file.records, observation });
                    }
                }
            }
        }
        found
    }

    /// Tags that nobody asked for; `None` when there are no new ones since the last call.
    pub fn take_seen(&mut self) -> Option<Vec<String>> {
        self.wanted.take_seen()
    }

    /// The wanted name of a tag. With its folder before it, it is itself; without, it stands for the first folder that
    /// was met, so that values of training and validation are never mixed.
    fn metric(&mut self, folder: &str, tag: &str) -> Option<String> {
        let within = if folder.is_empty() { tag.to_owned() } else { format!("{folder}/{tag}") };
        if self.wanted.is_all() {
            self.wanted.remember(&within);
            return Some(within);
        }
        let mut ends = within.match_indices('/').filter(|(at, _)| within.len() - at - 1 > tag.len());
        let full = self.wanted.exact(&within).or_else(|| ends.find_map(|(at, _)| self.wanted.exact(&within[at + 1..])));
        if let Some(metric) = full.filter(|_| !folder.is_empty()) {
            return Some(metric);
        }
        match self.wanted.exact(tag) {
            Some(metric) if folder.is_empty() => {
                self.wanted.stands_alone(&metric);
                return Some(metric);
            }
            Some(metric) => {
                let phase = folder.rsplit_once('/').map_or(folder, |(_, last)| last);
                if self.wanted.stands_for(&metric, phase) {
                    return Some(metric);
                }
            }
            None => {}
        }
        self.wanted.remember(&within);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::frame::tests::framed;
    use super::*;
    use proptest::prelude::*;

    const TENSORBOARDX: &[u8] = include_bytes!("../../../tests/data/metrics/tensorboardx.tfevents");
    const TORCH: &[u8] = include_bytes!("../../../tests/data/metrics/torch.tfevents");
    const KERAS_TRAIN: &[u8] = include_bytes!("../../../tests/data/metrics/keras-train.tfevents");
    const KERAS_VALIDATION: &[u8] = include_bytes!("../../../tests/data/metrics/keras-validation.tfevents");

    fn read(names: &[&str], files: &[(&str, &[u8])], piece: usize) -> String {
        let mut parser = match names {
            [] => TensorBoard::all(),
            names => TensorBoard::new(names.iter().map(|name| (*name).to_owned())),
        };
        let mut shown = Vec::new();
        for (folder, bytes) in files {
            let mut file = EventFile::new(*folder);
            for piece in bytes.chunks(piece) {
                for Found { observation, .. } in parser.feed(&mut file, piece, Timestamp::UNIX_EPOCH) {
                    let step = observation.step.map_or(String::new(), |step| format!("@{step}"));
                    shown.push(format!("{}{step}={}", observation.metric, observation.value));
                }
            }
            assert_eq!(file.problem(), None);
        }
        shown.join(" ")
    }

    #[test]
    fn files_of_real_writers() {
        let table: [(&[&str], &[(&str, &[u8])], &str); 7] = [
            (
                &[],
                &[("", TENSORBOARDX)],
                "loss@0=1 val/acc@0=0 loss@1=0.5 val/acc@1=0.1 loss@2=0.33333334 val/acc@2=0.2 bad@2=NaN",
            ),
            (&["Loss/train"], &[("", TORCH)], "Loss/train@0=0.9 Loss/train@100=0.8 Loss/train@200=0.7"),
            (&["loss_train"], &[("runs", TORCH)], "loss_train@0=0.9 loss_train@100=0.8 loss_train@200=0.7"),
            (
                &["validation/epoch_accuracy"],
                &[("logs/train", KERAS_TRAIN), ("logs/validation", KERAS_VALIDATION)],
                "validation/epoch_accuracy@0=0.7 validation/epoch_accuracy@1=0.75",
            ),
            (
                &["epoch_accuracy"],
                &[("train", KERAS_TRAIN), ("validation", KERAS_VALIDATION)],
                "epoch_accuracy@0=0.7 epoch_accuracy@1=0.75",
            ),
            (&[], &[("train", KERAS_TRAIN)], "train/epoch_accuracy@0=0.8 train/epoch_accuracy@1=0.85"),
            (&["nothing"], &[("", TORCH)], ""),
        ];
        for (names, files, found) in table {
            for piece in [1, 7, 1 << 20] {
                assert_eq!(read(names, files, piece), found, "{names:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn an_observation_has_the_time_of_its_event() {
        let (mut parser, mut file) = (TensorBoard::all(), EventFile::new(""));
        let found = parser.feed(&mut file, TORCH, Timestamp::UNIX_EPOCH);
        assert_eq!(found[1].observation.time.to_string(), "2026-01-01T10:00:01.5Z");
        // The first record is the version of the file.
        assert_eq!((found[1].line, parser.take_seen()), (3, Some(vec!["Loss/train".to_owned()])));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said() {
        let mut damaged = framed(b"one");
        damaged[13] ^= 1;
        let table = [
            (b"epoch=1 loss=0.5 and so on".to_vec(), "this is no event file of TensorBoard"),
            (framed(b"").repeat(2), ""),
            (
                [framed(b"one"), b"epoch=1 loss=0.5".to_vec()].concat(),
                "what follows record 1 is damaged and cannot be read",
            ),
            (damaged, "1 records are damaged or too long and were left out"),
            (TORCH[..TORCH.len() - 3].to_vec(), ""),
        ];
        for (bytes, problem) in table {
            let mut file = EventFile::new("");
            TensorBoard::all().feed(&mut file, &bytes, Timestamp::UNIX_EPOCH);
            assert_eq!(file.problem().unwrap_or_default(), problem);
        }
    }

    proptest! {
        #[test]
        fn any_damage_will_do(at in 0_usize..200, byte in any::<u8>()) {
            let mut bytes = KERAS_TRAIN.to_vec();
            bytes[at] ^= byte;
            TensorBoard::all().feed(&mut EventFile::new(""), &bytes, Timestamp::UNIX_EPOCH);
        }
    }
}
