//! The embedded API server's state: what stays on disk, and what is put right after a refused request.

use automl_operator::local::apiserver::{ApiServer, BuildError, DiskError, Garbage};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, VersionMatch, WatchEvent, WatchParams};
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

fn open(folder: &Path) -> ApiServer {
    ApiServer::builder().state_directory(folder).build().unwrap()
}

fn config_maps(server: &ApiServer) -> Api<ConfigMap> {
    Api::namespaced(server.client("default"), "default")
}

fn config_map(name: &str, owner: Option<&ConfigMap>) -> ConfigMap {
    let owners = owner.map(|owner| {
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": owner.metadata.name, "uid": owner.metadata.uid}])
    });
    serde_json::from_value(json!({"metadata": {"name": name, "ownerReferences": owners}})).unwrap()
}

/// What changed before a restart is not known any more, so nobody must be told that nothing did.
#[tokio::test]
async fn after_a_restart_old_versions_are_expired() {
    let folder = tempfile::tempdir().unwrap();
    let server = open(folder.path());
    let maps = config_maps(&server);
    let first = maps.create(&PostParams::default(), &config_map("first", None)).await.unwrap();
    let old = first.metadata.resource_version.unwrap();
    let second = maps.create(&PostParams::default(), &config_map("second", None)).await.unwrap();
    let last = second.metadata.resource_version.unwrap();
    drop((maps, server));
    let server = loop {
        // The client ends in a task of its own.
        tokio::task::yield_now().await;
        match ApiServer::builder().state_directory(folder.path()).build() {
            Err(BuildError::Disk(DiskError::Locked(_))) => {}
            server => break server.unwrap(),
        }
    };
    let maps = config_maps(&server);
    let exact = |version: &str| ListParams::default().at(version).matching(VersionMatch::Exact);
    let refused = maps.list(&exact(&old)).await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 410), "{refused}");
    assert_eq!(maps.list(&exact(&last)).await.unwrap().items.len(), 2, "the last is known");
    let mut watch = maps.watch(&WatchParams::default(), &old).await.unwrap().boxed();
    match watch.try_next().await.unwrap() {
        Some(WatchEvent::Error(status)) => assert_eq!(status.code, 410, "{status:?}"),
        event => panic!("{event:?}"),
    }
    // From the last one on, nothing is missed.
    let mut watch = maps.watch(&WatchParams::default(), &last).await.unwrap().boxed();
    let patch = Patch::Merge(json!({"data": {"a": "b"}}));
    maps.patch("first", &PatchParams::default(), &patch).await.unwrap();
    match watch.try_next().await.unwrap() {
        Some(WatchEvent::Modified(map)) => assert_eq!(map.metadata.name.as_deref(), Some("first")),
        event => panic!("{event:?}"),
    }
}

#[test]
fn only_the_owner_can_read_the_state() {
    let parent = tempfile::tempdir().unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let folder = parent.path().join("state");
    drop(open(&folder));
    assert_eq!((mode(&folder), mode(&folder.join("state.redb"))), (0o700, 0o600));
    // An earlier version let others read it.
    std::fs::set_permissions(folder.join("state.redb"), std::fs::Permissions::from_mode(0o644)).unwrap();
    drop(open(&folder));
    assert_eq!(mode(&folder.join("state.redb")), 0o600);
}

#[test]
fn a_folder_is_opened_once_and_only_by_a_version_that_knows_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = open(folder.path());
    let again = ApiServer::builder().state_directory(folder.path()).build().map(drop).unwrap_err();
    assert!(matches!(again, BuildError::Disk(DiskError::Locked(_))), "{again}");
    drop(server);
    // A later layout has other tables; the one with its number stays.
    let database = redb::Database::open(folder.path().join("state.redb")).unwrap();
    let transaction = database.begin_write().unwrap();
    transaction.delete_table(redb::TableDefinition::<&str, &[u8]>::new("objects")).unwrap();
    transaction.open_table(redb::TableDefinition::<u64, u64>::new("objects")).unwrap();
    let numbers = redb::TableDefinition::<&str, u64>::new("numbers");
    transaction.open_table(numbers).unwrap().insert("format", 2).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let newer = ApiServer::builder().state_directory(folder.path()).build().map(drop).unwrap_err();
    assert!(matches!(newer, BuildError::Disk(DiskError::Newer { found: 2, .. })), "{newer}");
}

/// What a request leaves to the collector is not forgotten because another one is refused.
#[tokio::test]
async fn a_refused_request_leaves_the_collector_its_work() {
    let server = ApiServer::builder().garbage(Garbage::Manual).build().unwrap();
    let maps = config_maps(&server);
    let owner = maps.create(&PostParams::default(), &config_map("owner", None)).await.unwrap();
    maps.create(&PostParams::default(), &config_map("owned", Some(&owner))).await.unwrap();
    server.collect_garbage().unwrap();
    maps.delete("owner", &DeleteParams::background()).await.unwrap();
    assert!(maps.get_opt("none").await.unwrap().is_none());
    assert!(maps.create(&PostParams::default(), &config_map("owned", None)).await.is_err());
    assert!(maps.get_opt("owned").await.unwrap().is_some(), "not yet collected");
    server.collect_garbage().unwrap();
    assert!(maps.get_opt("owned").await.unwrap().is_none());
}
