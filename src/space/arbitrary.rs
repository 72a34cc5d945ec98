//! Arbitrary search spaces for property tests, with what should hold in them said a second time, in plain Rust.

use super::{Assignment, Condition, Domain, Parameter, Scale, SearchSpace, Value};
use proptest::prelude::*;
use proptest::sample::Index;

/// A space as drawn.
#[derive(Clone, Debug)]
pub(crate) struct Drawn {
    pub parameters: Vec<Parameter>,
    pub rules: Vec<Rule>,
}

/// A constraint over the parameters of these names.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    SumBelow(String, String, f64),
    ProductBelow(String, String, f64),
    OneBelow(String, String, f64),
    Even(String),
    EvenAndProductBelow(String, String, f64),
    Not(String, String),
}

impl Rule {
    /// In CEL.
    fn text(&self) -> String {
        match self {
            Rule::SumBelow(a, b, bound) => format!("{a} + {b} < {bound:?}"),
            Rule::ProductBelow(a, b, bound) => format!("{a} * {b} < {bound:?}"),
            Rule::OneBelow(a, b, bound) => format!("{a} < {bound:?} || {b} < {bound:?}"),
            Rule::Even(a) => format!("{a} % 2 == 0"),
            Rule::EvenAndProductBelow(a, b, bound) => format!("{a} % 2 == 0 && {a} * {b} < {bound:?}"),
            Rule::Not(a, choice) => format!("!({a} in ['{choice}'])"),
        }
    }

    /// In Rust; as the documentation says, it holds when a parameter in it is not active.
    pub fn holds(&self, assignment: &Assignment) -> bool {
        let number = |name: &String| assignment.get(name).and_then(Value::as_f64);
        let two = |a, b, holds: &dyn Fn(f64, f64) -> bool| match (number(a), number(b)) {
            (Some(a), Some(b)) => holds(a, b),
            _ => true,
        };
        match self {
            Rule::SumBelow(a, b, bound) => two(a, b, &|a, b| a + b < *bound),
            Rule::ProductBelow(a, b, bound) => two(a, b, &|a, b| a * b < *bound),
            Rule::OneBelow(a, b, bound) => two(a, b, &|a, b| a < *bound || b < *bound),
            Rule::Even(a) => number(a).is_none_or(|a| a % 2.0 == 0.0),
            Rule::EvenAndProductBelow(a, b, bound) => two(a, b, &|a, b| a % 2.0 == 0.0 && a * b < *bound),
            Rule::Not(a, choice) => assignment.get(a) != Some(&Value::Text(choice.clone())),
        }
    }
}

impl Drawn {
    pub fn space(&self) -> SearchSpace {
        let constraints: Vec<String> = self.rules.iter().map(Rule::text).collect();
        SearchSpace::new(self.parameters.clone(), &constraints).unwrap_or_else(|errors| panic!("{}", errors[0]))
    }

    /// Whether the parameter is active.
    pub fn active(parameter: &Parameter, assignment: &Assignment) -> bool {
        parameter.when.iter().all(|condition| {
            assignment.get(&condition.parameter).is_some_and(|value| {
                condition.values.iter().any(|text| match value {
                    Value::Text(value) => value == text,
                    number => (number.as_f64().unwrap() - text.parse::<f64>().unwrap()).abs() < 1e-6,
                })
            })
        })
    }

    pub fn holds(&self, assignment: &Assignment) -> bool {
        self.rules.iter().all(|rule| rule.holds(assignment))
    }

    /// All configurations of a finite space, constraints aside; `None` when there are more than so many, or it is infinite.
    pub fn all(&self, most: usize) -> Option<Vec<Assignment>> {
        if self.parameters.iter().any(|parameter| matches!(parameter.domain, Domain::Double { step: None, .. })) {
            return None;
        }
        let mut all = vec![Assignment::new()];
        for parameter in &self.parameters {
            let mut next = Vec::new();
            for assignment in all {
                if !Drawn::active(parameter, &assignment) {
                    next.push(assignment);
                    continue;
                }
                for value in values(&parameter.domain) {
                    let mut with = assignment.clone();
                    with.insert(parameter.name.clone(), value);
                    next.push(with);
                }
                if next.len() > most {
                    return None;
                }
            }
            all = next;
        }
        Some(all)
    }

    /// Those that satisfy the constraints.
    pub fn valid(&self, most: usize) -> Option<Vec<Assignment>> {
        Some(self.all(most)?.into_iter().filter(|assignment| self.holds(assignment)).collect())
    }
}

/// The values of a finite domain, one by one.
fn values(domain: &Domain) -> Vec<Value> {
    match domain {
        Domain::Double { min, max, step, .. } => {
            let step = step.expect("a finite domain");
            let steps = (0..).take_while(|k| min + f64::from(*k) * step <= max + step * 1e-6);
            // As a person writes it, where a person has written where it begins.
            let written = |value: f64| format!("{value:.6}").parse::<f64>().unwrap();
            let short = written(*min) == *min && written(step) == step;
            let value = |k| min + f64::from(k) * step;
            steps.map(|k| Value::Double(if short { written(value(k)) } else { value(k) })).collect()
        }
        Domain::Int { min, max, step, .. } => {
            (*min..=*max).step_by(usize::try_from(step.unwrap_or(1)).unwrap()).map(Value::Int).collect()
        }
        Domain::Categorical { choices } => choices.iter().cloned().map(Value::Text).collect(),
        Domain::Discrete { values } => values
            .iter()
            .map(|value| if value.fract() == 0.0 { Value::Int(*value as i64) } else { Value::Double(*value) })
            .collect(),
    }
}

pub(crate) fn choices(names: &[&str]) -> Domain {
    Domain::Categorical { choices: names.iter().map(|name| (*name).to_owned()).collect() }
}

fn any_scale() -> impl Strategy<Value = Scale> {
    prop::sample::select(vec![Scale::Linear, Scale::Log])
}

/// A domain of few values: each kind, with steps, linear and logarithmic.
pub(crate) fn finite_domain() -> impl Strategy<Value = Domain> {
    prop_oneof![
        (-3_i64..3, 1_i64..6, 1_i64..3).prop_map(|(min, width, step)| Domain::Int {
            min,
            max: min + width.max(step),
            scale: Scale::Linear,
            step: Some(step)
        }),
        (1_i64..4, 1_i64..5).prop_map(|(min, width)| Domain::Int {
            min,
            max: min + width,
            scale: Scale::Log,
            step: None
        }),
        (1_u32..9, 2_u32..6, prop::sample::select(vec![0.1, 0.25, 0.3, 0.01]), 0.0_f64..0.9, any_scale()).prop_map(
            |(min, levels, step, beyond, scale)| {
                let min = f64::from(min) / 10.0;
                Domain::Double { min, max: min + (f64::from(levels - 1) + beyond) * step, scale, step: Some(step) }
            }
        ),
        prop::sample::subsequence(vec!["a", "b", "c", "d"], 1..4).prop_map(|names| choices(&names)),
        prop::sample::subsequence(vec![-1.5, 0.0, 1.0, 2.0, 64.0], 1..5).prop_map(|values| Domain::Discrete { values }),
    ]
}

/// Any domain, the wide ones too.
pub(crate) fn any_domain() -> impl Strategy<Value = Domain> {
    prop_oneof![
        (1e-6_f64..1.0, 1.0_f64..1e6, any_scale()).prop_map(|(min, width, scale)| Domain::Double {
            min,
            max: min + width,
            scale,
            step: None
        }),
        (-1e3_f64..1e3, 1e-3_f64..1e6).prop_map(|(min, width)| Domain::Double {
            min,
            max: min + width,
            scale: Scale::Linear,
            step: None
        }),
        (0.5_f64..2.0, 2_u32..900, 0.01_f64..0.5, any_scale()).prop_map(|(min, levels, step, scale)| Domain::Double {
            min,
            max: min + f64::from(levels) * step,
            scale,
            step: Some(step)
        }),
        (1_i64..1000, 1_i64..1_000_000, 1_i64..50, any_scale()).prop_map(|(min, width, step, scale)| Domain::Int {
            min,
            max: min + width.max(step),
            scale,
            step: Some(step)
        }),
        finite_domain(),
        finite_domain(),
    ]
}

/// A space of up to `most` parameters, with nested conditions and up to two constraints.
pub(crate) fn any_space(domain: impl Strategy<Value = Domain>, most: usize) -> impl Strategy<Value = Drawn> {
    let condition = (any::<Index>(), prop::collection::vec(any::<u64>(), 1..3));
    let parameter = (domain, prop::collection::vec(condition, 0..3), any::<bool>());
    let rule = (0_u8..6, any::<Index>(), any::<Index>(), 0.0_f64..1.0);
    (prop::collection::vec(parameter, 1..=most), prop::collection::vec(rule, 0..3)).prop_map(|(drawn, rules)| {
        let mut parameters: Vec<Parameter> = Vec::new();
        for (at, (domain, conditions, conditional)) in drawn.into_iter().enumerate() {
            let parents: Vec<&Parameter> = parameters.iter().filter(|p| p.domain.levels().is_some()).collect();
            let conditions = conditions.into_iter().filter(|_| conditional && !parents.is_empty());
            let when = conditions.map(|(parent, levels)| {
                let parent = parents[parent.index(parents.len())];
                let count = parent.domain.levels().unwrap();
                let text = |level: &u64| parent.domain.at(level % count).to_string();
                Condition { parameter: parent.name.clone(), values: levels.iter().map(text).collect() }
            });
            let when = when.collect();
            parameters.push(Parameter { name: format!("p{at}"), domain, when });
        }
        let rules =
            rules.into_iter().filter_map(|(kind, a, b, place)| rule_of(&parameters, kind, a, b, place)).collect();
        Drawn { parameters, rules }
    })
}

fn rule_of(parameters: &[Parameter], kind: u8, a: Index, b: Index, place: f64) -> Option<Rule> {
    let pick = |index: Index, fits: fn(&Domain) -> bool| {
        let fitting: Vec<&Parameter> = parameters.iter().filter(|parameter| fits(&parameter.domain)).collect();
        (!fitting.is_empty()).then(|| fitting[index.index(fitting.len())])
    };
    let number = |domain: &Domain| !matches!(domain, Domain::Categorical { .. });
    let whole = |domain: &Domain| matches!(domain, Domain::Int { .. });
    let somewhere = |parameter: &Parameter| parameter.domain.at_place(place).as_f64().unwrap_or_default();
    let name = |parameter: &Parameter| parameter.name.clone();
    match kind {
        0 => {
            let (a, b) = (pick(a, number)?, pick(b, number)?);
            Some(Rule::SumBelow(name(a), name(b), somewhere(a) + somewhere(b) + 1.0))
        }
        1 => {
            let (a, b) = (pick(a, number)?, pick(b, number)?);
            Some(Rule::ProductBelow(name(a), name(b), somewhere(a) * somewhere(b) + 0.1))
        }
        2 => {
            let (a, b) = (pick(a, number)?, pick(b, number)?);
            Some(Rule::OneBelow(name(a), name(b), somewhere(a)))
        }
        3 => Some(Rule::Even(name(pick(a, whole)?))),
        4 => {
            let (a, b) = (pick(a, whole)?, pick(b, number)?);
            Some(Rule::EvenAndProductBelow(name(a), name(b), somewhere(a) * somewhere(b) + 0.1))
        }
        _ => {
            let parameter = pick(a, |domain| matches!(domain, Domain::Categorical { .. }))?;
            Some(Rule::Not(name(parameter), parameter.domain.at_place(place).to_string()))
        }
    }
}
