//! Events do not stay: an hour after their last write they go, as on a cluster (`--event-ttl` of kube-apiserver), and the
//! oldest ones sooner when there are too many, so that a server that is up for weeks does not grow by them.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use super::store::{Key, State};

const LIFE: SignedDuration = SignedDuration::from_hours(1);
/// Events at most.
const MOST: usize = 5_000;

/// The Events in the order of their writes.
#[derive(Debug)]
pub(super) struct Fading {
    /// Number of the table that holds the Events.
    table: usize,
    /// Each with its resourceVersion, and when it was seen here; those of the latest requests have not been yet.
    written: VecDeque<(Key, u64, Option<Timestamp>)>,
}

impl Fading {
    pub fn new(table: usize) -> Self {
        Self { table, written: VecDeque::new() }
    }
}

impl State {
    /// An object was written; if it is an Event, its time begins anew.
    pub fn note_event(&mut self, table: usize, key: &Key) {
        if table == self.fading.table
            && let Some(event) = self.get(table, key)
        {
            let version = event.resource_version;
            self.fading.written.push_back((key.clone(), version, None));
        }
    }

    /// Deletes the Events whose time has come.
    pub fn expire_events(&mut self, now: Timestamp) {
        let table = self.fading.table;
        for (.., seen) in self.fading.written.iter_mut().rev().take_while(|(.., seen)| seen.is_none()) {
            *seen = Some(now);
        }
        while let Some((key, version, seen)) = self.fading.written.front() {
            let there = self.get(table, key).is_some_and(|event| event.resource_version == *version);
            let due = seen.is_some_and(|seen| now.duration_since(seen) >= LIFE);
            let crowded = self.tables.get(table).is_some_and(|events| events.objects.len() > MOST);
            if there && !due && !crowded {
                break;
            }
            let key = key.clone();
            self.fading.written.pop_front();
            if there {
                self.delete_now(table, &key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use k8s_openapi::api::core::v1::{Event, ObjectReference};
    use kube::{
        Api,
        api::{ObjectMeta, PostParams},
    };

    use super::*;
    use crate::local::apiserver::{ApiServer, TokioClock};

    async fn tell(events: &Api<Event>, name: &str) {
        let involved_object = ObjectReference { namespace: Some("default".into()), ..ObjectReference::default() };
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let event = Event { metadata, involved_object, ..Event::default() };
        events.create(&PostParams::default(), &event).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_lasts_for_an_hour_and_the_oldest_give_way() {
        let clock = TokioClock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        let server = ApiServer::builder().clock(clock).build().unwrap();
        let events: Api<Event> = Api::default_namespaced(server.client("default"));
        let names = || -> Vec<String> {
            let all = server.dump("events").into_iter();
            all.filter_map(|event| Some(event["metadata"]["name"].as_str()?.to_owned())).collect()
        };
        tell(&events, "a").await;
        tokio::time::advance(Duration::from_secs(3000)).await;
        tell(&events, "b").await;
        tokio::time::advance(Duration::from_secs(599)).await;
        tell(&events, "c").await;
        assert_eq!(names(), ["a", "b", "c"]);
        tokio::time::advance(Duration::from_secs(1)).await;
        tell(&events, "d").await;
        assert_eq!(names(), ["b", "c", "d"]);
        for at in 0..MOST {
            tell(&events, &format!("e-{at:04}")).await;
        }
        assert_eq!((names().len(), names().first().map(String::as_str)), (MOST, Some("e-0000")));
    }
}
