//! Clears up what objects leave behind on this machine, once they are deleted.

use crate::local::apiserver::{ApiServer, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Deletions that come together are cleared up after once; and programs may still be ending.
const PAUSE: Duration = Duration::from_secs(1);

/// Calls `clear` with this folder now, and again after each deletion that `concerns` it, for as long as it is polled.
pub async fn after_deletions(
    server: ApiServer,
    folder: PathBuf,
    concerns: fn(&ApiServer, &Write) -> bool,
    clear: fn(&ApiServer, &Path),
) {
    let deleted = Arc::new(Notify::new());
    let (seen, reader) = (Arc::clone(&deleted), server.clone());
    server.add_observer(Arc::new(move |write| {
        if write.after.is_none() && concerns(&reader, write) {
            seen.notify_one();
        }
    }));
    loop {
        let (server, folder) = (server.clone(), folder.clone());
        let _ = tokio::task::spawn_blocking(move || clear(&server, &folder)).await;
        deleted.notified().await;
        tokio::time::sleep(PAUSE).await;
    }
}
