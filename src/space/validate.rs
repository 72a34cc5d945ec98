//! What can be wrong with a list of parameters.

use super::{Domain, Parameter, Scale, SpaceError};
use std::collections::HashMap;

/// All problems, in the order of the parameters.
pub(super) fn parameters(parameters: &[Parameter]) -> Vec<SpaceError> {
    let mut errors = Vec::new();
    if parameters.is_empty() {
        errors.push(SpaceError::new("parameters", "is empty; give at least one".into()));
    }
    let mut earlier: HashMap<&str, &Parameter> = HashMap::new();
    for (at, parameter) in parameters.iter().enumerate() {
        let path = format!("parameters[{at}]");
        if let Err((field, what)) = domain(&parameter.domain) {
            errors.push(SpaceError::new(format!("{path}.{field}"), what));
        }
        for (which, condition) in parameter.when.iter().enumerate() {
            let path = format!("{path}.when[{which}]");
            let Some(parent) = earlier.get(condition.parameter.as_str()) else {
                let what = format!("{:?} is no parameter that stands earlier in the list", condition.parameter);
                errors.push(SpaceError::new(format!("{path}.parameter"), what));
                continue;
            };
            if parent.domain.levels().is_none() {
                let what = format!(
                    "{:?} has no values to compare with, it is continuous; give it a step, or make it discrete",
                    parent.name
                );
                errors.push(SpaceError::new(format!("{path}.parameter"), what));
                continue;
            }
            for text in &condition.values {
                if parent.domain.level_of_text(text).is_none() {
                    let what = format!("{text:?} is no value of {:?}", parent.name);
                    errors.push(SpaceError::new(format!("{path}.in"), what));
                }
            }
        }
        if earlier.insert(&parameter.name, parameter).is_some() {
            errors.push(SpaceError::new(format!("{path}.name"), format!("{:?} is used twice", parameter.name)));
        }
    }
    errors
}

fn domain(domain: &Domain) -> Result<(), (&'static str, String)> {
    let range = |kind, min: f64, max: f64, scale: Scale, step: Option<f64>| {
        if !min.is_finite() || !max.is_finite() {
            return Err((kind, "min and max must be finite".to_owned()));
        }
        if min >= max {
            return Err((kind, format!("min ({min}) must be less than max ({max})")));
        }
        if !(max - min).is_finite() {
            return Err((kind, "max - min is too large a number".to_owned()));
        }
        if scale == Scale::Log && min <= 0.0 {
            return Err((kind, format!("scale Log needs min greater than 0, not {min}")));
        }
        match step {
            Some(step) if !(step > 0.0 && step <= max - min) => {
                Err((kind, format!("step ({step}) must be greater than 0 and not exceed max - min")))
            }
            Some(step) if (max - min) / step > 9e15 => Err((kind, format!("step ({step}) is too small for the range"))),
            _ => Ok(()),
        }
    };
    match domain {
        Domain::Double { min, max, scale, step } => range("double", *min, *max, *scale, *step),
        Domain::Int { min, max, scale, step } => {
            range("int", *min as f64, *max as f64, *scale, step.map(|step| step as f64))
        }
        Domain::Categorical { choices } => {
            let mut sorted = choices.clone();
            sorted.sort();
            sorted.dedup();
            match choices.len() {
                0 => Err(("categorical.choices", "is empty; give at least one".into())),
                count if count != sorted.len() => Err(("categorical.choices", "holds a choice twice".into())),
                _ => Ok(()),
            }
        }
        Domain::Discrete { values } => {
            if values.is_empty() {
                return Err(("discrete.values", "is empty; give at least one".into()));
            }
            let ascending = values.windows(2).all(|pair| pair[0] < pair[1]) && values.iter().all(|v| v.is_finite());
            if ascending { Ok(()) } else { Err(("discrete.values", "must be finite, no two alike".into())) }
        }
    }
}
