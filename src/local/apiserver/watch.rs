//! Watches: a cursor over the log of changes.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use rand::RngExt;
use tokio::{sync::watch, time::Instant};

use super::{
    Inner,
    object::Object,
    read::Filter,
    render::{Renderer, error_event},
    request::Request,
    status::Status,
    store::{Change, State},
};

/// Time between bookmarks on a quiet watch.
const BOOKMARK_PERIOD: Duration = Duration::from_secs(60);

/// How long before its end a watch gets its last bookmark.
const BEFORE_THE_END: Duration = Duration::from_secs(2);

/// A running watch.
pub(super) struct Watch {
    server: Arc<Inner>,
    table: usize,
    number: u64,
    filter: Filter,
    renderer: Renderer,
    user_agent: String,
    signal: watch::Receiver<u64>,
    /// Changes up to this resourceVersion have been looked at.
    cursor: u64,
    cuts: u64,
    ready: VecDeque<Bytes>,
    bookmarks: bool,
    /// `None`: none comes any more.
    next_bookmark: Option<Instant>,
    deadline: Instant,
    finished: bool,
}

/// The event that a change is to a client with this filter.
fn event(change: &Change, filter: &Filter) -> Option<(&'static str, Arc<Object>)> {
    let seen = |object: &Option<Arc<Object>>| object.as_ref().is_some_and(|object| filter.matches(&object.value));
    match (seen(&change.before), seen(&change.after)) {
        (false, true) => Some(("ADDED", change.after.clone()?)),
        (true, true) => Some(("MODIFIED", change.after.clone()?)),
        (true, false) => match &change.removed {
            Some(removed) => Some(("DELETED", removed.clone())),
            // It no longer matches the selector: the client sees its last matching state go.
            None => {
                let mut value = (*change.before.as_ref()?.value).clone();
                super::object::metadata_mut(&mut value)
                    .insert("resourceVersion".to_owned(), change.resource_version.to_string().into());
                Some(("DELETED", Object::new(value, change.resource_version)))
            }
        },
        (false, false) => None,
    }
}

pub(super) fn too_old(wanted: u64, current: u64) -> Status {
    Status::expired(format!("too old resource version: {wanted} ({current})"))
}

/// Once in a while, and a moment before the end, so that whoever goes on from there need not go far back.
fn next_bookmark(now: Instant, deadline: Instant) -> Option<Instant> {
    let last = deadline.checked_sub(BEFORE_THE_END)?;
    Some(last.min(now + BOOKMARK_PERIOD)).filter(|next| *next > now)
}

impl Watch {
    /// Starts a watch. The state is locked, so nothing is missed between the initial events and the first change.
    pub fn start(
        server: &Arc<Inner>,
        state: &mut State,
        request: &Request,
        renderer: Renderer,
        filter: Filter,
    ) -> Result<Self, Status> {
        let index = renderer.resource.table;
        let user_agent = request.info.user_agent.clone();
        let version = request.options.text("resourceVersion");
        let send_initial = request.options.flag("sendInitialEvents");
        let bookmarks = request.options.flag("allowWatchBookmarks");
        let from = request.options.number("resourceVersion")?.unwrap_or_default();
        let timeout = match request.options.number("timeoutSeconds")? {
            Some(seconds) if seconds > 0 => seconds,
            _ => 1_800 + u64::from(state.random.random_range(0..1_800_u32)),
        };
        let current = state.resource_version;
        let number = state.next_watch();
        let table = state.tables.get_mut(index).ok_or_else(Status::page_not_found)?;
        let shown = table.held_at(&user_agent).map_or(current, |hold| hold.up_to.min(current));
        let initial =
            send_initial || (request.options.text("sendInitialEvents").is_empty() && (version.is_empty() || from == 0));
        let mut ready = VecDeque::new();
        let cursor = if initial {
            for (_, object) in super::read::view(table, &filter.namespace, None, (shown < current).then_some(shown))? {
                if filter.matches(&object.value) {
                    ready.push_back(renderer.event("ADDED", &object));
                }
            }
            if send_initial && bookmarks {
                ready.push_back(renderer.bookmark(shown, true));
            }
            shown
        } else {
            from
        };
        let mut finished = false;
        if cursor < table.history.compacted() {
            let expired = too_old(cursor, table.history.compacted());
            if server.expired_as_http() {
                return Err(expired);
            }
            ready.push_back(error_event(&expired));
            finished = true;
        }
        table.cursors.insert(number, cursor);
        let now = Instant::now();
        let deadline = now + Duration::from_secs(timeout);
        Ok(Self {
            server: server.clone(),
            table: index,
            number,
            filter,
            renderer,
            user_agent,
            signal: table.signal.subscribe(),
            cursor,
            cuts: table.cuts,
            ready,
            bookmarks,
            next_bookmark: next_bookmark(now, deadline),
            deadline,
            finished,
        })
    }

    /// The next lines of the stream; `None` when it ends.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return Some(line);
            }
            if self.finished || self.server.is_stopped() {
                return None;
            }
            self.signal.mark_unchanged();
            if !self.read_log() {
                return None;
            }
            if !self.ready.is_empty() {
                continue;
            }
            let bookmark = self.next_bookmark.filter(|_| self.bookmarks);
            let wake = bookmark.map_or(self.deadline, |bookmark| bookmark.min(self.deadline));
            tokio::select! {
                biased;
                changed = self.signal.changed() => {
                    if changed.is_err() {
                        return None;
                    }
                }
                () = tokio::time::sleep_until(wake) => {
                    if wake == self.deadline {
                        return None;
                    }
                    self.next_bookmark = next_bookmark(wake, self.deadline);
                    let line = self.renderer.bookmark(self.cursor, false);
                    self.ready.push_back(line);
                }
            }
        }
    }

    /// Reads what is new in the log. False if the watch was cut.
    fn read_log(&mut self) -> bool {
        let server = self.server.clone();
        let mut state = server.lock();
        let current = state.resource_version;
        let Some(table) = state.tables.get_mut(self.table) else { return false };
        if table.cuts != self.cuts {
            return false;
        }
        let shown = table.held_at(&self.user_agent).map_or(current, |hold| hold.up_to.min(current));
        // A compaction moves the cursor of a watch that had read everything.
        self.cursor = self.cursor.max(table.cursors.get(&self.number).copied().unwrap_or_default());
        if self.cursor < table.history.compacted() {
            self.ready.push_back(error_event(&too_old(self.cursor, table.history.compacted())));
            self.finished = true;
            return true;
        }
        let new = table.history.after(self.cursor).take_while(|change| change.resource_version <= shown);
        let new: Vec<Arc<Change>> = new.cloned().collect();
        self.cursor = self.cursor.max(shown);
        table.cursors.insert(self.number, self.cursor);
        drop(state);
        let events = new.iter().filter_map(|change| event(change, &self.filter));
        self.ready.extend(events.map(|(kind, object)| self.renderer.event(kind, &object)));
        true
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(table) = self.server.lock().tables.get_mut(self.table) {
            table.cursors.remove(&self.number);
        }
    }
}
