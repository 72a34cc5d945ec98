//! The objects in memory: one ordered table a kind, a log of recent changes, an index by owner.
//!
//! A request changes the tables at once and commits at its end; until then its changes can be taken back, so a write
//! that could not be made durable leaves no trace.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Bound,
    sync::Arc,
};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    expiry::Fading,
    fault::Write,
    history::History,
    object::{self, Object},
    persist::Disk,
    resource::Registry,
    status::Status,
};

/// Place of an object in its table. In the order of `namespace/name`, as etcd has it: `a-b/x` comes before `a/x`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub namespace: String,
    pub name: String,
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.namespace == other.namespace {
            return self.name.cmp(&other.name);
        }
        // Where one of them goes on, the other one has its slash.
        let own = self.namespace.bytes().chain(std::iter::once(b'/'));
        own.cmp(other.namespace.bytes().chain(std::iter::once(b'/')))
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Key {
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// Place of an object in the store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Locator {
    pub table: usize,
    pub key: Key,
}

/// A change of one object. `before` and `after` are both set on an update; `removed` carries the last state of a
/// removed object under the resourceVersion of its removal.
#[derive(Debug)]
pub(super) struct Change {
    pub key: Key,
    pub resource_version: u64,
    pub before: Option<Arc<Object>>,
    pub after: Option<Arc<Object>>,
    pub removed: Option<Arc<Object>>,
}

/// The objects of one kind.
#[derive(Debug)]
pub(super) struct Table {
    pub objects: BTreeMap<Key, Arc<Object>>,
    pub history: History,
    /// Raised with each commit, so that watches look at the history.
    pub signal: watch::Sender<u64>,
    /// How far each running watch has read.
    pub cursors: HashMap<u64, u64>,
    /// Watches that began before this count are cut.
    pub cuts: u64,
    /// What is withheld from which clients.
    pub holds: Vec<Hold>,
    /// resourceVersion of the newest change.
    pub newest: u64,
}

/// Withholds the changes after a resourceVersion, as a lagging watch cache would.
#[derive(Clone, Debug)]
pub(super) struct Hold {
    /// Prefix of the user agents that it applies to; empty for all.
    pub user_agent: String,
    pub up_to: u64,
    /// Whether lists without a resourceVersion are stale, too.
    pub all_lists: bool,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
            history: History::default(),
            signal: watch::Sender::new(0),
            cursors: HashMap::new(),
            cuts: 0,
            holds: Vec::new(),
            newest: 0,
        }
    }
}

impl Table {
    /// Makes every watch look at the table again.
    pub fn wake(&self) {
        self.signal.send_modify(|_| ());
    }

    /// The objects of a namespace, or of all for the empty one, in order, after `after`.
    pub fn range(&self, namespace: &str, after: Option<&Key>) -> impl Iterator<Item = (&Key, &Arc<Object>)> {
        let first = Key::new(namespace, "");
        let start = match after {
            Some(key) if *key >= first => Bound::Excluded(key.clone()),
            _ => Bound::Included(first),
        };
        let namespace = namespace.to_owned();
        self.objects
            .range((start, Bound::Unbounded))
            .take_while(move |(key, _)| namespace.is_empty() || key.namespace == namespace)
    }

    /// The newest resourceVersion that this client may see; `None` if nothing is withheld from it.
    pub fn held_at(&self, user_agent: &str) -> Option<&Hold> {
        self.holds.iter().filter(|hold| user_agent.starts_with(&hold.user_agent)).min_by_key(|hold| hold.up_to)
    }

    /// Forgets old changes, unless some are withheld. Returns them.
    fn trim(&mut self) -> Vec<Arc<Change>> {
        if !self.holds.is_empty() {
            return Vec::new();
        }
        self.history.trim(|| self.cursors.values().min().copied().unwrap_or(u64::MAX))
    }
}

/// Everything that the server knows.
#[derive(Debug)]
pub(super) struct State {
    pub registry: Registry,
    pub tables: Vec<Table>,
    /// The global counter; every change takes the next value.
    pub resource_version: u64,
    /// Objects by uid.
    pub uids: HashMap<String, Locator>,
    /// Dependents by the uid of their owner.
    pub dependents: HashMap<String, BTreeSet<Locator>>,
    /// Source of uids and generated names.
    pub random: ChaCha8Rng,
    /// Objects that the garbage collector has to look at.
    pub garbage: VecDeque<Locator>,
    /// The Events, which do not stay.
    pub fading: Fading,
    /// How many of `garbage` are from earlier requests.
    settled: usize,
    disk: Option<Disk>,
    pending: Vec<(usize, Change)>,
    forgotten: Vec<Arc<Change>>,
    /// How many of `pending` are the request's own, and whose request it is; the rest is the collector's.
    own: (usize, String),
    next_watch: u64,
}

impl State {
    pub fn new(seed: [u8; 32]) -> Self {
        let registry = Registry::builtin();
        let tables = (0..registry.tables()).map(|_| Table::default()).collect();
        let fading = Fading::new(registry.get("", "v1", "events").map_or(usize::MAX, |events| events.table));
        Self {
            registry,
            tables,
            resource_version: 0,
            uids: HashMap::new(),
            dependents: HashMap::new(),
            random: ChaCha8Rng::from_seed(seed),
            garbage: VecDeque::new(),
            fading,
            settled: 0,
            disk: None,
            pending: Vec::new(),
            forgotten: Vec::new(),
            own: (0, String::new()),
            next_watch: 0,
        }
    }

    pub fn set_disk(&mut self, disk: Disk) {
        self.disk = Some(disk);
    }

    /// Why nothing can be stored on disk at present; `None`: all is well, or there is no disk.
    pub fn trouble(&self) -> Option<&str> {
        self.disk.as_ref()?.trouble()
    }

    pub fn get(&self, table: usize, key: &Key) -> Option<&Arc<Object>> {
        self.tables.get(table)?.objects.get(key)
    }

    pub fn locate(&self, locator: &Locator) -> Option<&Arc<Object>> {
        self.get(locator.table, &locator.key)
    }

    /// Stores a new version of an object and gives it the next resourceVersion.
    pub fn put(&mut self, table: usize, mut value: Value) -> Arc<Object> {
        self.resource_version += 1;
        let key = Key::new(object::namespace(&value), object::name(&value));
        object::metadata_mut(&mut value).insert("resourceVersion".to_owned(), json!(self.resource_version.to_string()));
        let after = Object::new(value, self.resource_version);
        let before = self.replace(table, &key, Some(after.clone()));
        let change =
            Change { key, resource_version: self.resource_version, before, after: Some(after.clone()), removed: None };
        self.pending.push((table, change));
        after
    }

    /// Removes an object. Returns its last state under the resourceVersion of the removal.
    pub fn remove(&mut self, table: usize, key: &Key) -> Option<Arc<Object>> {
        let before = self.replace(table, key, None)?;
        self.resource_version += 1;
        let mut value = (*before.value).clone();
        object::metadata_mut(&mut value).insert("resourceVersion".to_owned(), json!(self.resource_version.to_string()));
        let removed = Object::new(value, self.resource_version);
        let change = Change {
            key: key.clone(),
            resource_version: self.resource_version,
            before: Some(before),
            after: None,
            removed: Some(removed.clone()),
        };
        self.pending.push((table, change));
        Some(removed)
    }

    /// Puts an object as it was read from disk, without a change.
    pub fn load(&mut self, table: usize, value: Value) {
        let version = object::meta_text(&value, "resourceVersion").parse().unwrap_or_default();
        let key = Key::new(object::namespace(&value), object::name(&value));
        self.resource_version = self.resource_version.max(version);
        self.replace(table, &key, Some(Object::new(value, version)));
    }

    /// Everything has been read from disk, where this was the last resourceVersion. What changed before it is not known.
    pub fn loaded(&mut self, resource_version: u64) {
        self.resource_version = self.resource_version.max(resource_version);
        for table in &mut self.tables {
            table.history = History::since(self.resource_version);
        }
    }

    /// Exchanges the object at a place and keeps the indexes in step. Returns the one that was there.
    fn replace(&mut self, table: usize, key: &Key, next: Option<Arc<Object>>) -> Option<Arc<Object>> {
        let locator = Locator { table, key: key.clone() };
        let objects = &mut self.tables.get_mut(table)?.objects;
        let before = match &next {
            Some(next) => objects.insert(key.clone(), next.clone()),
            None => objects.remove(key),
        };
        if let Some(before) = &before {
            if next.as_ref().is_none_or(|next| next.uid() != before.uid()) {
                self.uids.remove(before.uid());
            }
            for owner in object::owners(&before.value) {
                if let Some(set) = self.dependents.get_mut(owner.uid) {
                    set.remove(&locator);
                    if set.is_empty() {
                        self.dependents.remove(owner.uid);
                    }
                }
            }
        }
        if let Some(next) = &next {
            self.uids.insert(next.uid().to_owned(), locator.clone());
            for owner in object::owners(&next.value) {
                self.dependents.entry(owner.uid.to_owned()).or_default().insert(locator.clone());
            }
        }
        before
    }

    /// Makes the changes of this request durable and shows them to watches. On an error nothing has happened. Returns what
    /// there is to tell, if somebody is `told`.
    pub fn commit(&mut self, user_agent: &str, told: bool) -> Result<Vec<Write>, Status> {
        let pending = std::mem::take(&mut self.pending);
        let (own, requester) = std::mem::take(&mut self.own);
        if let Some(disk) = &mut self.disk
            && !pending.is_empty()
            && let Err(status) = disk.store(&self.registry, &pending, self.resource_version)
        {
            self.pending = pending;
            self.roll_back();
            // The collector may have taken what is now to be done again.
            self.garbage.clear();
            self.requeue_garbage();
            self.settled = self.garbage.len();
            return Err(status);
        }
        self.settled = self.garbage.len();
        let mut writes = Vec::new();
        for (at, (table, change)) in pending.into_iter().enumerate() {
            if told {
                let actor = if at < own { &requester } else { user_agent };
                writes.push(self.write_of(table, &change, actor));
            }
            if let Some(table) = self.tables.get_mut(table) {
                let version = change.resource_version;
                table.history.push(Arc::new(change));
                table.newest = version;
                self.forgotten.extend(table.trim());
                table.signal.send_replace(version);
            }
        }
        Ok(writes)
    }

    /// What the histories have forgotten since this was asked last.
    pub fn forgotten(&mut self) -> Vec<Arc<Change>> {
        std::mem::take(&mut self.forgotten)
    }

    /// Says that the changes so far are the request's own, by this user agent.
    pub fn mark_actor(&mut self, user_agent: &str) {
        self.own = (self.pending.len(), user_agent.to_owned());
    }

    /// The table of a plural name, with or without its group.
    pub fn table_named(&self, name: &str) -> Option<usize> {
        let stored =
            |resource: &&Arc<super::resource::Resource>| resource.plural == name || resource.qualified() == name;
        self.registry.all().find(stored).map(|resource| resource.table)
    }

    pub fn table_named_mut(&mut self, name: &str) -> Option<&mut Table> {
        let table = self.table_named(name)?;
        self.tables.get_mut(table)
    }

    /// A version 4 uid from the server's own generator.
    pub fn new_uid(&mut self) -> String {
        uuid::Builder::from_random_bytes(self.random.random()).into_uuid().to_string()
    }

    /// Takes back the changes of this request, and what they gave the garbage collector to do.
    pub fn roll_back(&mut self) {
        for (table, change) in std::mem::take(&mut self.pending).into_iter().rev() {
            self.resource_version = change.resource_version - 1;
            self.replace(table, &change.key, change.before);
        }
        self.garbage.truncate(self.settled);
    }

    fn write_of(&self, table: usize, change: &Change, user_agent: &str) -> Write {
        let resource = self.registry.of_table(table);
        Write {
            group: resource.as_ref().map(|resource| resource.group.clone()).unwrap_or_default(),
            resource: resource.as_ref().map(|resource| resource.plural.clone()).unwrap_or_default(),
            namespace: change.key.namespace.clone(),
            name: change.key.name.clone(),
            resource_version: change.resource_version,
            before: change.before.as_ref().map(|object| object.value.clone()),
            after: change.after.as_ref().map(|object| object.value.clone()),
            user_agent: user_agent.to_owned(),
        }
    }

    /// A number for a new watch.
    pub fn next_watch(&mut self) -> u64 {
        self.next_watch += 1;
        self.next_watch
    }
}
