//! Reads the YAML (or JSON) that a person gives.

use super::exit::Failure;
use serde_json::Value;
use std::io::Read;
use std::path::Path;

/// Largest file that is read, in bytes: more than an API server would take.
const MAX_BYTES: u64 = 8 << 20;
/// Largest list of an experiment and its trials that is read, in bytes.
const MAX_RESULT_BYTES: u64 = 2 << 30;

/// What a file holds.
pub struct Given {
    /// The one Experiment.
    pub experiment: Value,
    /// ConfigMaps and Secrets that its trials use.
    pub others: Vec<Value>,
}

/// Reads a file, or standard input for `-`, into its documents.
///
/// # Errors
/// The file cannot be read, is no YAML (with line and column), or holds something that is no Kubernetes object.
pub fn read(path: &Path) -> Result<Vec<Value>, Failure> {
    let (text, shown) = text(path, MAX_BYTES)?;
    documents(&text, &shown)
}

/// Reads what was printed of an experiment and its trials: JSON of any length that people have, or YAML.
///
/// # Errors
/// As [`read`].
pub fn results(path: &Path) -> Result<Vec<Value>, Failure> {
    let (text, shown) = text(path, MAX_RESULT_BYTES)?;
    match serde_json::from_str::<Value>(&text) {
        Ok(one) => objects(vec![one], &shown),
        Err(_) => documents(&text, &shown),
    }
}

/// A file, or standard input for `-`, and what it is called.
fn text(path: &Path, most: u64) -> Result<(String, String), Failure> {
    let shown = if path == Path::new("-") { "standard input".to_owned() } else { path.display().to_string() };
    let mut bytes = Vec::new();
    let read = if path == Path::new("-") {
        std::io::stdin().take(most + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes))
    };
    read.map_err(|error| Failure::usage(format!("{shown} cannot be read: {error}")))?;
    if bytes.len() as u64 > most {
        return Err(Failure::usage(format!("{shown} is larger than {} MiB", most >> 20)));
    }
    let text = String::from_utf8(bytes).map_err(|_| Failure::usage(format!("{shown} is not UTF-8 text")))?;
    Ok((text, shown))
}

fn documents(text: &str, shown: &str) -> Result<Vec<Value>, Failure> {
    // As kubectl reads it: 010 is eight.
    let options = serde_saphyr::options! { legacy_octal_numbers: true };
    let parsed = serde_saphyr::from_multiple_with_options(text, options);
    let parsed: Vec<Value> = parsed.map_err(|error| match error.without_snippet() {
        serde_saphyr::Error::Budget { location, .. } => Failure::usage(format!(
            "{shown} holds more than is read of an experiment (up to line {}); is a list much too long, or nested too deep?",
            location.line()
        )),
        serde_saphyr::Error::DuplicateMappingKey { key, location } => Failure::usage(format!(
            "{shown} is no valid YAML: line {}: the key {} is there twice",
            location.line(),
            key.as_deref().unwrap_or_default()
        )),
        _ => Failure::usage(format!("{shown} is no valid YAML: {error}")),
    })?;
    objects(parsed, shown)
}

/// Lists are taken apart.
fn objects(parsed: Vec<Value>, shown: &str) -> Result<Vec<Value>, Failure> {
    let mut objects = Vec::new();
    for document in parsed {
        match whole(document) {
            Value::Null => {}
            Value::Object(fields) if fields.get("kind").is_some_and(|kind| kind == "List") => {
                objects.extend(fields.get("items").and_then(Value::as_array).cloned().unwrap_or_default());
            }
            other => objects.push(other),
        }
    }
    for object in &objects {
        if ["apiVersion", "kind"].iter().any(|field| !object.get(field).is_some_and(Value::is_string)) {
            return Err(Failure::usage(format!(
                "{shown}: a document has no apiVersion and kind; is it a Kubernetes object?"
            )));
        }
    }
    if objects.is_empty() {
        return Err(Failure::usage(format!("{shown} is empty; it should hold an Experiment")));
    }
    Ok(objects)
}

/// Real numbers without a fraction as whole ones, such as 5.0 as 5: kubectl writes them so into its JSON.
fn whole(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()).filter(|real| real.fract() == 0.0) {
            // Beyond these no number is both whole and exact.
            Some(real) if (0.0..1.8e19).contains(&real) => Value::from(real as u64),
            Some(real) if (-9.2e18..0.0).contains(&real) => Value::from(real as i64),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(whole).collect(),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, whole(value))).collect(),
        other => other,
    }
}

/// Reads a file that holds one Experiment, and nothing but what goes with one.
///
/// # Errors
/// As [`read`]; there is no Experiment, more than one, or another kind.
pub fn experiment(path: &Path) -> Result<Given, Failure> {
    let mut experiments = Vec::new();
    let mut others = Vec::new();
    for object in read(path)? {
        let kind = (object["apiVersion"].as_str().unwrap_or_default(), object["kind"].as_str().unwrap_or_default());
        match kind {
            ("automl.dev/v1alpha1", "Experiment") => experiments.push(object),
            ("v1", "ConfigMap" | "Secret") => others.push(object),
            (version, kind) => {
                return Err(Failure::usage(format!(
                    "{}: `automl run` takes one Experiment (automl.dev/v1alpha1) with ConfigMaps and Secrets, not {kind} ({version})",
                    path.display()
                )));
            }
        }
    }
    match experiments.len() {
        1 => Ok(Given { experiment: experiments.swap_remove(0), others }),
        0 => Err(Failure::usage(format!("{} holds no Experiment", path.display()))),
        count => Err(Failure::usage(format!(
            "{} holds {count} Experiments; `automl run` runs one at a time",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_is_wrong_with_a_file() {
        let table = [
            ("", "x is empty; it should hold an Experiment"),
            ("---\n---\n", "x is empty; it should hold an Experiment"),
            ("5", "x: a document has no apiVersion and kind; is it a Kubernetes object?"),
            ("kind: Experiment", "x: a document has no apiVersion and kind; is it a Kubernetes object?"),
        ];
        for (text, message) in table {
            assert_eq!(documents(text, "x").unwrap_err().to_string(), message, "{text}");
        }
        let broken = documents("a: [1, 2\nb: {", "x").unwrap_err().to_string();
        assert!(broken.starts_with("x is no valid YAML: ") && broken.contains("line"), "{broken}");
    }

    #[test]
    fn a_list_can_be_too_long_to_be_read() {
        let huge = format!("a: [{}]", "0, ".repeat(300_000));
        let message = documents(&huge, "x").unwrap_err().to_string();
        assert!(message.starts_with("x holds more than is read of an experiment (up to line 1)"), "{message}");
    }

    #[test]
    fn numbers_are_those_that_kubectl_sends() {
        let table = [
            ("5.0", "5"),
            ("1e19", "10000000000000000000"),
            ("-2.0", "-2"),
            ("1e30", "1e+30"),
            ("0.5", "0.5"),
            ("7", "7"),
            ("010", "8"),
            ("0400", "256"),
            ("0o17", "15"),
            ("0x1f", "31"),
            ("0.10", "0.1"),
            ("-010", "-8"),
        ];
        for (given, sent) in table {
            let objects = documents(&format!("apiVersion: a\nkind: b\nx: [{given}]\n"), "x").unwrap();
            assert_eq!(objects[0]["x"][0].to_string(), sent, "{given}");
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_named() {
        let message = documents("apiVersion: a\nkind: b\nspec: {x: 1, y: 2,\n  x: 3}\n", "x").unwrap_err().to_string();
        assert_eq!(message, "x is no valid YAML: line 4: the key x is there twice");
    }

    #[test]
    fn a_list_is_its_items() {
        let text = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: a, kind: b}\n";
        assert_eq!(documents(text, "x").unwrap().len(), 1);
    }
}
