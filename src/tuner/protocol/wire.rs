//! The lines of the protocol, and how a space is written in them.

use crate::space::{Assignment, Condition, Domain, Parameter, Scale, SearchSpace, Value};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value as Json;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::marker::PhantomData;

/// A line to the tuner. Which fields there are depends on `op`.
#[derive(Deserialize)]
pub(super) struct Line {
    pub op: String,
    pub space: Option<Ordered<Specification>>,
    pub direction: Option<Several<String>>,
    /// Of `init`: how many outcome constraints there are. Of `tell`: one number each.
    pub constraints: Option<Json>,
    pub algorithm: Option<String>,
    #[serde(default)]
    pub settings: BTreeMap<String, Json>,
    pub fidelity: Option<Resource>,
    #[serde(default)]
    pub seed: u64,
    #[serde(default)]
    pub initial: Vec<BTreeMap<String, Json>>,
    pub parallel: Option<u64>,
    pub id: Option<u64>,
    pub params: Option<BTreeMap<String, Json>>,
    pub value: Option<Json>,
    #[serde(default)]
    pub derivatives: BTreeMap<String, Json>,
    #[serde(default)]
    pub failed: bool,
}

/// What algorithms that hand out a resource have to hand out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resource {
    pub min: f64,
    pub max: f64,
    #[serde(default = "eta")]
    pub eta: f64,
}

fn eta() -> f64 {
    3.0
}

/// One, or a list of them: one an objective.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Several<T> {
    One(T),
    List(Vec<T>),
}

impl<T> Several<T> {
    pub fn list(&self) -> &[T] {
        match self {
            Several::One(one) => std::slice::from_ref(one),
            Several::List(list) => list,
        }
    }
}

/// One parameter.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Specification {
    #[serde(rename = "type")]
    kind: String,
    min: Option<f64>,
    max: Option<f64>,
    step: Option<f64>,
    scale: Option<String>,
    #[serde(default)]
    choices: Vec<Json>,
    #[serde(default)]
    values: Vec<f64>,
    #[serde(default)]
    when: BTreeMap<String, Json>,
}

/// An object whose keys keep their order.
pub(super) struct Ordered<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Ordered<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Pairs<T> {
            type Value = Ordered<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Ordered<T>, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Ordered(pairs))
            }
        }
        deserializer.deserialize_map(Pairs(PhantomData))
    }
}

/// A space together with the choices as they were written: numbers and booleans are choices, too.
pub(super) struct Space {
    pub space: SearchSpace,
    choices: HashMap<String, Vec<(String, Json)>>,
}

impl Space {
    pub fn new(specifications: Ordered<Specification>) -> Result<Self, String> {
        let mut choices = HashMap::new();
        let mut parameters = Vec::new();
        for (name, specification) in specifications.0 {
            if !specification.choices.is_empty() {
                let texts = specification.choices.iter().map(|choice| (text(choice), choice.clone()));
                choices.insert(name.clone(), texts.collect());
            }
            parameters.push(specification.parameter(name)?);
        }
        let space = SearchSpace::new(parameters, &[]).map_err(|errors| joined(&errors))?;
        Ok(Space { space, choices })
    }

    /// As it goes out.
    pub fn write(&self, assignment: &Assignment) -> BTreeMap<String, Json> {
        let value = |(name, value): (&String, &Value)| {
            let choices = self.choices.get(name).into_iter().flatten();
            let written = choices.into_iter().find(|(text, _)| matches!(value, Value::Text(value) if value == text));
            let plain = || match value {
                Value::Int(number) => Json::from(*number),
                Value::Double(number) => Json::from(*number),
                Value::Text(text) => Json::from(text.as_str()),
                Value::Foreign(json) => json.clone(),
            };
            (name.clone(), written.map_or_else(plain, |(_, choice)| choice.clone()))
        };
        assignment.iter().map(value).collect()
    }

    /// As it comes in; nothing is checked.
    pub fn read(&self, written: &BTreeMap<String, Json>) -> Assignment {
        let value = |(name, json): (&String, &Json)| {
            let value = match json {
                json if self.choices.contains_key(name) => Value::Text(text(json)),
                Json::Number(number) => match (number.as_i64(), number.as_f64()) {
                    (Some(whole), _) => Value::Int(whole),
                    (None, Some(number)) => Value::Double(number),
                    (None, None) => Value::Foreign(json.clone()),
                },
                json => Value::Foreign(json.clone()),
            };
            (name.clone(), value)
        };
        written.iter().map(value).collect()
    }
}

impl Specification {
    fn parameter(self, name: String) -> Result<Parameter, String> {
        let domain = self.domain().map_err(|what| format!("space.{name}: {what}"))?;
        let condition = |(parent, value): (&String, &Json)| Condition {
            parameter: parent.clone(),
            values: match value {
                Json::Array(values) => values.iter().map(text).collect(),
                value => vec![text(value)],
            },
        };
        Ok(Parameter { name, domain, when: self.when.iter().map(condition).collect() })
    }

    fn domain(&self) -> Result<Domain, String> {
        let end = |end: Option<f64>, name| end.ok_or_else(|| format!("{name} is missing"));
        let whole = |number: f64, name| {
            let fits = number.fract() == 0.0 && number.abs() < 9e15;
            fits.then_some(number as i64).ok_or_else(|| format!("{name} is {number}; write a whole number"))
        };
        let scale = match self.scale.as_deref().map(str::to_ascii_lowercase).as_deref() {
            None | Some("linear") => Scale::Linear,
            Some("log") => Scale::Log,
            Some(other) => return Err(format!("scale is {other:?}; write linear or log")),
        };
        match self.kind.to_ascii_lowercase().as_str() {
            "double" => {
                Ok(Domain::Double { min: end(self.min, "min")?, max: end(self.max, "max")?, scale, step: self.step })
            }
            "int" => Ok(Domain::Int {
                min: whole(end(self.min, "min")?, "min")?,
                max: whole(end(self.max, "max")?, "max")?,
                scale,
                step: self.step.map(|step| whole(step, "step")).transpose()?,
            }),
            "categorical" => Ok(Domain::Categorical { choices: self.choices.iter().map(text).collect() }),
            "discrete" => Ok(Domain::Discrete { values: self.values.clone() }),
            other => Err(format!("type is {other:?}; write double, int, categorical or discrete")),
        }
    }
}

/// A choice as a word: text as it is, anything else as JSON.
fn text(choice: &Json) -> String {
    choice.as_str().map_or_else(|| choice.to_string(), str::to_owned)
}

/// All problems in one sentence.
pub(super) fn joined(errors: &[impl fmt::Display]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
