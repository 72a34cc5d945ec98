//! What goes wrong beside the story: caches that lag, watches that break, histories that are forgotten.

use super::run::Weather;
use super::world::World;
use futures::FutureExt;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// What operators watch.
pub const KINDS: &[&str] = &["experiments", "trials", "jobs"];

/// How long the weather lasts.
const MINUTES: u32 = 3;

/// Operators see these kinds as they were so many seconds ago.
pub fn lagging(kinds: &[&'static str], seconds: u64) -> Weather {
    lagging_for(kinds, "operator", seconds)
}

/// The same for the operators of this name alone.
pub fn lagging_for(kinds: &[&'static str], who: &'static str, seconds: u64) -> Weather {
    let kinds = kinds.to_vec();
    Arc::new(move |world| {
        let kinds = kinds.clone();
        async move {
            kinds.iter().for_each(|kind| world.server.hold(kind, who, false));
            let mut versions = VecDeque::new();
            for _ in 0..MINUTES * 120 {
                versions.push_back(world.server.resource_version());
                sleep(Duration::from_millis(500)).await;
                if versions.len() as u64 > 2 * seconds
                    && let Some(version) = versions.pop_front()
                {
                    kinds.iter().for_each(|kind| world.server.release_up_to(kind, version));
                }
            }
            kinds.iter().for_each(|kind| world.server.release(kind));
        }
        .boxed()
    })
}

/// Watches break every three seconds; what was not read by then comes with the next one, perhaps a second time.
pub fn cut(kinds: &[&'static str]) -> Weather {
    let kinds = kinds.to_vec();
    Arc::new(move |world| {
        let kinds = kinds.clone();
        async move {
            for _ in 0..MINUTES * 20 {
                sleep(Duration::from_secs(3)).await;
                kinds.iter().for_each(|kind| world.server.cut_watches(kind));
            }
        }
        .boxed()
    })
}

/// Operators see nothing for five seconds, and what happened meanwhile is forgotten: it is no event for them, and several
/// changes of one object are one.
pub fn expired(kinds: &'static [&'static str], as_http: bool) -> Weather {
    Arc::new(move |world| {
        async move {
            world.server.set_expired_as_http(as_http);
            for _ in 0..MINUTES * 10 {
                kinds.iter().for_each(|kind| world.server.hold(kind, "operator", false));
                sleep(Duration::from_secs(5)).await;
                world.server.compact();
                if as_http {
                    kinds.iter().for_each(|kind| world.server.cut_watches(kind));
                }
                kinds.iter().for_each(|kind| world.server.release(kind));
                sleep(Duration::from_secs(1)).await;
            }
        }
        .boxed()
    })
}

/// The operator is killed, and finds lists that are five seconds old when it comes back.
pub fn old_lists() -> Weather {
    Arc::new(move |world| {
        async move {
            for _ in 0..4 {
                sleep(Duration::from_secs(7)).await;
                KINDS.iter().for_each(|kind| world.server.hold(kind, "operator", true));
                sleep(Duration::from_secs(5)).await;
                world.chaos.kill("operator");
                sleep(Duration::from_secs(5)).await;
                KINDS.iter().for_each(|kind| world.server.release(kind));
            }
        }
        .boxed()
    })
}

/// Operators of these names are killed at these times, in seconds.
pub fn killing(deaths: &'static [(&'static str, u64)]) -> Weather {
    Arc::new(move |world: &World| {
        async move {
            let mut past = 0;
            for (name, time) in deaths {
                sleep(Duration::from_secs(time - past)).await;
                past = *time;
                world.chaos.kill(name);
            }
        }
        .boxed()
    })
}
