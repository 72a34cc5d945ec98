//! The stopping rules of Katib and NNI in our own words.

use serde_json::Value;
use std::collections::BTreeMap;

/// Where a rule comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum System {
    /// Kubeflow Katib.
    Katib,
    /// Microsoft NNI, whose rules are called assessors.
    Nni,
}

/// A rule of ours that stands for another system's.
#[derive(Clone, Debug, PartialEq)]
pub struct Translation {
    /// One of [`super::RULES`].
    pub name: &'static str,
    /// Its settings, those included that the other system has another default for.
    pub settings: BTreeMap<String, Value>,
    /// Settings that were left out, and why: a sentence each.
    pub left_out: Vec<String>,
}

/// A setting of another system: its name there, its name here, its default there.
type Setting = (&'static str, &'static str, Option<u64>);

const KATIB_MEDIAN: &[Setting] =
    &[("min_trials_required", "minTrials", Some(3)), ("start_step", "warmUpSteps", Some(4))];
const NNI_MEDIAN: &[Setting] = &[("start_step", "warmUpSteps", Some(0)), ("", "minTrials", Some(1))];
const NNI_CURVE: &[Setting] =
    &[("epoch_num", "maxSteps", Some(20)), ("start_step", "warmUpSteps", Some(6)), ("gap", "interval", Some(1))];

/// Settings that need no counterpart, and why.
const NEEDLESS: &[(&str, &str)] = &[
    ("optimize_mode", "the objective has a direction"),
    ("threshold", "CurveModel goes by the chance to beat the best trial, see minChance"),
];

/// The rule of ours for another system's, by its name there; NNI's are alike in upper and lower case. `None`: there is none.
/// Numbers may be given as text, as Katib does; what is no number is passed on as it is, for [`super::build`] to refuse.
pub fn translate(system: System, name: &str, settings: &BTreeMap<String, Value>) -> Option<Translation> {
    let (name, known) = match (system, name.to_ascii_lowercase().as_str()) {
        (System::Katib, "medianstop") => ("Median", KATIB_MEDIAN),
        (System::Nni, "medianstop") => ("Median", NNI_MEDIAN),
        (System::Nni, "curvefitting") => ("CurveModel", NNI_CURVE),
        _ => return None,
    };
    let mut translation = Translation { name, settings: BTreeMap::new(), left_out: Vec::new() };
    for (theirs, ours, default) in known {
        let value = settings.get(*theirs).map(number).or(default.map(Value::from));
        translation.settings.extend(value.map(|value| ((*ours).to_owned(), value)));
    }
    for setting in settings.keys().filter(|setting| known.iter().all(|(theirs, ..)| theirs != setting)) {
        let why = NEEDLESS.iter().find(|(needless, _)| needless == setting);
        let why = why.map_or("it is not known", |(_, why)| why);
        translation.left_out.push(format!("{setting} was left out: {why}"));
    }
    Some(translation)
}

fn number(value: &Value) -> Value {
    value.as_str().and_then(|text| text.trim().parse::<u64>().ok()).map_or_else(|| value.clone(), Value::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rules_of_others() {
        type Row<'a> = (System, &'a str, Value, Option<(&'a str, Value, &'a [&'a str])>);
        let table: [Row; 6] = [
            (
                System::Katib,
                "medianstop",
                json!({"min_trials_required": "5"}),
                Some(("Median", json!({"minTrials": 5, "warmUpSteps": 4}), &[])),
            ),
            (
                System::Nni,
                "Medianstop",
                json!({"optimize_mode": "maximize", "start_step": 9}),
                Some((
                    "Median",
                    json!({"minTrials": 1, "warmUpSteps": 9}),
                    &["optimize_mode was left out: the objective has a direction"],
                )),
            ),
            (
                System::Nni,
                "curvefitting",
                json!({"epoch_num": 50, "gap": 2, "threshold": 0.9}),
                Some((
                    "CurveModel",
                    json!({"maxSteps": 50, "warmUpSteps": 6, "interval": 2}),
                    &["threshold was left out: CurveModel goes by the chance to beat the best trial, see minChance"],
                )),
            ),
            (
                System::Katib,
                "medianstop",
                json!({"start_step": "soon", "other": 1}),
                Some((
                    "Median",
                    json!({"minTrials": 3, "warmUpSteps": "soon"}),
                    &["other was left out: it is not known"],
                )),
            ),
            (System::Katib, "curvefitting", json!({}), None),
            (System::Nni, "Hyperband", json!({}), None),
        ];
        for (system, name, settings, expected) in table {
            let found = translate(system, name, &serde_json::from_value(settings).unwrap());
            let expected = expected.map(|(name, settings, left_out)| Translation {
                name,
                settings: serde_json::from_value(settings).unwrap(),
                left_out: left_out.iter().map(|text| (*text).to_owned()).collect(),
            });
            assert_eq!(found, expected, "{system:?} {name}");
            if let Some(found) = found.filter(|found| found.settings.values().all(Value::is_u64)) {
                assert!(super::super::build(found.name, &found.settings).is_ok());
            }
        }
    }
}
