//! The hooks of tests: faults before and after a request, a log of requests, a witness of every stored change.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

/// What a request wants to do, in the words of Kubernetes' authorization.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// Read one object, or a path outside the resources (discovery, `/version`).
    Get,
    /// Read the objects of a resource.
    List,
    /// Follow the changes of a resource.
    Watch,
    /// POST a new object.
    Create,
    /// PUT a whole object.
    Update,
    /// JSON, merge, strategic merge or apply patch.
    Patch,
    /// Delete one object.
    Delete,
    /// Delete every object that a selector matches.
    DeleteCollection,
}

impl Verb {
    /// Whether the request changes objects.
    #[must_use]
    pub const fn is_write(self) -> bool {
        !matches!(self, Self::Get | Self::List | Self::Watch)
    }

    /// The verb as RBAC spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
        }
    }
}

/// A request as hooks see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// Position among all requests of this server, from 1.
    pub number: u64,
    /// For a write its position among all writes, from 1; for a read, the number of writes so far. A dry run counts
    /// as a read.
    pub write_number: u64,
    /// What it wants to do.
    pub verb: Verb,
    /// API group; empty for core.
    pub group: String,
    /// API version, for instance `v1alpha1`.
    pub version: String,
    /// Plural name, for instance `trials`; empty for a path outside the resources.
    pub resource: String,
    /// `status`, `scale`, ..., or empty.
    pub subresource: String,
    /// Namespace; empty for cluster scope and across namespaces.
    pub namespace: String,
    /// Name of the object in the path, or in the body of a create; empty where there is none.
    pub name: String,
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Whether nothing is to be stored (`dryRun=All`).
    pub dry_run: bool,
    /// Path and query.
    pub path: String,
}

impl RequestInfo {
    /// Whether it changes stored objects.
    #[must_use]
    pub fn is_write(&self) -> bool {
        self.verb.is_write() && !self.dry_run && self.resource != "tokenreviews"
    }
}

/// What happens to a request.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Fault {
    /// Nothing: it is served.
    #[default]
    None,
    /// Refused with this answer; nothing is applied.
    Answer {
        /// HTTP status code.
        code: u16,
        /// Reason of the Status, for instance `TooManyRequests`.
        reason: String,
        /// Seconds in `Retry-After`.
        retry_after: Option<u32>,
    },
    /// The request is lost: the client sees a connection error, nothing is applied.
    DropBefore,
    /// The answer is lost: the client sees a connection error, yet the request is applied.
    DropAfter,
    /// Applied, yet answered with a failure (a gateway's 504).
    AnswerAfter {
        /// HTTP status code.
        code: u16,
        /// Reason of the Status, for instance `Timeout`.
        reason: String,
    },
    /// Never answered, nothing applied.
    Hang,
    /// Applied, never answered.
    HangAfter,
    /// Served after this time on tokio's clock.
    Delay(Duration),
    /// Answered 200 with this body instead of the true one; nothing is applied.
    Garbage(String),
}

/// Decides, request by request, what goes wrong.
pub trait Faults: Send + Sync {
    /// Called once for each request, before anything is done.
    fn before(&self, request: &RequestInfo) -> Fault;
}

impl<F: Fn(&RequestInfo) -> Fault + Send + Sync> Faults for F {
    fn before(&self, request: &RequestInfo) -> Fault {
        self(request)
    }
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRecord {
    /// The request.
    pub request: RequestInfo,
    /// HTTP status code that the server computed; with a fault, the client may have seen something else.
    pub code: u16,
}

/// A stored change: the object before and after.
#[derive(Clone, Debug)]
pub struct Write {
    /// API group of the stored kind.
    pub group: String,
    /// Plural name of the stored kind.
    pub resource: String,
    /// Namespace; empty for cluster scope.
    pub namespace: String,
    /// Name of the object.
    pub name: String,
    /// resourceVersion of the change.
    pub resource_version: u64,
    /// The object before; `None` if this created it.
    pub before: Option<Arc<Value>>,
    /// The object after; `None` if this removed it.
    pub after: Option<Arc<Value>>,
    /// User agent of the request that caused it; `garbage-collector` for what the collector did.
    pub user_agent: String,
}

/// Sees every stored change once it is durable, outside the server's lock: it may read the server.
pub type WriteObserver = Arc<dyn Fn(&Write) + Send + Sync>;
