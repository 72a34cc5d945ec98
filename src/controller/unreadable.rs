//! Objects that cannot be read: stored before their schema, or by an API server without it. They are left alone, and
//! a condition says why.

use super::clock::Clock;
use super::failure::Failure;
use super::watch::Name;
use super::wire::{Pen, timed};
use crate::api::conditions::{find, is_true, reasons, types};
use crate::api::{Condition, Experiment, Trial, labels};
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::core::{ApiResource, NamespaceResourceScope};
use kube::{Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// How often a condition is tried to be written.
const TRIES: u32 = 6;
/// Longest part of an error that is shown, in characters.
const SHOWN: usize = 1000;

/// Whose kind it is.
#[derive(Clone, Copy, Debug)]
pub enum Unreadable {
    /// An Experiment.
    Experiment,
    /// A Trial.
    Trial,
}

/// Takes names of objects that could not be read.
pub type Complaints = UnboundedSender<(Unreadable, Name)>;

/// Writes conditions on objects that cannot be read.
pub struct Complainer {
    client: Client,
    pen: Pen,
    clock: Clock,
    names: UnboundedReceiver<(Unreadable, Name)>,
}

impl Complainer {
    /// Writes through `pen`, and where to tell it what could not be read.
    pub fn new(client: Client, pen: Pen, clock: Clock) -> (Complaints, Self) {
        let (complaints, names) = mpsc::unbounded_channel();
        (complaints, Complainer { client, pen, clock, names })
    }

    /// Works until nobody can tell it anything any more.
    pub async fn run(mut self) {
        while let Some((kind, name)) = self.names.recv().await {
            self.pen.gate.opened(0).await;
            for tried in 0..TRIES {
                let written = match kind {
                    Unreadable::Experiment => {
                        self.complain::<Experiment>(&[types::ACCEPTED, types::COMPLETE], &name).await
                    }
                    Unreadable::Trial => self.complain::<Trial>(&[types::COMPLETE], &name).await,
                };
                match written {
                    Ok(()) => break,
                    Err(failure) => tracing::warn!(%failure, "cannot say that an object cannot be read"),
                }
                tokio::time::sleep(Duration::from_secs(1 << tried)).await;
            }
        }
    }

    /// Sets the conditions to False, unless the object can be read by now or they stand there already.
    async fn complain<K>(&self, types: &[&str], (namespace, name): &Name) -> Result<(), Failure>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned,
    {
        let kind = K::kind(&()).into_owned();
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &ApiResource::erase::<K>(&()));
        let label = format!("{namespace}/{name}");
        let Some(found) = timed(format!("read {kind} {label}"), api.get_opt(name)).await? else { return Ok(()) };
        let stored = json!(found);
        let Err(error) = serde_json::from_value::<K>(stored.clone()) else { return Ok(()) };
        let error: String = error.to_string().chars().take(SHOWN).collect();
        let condition = |r#type: &&str| Condition {
            r#type: (*r#type).to_owned(),
            status: "False".into(),
            reason: reasons::INVALID_OBJECT.into(),
            message: format!("the object cannot be read: {error}; mend it and apply it again"),
            last_transition_time: self.clock.now(),
            observed_generation: found.metadata.generation,
        };
        let wanted = types.iter().map(condition).collect();
        let Some(conditions) = with(&stored["status"]["conditions"], wanted) else { return Ok(()) };
        let body = json!({
            "metadata": {"resourceVersion": found.metadata.resource_version},
            "status": {"conditions": conditions},
        });
        let params = PatchParams { field_manager: Some(labels::MANAGER.into()), ..PatchParams::default() };
        let body = Patch::Merge(&body);
        let answer = api.patch_status(name, &params, &body);
        self.pen.write("patch-status", if kind == "Trial" { "Trial" } else { "Experiment" }, &label, answer).await?;
        Ok(())
    }
}

/// The list of conditions with these in it; `None` when it says so already. An end that was told stays. Conditions that
/// cannot be read are dropped.
fn with(stored: &Value, wanted: Vec<Condition>) -> Option<Vec<Condition>> {
    let items = stored.as_array().cloned().unwrap_or_default();
    let mut conditions: Vec<Condition> =
        items.into_iter().filter_map(|item| serde_json::from_value(item).ok()).collect();
    let ended = is_true(&conditions, types::COMPLETE) || is_true(&conditions, types::FAILED);
    let mut changed = false;
    for mut new in wanted {
        if ended && new.r#type == types::COMPLETE {
            continue;
        }
        if let Some(known) = find(&conditions, &new.r#type).filter(|known| known.status == new.status) {
            new.last_transition_time = known.last_transition_time;
        }
        changed |= find(&conditions, &new.r#type) != Some(&new);
        conditions.retain(|known| known.r#type != new.r#type);
        conditions.push(new);
    }
    changed.then_some(conditions)
}
