//! Events that repeat are told as one: of one reason on one object a few are published as they come, further ones are held
//! back, and published together as a series when their time is over. What client-go's correlator does for Kubernetes' own
//! controllers; `series` as in events.k8s.io/v1.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::events::v1::{Event, EventSeries};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use std::collections::HashMap;

/// For so long alike ones are counted together.
const WINDOW: SignedDuration = SignedDuration::from_mins(10);
/// So many of them are published as they come.
const BURST: u32 = 10;
/// Windows that are open at a time; what there is no room for is published as it comes.
const MAX_WINDOWS: usize = 4096;

/// What was told lately. Times come in as arguments.
#[derive(Default)]
pub(super) struct Tally {
    /// By the object's UID and the reason.
    windows: HashMap<(String, String), Window>,
}

struct Window {
    begun: Timestamp,
    published: u32,
    /// The latest that was published or held, without its name.
    note: Option<String>,
    held: Option<Held>,
}

struct Held {
    latest: Event,
    count: i32,
}

impl Tally {
    /// The Event, when it is to be published now; `None`: it is held.
    pub fn tell(&mut self, event: Event, now: Timestamp) -> Option<Event> {
        let uid = event.regarding.as_ref().and_then(|object| object.uid.clone()).unwrap_or_default();
        let key = (uid, event.reason.clone().unwrap_or_default());
        if !self.windows.contains_key(&key) && self.windows.len() >= MAX_WINDOWS {
            return Some(event);
        }
        let window = self.windows.entry(key).or_insert(Window { begun: now, published: 0, note: None, held: None });
        let again = window.published > 0 && window.note == event.note;
        window.note.clone_from(&event.note);
        if !again && window.published < BURST && window.held.is_none() {
            window.published += 1;
            return Some(event);
        }
        let count = window.held.as_ref().map_or(0, |held| held.count).saturating_add(1);
        window.held = Some(Held { latest: event, count });
        None
    }

    /// What was held and whose time is over by now.
    pub fn due(&mut self, now: Timestamp) -> Vec<Event> {
        let over = self.windows.extract_if(|_, window| now.duration_since(window.begun) >= WINDOW);
        over.filter_map(|(_, window)| window.held).map(Held::told).collect()
    }

    /// When something that is held is due; `None`: nothing is held.
    pub fn next(&self) -> Option<Timestamp> {
        let held = self.windows.values().filter(|window| window.held.is_some());
        held.map(|window| window.begun).min().and_then(|begun| begun.checked_add(WINDOW).ok())
    }
}

impl Held {
    /// One alone is told as it is.
    fn told(self) -> Event {
        let last = self.latest.event_time.clone();
        let series = (self.count > 1).then(|| EventSeries {
            count: self.count,
            last_observed_time: last.unwrap_or(MicroTime(Timestamp::UNIX_EPOCH)),
        });
        Event { series, ..self.latest }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::ObjectReference;

    fn event(uid: &str, reason: &str, note: &str, at: Timestamp) -> Event {
        let regarding = Some(ObjectReference { uid: Some(uid.into()), ..ObjectReference::default() });
        let (reason, note, event_time) = (Some(reason.into()), Some(note.into()), Some(MicroTime(at)));
        Event { regarding, reason, note, event_time, ..Event::default() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn what_repeats_is_told_once_and_then_as_a_series() {
        let mut tally = Tally::default();
        let mut published = 0;
        for second in 0..100 {
            published += u32::from(tally.tell(event("a", "Pending", "no GPU", at(second)), at(second)).is_some());
        }
        assert_eq!(published, 1);
        assert!(tally.tell(event("a", "Retrying", "evicted", at(100)), at(100)).is_some(), "another reason");
        assert!(tally.tell(event("b", "Pending", "no GPU", at(100)), at(100)).is_some(), "another object");
        assert_eq!((tally.next(), tally.due(at(599)).len()), (Some(at(600)), 0));
        let told = tally.due(at(600));
        let series = told[0].series.as_ref().unwrap();
        assert_eq!((told.len(), series.count, series.last_observed_time.0), (1, 99, at(99)));
        assert_eq!(tally.next(), None);
        assert!(tally.tell(event("a", "Pending", "no GPU", at(601)), at(601)).is_some(), "told anew");
        assert!(tally.due(at(5000)).is_empty());
        assert!(tally.windows.is_empty());
    }

    #[test]
    fn of_many_that_differ_a_few_are_told_and_the_rest_as_one() {
        let mut tally = Tally::default();
        let notes = (0..50).map(|number| format!("attempt {number}"));
        let published: Vec<Event> =
            notes.filter_map(|note| tally.tell(event("a", "Retrying", &note, at(0)), at(0))).collect();
        assert_eq!(published.len(), 10);
        let told = tally.due(at(600));
        assert_eq!(
            (told[0].note.as_deref(), told[0].series.as_ref().map(|series| series.count)),
            (Some("attempt 49"), Some(40))
        );
    }

    #[test]
    fn one_alone_is_no_series_and_there_is_a_bound() {
        let mut tally = Tally::default();
        for _ in 0..2 {
            tally.tell(event("a", "Pending", "no GPU", at(0)), at(0));
        }
        assert!(tally.due(at(600))[0].series.is_none());
        for number in 0..2 * MAX_WINDOWS {
            assert!(tally.tell(event(&number.to_string(), "Pending", "", at(0)), at(0)).is_some());
        }
        assert_eq!(tally.windows.len(), MAX_WINDOWS);
    }
}
