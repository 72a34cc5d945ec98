//! The server on a TCP socket, for kubectl.

use axum::{body::Body, extract::State, response::IntoResponse};
use http::{Response, header};
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
    /// Serves HTTP/1.1 on `listener` until the future is dropped. Every request must carry the bearer token; only the
    /// health paths are open.
    ///
    /// # Errors
    /// The listener fails.
    pub async fn serve(&self, listener: TcpListener, token: &str) -> std::io::Result<()> {
        let front = Front { server: self.clone(), token: token.to_owned() };
        let router = axum::Router::new().fallback(answer).with_state(front);
        axum::serve(listener, router).await
    }
}

async fn answer(State(front): State<Front>, request: http::Request<Body>) -> Response<Body> {
    let open = matches!(request.uri().path(), "/healthz" | "/livez" | "/readyz");
    if !open && !is_authorized(&request, &front.token) {
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

fn is_authorized(request: &http::Request<Body>, token: &str) -> bool {
    let given = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    // The same time for every wrong token of the right length.
    given.len() == token.len()
        && given.bytes().zip(token.bytes()).fold(0, |differences, (a, b)| differences | (a ^ b)) == 0
}

/// A kubeconfig for one server on loopback.
#[must_use]
pub fn kubeconfig(url: &str, token: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: automl\n\
         clusters:\n- name: automl\n  cluster: {{server: {url:?}}}\n\
         users:\n- name: automl\n  user: {{token: {token:?}}}\n\
         contexts:\n- name: automl\n  context: {{cluster: automl, user: automl, namespace: default}}\n"
    )
}
