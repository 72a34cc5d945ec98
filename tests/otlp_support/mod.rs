//! A small receiver of OTLP over HTTP, in JSON.

use axum::{Json, Router, routing::post};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

/// What has arrived at [`Receiver::endpoint`].
pub struct Receiver {
    pub endpoint: String,
    spans: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let spans: Arc<Mutex<Vec<Value>>> = Arc::default();
        let taken = spans.clone();
        let take = async move |Json(body): Json<Value>| {
            let found = body.pointer("/resourceSpans/0/scopeSpans/0/spans").and_then(Value::as_array).cloned();
            taken.lock().unwrap().extend(found.unwrap());
            Json(json!({}))
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(axum::serve(listener, Router::new().route("/v1/traces", post(take))).into_future());
        Receiver { endpoint, spans }
    }

    pub fn all(&self) -> Vec<Value> {
        self.spans.lock().unwrap().clone()
    }

    pub fn named(&self, name: &str) -> Vec<Value> {
        self.all().into_iter().filter(|span| span["name"] == name).collect()
    }
}
