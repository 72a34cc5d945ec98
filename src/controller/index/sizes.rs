//! How large objects are: the API server takes none above a limit.

use super::{Index, Kind};
use crate::controller::watch::Name;

impl Index {
    /// The object, where it exists, has so many bytes as JSON.
    pub fn measure(&mut self, kind: Kind, name: &Name, bytes: usize) {
        match kind {
            Kind::Experiment if self.experiments.contains_key(name) => {
                self.experiment_bytes.insert(name.clone(), bytes);
            }
            Kind::Trial => {
                if let Some(known) = self.trials.get_mut(name) {
                    known.bytes = bytes;
                }
            }
            Kind::Experiment | Kind::Job => {}
        }
    }

    /// Bytes of the largest Experiment and of the largest Trial.
    pub fn largest(&self) -> [(&'static str, usize); 2] {
        [
            ("Experiment", self.experiment_bytes.values().copied().max().unwrap_or(0)),
            ("Trial", self.trials.values().map(|known| known.bytes).max().unwrap_or(0)),
        ]
    }
}
