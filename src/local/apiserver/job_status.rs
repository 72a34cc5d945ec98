//! What kube-apiserver refuses in the status of a Job: an end that its conditions do not bear out, and going back.
//!
//! As there, a rule is applied only where what it speaks of changes, so that an older status can still be written.

use serde_json::Value;

use super::status::{FieldError, FieldErrorKind};

/// The parts of a status that the rules speak of.
struct Facts<'a> {
    status: &'a Value,
}

impl<'a> Facts<'a> {
    fn of(job: &'a Value) -> Self {
        Self { status: job.get("status").unwrap_or(&Value::Null) }
    }

    fn is(&self, r#type: &str) -> bool {
        let conditions = self.status.get("conditions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        conditions.iter().any(|condition| {
            condition.get("type").is_some_and(|given| given == r#type)
                && condition.get("status").is_some_and(|status| status == "True")
        })
    }

    fn finished(&self) -> bool {
        self.is("Complete") || self.is("Failed")
    }

    fn number(&self, key: &str) -> i64 {
        self.status.get(key).and_then(Value::as_i64).unwrap_or_default()
    }

    fn time(&self, key: &str) -> Option<&'a Value> {
        self.status.get(key).filter(|time| !time.is_null())
    }

    fn uncounted(&self) -> usize {
        let lists = self.status.get("uncountedTerminatedPods").and_then(Value::as_object);
        lists.into_iter().flat_map(|lists| lists.values()).filter_map(Value::as_array).map(Vec::len).sum()
    }
}

/// What is wrong with the new status of a Job.
pub(super) fn errors(old: &Value, new: &Value) -> Vec<FieldError> {
    if old.get("status") == new.get("status") {
        return Vec::new();
    }
    let facts = (Facts::of(old), Facts::of(new));
    let mut errors = contradictions(&facts.0, &facts.1);
    errors.extend(counts(&facts.0, &facts.1));
    errors.extend(times(&facts.0, &facts.1, new.pointer("/spec/suspend") == Some(&Value::Bool(true))));
    errors.extend(steps_back(&facts.0, &facts.1));
    errors
}

fn conditions(why: impl Into<String>) -> FieldError {
    FieldError::new(FieldErrorKind::Invalid, "status.conditions", None, why)
}

/// Conditions that exclude or presuppose each other.
fn contradictions(old: &Facts<'_>, new: &Facts<'_>) -> Vec<FieldError> {
    let changed = |r#type: &str| old.is(r#type) != new.is(r#type);
    let ended = changed("Complete") || changed("Failed");
    let mut errors = Vec::new();
    let mut refuse = |wrong: bool, why: &str| {
        if wrong {
            errors.push(conditions(why));
        }
    };
    let (complete, failed) = (new.is("Complete"), new.is("Failed"));
    let (target, met) = (new.is("FailureTarget"), new.is("SuccessCriteriaMet"));
    refuse(ended && complete && failed, "cannot set Complete=True and Failed=true conditions");
    refuse(
        (changed("Complete") || changed("FailureTarget")) && complete && target,
        "cannot set Complete=True and FailureTarget=true conditions",
    );
    refuse(
        changed("Failed") && failed && !target,
        "cannot set Failed=True condition without the FailureTarget=true condition",
    );
    refuse(
        (changed("Complete") || changed("SuccessCriteriaMet")) && complete && !met,
        "cannot set Complete=True condition without the SuccessCriteriaMet=true condition",
    );
    refuse(met && failed, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
    refuse(met && target, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    errors
}

/// Numbers of pods.
fn counts(old: &Facts<'_>, new: &Facts<'_>) -> Vec<FieldError> {
    let ends = old.finished() != new.finished();
    let changed = |key: &str| old.number(key) != new.number(key);
    let mut errors = Vec::new();
    let mut refuse = |wrong: bool, key: &str, why: &str| {
        if wrong {
            errors.push(FieldError::invalid(format!("status.{key}"), Value::from(new.number(key)), why));
        }
    };
    for key in ["active", "succeeded", "failed", "ready", "terminating"] {
        refuse(new.number(key) < 0, key, "must be greater than or equal to 0");
    }
    for key in ["active", "terminating"] {
        let wrong = new.finished() && (ends || changed(key)) && new.number(key) > 0;
        refuse(wrong, key, &format!("{key}>0 is invalid for finished job"));
    }
    let more = (changed("ready") || changed("active")) && new.number("ready") > new.number("active");
    refuse(more, "ready", "cannot set more ready pods than active");
    if new.finished() && new.uncounted() > 0 && (ends || old.uncounted() != new.uncounted()) {
        let given = new.status.get("uncountedTerminatedPods").cloned().unwrap_or_default();
        let why = "must be empty for finished job";
        errors.push(FieldError::invalid("status.uncountedTerminatedPods", given, why));
    }
    errors
}

/// When it began, and when it ended.
fn times(old: &Facts<'_>, new: &Facts<'_>, suspended: bool) -> Vec<FieldError> {
    let changed = |key: &str| old.time(key) != new.time(key);
    let (start, end) = (new.time("startTime"), new.time("completionTime"));
    let completes = old.is("Complete") != new.is("Complete") || changed("completionTime");
    let mut errors = Vec::new();
    let mut refuse = |wrong: bool, key: &str, value: Option<&Value>, why: &str| {
        let field = format!("status.{key}");
        match value {
            _ if !wrong => {}
            Some(value) => errors.push(FieldError::invalid(field, value.clone(), why)),
            None => errors.push(FieldError::required(field, why)),
        }
    };
    let early = end.is_some() && !new.is("Complete");
    let why = "cannot set completionTime when there is no Complete=True condition";
    refuse(completes && early, "completionTime", end, why);
    let missing = end.is_none() && new.is("Complete");
    refuse(completes && missing, "completionTime", None, "completionTime is required for Complete jobs");
    let moment = |time: Option<&Value>| time?.as_str()?.parse::<jiff::Timestamp>().ok();
    let backwards = moment(start).zip(moment(end)).is_some_and(|(start, end)| end < start);
    let why = "must be equal to or after `startTime`";
    refuse(backwards && (changed("startTime") || changed("completionTime")), "completionTime", end, why);
    let begun = old.finished() == new.finished() && !changed("startTime");
    let missing = new.finished() && start.is_none() && !begun;
    refuse(missing, "startTime", None, "startTime is required for finished job");
    let other = old.time("completionTime").is_some() && end.is_some() && changed("completionTime");
    refuse(other, "completionTime", end, "field is immutable");
    let resumes = old.is("Suspended") && !new.is("Suspended");
    let other = old.time("startTime").is_some() && changed("startTime") && !suspended && !resumes;
    let why = "field is immutable for unsuspended job once set";
    refuse(other, "startTime", Some(start.unwrap_or(&Value::Null)), why);
    errors
}

/// What was true once stays so.
fn steps_back(old: &Facts<'_>, new: &Facts<'_>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    for r#type in ["Failed", "Complete", "FailureTarget"] {
        if old.is(r#type) && !new.is(r#type) {
            errors.push(conditions(format!("cannot disable the terminal {type}=True condition")));
        }
    }
    for key in ["failed", "succeeded"] {
        if new.number(key) < old.number(key) {
            let why = format!("cannot decrease the {key} counter");
            errors.push(FieldError::invalid(format!("status.{key}"), Value::from(new.number(key)), why));
        }
    }
    if old.is("SuccessCriteriaMet") && !new.is("SuccessCriteriaMet") {
        errors.push(conditions("cannot disable the SuccessCriteriaMet=True condition"));
    }
    errors
}
