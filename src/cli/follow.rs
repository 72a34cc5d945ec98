//! Watches one experiment of this machine until it has ended, and shows what happens.

use super::exit::Failure;
use super::laptop::Laptop;
use super::progress::{Latest, Progress};
use super::signals::Signals;
use crate::api::conditions::{find, is_true, types};
use crate::api::{Experiment, Trial};
use serde_json::Value;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often the view is brought up to date.
const REFRESH: Duration = Duration::from_millis(200);

/// How watching an experiment ended.
pub enum End {
    /// It is complete, or failed.
    Ended,
    /// It can never run: why.
    Rejected(String),
    /// A person wants to stop.
    Interrupted,
    /// Something has ended that must not.
    Lost(Failure),
}

/// See the module.
pub struct Follower<'a> {
    laptop: &'a Laptop,
    namespace: &'a str,
    name: &'a str,
    /// Trials of the namespace that were written since they were looked at.
    changed: Arc<Mutex<BTreeSet<String>>>,
    /// Trials of this experiment that have not ended: what a look costs must not grow with those that have.
    active: BTreeSet<String>,
    trouble: Option<String>,
}

impl<'a> Follower<'a> {
    /// Begins to watch.
    pub fn new(laptop: &'a Laptop, namespace: &'a str, name: &'a str) -> Self {
        let changed = Arc::new(Mutex::new(BTreeSet::new()));
        let (seen, wanted) = (Arc::clone(&changed), namespace.to_owned());
        laptop.server.add_observer(Arc::new(move |write| {
            if write.resource == "trials" && write.namespace == wanted {
                seen.lock().unwrap_or_else(PoisonError::into_inner).insert(write.name.clone());
            }
        }));
        let so_far = laptop.server.dump("trials").into_iter().filter(|trial| belongs(trial, namespace, name));
        let names = so_far.filter_map(|trial| trial["metadata"]["name"].as_str().map(str::to_owned));
        changed.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
        Follower { laptop, namespace, name, changed, active: BTreeSet::new(), trouble: None }
    }

    /// Shows progress until the experiment has ended or a person interrupts.
    pub async fn follow(&mut self, signals: &mut Signals, progress: &mut Progress) -> End {
        let mut seen = 0;
        let mut lost = std::pin::pin!(self.laptop.lost());
        loop {
            let version = self.laptop.server.resource_version();
            if let Some(experiment) = self.peek::<Experiment>("experiments", self.name) {
                if version != seen {
                    seen = version;
                    progress.experiment(&experiment);
                }
                // Whatever the version: a change is noted a moment after it can be seen.
                self.trials(progress);
                if let Some(end) = ended(&experiment) {
                    // Whoever was told of trouble hears that it is over.
                    self.say_trouble(progress);
                    return end;
                }
            }
            progress.latest(&self.latest());
            self.say_trouble(progress);
            tokio::select! {
                () = signals.next() => return End::Interrupted,
                failure = &mut lost => return End::Lost(failure),
                () = tokio::time::sleep(REFRESH) => {}
            }
        }
    }

    /// Shows the trials that were written.
    fn trials(&mut self, progress: &mut Progress) {
        let changed = std::mem::take(&mut *self.changed.lock().unwrap_or_else(PoisonError::into_inner));
        for name in changed {
            let trial = self.peek::<Trial>("trials", &name).filter(|trial| trial.spec.experiment == self.name);
            let Some(trial) = trial else {
                self.active.remove(&name);
                progress.gone(&name);
                continue;
            };
            progress.trial(&trial);
            if trial.status.is_some_and(|status| status.completion_time.is_some()) {
                self.active.remove(&name);
            } else {
                self.active.insert(name);
            }
        }
    }

    fn latest(&self) -> Latest {
        let of = |name: &String| {
            let values = self.laptop.latest(self.namespace, name).into_iter();
            (name.clone(), values.map(|value| (value.metric, value.step, value.value)).collect())
        };
        self.active.iter().map(of).collect()
    }

    /// Says, once, that nothing can be stored, and when it can again.
    fn say_trouble(&mut self, progress: &Progress) {
        let trouble = self.laptop.server.trouble();
        if trouble == self.trouble {
            return;
        }
        match &trouble {
            Some(trouble) => progress.warn(&format!(
                "{trouble}: nothing more can be stored. Make room, and the run goes on by itself; Ctrl-C ends it, and what was stored until now is kept"
            )),
            None => progress.warn("the state can be stored again; the run goes on"),
        }
        self.trouble = trouble;
    }

    fn peek<T: serde::de::DeserializeOwned>(&self, resource: &str, name: &str) -> Option<T> {
        let object = self.laptop.server.peek(resource, self.namespace, name)?;
        serde_json::from_value((*object).clone()).ok()
    }
}

/// Whether a Trial is one of this experiment.
pub fn belongs(trial: &Value, namespace: &str, experiment: &str) -> bool {
    trial["metadata"]["namespace"] == namespace && trial["spec"]["experiment"] == experiment
}

fn ended(experiment: &Experiment) -> Option<End> {
    let status = experiment.status.as_ref()?;
    if status.observed_generation != experiment.metadata.generation {
        return None;
    }
    if is_true(&status.conditions, types::COMPLETE) || is_true(&status.conditions, types::FAILED) {
        return Some(End::Ended);
    }
    let accepted = find(&status.conditions, types::ACCEPTED)?;
    (accepted.status == "False").then(|| End::Rejected(accepted.message.clone()))
}
