//! The state's lock through one request.
//!
//! Most of a write is to make its object ready: to read it, merge, validate, and say whose its fields are. Others need not
//! wait for that. So a write looks at what is there, lets go, and takes the state again to store; if somebody was faster it
//! is served once more from its start, while all wait.

use std::sync::{Arc, MutexGuard};

use super::{
    Inner,
    object::{self, Object},
    resource::Resource,
    status::Status,
    store::{Key, State},
};

/// The state, locked as long as it is needed.
pub(super) struct Held<'a> {
    server: &'a Inner,
    guard: Option<MutexGuard<'a, State>>,
    /// Never let go.
    throughout: bool,
    overtaken: bool,
}

impl<'a> Held<'a> {
    pub fn new(server: &'a Inner) -> Self {
        Self { server, guard: None, throughout: false, overtaken: false }
    }

    /// One that nobody can overtake.
    pub fn throughout(server: &'a Inner) -> Self {
        Self { throughout: true, ..Self::new(server) }
    }

    /// The state; waits for it if it was let go.
    pub fn state(&mut self) -> &mut State {
        self.guard.get_or_insert_with(|| self.server.lock())
    }

    /// Lets others at it. Nothing that the request has changed may be there yet.
    pub fn let_go(&mut self) {
        if !self.throughout {
            self.guard = None;
        }
    }

    /// Takes the state to store an object of this kind.
    ///
    /// # Errors
    /// When the kind is not as it was when the object was made ready.
    pub fn take_for(&mut self, resource: &Arc<Resource>) -> Result<(), Status> {
        let now = self.state().registry.get(&resource.group, &resource.version, &resource.plural);
        self.unless_overtaken(now.is_some_and(|now| Arc::ptr_eq(&now, resource)))
    }

    /// Takes the state to store something in place of `old`.
    ///
    /// # Errors
    /// When that, or its kind, is not as it was.
    pub fn take_where_still(&mut self, resource: &Arc<Resource>, old: &Arc<Object>) -> Result<(), Status> {
        self.take_for(resource)?;
        let key = Key::new(object::namespace(&old.value), object::name(&old.value));
        let is_there = self.state().get(resource.table, &key).is_some_and(|now| Arc::ptr_eq(now, old));
        self.unless_overtaken(is_there)
    }

    fn unless_overtaken(&mut self, is_as_it_was: bool) -> Result<(), Status> {
        if is_as_it_was {
            return Ok(());
        }
        self.overtaken = true;
        Err(Status::new(409, "Conflict", "the object has been modified meanwhile; please try again"))
    }

    /// Whether the request has to be served again.
    pub fn was_overtaken(&self) -> bool {
        self.overtaken && !self.throughout
    }

    /// Takes back what the request has changed so far.
    pub fn roll_back(&mut self) {
        // Whoever has let go has changed nothing.
        if let Some(state) = &mut self.guard {
            state.roll_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::{
        Api,
        api::{ObjectMeta, Patch, PatchParams, PostParams},
    };
    use serde_json::json;

    use crate::local::apiserver::ApiServer;

    const WRITERS: usize = 4;
    const WRITES: usize = 200;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn writers_of_one_object_lose_nothing() {
        let server = ApiServer::builder().build().unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(server.client("default"), "default");
        let metadata = ObjectMeta { name: Some("m".into()), ..ObjectMeta::default() };
        maps.create(&PostParams::default(), &ConfigMap { metadata, ..ConfigMap::default() }).await.unwrap();
        let writers = (0..WRITERS).map(|writer| {
            let maps = maps.clone();
            tokio::spawn(async move {
                let mut versions = Vec::new();
                for write in 0..WRITES {
                    let key = format!("{writer}-{write}");
                    let patch = Patch::Merge(json!({"data": {&key: "x".repeat(1000)}}));
                    let written = maps.patch("m", &PatchParams::default(), &patch).await.unwrap();
                    assert!(written.data.unwrap().contains_key(&key));
                    versions.push(written.metadata.resource_version.unwrap());
                }
                versions
            })
        });
        let mut versions = BTreeSet::new();
        for writer in writers.collect::<Vec<_>>() {
            versions.extend(writer.await.unwrap());
        }
        assert_eq!(versions.len(), WRITERS * WRITES, "each write has a version of its own");
        assert_eq!(maps.get("m").await.unwrap().data.unwrap().len(), WRITERS * WRITES);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn an_object_is_created_once() {
        let server = ApiServer::builder().build().unwrap();
        let maps: Api<ConfigMap> = Api::namespaced(server.client("default"), "default");
        let creators = (0..WRITERS).map(|_| {
            let maps = maps.clone();
            tokio::spawn(async move {
                let mut created = 0;
                for number in 0..WRITES {
                    let metadata = ObjectMeta { name: Some(format!("m{number}")), ..ObjectMeta::default() };
                    let map = ConfigMap { metadata, ..ConfigMap::default() };
                    match maps.create(&PostParams::default(), &map).await {
                        Ok(_) => created += 1,
                        Err(kube::Error::Api(status)) => assert_eq!(status.reason, "AlreadyExists"),
                        Err(other) => panic!("{other}"),
                    }
                }
                created
            })
        });
        let mut created = 0;
        for creator in creators.collect::<Vec<_>>() {
            created += creator.await.unwrap();
        }
        assert_eq!(created, WRITES);
    }
}
