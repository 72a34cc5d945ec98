//! Putting a server together.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicU64},
    },
};

use rand::RngExt;
use serde_json::{Value, json};

use super::{
    ApiServer, Inner, builtin,
    clock::{Clock, SystemClock, rfc3339},
    knobs::Hooks,
    resource::CRD_GROUP,
    store::{Key, State},
};

/// When the garbage collector works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Garbage {
    /// In the request that makes the garbage, before it is answered.
    #[default]
    Immediate,
    /// Only when [`ApiServer::collect_garbage`] is called: tests see the time in between, as in a cluster.
    Manual,
}

/// Why a server could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A CustomResourceDefinition is not usable.
    #[error("the CustomResourceDefinition {name:?} cannot be served: {why}")]
    Definition {
        /// `metadata.name` of the definition.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// The state folder is not usable.
    #[error(transparent)]
    Disk(#[from] super::persist::DiskError),
}

#[derive(Debug)]
pub(super) struct Options {
    pub creates_namespaces: bool,
    pub garbage: Garbage,
    pub audit_log: bool,
    pub on_disk: bool,
}

/// Collects what a server is made of.
pub struct Builder {
    clock: Arc<dyn Clock>,
    seed: Option<u64>,
    definitions: Vec<Value>,
    disk: Option<PathBuf>,
    hooks: Hooks,
    options: Options,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            seed: None,
            definitions: Vec::new(),
            disk: None,
            hooks: Hooks::default(),
            options: Options {
                creates_namespaces: true,
                garbage: Garbage::Immediate,
                audit_log: false,
                on_disk: false,
            },
        }
    }
}

impl Builder {
    /// Where timestamps come from; the machine's clock if not set.
    #[must_use]
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Makes uids and generated names a function of this seed and the order of requests.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Serves the kind of a CustomResourceDefinition (`apiextensions.k8s.io/v1`, as JSON).
    #[must_use]
    pub fn custom_resource_definition(mut self, definition: Value) -> Self {
        self.definitions.push(definition);
        self
    }

    /// Keeps the state in this folder, which is made if it is missing. Without it the state lives in memory.
    #[must_use]
    pub fn state_directory(mut self, path: impl Into<PathBuf>) -> Self {
        self.disk = Some(path.into());
        self.options.on_disk = true;
        self
    }

    /// Decides which requests fail, and how.
    #[must_use]
    pub fn faults(mut self, faults: impl super::Faults + 'static) -> Self {
        self.hooks.faults = Some(Arc::new(faults));
        self
    }

    /// Is shown every stored change.
    #[must_use]
    pub fn observer(mut self, observer: impl Fn(&super::Write) + Send + Sync + 'static) -> Self {
        self.hooks.observers.push(Arc::new(observer));
        self
    }

    /// Keeps a record of each request for [`ApiServer::audit_log`].
    #[must_use]
    pub fn audit_log(mut self) -> Self {
        self.options.audit_log = true;
        self
    }

    /// Whether a namespace that does not exist is made by the first object in it (as set at first), or refuses it as
    /// kube-apiserver does.
    #[must_use]
    pub fn creates_namespaces(mut self, creates: bool) -> Self {
        self.options.creates_namespaces = creates;
        self
    }

    /// When the garbage collector works.
    #[must_use]
    pub fn garbage(mut self, garbage: Garbage) -> Self {
        self.options.garbage = garbage;
        self
    }

    /// Builds the server.
    ///
    /// # Errors
    /// A definition is not usable, or the state folder is: locked by another process, of a newer version, damaged.
    pub fn build(self) -> Result<ApiServer, BuildError> {
        let seed = match self.seed {
            Some(number) => {
                let mut seed = [0; 32];
                seed.iter_mut().zip(number.to_le_bytes()).for_each(|(slot, byte)| *slot = byte);
                seed
            }
            None => rand::rng().random(),
        };
        let mut state = State::new(seed);
        if let Some(path) = &self.disk {
            super::persist::open(path, &mut state)?;
        }
        let inner = Inner {
            clock: self.clock,
            state: Mutex::new(state),
            options: self.options,
            hooks: RwLock::new(self.hooks),
            audit: Mutex::default(),
            requests: AtomicU64::default(),
            writes: AtomicU64::default(),
            expired_as_http: AtomicBool::default(),
            stopped: AtomicBool::default(),
        };
        let server = ApiServer { inner: Arc::new(inner) };
        server.furnish(self.definitions)?;
        Ok(server)
    }
}

impl ApiServer {
    /// Starts the description of a server.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Puts in what every cluster has, and the definitions given.
    fn furnish(&self, definitions: Vec<Value>) -> Result<(), BuildError> {
        let now = rfc3339(self.inner.now());
        let mut state = self.inner.lock();
        state.requeue_garbage();
        if let Some(namespaces) = state.registry.get("", "v1", "namespaces") {
            for name in ["default", "kube-system"] {
                if state.get(namespaces.table, &Key::new("", name)).is_none() {
                    let uid = state.new_uid();
                    state.put(namespaces.table, builtin::namespace(name, &uid, &now));
                }
            }
        }
        for mut definition in definitions {
            let name = super::object::name(&definition).to_owned();
            let wrong = |why: String| BuildError::Definition { name: name.clone(), why };
            let Some(table) = state.registry.find(CRD_GROUP, "customresourcedefinitions").map(|crds| crds.table) else {
                continue;
            };
            let old = state.get(table, &Key::new("", &name)).cloned();
            let meta = super::object::metadata_mut(&mut definition);
            let (uid, created) = match &old {
                Some(old) => {
                    (old.uid().to_owned(), super::object::meta_text(&old.value, "creationTimestamp").to_owned())
                }
                None => (state.new_uid(), now.clone()),
            };
            meta.insert("uid".to_owned(), json!(uid));
            meta.insert("creationTimestamp".to_owned(), json!(created));
            meta.insert("generation".to_owned(), json!(1));
            super::custom::accept(&mut definition, &now);
            state.establish(&definition).map_err(wrong)?;
            state.put(table, definition);
        }
        state.commit("apiserver", false).map_err(super::persist::DiskError::from)?;
        Ok(())
    }
}
