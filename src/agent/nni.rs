//! What trial code that was written for NNI finds: its parameters, the variables and files of NNI's trial protocol, and a
//! package `nni` where the image has none.

use super::channel::joined;
use super::folder::Folder;
use serde_json::{Map, Value, json};
use std::ffi::OsString;
use std::path::PathBuf;

/// The package that stands in for NNI's own; where that is installed, it gives way to it.
const PACKAGE: [(&str, &str); 3] = [
    ("__init__.py", include_str!("../../python/nni/__init__.py")),
    ("_trial.py", include_str!("../../python/nni/_trial.py")),
    ("utils.py", include_str!("../../python/nni/utils.py")),
];
/// Between the name of a choice and those of what is nested in it.
const NESTED: &str = "__";
/// What the choice itself is called among them.
const NAME: &str = "_name";
/// One that each version of the package knows, and that does not take over the program's output.
const PLATFORM: &str = "kubeflow";
/// Where the program puts what it wants to keep. The user may have said it.
const OUTPUT_FOLDER: &str = "NNI_OUTPUT_DIR";

/// Whose parameters they are.
pub(super) struct Whose<'a> {
    pub experiment: &'a str,
    pub trial: &'a str,
    pub index: u32,
}

/// A parameter record as NNI's package reads it. `parameters`: an object, in JSON.
pub(super) fn record(index: u32, parameters: &str, nested: &[String]) -> String {
    let parameters = serde_json::from_str::<Map<String, Value>>(parameters).unwrap_or_default();
    let record = json!({
        "parameter_id": index, "parameter_source": "algorithm", "parameters": nest(parameters, nested),
        "parameter_index": 0,
    });
    record.to_string()
}

/// Writes what the program is to find, and gives the variables that say where it lies.
pub(super) fn variables(
    folder: &Folder,
    url: &str,
    record: &str,
    whose: &Whose<'_>,
) -> std::io::Result<Vec<(&'static str, OsString)>> {
    folder.inner("python")?;
    folder.inner("python/nni")?;
    for (name, text) in PACKAGE {
        folder.write(PathBuf::from("python/nni").join(name), text.as_bytes())?;
    }
    let (python, system) = (folder.path().join("python"), folder.inner("system")?);
    folder.write("system/parameter.cfg", record.as_bytes())?;
    // Of NNI 1 and 2, which asks for it though it stays empty.
    folder.inner("system/.nni")?;
    let output = match std::env::var_os(OUTPUT_FOLDER) {
        Some(given) => given,
        None => folder.inner("output")?.into(),
    };
    let code = std::env::current_dir()?;
    Ok(vec![
        ("NNI_PLATFORM", PLATFORM.into()),
        ("NNI_EXP_ID", whose.experiment.into()),
        ("NNI_TRIAL_JOB_ID", whose.trial.into()),
        ("NNI_TRIAL_SEQ_ID", whose.index.to_string().into()),
        ("NNI_SYS_DIR", system.into()),
        (OUTPUT_FOLDER, output),
        ("NNI_CODE_DIR", code.into()),
        ("NNI_TRIAL_COMMAND_CHANNEL", url.into()),
        ("MULTI_PHASE", "false".into()),
        ("PYTHONPATH", joined(std::env::var_os("PYTHONPATH"), ":", python.into())),
    ])
}

/// Parameters as NNI nests them: where `layer` is one of `nested`, `layer` = `conv`, `layer__size` and
/// `layer__conv__stride` become `layer` = `{"_name": "conv", "size": .., "stride": ..}`.
fn nest(mut parameters: Map<String, Value>, nested: &[String]) -> Map<String, Value> {
    // The innermost first.
    let mut outer: Vec<&String> = nested.iter().collect();
    outer.sort_by_key(|name| std::cmp::Reverse(name.len()));
    for name in outer {
        let Some(chosen) = parameters.get(name).cloned() else { continue };
        let prefix = format!("{name}{NESTED}");
        let of_choice = chosen.as_str().map(|chosen| format!("{chosen}{NESTED}"));
        let within: Vec<String> = parameters.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
        let mut inner = Map::from_iter([(NAME.to_owned(), chosen)]);
        for key in within {
            let Some(value) = parameters.remove(&key) else { continue };
            let short = &key[prefix.len()..];
            let short = of_choice.as_deref().and_then(|choice| short.strip_prefix(choice)).unwrap_or(short);
            inner.insert(short.to_owned(), value);
        }
        parameters.insert(name.clone(), inner.into());
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_choices_become_dictionaries() {
        let table = [
            (json!({"lr": 0.1, "n": 3}), vec![], json!({"lr": 0.1, "n": 3})),
            (
                json!({"layer": "conv", "layer__size": 3, "layer__conv__stride": 2, "lr": 0.1}),
                vec!["layer"],
                json!({"layer": {"_name": "conv", "size": 3, "stride": 2}, "lr": 0.1}),
            ),
            (json!({"layer": "none"}), vec!["layer"], json!({"layer": {"_name": "none"}})),
            (json!({"layer": 2, "layer__size": 3}), vec!["layer"], json!({"layer": {"_name": 2, "size": 3}})),
            (
                json!({"a": "x", "a__x__b": "y", "a__x__b__c": 1}),
                vec!["a", "a__x__b"],
                json!({"a": {"_name": "x", "b": {"_name": "y", "c": 1}}}),
            ),
            // The inner choice is not active.
            (json!({"a": "z"}), vec!["a", "a__x__b"], json!({"a": {"_name": "z"}})),
        ];
        for (parameters, nested, expected) in table {
            let nested: Vec<String> = nested.into_iter().map(str::to_owned).collect();
            let record: Value = serde_json::from_str(&record(7, &parameters.to_string(), &nested)).unwrap();
            assert_eq!((&record["parameters"], &record["parameter_id"]), (&expected, &json!(7)), "{parameters}");
        }
    }
}
