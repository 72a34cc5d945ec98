//! Serves routes on a listener, so that callers who are slow, or many, take nothing from the others: a head that does not
//! come, a request that does not end and more connections than one address needs are cut off.

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};

/// Until the head of a request has come, and for which a connection may be idle.
const HEAD: Duration = Duration::from_secs(15);
/// A whole request. Longer than a last batch waits until it is stored.
const REQUEST: Duration = Duration::from_secs(40);
/// Connections of one address. A node with all its pods may share one; this machine's programs share the loopback address,
/// and nobody else has it.
const PER_ADDRESS: usize = 256;
/// After this machine had no room for another connection.
const REST: Duration = Duration::from_secs(1);

/// Serves for as long as it is polled. Connections go on to their end.
///
/// # Errors
/// None so far: what goes wrong with one connection is no reason to end.
pub async fn serve(listener: TcpListener, routes: Router) -> std::io::Result<()> {
    serve_bounded(listener, routes, HEAD, |address| if address.is_loopback() { usize::MAX } else { PER_ADDRESS }).await
}

async fn serve_bounded(
    listener: TcpListener,
    routes: Router,
    head: Duration,
    most: impl Fn(IpAddr) -> usize,
) -> std::io::Result<()> {
    let routes = routes.layer(from_fn(in_time));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(head);
    let callers = Arc::new(Mutex::new(HashMap::new()));
    loop {
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken");
                sleep(REST).await;
                continue;
            }
        };
        let Some(place) = Place::take(&callers, address.ip(), most(address.ip())) else { continue };
        let _ = stream.set_nodelay(true);
        let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(routes.clone()));
        tokio::spawn(async move {
            // It says nothing that anybody could do anything about: the caller has gone, or was too slow.
            let _ = connection.await;
            drop(place);
        });
    }
}

async fn in_time(request: Request, next: Next) -> Response {
    let answer = timeout(REQUEST, next.run(request)).await;
    answer.unwrap_or_else(|_| StatusCode::REQUEST_TIMEOUT.into_response())
}

/// One of the connections that an address may have.
struct Place {
    callers: Arc<Mutex<HashMap<IpAddr, usize>>>,
    address: IpAddr,
}

impl Place {
    fn take(callers: &Arc<Mutex<HashMap<IpAddr, usize>>>, address: IpAddr, most: usize) -> Option<Self> {
        let mut all = callers.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = all.entry(address).or_insert(0);
        if *taken >= most {
            return None;
        }
        *taken += 1;
        Some(Place { callers: callers.clone(), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = all.get_mut(&self.address) {
            *taken -= 1;
            if *taken == 0 {
                all.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::{get, post};
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn served(head: Duration, most: usize) -> SocketAddr {
        let routes = Router::new().route("/", get(async || "here")).route("/", post(async |body: String| body));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve_bounded(listener, routes, head, move |_| most));
        address
    }

    /// What comes back until the connection is closed.
    async fn said(address: SocketAddr, text: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(text.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await.expect("it is closed");
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test]
    async fn a_head_that_does_not_come_is_not_waited_for() {
        let address = served(Duration::from_millis(100), usize::MAX).await;
        let whole = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        assert!(said(address, whole).await.ends_with("here"));
        for part in ["", "GET / HT", "GET / HTTP/1.1\r\nhost: a\r\nx: "] {
            assert!(!said(address, part).await.contains("200"), "{part:?}");
        }
        let kept = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        assert!(said(address, kept).await.ends_with("here"), "it is closed when nothing more comes");
    }

    #[tokio::test]
    async fn one_address_has_so_many_connections() {
        let address = served(HEAD, 2).await;
        let one = TcpStream::connect(address).await.unwrap();
        let two = TcpStream::connect(address).await.unwrap();
        let whole = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        assert_eq!(said(address, whole).await, "", "the third is cut off");
        drop((one, two));
        let mut answer = String::new();
        for _ in 0..200 {
            let mut stream = TcpStream::connect(address).await.unwrap();
            answer.clear();
            if stream.write_all(whole.as_bytes()).await.is_ok() && stream.read_to_string(&mut answer).await.is_ok() {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        assert!(answer.ends_with("here"), "{answer}");
    }

    #[tokio::test]
    async fn a_body_that_does_not_end_is_not_waited_for() {
        let address = served(HEAD, usize::MAX).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nab").await.unwrap();
        sleep(Duration::from_millis(200)).await;
        tokio::time::pause();
        let mut answer = [0; 64];
        let count = stream.read(&mut answer).await.unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 408 "), "{:?}", String::from_utf8_lossy(&answer[..count]));
    }
}
