//! A request taken apart: which resource, which verb, which options.

use std::collections::HashMap;

use axum::extract::Query;
use bytes::Bytes;
use http::{HeaderMap, Method, Uri, header, request::Parts};

use super::{
    fault::{RequestInfo, Verb},
    status::Status,
};

/// A request, ready to be served.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub info: RequestInfo,
    pub options: Options,
    pub accept: Accept,
    /// Media type of the body without parameters.
    pub content_type: String,
    pub body: Bytes,
}

/// The query parameters of the Kubernetes API.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    values: HashMap<String, String>,
}

impl Options {
    fn parse(uri: &Uri) -> Self {
        let values = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|Query(pairs)| pairs).unwrap_or_default();
        Self { values: values.into_iter().collect() }
    }

    /// The text of a parameter; empty if it is not given.
    pub fn text(&self, name: &str) -> &str {
        self.values.get(name).map(String::as_str).unwrap_or_default()
    }

    pub fn flag(&self, name: &str) -> bool {
        matches!(self.text(name), "true" | "1" | "True" | "TRUE")
    }

    pub fn number(&self, name: &str) -> Result<Option<u64>, Status> {
        let text = self.text(name);
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(|_| Status::bad_request(format!("invalid value {text:?} for parameter {name}")))
    }
}

/// The form in which objects are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accept {
    Json,
    Table,
    PartialObjectMetadata,
    /// Aggregated discovery (`apidiscovery.k8s.io/v2`).
    Discovery,
}

impl Accept {
    fn parse(headers: &HeaderMap) -> Self {
        let text = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        for choice in text.split(',') {
            let mut parts = choice.split(';').map(str::trim);
            if parts.next() != Some("application/json") {
                continue;
            }
            let parameters: Vec<&str> = parts.collect();
            let named = |name: &str| parameters.contains(&name);
            if named("as=Table") && !named("v=v1beta1") {
                return Self::Table;
            }
            if named("as=PartialObjectMetadata") || named("as=PartialObjectMetadataList") {
                return Self::PartialObjectMetadata;
            }
            if named("as=APIGroupDiscoveryList") && named("v=v2") {
                return Self::Discovery;
            }
            if !parameters.iter().any(|parameter| parameter.starts_with("as=")) {
                return Self::Json;
            }
        }
        Self::Json
    }
}

impl Request {
    /// Takes a request apart. The numbers in `info` are still zero.
    pub fn parse(parts: &Parts, body: Bytes) -> Self {
        let header = |name: header::HeaderName| -> String {
            parts.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let options = Options::parse(&parts.uri);
        let target = Target::parse(parts.uri.path());
        let verb = verb(&parts.method, &target, &options);
        let info = RequestInfo {
            number: 0,
            write_number: 0,
            verb,
            group: target.group,
            version: target.version,
            resource: target.resource,
            subresource: target.subresource,
            namespace: target.namespace,
            name: target.name,
            user_agent: header(header::USER_AGENT),
            dry_run: options.text("dryRun") == "All",
            path: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        };
        let content_type = header(header::CONTENT_TYPE);
        let content_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        Self { info, options, accept: Accept::parse(&parts.headers), content_type, body }
    }

    /// What hooks are told: a create names its object in the body only.
    pub fn told(&self) -> RequestInfo {
        #[derive(Default, serde::Deserialize)]
        struct Named {
            metadata: Metadata,
        }
        #[derive(Default, serde::Deserialize)]
        struct Metadata {
            name: String,
        }
        let mut info = self.info.clone();
        if info.verb == Verb::Create {
            let named: Named = serde_json::from_slice(&self.body).unwrap_or_default();
            info.name = named.metadata.name;
        }
        info
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.info.path.split('?').next().unwrap_or_default()
    }
}

/// The part of a path that names a resource.
#[derive(Debug, Default)]
struct Target {
    group: String,
    version: String,
    namespace: String,
    resource: String,
    name: String,
    subresource: String,
}

impl Target {
    fn parse(path: &str) -> Self {
        let segments: Vec<String> =
            path.split('/').filter(|segment| !segment.is_empty()).map(percent_decoded).collect();
        let mut segments = segments.into_iter();
        let mut target = Self::default();
        match segments.next().as_deref() {
            Some("api") => {}
            Some("apis") => target.group = segments.next().unwrap_or_default(),
            _ => return Self::default(),
        }
        target.version = segments.next().unwrap_or_default();
        let rest: Vec<String> = segments.collect();
        let rest: &[String] = match rest.as_slice() {
            // `/namespaces/x/status` is about the namespace itself.
            [first, namespace, third, ..]
                if first == "namespaces" && !matches!(third.as_str(), "status" | "finalize") =>
            {
                target.namespace.clone_from(namespace);
                rest.get(2..).unwrap_or_default()
            }
            all => all,
        };
        let segment = |at: usize| rest.get(at).cloned().unwrap_or_default();
        target.resource = segment(0);
        target.name = segment(1);
        target.subresource = rest.get(2..).unwrap_or_default().join("/");
        if target.resource.is_empty() {
            return Self::default();
        }
        target
    }
}

fn verb(method: &Method, target: &Target, options: &Options) -> Verb {
    let one = !target.name.is_empty() || target.resource.is_empty();
    match *method {
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::PATCH => Verb::Patch,
        Method::DELETE if one => Verb::Delete,
        Method::DELETE => Verb::DeleteCollection,
        _ if options.flag("watch") && !target.resource.is_empty() => Verb::Watch,
        _ if one => Verb::Get,
        _ => Verb::List,
    }
}

fn percent_decoded(segment: &str) -> String {
    let mut bytes = segment.bytes();
    let mut decoded = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let mut ahead = bytes.clone();
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        if let (Some(high), Some(low)) = (digit(ahead.next()), digit(ahead.next())) {
            decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
            bytes = ahead;
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &str, uri: &str) -> Request {
        let request = http::Request::builder().method(method).uri(uri).body(()).unwrap();
        Request::parse(&request.into_parts().0, Bytes::new())
    }

    #[test]
    fn paths_name_resources() {
        let table = [
            ("GET", "/api/v1/pods", "list /v1 pods ns= name= sub="),
            ("GET", "/api/v1/namespaces/a/pods?watch=1", "watch /v1 pods ns=a name= sub="),
            ("GET", "/api/v1/namespaces/a", "get /v1 namespaces ns= name=a sub="),
            ("PUT", "/api/v1/namespaces/a/finalize", "update /v1 namespaces ns= name=a sub=finalize"),
            ("DELETE", "/api/v1/namespaces/a/pods/p", "delete /v1 pods ns=a name=p sub="),
            ("DELETE", "/apis/batch/v1/namespaces/a/jobs", "deletecollection batch/v1 jobs ns=a name= sub="),
            (
                "PATCH",
                "/apis/automl.dev/v1alpha1/namespaces/a/trials/t/status",
                "patch automl.dev/v1alpha1 trials ns=a name=t sub=status",
            ),
            ("POST", "/apis/batch/v1/namespaces/a%20b/jobs", "create batch/v1 jobs ns=a b name= sub="),
            ("GET", "/apis/batch/v1", "get /  ns= name= sub="),
            ("GET", "/version", "get /  ns= name= sub="),
        ];
        for (method, uri, expected) in table {
            let info = parse(method, uri).info;
            let found = format!(
                "{} {}/{} {} ns={} name={} sub={}",
                info.verb.as_str(),
                info.group,
                info.version,
                info.resource,
                info.namespace,
                info.name,
                info.subresource
            );
            assert_eq!(found, expected, "{method} {uri}");
        }
    }

    #[test]
    fn the_first_json_form_that_is_known_wins() {
        let table = [
            ("", Accept::Json),
            ("application/json", Accept::Json),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json",
                Accept::Table,
            ),
            ("application/vnd.kubernetes.protobuf,application/json", Accept::Json),
            ("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", Accept::PartialObjectMetadata),
            (
                "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json",
                Accept::Discovery,
            ),
            (
                "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json",
                Accept::Json,
            ),
        ];
        for (text, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, text.parse().unwrap());
            assert_eq!(Accept::parse(&headers), expected, "{text}");
        }
    }
}
