//! The state on disk: one redb file, one transaction a request, durable before the request is answered.

use super::{
    object,
    resource::Registry,
    status::Status,
    store::{Change, Key, State},
};
use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, TableDefinition};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Version of the file's layout. A program refuses a file of a later one.
const FORMAT: u64 = 1;
const FILE: &str = "state.redb";
/// `RESOURCE.GROUP/NAMESPACE/NAME` to the object as JSON.
const OBJECTS: TableDefinition<&str, &[u8]> = TableDefinition::new("objects");
/// `format` and `resourceVersion`.
const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");

/// Why a state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// The folder cannot be made.
    #[error("the state folder {0} cannot be made: {1}")]
    Folder(PathBuf, std::io::Error),
    /// Somebody else has it open.
    #[error("the state folder {0} is used by another process; wait for it, end it, or choose another folder with --state-dir")]
    Locked(PathBuf),
    /// A later version of this program has written it.
    #[error("the state in {folder} was written by a newer version of this program (format {found}, this one knows {FORMAT}); use that version, or another folder with --state-dir")]
    Newer {
        /// The folder.
        folder: PathBuf,
        /// Its format.
        found: u64,
    },
    /// The file cannot be read.
    #[error("the state in {0} cannot be read: {1}; move the file {FILE} away to start afresh")]
    Damaged(PathBuf, String),
    /// A first write failed.
    #[error("the state cannot be written: {0}")]
    Write(#[from] Status),
}

/// The file, held open and locked.
#[derive(Debug)]
pub(super) struct Disk {
    database: Database,
}

impl Disk {
    /// Makes the changes of one request durable, all or none.
    pub fn store(&self, registry: &Registry, changes: &[(usize, Change)], version: u64) -> Result<(), Status> {
        self.write(registry, changes, version).map_err(|error| {
            let full = matches!(&error, redb::Error::Io(io) if io.kind() == std::io::ErrorKind::StorageFull);
            let message = if full {
                "the disk with the state folder is full; nothing was changed, make room and try again".to_owned()
            } else {
                format!("the state folder cannot be written: {error}; nothing was changed")
            };
            Status::new(500, "InternalError", message)
        })
    }

    fn write(&self, registry: &Registry, changes: &[(usize, Change)], version: u64) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut objects = transaction.open_table(OBJECTS)?;
            for (table, change) in changes {
                let Some(resource) = registry.of_table(*table) else { continue };
                let place = place(&resource.qualified(), &change.key);
                match &change.after {
                    Some(after) => objects.insert(place.as_str(), after.json().as_ref())?,
                    None => objects.remove(place.as_str())?,
                };
            }
            transaction.open_table(NUMBERS)?.insert("resourceVersion", version)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

fn place(resource: &str, key: &Key) -> String {
    format!("{resource}/{}/{}", key.namespace, key.name)
}

/// Opens the folder, loads what is in it, and keeps it open for what is to come.
pub(super) fn open(folder: &Path, state: &mut State) -> Result<(), DiskError> {
    std::fs::create_dir_all(folder).map_err(|error| DiskError::Folder(folder.to_owned(), error))?;
    let damaged = |error: redb::Error| DiskError::Damaged(folder.to_owned(), error.to_string());
    let database = Database::create(folder.join(FILE)).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => DiskError::Locked(folder.to_owned()),
        DatabaseError::Storage(StorageError::Io(io)) => DiskError::Damaged(folder.to_owned(), io.to_string()),
        other => DiskError::Damaged(folder.to_owned(), other.to_string()),
    })?;
    let (format, version, objects) = read(&database).map_err(damaged)?;
    if format > FORMAT {
        return Err(DiskError::Newer { folder: folder.to_owned(), found: format });
    }
    load(state, objects).map_err(|why| DiskError::Damaged(folder.to_owned(), why))?;
    state.resource_version = state.resource_version.max(version);
    state.set_disk(Disk { database });
    Ok(())
}

type Stored = (u64, u64, Vec<(String, Value)>);

/// Format, resourceVersion and objects; a new file is given its format.
fn read(database: &Database) -> Result<Stored, redb::Error> {
    let transaction = database.begin_write()?;
    let (format, version) = {
        let mut numbers = transaction.open_table(NUMBERS)?;
        let known = numbers.get("format")?.map(|format| format.value());
        if known.is_none() {
            numbers.insert("format", FORMAT)?;
        }
        let version = numbers.get("resourceVersion")?.map_or(0, |version| version.value());
        transaction.open_table(OBJECTS)?;
        (known.unwrap_or(FORMAT), version)
    };
    transaction.commit()?;
    let mut objects = Vec::new();
    if format <= FORMAT {
        for entry in database.begin_read()?.open_table(OBJECTS)?.iter()? {
            let (place, json) = entry?;
            let value = serde_json::from_slice(json.value()).unwrap_or(Value::Null);
            objects.push((place.value().to_owned(), value));
        }
    }
    Ok((format, version, objects))
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
