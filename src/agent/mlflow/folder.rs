//! An experiment in MLflow's file store: a folder named by its number, and in it `meta.yaml`. Its number comes from its name,
//! and it appears with one rename, so that of several agents that make it at the same moment one does and all are content.

use jiff::Timestamp;
use serde_json::Value;
use std::fs;
use std::io::{Error, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use uuid::Uuid;

const META: &str = "meta.yaml";
/// MLflow makes these when it makes a store.
const DEFAULT_NAME: &str = "Default";
const DEFAULT_ID: &str = "0";
/// Where MLflow keeps what was deleted.
const TRASH: &str = ".trash";
/// How many experiments are looked through for one of this name, and bytes of each.
const MAX_EXPERIMENTS: usize = 10_000;

/// Makes the store and an experiment of this name, where they are not there yet.
pub(super) fn prepare(root: &Path, name: &str) -> Result<(), Error> {
    if !root.exists() {
        fs::create_dir_all(root.join(TRASH))?;
        make(root, DEFAULT_ID, DEFAULT_NAME)?;
    }
    if is_there(root, name) || is_there(&root.join(TRASH), name) {
        return Ok(());
    }
    make(root, &number(name), name)
}

/// Whether an experiment of this name is in the folder.
fn is_there(folder: &Path, name: &str) -> bool {
    let experiments = fs::read_dir(folder).into_iter().flatten().flatten().take(MAX_EXPERIMENTS);
    let names = experiments.filter_map(|experiment| fs::read_to_string(experiment.path().join(META)).ok());
    names.into_iter().any(|meta| {
        let said = meta.lines().find_map(|line| line.strip_prefix("name:"));
        said.is_some_and(|said| said.trim().trim_matches(['"', '\'']) == name)
    })
}

/// As long as MLflow's own numbers are.
fn number(name: &str) -> String {
    // FNV-1a.
    let hash = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    (100_000_000_000_000_000 + hash % 900_000_000_000_000_000).to_string()
}

fn make(root: &Path, id: &str, name: &str) -> Result<(), Error> {
    let (new, experiment) = (root.join(format!(".{}", Uuid::new_v4())), root.join(id));
    fs::create_dir(&new)?;
    let now = Timestamp::now().as_millisecond();
    let text = |text: &str| Value::from(text).to_string();
    let meta = format!(
        "artifact_location: {}\ncreation_time: {now}\nexperiment_id: {}\nlast_update_time: {now}\nlifecycle_stage: active\nname: {}\n",
        text(&url_of(&experiment)),
        text(id),
        text(name),
    );
    let made = fs::write(new.join(META), meta).and_then(|()| fs::rename(&new, &experiment));
    match made {
        Ok(()) => Ok(()),
        Err(error) => {
            let _ = fs::remove_dir_all(&new);
            match error.kind() {
                // Another was faster.
                ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists => Ok(()),
                _ => Err(error),
            }
        }
    }
}

/// A path as a URL.
fn url_of(path: &Path) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(byte);
    let bytes = path.as_os_str().as_bytes().iter();
    let written = bytes.map(|byte| if plain(byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") });
    format!("file://{}", written.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_experiment_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("a b/mlruns");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| prepare(&root, "digits"));
            }
        });
        prepare(&root, "digits").unwrap();
        let mut found: Vec<_> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        found.sort();
        assert_eq!(found, [TRASH, DEFAULT_ID, &number("digits")]);
        let meta = fs::read_to_string(root.join(number("digits")).join(META)).unwrap();
        assert!(meta.contains("/a%20b/mlruns/"), "{meta}");
        assert!(meta.ends_with("lifecycle_stage: active\nname: \"digits\"\n"), "{meta}");
    }

    #[test]
    fn one_that_somebody_else_made_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        for (id, meta) in [("17", "creation_time: 5\nname: digits\n"), ("18", "name: '12'\n")] {
            fs::create_dir(folder.path().join(id)).unwrap();
            fs::write(folder.path().join(id).join(META), meta).unwrap();
        }
        prepare(folder.path(), "digits").unwrap();
        prepare(folder.path(), "12").unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
