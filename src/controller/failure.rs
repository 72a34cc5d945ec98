//! What a failed API call means for what comes next.

use thiserror::Error;

/// A failed API call.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{call}: {message}")]
pub struct Failure {
    /// What was called, such as `create Job a/b`.
    pub call: String,
    /// What to do about it.
    pub class: Class,
    /// The API server's sentence, or why there is none.
    pub message: String,
    /// How long the API server asks to be left alone.
    pub retry_after: Option<std::time::Duration>,
}

/// Classes of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// It may or may not have been done (429, 5xx, no answer, an answer that cannot be read): look, wait and try again.
    Transient,
    /// The object has changed since it was read (409): read it again and decide again.
    Conflict,
    /// An object of this name exists already (409 of a create).
    AlreadyExists,
    /// The request itself is wrong (400, 422 and other 4xx): the same again cannot help.
    Invalid,
    /// Not allowed (401, 403): rights, quota or a policy.
    Forbidden,
    /// The object, or what it is to stand in, does not exist (404).
    NotFound,
    /// A resourceVersion or continue token is too old (410): list again.
    Gone,
    /// This process does not hold the lease: it must not write.
    NotLeader,
}

impl Class {
    /// Each of them.
    pub const ALL: [Class; 8] = [
        Class::Transient,
        Class::Conflict,
        Class::AlreadyExists,
        Class::Invalid,
        Class::Forbidden,
        Class::NotFound,
        Class::Gone,
        Class::NotLeader,
    ];

    /// As it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Class::Transient => "transient",
            Class::Conflict => "conflict",
            Class::AlreadyExists => "already-exists",
            Class::Invalid => "invalid",
            Class::Forbidden => "forbidden",
            Class::NotFound => "not-found",
            Class::Gone => "gone",
            Class::NotLeader => "not-leader",
        }
    }
}

impl Failure {
    /// What this error of the client means.
    pub fn of(call: impl Into<String>, error: &kube::Error) -> Self {
        let (message, retry_after) = match error {
            kube::Error::Api(status) => {
                let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
                let wait = (seconds > 0).then(|| std::time::Duration::from_secs(seconds.into()));
                (status.message.clone(), wait)
            }
            other => (sentence(other), None),
        };
        Failure { call: call.into(), class: class(error), message, retry_after }
    }

    /// The call was not answered in time.
    pub fn timeout(call: impl Into<String>, after: std::time::Duration) -> Self {
        let message = format!("the API server did not answer within {} s", after.as_secs());
        Failure { call: call.into(), class: Class::Transient, message, retry_after: None }
    }
}

/// The one place that reads meaning into the client's errors.
pub fn class(error: &kube::Error) -> Class {
    let kube::Error::Api(status) = error else {
        return match error {
            kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => Class::Invalid,
            _ => Class::Transient,
        };
    };
    match status.code {
        404 => Class::NotFound,
        409 if status.is_already_exists() => Class::AlreadyExists,
        409 => Class::Conflict,
        410 => Class::Gone,
        401 | 403 => Class::Forbidden,
        408 | 429 => Class::Transient,
        400..=499 => Class::Invalid,
        _ => Class::Transient,
    }
}

/// The error and its causes, each once.
fn sentence(error: &kube::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let more = inner.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    #[test]
    fn each_answer_has_its_class() {
        let table = [
            (400, "BadRequest", Class::Invalid),
            (401, "Unauthorized", Class::Forbidden),
            (403, "Forbidden", Class::Forbidden),
            (404, "NotFound", Class::NotFound),
            (405, "MethodNotAllowed", Class::Invalid),
            (408, "Timeout", Class::Transient),
            (409, "AlreadyExists", Class::AlreadyExists),
            (409, "Conflict", Class::Conflict),
            (409, "", Class::Conflict),
            (410, "Expired", Class::Gone),
            (413, "RequestEntityTooLarge", Class::Invalid),
            (415, "UnsupportedMediaType", Class::Invalid),
            (422, "Invalid", Class::Invalid),
            (429, "TooManyRequests", Class::Transient),
            (500, "InternalError", Class::Transient),
            (500, "AlreadyExists", Class::Transient),
            (502, "", Class::Transient),
            (503, "ServiceUnavailable", Class::Transient),
            (504, "Timeout", Class::Transient),
            (0, "", Class::Transient),
        ];
        for (code, reason, expected) in table {
            let error = kube::Error::Api(Status::failure("no", reason).with_code(code).boxed());
            assert_eq!(class(&error), expected, "{code} {reason}");
        }
        let broken = kube::Error::SerdeError(serde_json::from_str::<i32>("{").unwrap_err());
        assert_eq!(class(&broken), Class::Transient, "an answer that cannot be read");
        let cut = kube::Error::Service("connection reset".into());
        assert_eq!(class(&cut), Class::Transient, "no answer");
    }

    #[test]
    fn a_failure_says_what_was_called_and_how_long_to_wait() {
        let status = serde_json::from_value::<Status>(serde_json::json!({
            "code": 429, "reason": "TooManyRequests", "message": "slow down", "details": {"retryAfterSeconds": 7},
        }))
        .unwrap();
        let failure = Failure::of("create Job a/b", &kube::Error::Api(status.boxed()));
        assert_eq!(failure.to_string(), "create Job a/b: slow down");
        assert_eq!(failure.retry_after, Some(std::time::Duration::from_secs(7)));
    }
}
