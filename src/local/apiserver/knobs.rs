//! What tests and the process around the server may ask of it besides requests.

use std::sync::{Arc, PoisonError, atomic::Ordering};

use serde_json::Value;

use super::{ApiServer, AuditRecord, Faults, WriteObserver, garbage::ACTOR, history::History, store::Hold};

/// Answers a TokenReview: given its `spec`, returns the `status` (`authenticated`, `user`, `audiences`, `error`).
pub type TokenReviewer = Arc<dyn Fn(&Value) -> Value + Send + Sync>;

/// The functions that a test or a runner hangs into the server.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub faults: Option<Arc<dyn Faults>>,
    pub observers: Vec<WriteObserver>,
    pub token_reviewer: Option<TokenReviewer>,
}

impl ApiServer {
    /// Decides from now on which requests fail, and how. `None`: none does.
    pub fn set_faults(&self, faults: Option<Arc<dyn Faults>>) {
        self.hooks_mut(|hooks| hooks.faults = faults);
    }

    /// Adds a witness of every stored change.
    pub fn add_observer(&self, observer: WriteObserver) {
        self.hooks_mut(|hooks| hooks.observers.push(observer));
    }

    /// Sets the function that answers TokenReviews. Without one no token is good.
    pub fn set_token_reviewer(&self, reviewer: TokenReviewer) {
        self.hooks_mut(|hooks| hooks.token_reviewer = Some(reviewer));
    }

    fn hooks_mut(&self, change: impl FnOnce(&mut Hooks)) {
        change(&mut self.inner.hooks.write().unwrap_or_else(PoisonError::into_inner));
    }

    pub(super) fn is_observed(&self) -> bool {
        !self.inner.hooks.read().unwrap_or_else(PoisonError::into_inner).observers.is_empty()
    }

    pub(super) fn hooks(&self) -> Hooks {
        self.inner.hooks.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The stored objects of a kind by its plural name (`trials`, or `trials.automl.dev` where two groups share the
    /// name), in order of namespace and name. Empty for a kind that is not served.
    #[must_use]
    pub fn dump(&self, resource: &str) -> Vec<Arc<Value>> {
        let state = self.inner.lock();
        let table = state.table_named(resource).and_then(|table| state.tables.get(table));
        table.map(|table| table.objects.values().map(|object| object.value.clone()).collect()).unwrap_or_default()
    }

    /// One stored object; the namespace is empty for cluster scope.
    #[must_use]
    pub fn peek(&self, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        let state = self.inner.lock();
        let table = state.table_named(resource)?;
        state.get(table, &super::store::Key::new(namespace, name)).map(|object| object.value.clone())
    }

    /// The global resourceVersion.
    #[must_use]
    pub fn resource_version(&self) -> u64 {
        self.inner.lock().resource_version
    }

    /// Why nothing can be stored on disk at present, such as that it is full; `None`: all is well.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.inner.lock().trouble().map(str::to_owned)
    }

    /// Writes so far (dry runs and reviews excluded), refused ones included.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.inner.writes.load(Ordering::Relaxed)
    }

    /// The requests so far, in order, if [`super::Builder::audit_log`] was asked for.
    #[must_use]
    pub fn audit_log(&self) -> Vec<AuditRecord> {
        self.inner.audit.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Withholds all later changes of a kind from clients whose user agent begins with `user_agent` (empty: all).
    /// Their watches stand still. Lists with `resourceVersion=0` are as of now; with `all_lists` every list is, which
    /// a cluster never does and a cautious client survives.
    pub fn hold(&self, resource: &str, user_agent: &str, all_lists: bool) {
        let mut state = self.inner.lock();
        let up_to = state.resource_version;
        if let Some(table) = state.table_named_mut(resource) {
            table.holds.push(Hold { user_agent: user_agent.to_owned(), up_to, all_lists });
        }
    }

    /// Lets held clients see changes up to a resourceVersion.
    pub fn release_up_to(&self, resource: &str, resource_version: u64) {
        let mut state = self.inner.lock();
        if let Some(table) = state.table_named_mut(resource) {
            for hold in &mut table.holds {
                hold.up_to = hold.up_to.max(resource_version);
            }
            table.wake();
        }
    }

    /// Ends every hold on a kind.
    pub fn release(&self, resource: &str) {
        let mut state = self.inner.lock();
        if let Some(table) = state.table_named_mut(resource) {
            table.holds.clear();
            table.wake();
        }
    }

    /// Ends the running watches of a kind without a word, as a broken connection does. What they had not read yet is
    /// not delivered.
    pub fn cut_watches(&self, resource: &str) {
        let mut state = self.inner.lock();
        if let Some(table) = state.table_named_mut(resource) {
            table.cuts += 1;
            table.wake();
        }
    }

    /// Forgets the history of every kind: a watch from an older resourceVersion and an older continue token are
    /// answered as expired. A running watch that has read everything goes on.
    pub fn compact(&self) {
        let mut state = self.inner.lock();
        let current = state.resource_version;
        for table in &mut state.tables {
            table.history = History::since(current);
            let read: Vec<u64> = table.cursors.keys().copied().collect();
            let newest = table.newest;
            for watch in read {
                if let Some(cursor) = table.cursors.get_mut(&watch)
                    && *cursor >= newest
                {
                    *cursor = current;
                }
            }
            table.wake();
        }
    }

    /// Whether a watch from an expired resourceVersion is refused by HTTP status 410, as some proxies do, instead of
    /// an ERROR event in the stream.
    pub fn set_expired_as_http(&self, on: bool) {
        self.inner.expired_as_http.store(on, Ordering::Relaxed);
    }

    /// Works off the garbage collector's queue ([`super::Garbage::Manual`]).
    ///
    /// # Errors
    /// The changes could not be stored.
    pub fn collect_garbage(&self) -> Result<(), super::Status> {
        let writes = {
            let mut state = self.inner.lock();
            state.collect_garbage(self.inner.now());
            state.commit(ACTOR, self.is_observed())?
        };
        self.show(&writes);
        Ok(())
    }

    /// Ends all watches and refuses further requests.
    pub fn stop(&self) {
        self.inner.stopped.store(true, Ordering::Relaxed);
        for table in &self.inner.lock().tables {
            table.wake();
        }
    }
}
