//! The server on a TCP socket, for kubectl.

use axum::{body::Body, extract::State, response::IntoResponse};
use http::{Response, Uri, header};
use http_body_util::BodyExt;
use tokio::net::TcpListener;

use super::{ApiServer, status::Status};

/// Largest body of a request, as in etcd's default with room for JSON.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

#[derive(Clone)]
struct Front {
    server: ApiServer,
    token: String,
}

impl ApiServer {
    /// Serves HTTP/1.1 on `listener` until the future is dropped. Every request must carry the token, as bearer token
    /// or as first segment of its path; only the health paths are open.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn serve(&self, listener: TcpListener, token: &str) -> std::io::Result<()> {
        let front = Front { server: self.clone(), token: token.to_owned() };
        let router = axum::Router::new().fallback(answer).with_state(front);
        axum::serve(listener, router).await
    }
}

async fn answer(State(front): State<Front>, mut request: http::Request<Body>) -> Response<Body> {
    let open = matches!(request.uri().path(), "/healthz" | "/livez" | "/readyz");
    let known = match without_token(request.uri(), &front.token) {
        Some(uri) => {
            *request.uri_mut() = uri;
            true
        }
        None => has_bearer(&request, &front.token),
    };
    if !open && !known {
        return super::service::refusal(&Status::new(401, "Unauthorized", "Unauthorized")).map(Body::new);
    }
    let (parts, body) = request.into_parts();
    let body = match http_body_util::Limited::new(body, BODY_LIMIT).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => {
            let message = format!("Request entity too large: limit is {BODY_LIMIT} ({error})");
            return super::service::refusal(&Status::new(413, "RequestEntityTooLarge", message)).map(Body::new);
        }
    };
    match front.server.serve_request(&parts, body).await {
        Ok(response) => response.map(Body::new),
        Err(lost) => {
            // A body that fails at once makes the connection break, which is what the client is to see.
            let broken = futures::stream::once(async move { Err::<bytes::Bytes, _>(lost) });
            Body::from_stream(broken).into_response()
        }
    }
}

/// The same address without the token in front of its path; `None` if there is none or a wrong one.
fn without_token(uri: &Uri, token: &str) -> Option<Uri> {
    let path = uri.path_and_query()?.as_str().strip_prefix('/')?;
    let (given, rest) = path.split_at_checked(token.len())?;
    if !is_same(given, token) || !(rest.is_empty() || rest.starts_with(['/', '?'])) {
        return None;
    }
    let rest = if rest.starts_with('/') { rest.to_owned() } else { format!("/{rest}") };
    rest.parse().ok()
}

fn has_bearer(request: &http::Request<Body>, token: &str) -> bool {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(|value| value.strip_prefix("Bearer ")).is_some_and(|given| is_same(given, token))
}

/// Equality in the same time for every wrong text of the right length.
fn is_same(given: &str, token: &str) -> bool {
    given.len() == token.len()
        && given.bytes().zip(token.bytes()).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

/// A kubeconfig for a server on loopback.
///
/// The token is part of the server's address: kubectl sends no credentials over plain HTTP, and a server on loopback
/// needs no TLS.
#[must_use]
pub fn kubeconfig(url: &str, token: &str) -> String {
    let url = format!("{}/{token}", url.trim_end_matches('/'));
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: automl\n\
         clusters:\n- name: automl\n  cluster: {{server: {url:?}}}\n\
         users:\n- name: automl\n  user: {{}}\n\
         contexts:\n- name: automl\n  context: {{cluster: automl, user: automl, namespace: default}}\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_in_the_path() {
        for (path, expected) in [
            ("/secret/api/v1?watch=1", Some("/api/v1?watch=1")),
            ("/secret", Some("/")),
            ("/secret/", Some("/")),
            ("/secret?a=b", Some("/?a=b")),
            ("/secrets/api", None),
            ("/wrong1/api", None),
            ("/api", None),
            ("/", None),
        ] {
            let uri: Uri = path.parse().unwrap();
            assert_eq!(without_token(&uri, "secret").map(|uri| uri.to_string()).as_deref(), expected, "{path}");
        }
    }
}
