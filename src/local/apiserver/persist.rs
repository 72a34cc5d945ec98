//! The state on disk: one redb file, one transaction a request, durable before the request is answered.

use super::{
    object::{self, Object},
    resource::Registry,
    status::Status,
    store::{Change, Key, State},
};
use crate::local::files::{no_room, private_file, private_folder, take_lock};
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Version of the file's layout. A program refuses a file of a later one.
const FORMAT: u64 = 1;
const FILE: &str = "state.redb";
const LOCK: &str = "state.lock";
/// A file that is not finished.
const NEXT: &str = "state.next";
/// `RESOURCE.GROUP/NAMESPACE/NAME` to the object as JSON.
const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
/// `format` and `resourceVersion`. Later layouts keep this table: it says which one it is.
const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");

/// Why a state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The folder cannot be made, or a file in it.
    #[error("the state folder {0} cannot be used: {1}")]
    Folder(PathBuf, std::io::Error),
    /// Somebody else has it open.
    #[error(
        "the state folder {0} is used by another process; wait for it, end it, or choose another folder with --state-dir"
    )]
    Locked(PathBuf),
    /// A later version of this program has written it.
    #[error(
        "the state in {folder} was written by a newer version of this program (format {found}, this one knows {FORMAT}); use that version, or another folder with --state-dir"
    )]
    Newer {
        /// The folder.
        folder: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The file cannot be read.
    #[error(
        "the state in {0} cannot be read: {1}; if a newer version of this program wrote it, use that one; otherwise move the file {FILE} away to start afresh"
    )]
    Damaged(PathBuf, String),
    /// There is no room for a first write.
    #[error("the disk with the state folder {0} is full; make room and start again")]
    Full(PathBuf),
    /// A first write failed.
    #[error("the state cannot be written: {0}")]
    Write(#[from] Status),
}

/// The file, held open and locked.
#[derive(Debug)]
pub(super) struct Disk {
    folder: PathBuf,
    /// `None` after a failed write: redb takes nothing more until the file is opened anew.
    database: Option<Database>,
    /// What failed writes may have changed in the file all the same: the places, and what belongs there. The next write
    /// puts it right.
    doubtful: BTreeMap<String, Option<Arc<Object>>>,
    /// Why nothing can be stored at present.
    trouble: Option<String>,
    /// Held even while the file is closed.
    _lock: File,
}

impl Disk {
    /// Makes the changes of one request durable, all or none.
    pub fn store(&mut self, registry: &Registry, changes: &[(usize, Change)], version: u64) -> Result<(), Status> {
        let placed = |(table, change): &(usize, Change)| {
            let resource = registry.of_table(*table)?;
            Some((place(&resource.qualified(), &change.key), change.before.clone(), change.after.clone()))
        };
        let changes: Vec<Placed> = changes.iter().filter_map(placed).collect();
        let Err(error) = self.write(&changes, version) else {
            self.doubtful.clear();
            self.trouble = None;
            return Ok(());
        };
        self.database = None;
        for (place, before, _) in changes {
            self.doubtful.entry(place).or_insert(before);
        }
        let folder = self.folder.display();
        let trouble = match &error {
            redb::Error::Io(io) if no_room(io) => format!("the disk with the state folder {folder} is full"),
            error => format!("the state folder {folder} cannot be written ({error})"),
        };
        let status =
            Status::new(500, "InternalError", format!("{trouble}; nothing was changed, make room and try again"));
        self.trouble = Some(trouble);
        Err(status)
    }

    /// Why nothing could be stored at the last try; `None`: all is well.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn write(&mut self, changes: &[Placed], version: u64) -> Result<(), redb::Error> {
        let database = match &mut self.database {
            Some(database) => database,
            closed => closed.insert(open_file(&self.folder, FILE)?),
        };
        let transaction = database.begin_write()?;
        {
            let mut objects = transaction.open_table(OBJECTS)?;
            let mut put = |place: &str, object: &Option<Arc<Object>>| -> Result<(), StorageError> {
                match object {
                    Some(object) => objects.insert(place, object.json().as_ref())?,
                    None => objects.remove(place)?,
                };
                Ok(())
            };
            for (place, object) in &self.doubtful {
                put(place, object)?;
            }
            for (place, _, after) in changes {
                put(place, after)?;
            }
            transaction.open_table(NUMBERS)?.insert("resourceVersion", version)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

/// A change by its place: the object before and after it.
type Placed = (String, Option<Arc<Object>>, Option<Arc<Object>>);

fn place(resource: &str, key: &Key) -> String {
    format!("{resource}/{}/{}", key.namespace, key.name)
}

/// Opens the folder, loads what is in it, and keeps it open for what is to come.
pub(super) fn open(folder: &Path, state: &mut State) -> Result<(), DiskError> {
    let refused = |error: std::io::Error| match no_room(&error) {
        true => DiskError::Full(folder.to_owned()),
        false => DiskError::Folder(folder.to_owned(), error),
    };
    private_folder(folder).map_err(refused)?;
    let lock = private_file(&folder.join(LOCK), OpenOptions::new().create(true).truncate(false).write(true));
    let lock = lock.map_err(refused)?;
    match take_lock(&lock) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(DiskError::Locked(folder.to_owned())),
        Err(TryLockError::Error(error)) => return Err(refused(error)),
    }
    let failed = |error: redb::Error| match error {
        redb::Error::DatabaseAlreadyOpen => DiskError::Locked(folder.to_owned()),
        redb::Error::Io(io) if no_room(&io) => DiskError::Full(folder.to_owned()),
        redb::Error::Io(io) if io.kind() == std::io::ErrorKind::PermissionDenied => refused(io),
        other => DiskError::Damaged(folder.to_owned(), other.to_string()),
    };
    if !folder.join(FILE).exists() {
        begin(folder).map_err(failed)?;
    }
    let database = open_file(folder, FILE).map_err(|error| failed(error.into()))?;
    let (format, version) = read_numbers(&database).map_err(failed)?;
    if format > FORMAT {
        return Err(DiskError::Newer { folder: folder.to_owned(), found: format });
    }
    let objects = read_objects(&database).map_err(failed)?;
    load(state, objects).map_err(|why| DiskError::Damaged(folder.to_owned(), why))?;
    state.loaded(version);
    state.set_disk(Disk {
        folder: folder.to_owned(),
        database: Some(database),
        doubtful: BTreeMap::new(),
        trouble: None,
        _lock: lock,
    });
    Ok(())
}

fn open_file(folder: &Path, name: &str) -> Result<Database, DatabaseError> {
    let mut options = OpenOptions::new();
    let file = private_file(&folder.join(name), options.create(true).truncate(false).read(true).write(true));
    let backend = FileBackend::new(file.map_err(StorageError::from)?)?;
    Database::builder().create_with_backend(backend)
}

/// Makes a new file with its format and its tables. Until all of it is on the disk it has another name: whatever stops
/// this leaves nothing that could be taken for damaged state.
fn begin(folder: &Path) -> Result<(), redb::Error> {
    if let Err(error) = std::fs::remove_file(folder.join(NEXT))
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error.into());
    }
    let database = open_file(folder, NEXT)?;
    let transaction = database.begin_write()?;
    transaction.open_table(NUMBERS)?.insert("format", FORMAT)?;
    transaction.open_table(OBJECTS)?;
    transaction.commit()?;
    drop(database);
    std::fs::rename(folder.join(NEXT), folder.join(FILE))?;
    Ok(File::open(folder)?.sync_all()?)
}

/// Format and resourceVersion.
fn read_numbers(database: &Database) -> Result<(u64, u64), redb::Error> {
    let numbers = database.begin_read()?.open_table(NUMBERS)?;
    let number = |name: &str| -> Result<Option<u64>, StorageError> { Ok(numbers.get(name)?.map(|it| it.value())) };
    Ok((number("format")?.unwrap_or(FORMAT), number("resourceVersion")?.unwrap_or_default()))
}

fn read_objects(database: &Database) -> Result<Vec<(String, Value)>, redb::Error> {
    let mut objects = Vec::new();
    for entry in database.begin_read()?.open_table(OBJECTS)?.iter()? {
        let (place, json) = entry?;
        objects.push((place.value().to_owned(), serde_json::from_slice(json.value()).unwrap_or(Value::Null)));
    }
    Ok(objects)
}

/// Definitions first, so that the objects of their kinds have a place.
fn load(state: &mut State, mut objects: Vec<(String, Value)>) -> Result<(), String> {
    const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";
    objects.sort_by_key(|(place, _)| !place.starts_with(DEFINITIONS));
    for (place, value) in objects {
        let resource = place.split('/').next().unwrap_or_default();
        if !value.is_object() {
            return Err(format!("the object {place} is no JSON"));
        }
        if resource == DEFINITIONS {
            state.establish(&value)?;
        }
        let Some(table) = state.table_named(resource) else {
            return Err(format!("the object {place} is of a kind that is not known: {}", object::name(&value)));
        };
        state.load(table, value);
    }
    Ok(())
}
