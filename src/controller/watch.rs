//! Keeps up with one kind of object: a list, then a watch from where the list ended, for ever.
//!
//! Own code in place of `kube::runtime::watcher`, which keeps three things to itself that are needed here: the list's
//! resourceVersion (an object that is not in a list is gone only if it was written before the list), a time limit on
//! the list and on the start of a watch, and a new list after an event that could not be read or an HTTP 410 at the
//! start of a watch.

use super::backoff::chance;
use super::failure::{Class, Failure, class};
use super::wire;
use futures::{StreamExt, TryStreamExt, pin_mut};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::api::{Api, ListParams, WatchEvent, WatchParams};
use kube::core::Request;
use kube::{Client, Resource, ResourceExt};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use std::collections::HashSet;
use std::fmt::Debug;
use std::time::Duration;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep, timeout};

/// How long a watch stays open; the API server ends it then.
const WATCH_SECONDS: u32 = 290;
/// An API server sends a bookmark each minute: a watch that has been silent for so long is taken for dead. One that was
/// not goes on where it was.
const SILENCE: Duration = Duration::from_secs(150);
/// A watch that lived for so long was healthy: what ends it is not one more failure in a row.
const HEALTHY: Duration = Duration::from_secs(30);
/// Two pages are in memory at a time, and the API server makes one while another is read.
const PAGE: u32 = 250;
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Namespace and name.
pub type Name = (String, String);

/// What was seen.
#[derive(Clone, Debug)]
pub enum Seen<K> {
    /// The object exists in this form.
    Present(Box<K>),
    /// The object is gone; its last form.
    Deleted(Box<K>),
    /// These are all objects that existed at this resourceVersion. Each was told as [`Seen::Present`] before.
    All(HashSet<Name>, u64),
}

/// Why a watch ended.
enum End {
    /// Go on from this resourceVersion.
    Resume(String),
    /// As before, after a pause.
    Failed(String, Failure),
    /// Something may have been missed.
    Relist(Option<Failure>),
}

/// Tells `sink` of every object of this kind, as long as it is polled; `heard` is told whenever the API server has answered.
pub async fn follow<K>(api: Api<K>, kind: &str, selector: Option<&str>, heard: impl Fn(), mut sink: impl FnMut(Seen<K>))
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let mut failures = 0_u32;
    loop {
        let mut version = match list(&api, kind, selector, &mut sink).await {
            Ok(version) => {
                heard();
                version
            }
            Err(failure) => {
                pause(kind, &failure, &mut failures).await;
                continue;
            }
        };
        loop {
            let started = Instant::now();
            let end = watch(&api, kind, selector, version, (&heard, &mut sink)).await;
            if started.elapsed() >= HEALTHY {
                failures = 0;
            }
            match end {
                End::Resume(reached) => {
                    version = reached;
                    // An API server (or proxy) that ends every watch at once must not be asked in a tight loop.
                    if started.elapsed() < Duration::from_secs(1) {
                        sleep(Duration::from_secs(1)).await;
                    }
                    failures = 0;
                }
                End::Failed(reached, failure) => {
                    version = reached;
                    pause(kind, &failure, &mut failures).await;
                }
                End::Relist(failure) => {
                    if let Some(failure) = failure {
                        pause(kind, &failure, &mut failures).await;
                    }
                    break;
                }
            }
        }
    }
}

/// A page of a list: what is in it is read one by one.
#[derive(Deserialize)]
struct Page<'a> {
    #[serde(default)]
    metadata: ListMeta,
    #[serde(borrow, default)]
    items: Option<Vec<&'a RawValue>>,
}

/// Lists all pages; returns the list's resourceVersion. The next page is on its way while one is read.
async fn list<K>(
    api: &Api<K>,
    kind: &str,
    selector: Option<&str>,
    sink: &mut impl FnMut(Seen<K>),
) -> Result<String, Failure>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let mut params = ListParams { limit: Some(PAGE), ..ListParams::default() };
    params.label_selector = selector.map(str::to_owned);
    let mut names = HashSet::new();
    // Of one task at a time; it ends with this one.
    let mut coming = JoinSet::new();
    let fetch = |params: &ListParams| {
        let (client, url) = (api.clone().into_client(), api.resource_url().to_owned());
        fetch(client, url, format!("list {kind}"), params.clone())
    };
    coming.spawn(fetch(&params));
    while let Some(text) = coming.join_next().await {
        let unread = |error| Failure::of(format!("list {kind}"), &kube::Error::SerdeError(error));
        let text = text.map_err(|error| lost(kind, &error))??;
        let page: Page<'_> = serde_json::from_str(&text).map_err(unread)?;
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_some() {
            coming.spawn(fetch(&params));
        }
        for item in page.items.into_iter().flatten() {
            let object: K = serde_json::from_str(item.get()).map_err(unread)?;
            names.insert((object.namespace().unwrap_or_default(), object.name_any()));
            sink(Seen::Present(Box::new(object)));
        }
        if params.continue_token.is_none() {
            let version = page.metadata.resource_version.unwrap_or_default();
            sink(Seen::All(names, number(&version)));
            return Ok(version);
        }
    }
    Err(Failure::timeout(format!("list {kind}"), wire::CALL_LIMIT))
}

/// Asks for one page.
async fn fetch(client: Client, url: String, call: String, params: ListParams) -> Result<String, Failure> {
    let request = Request::new(url).list(&params).map_err(kube::Error::BuildRequest);
    wire::timed(call, async { client.request_text(request?).await }).await
}

/// The task that asked for a page has ended by itself.
fn lost(kind: &str, error: &JoinError) -> Failure {
    let message = error.to_string();
    Failure { call: format!("list {kind}"), class: Class::Transient, message, retry_after: None }
}

async fn watch<K>(
    api: &Api<K>,
    kind: &str,
    selector: Option<&str>,
    mut version: String,
    (heard, sink): (&impl Fn(), &mut impl FnMut(Seen<K>)),
) -> End
where
    K: Resource + Clone + DeserializeOwned + Debug + 'static,
{
    let call = format!("watch {kind}");
    let mut params = WatchParams { timeout: Some(WATCH_SECONDS), ..WatchParams::default() };
    params.label_selector = selector.map(str::to_owned);
    let stream = match wire::timed(&call, api.watch(&params, &version)).await {
        Ok(stream) => stream.into_stream(),
        Err(failure) if failure.class == Class::Gone => return End::Relist(Some(failure)),
        Err(failure) => return End::Failed(version, failure),
    };
    pin_mut!(stream);
    heard();
    loop {
        let event = match timeout(SILENCE, stream.next()).await {
            Ok(Some(event)) => event,
            Ok(None) | Err(_) => return End::Resume(version),
        };
        if event.is_ok() {
            heard();
        }
        match event {
            Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                version = object.resource_version().unwrap_or(version);
                sink(Seen::Present(Box::new(object)));
            }
            Ok(WatchEvent::Deleted(object)) => {
                version = object.resource_version().unwrap_or(version);
                sink(Seen::Deleted(Box::new(object)));
            }
            Ok(WatchEvent::Bookmark(bookmark)) => version = bookmark.metadata.resource_version,
            Ok(WatchEvent::Error(status)) => {
                let error = kube::Error::Api(status.boxed());
                let failure = Failure::of(&call, &error);
                return match failure.class {
                    Class::Gone => End::Relist(Some(failure)),
                    _ => End::Failed(version, failure),
                };
            }
            // An event that cannot be read is an event missed.
            Err(error @ (kube::Error::SerdeError(_) | kube::Error::LinesCodecMaxLineLengthExceeded)) => {
                return End::Relist(Some(Failure::of(&call, &error)));
            }
            Err(error) if class(&error) == Class::Gone => return End::Relist(Some(Failure::of(&call, &error))),
            Err(error) => return End::Failed(version, Failure::of(&call, &error)),
        }
    }
}

async fn pause(kind: &str, failure: &Failure, failures: &mut u32) {
    *failures = failures.saturating_add(1);
    let whole = Duration::from_millis(500).saturating_mul(1 << (*failures).min(7)).min(LONGEST_PAUSE);
    let asked = failure.retry_after.unwrap_or_default();
    let wait = whole.mul_f64(1.0 - 0.5 * chance(&(kind, *failures))).max(asked);
    tracing::warn!(kind, %failure, ?wait, "lost sight of the API server");
    sleep(wait).await;
}

/// A resourceVersion as a number, so that two of one kind can be compared (Kubernetes promises that since 1.35, and
/// etcd's were never anything else); 0 when it is none.
pub fn number(version: &str) -> u64 {
    version.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http_body::Frame;
    use http_body_util::{BodyExt, Full, StreamBody};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::client::Body;
    use std::io;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const EMPTY: &str = r#"{"metadata": {"resourceVersion": "7"}, "items": []}"#;

    /// Watches of an API server where nothing happens: how many were begun after this time. Each is cut after `life`;
    /// none, when that is `None`.
    async fn watches(life: Option<Duration>, after: Duration) -> usize {
        let begun = Arc::new(AtomicUsize::new(0));
        let count = begun.clone();
        let server = tower::service_fn(move |request: http::Request<Body>| {
            let watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            count.fetch_add(usize::from(watch), Ordering::Relaxed);
            let silence = futures::stream::once(async move {
                match life {
                    Some(life) => sleep(life).await,
                    None => std::future::pending().await,
                }
                Err::<Frame<Bytes>, _>(io::Error::from(io::ErrorKind::ConnectionReset))
            });
            let body = match watch {
                true => StreamBody::new(silence).boxed_unsync(),
                false => Full::from(EMPTY).map_err(|never| match never {}).boxed_unsync(),
            };
            async move { Ok::<_, std::convert::Infallible>(http::Response::new(body)) }
        });
        let api: Api<ConfigMap> = Api::namespaced(Client::new(server, "ns"), "ns");
        let _ = timeout(after, follow(api, "ConfigMaps", None, || {}, |_| {})).await;
        begun.load(Ordering::Relaxed)
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_without_even_a_bookmark_is_taken_for_dead() {
        assert_eq!(watches(None, Duration::from_secs(149)).await, 1);
        assert_eq!(watches(None, Duration::from_secs(152)).await, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_a_healthy_watch_is_not_one_more_failure_in_a_row() {
        let healthy = watches(Some(Duration::from_secs(60)), Duration::from_secs(20 * 61)).await;
        assert!(healthy >= 20, "{healthy}: each is begun anew within a second");
        let hopeless = watches(Some(Duration::from_secs(1)), Duration::from_secs(20 * 61)).await;
        assert!(hopeless < 80, "{hopeless}: the pauses grow");
    }
}
