//! Kubernetes Events: what a person would want to know, told after the write that it speaks of.

mod tally;

use self::tally::Tally;
use super::backoff::hash;
use super::clock::Clock;
use super::failure::Class;
use super::wire::Pen;
use crate::api::{GROUP, labels};
use crate::engine;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::mpsc;
use tokio::time::timeout_at;

/// How many Events may wait to be published. Further ones are dropped and counted: they are a courtesy, and must not
/// hold up the work that they tell of.
const CAPACITY: usize = 256;

/// The API takes notes of up to 1 kB.
const MAX_NOTE: usize = 1000;

/// Takes Events to be published.
#[derive(Clone)]
pub struct Events {
    queue: mpsc::Sender<Event>,
    pen: Pen,
    clock: Clock,
    identity: String,
}

impl Events {
    /// The queue, and the task that publishes what is put there for as long as it is polled.
    pub fn new(client: Client, pen: Pen, clock: Clock, identity: &str) -> (Self, impl Future<Output = ()> + use<>) {
        let (queue, waiting) = mpsc::channel(CAPACITY);
        let publisher = publish(client, pen.clone(), clock, waiting);
        (Events { queue, pen, clock, identity: identity.to_owned() }, publisher)
    }

    /// Puts an Event on an object into the queue.
    pub fn tell(&self, regarding: ObjectReference, event: &engine::Event) {
        let event = self.made(regarding, event);
        if self.queue.try_send(event).is_err() {
            self.pen.telemetry.events_dropped.inc();
        }
    }

    fn made(&self, regarding: ObjectReference, event: &engine::Event) -> Event {
        let now = self.clock.now();
        let name = regarding.name.clone().unwrap_or_default();
        let told = (&regarding.uid, event.reason, &event.note, now.as_nanosecond());
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:016x}", hash(&told))),
                namespace: regarding.namespace.clone(),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(format!("{GROUP}/{}", labels::MANAGER)),
            reporting_instance: Some(self.identity.clone()),
            action: Some("Reconcile".into()),
            reason: Some(event.reason.into()),
            note: Some(shortened(&event.note)),
            type_: Some(if event.warning { "Warning" } else { "Normal" }.into()),
            regarding: Some(regarding),
            ..Event::default()
        }
    }
}

async fn publish(client: Client, pen: Pen, clock: Clock, mut waiting: mpsc::Receiver<Event>) {
    let mut tally = Tally::default();
    loop {
        // What was held back comes first: it is older.
        let due = match tally.next() {
            Some(due) => timeout_at(clock.instant(due), waiting.recv()).await,
            None => Ok(waiting.recv().await),
        };
        let told = match due {
            Ok(Some(event)) => tally.tell(event, clock.now()),
            Ok(None) => return,
            Err(_) => None,
        };
        for event in tally.due(clock.now()).into_iter().chain(told) {
            create(&client, &pen, &event).await;
        }
    }
}

async fn create(client: &Client, pen: &Pen, event: &Event) {
    let (ns, name) = (event.namespace().unwrap_or_default(), event.name_any());
    let api: Api<Event> = Api::namespaced(client.clone(), &ns);
    let params = PostParams { field_manager: Some(labels::MANAGER.into()), ..PostParams::default() };
    match pen.write("create", "Event", &format!("{ns}/{name}"), api.create(&params, event)).await {
        Err(failure) if failure.class != Class::AlreadyExists => {
            // Not its note: the last line of a program may be in it.
            let about = event.regarding.as_ref().and_then(|object| object.name.as_deref()).unwrap_or_default();
            tracing::info!(%failure, namespace = ns, about, reason = event.reason, "could not publish an Event");
        }
        _ => {}
    }
}

fn shortened(note: &str) -> String {
    let end = (0..=MAX_NOTE.min(note.len())).rev().find(|end| note.is_char_boundary(*end)).unwrap_or(0);
    note[..end].to_owned()
}
