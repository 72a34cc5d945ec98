//! A domain and the unit interval: levels, encoding, decoding.

use super::{Domain, FOREIGN, Scale, Value};

/// Most levels that a numeric domain may have and still count as finite.
const MAX_LEVELS: f64 = 9e15;

impl Domain {
    /// How many values there are; `None` for a continuum.
    pub fn levels(&self) -> Option<u64> {
        match self {
            Domain::Double { step: None, .. } => None,
            Domain::Double { min, max, step: Some(step), .. } => {
                let levels = ((max - min) / step * (1.0 + 1e-12) + 1e-9).floor() + 1.0;
                (levels <= MAX_LEVELS).then_some(levels as u64)
            }
            Domain::Int { min, max, step, .. } => {
                let width = max.abs_diff(*min);
                Some((width / step.unwrap_or(1).unsigned_abs().max(1)).saturating_add(1))
            }
            Domain::Categorical { choices } => Some(choices.len() as u64),
            Domain::Discrete { values } => Some(values.len() as u64),
        }
    }

    /// The value at this level, counted from 0; the last one beyond it.
    pub fn at(&self, level: u64) -> Value {
        let last = self.levels().unwrap_or(1).saturating_sub(1);
        let level = level.min(last);
        match self {
            Domain::Double { min, max, step, .. } => Value::Double(stepped(*min, step.unwrap_or(0.0), level).min(*max)),
            Domain::Int { min, step, .. } => {
                let offset = i128::from(level) * i128::from(step.unwrap_or(1));
                Value::Int(i64::try_from(i128::from(*min) + offset).unwrap_or(i64::MAX))
            }
            Domain::Categorical { choices } => Value::Text(choices.get(level as usize).cloned().unwrap_or_default()),
            Domain::Discrete { values } => number(values.get(level as usize).copied().unwrap_or_default()),
        }
    }

    /// The level of a value that the domain admits; `None` for a continuum.
    pub(super) fn level(&self, value: &Value) -> Option<u64> {
        match (self, value) {
            (Domain::Categorical { choices }, Value::Text(text)) => {
                choices.iter().position(|choice| choice == text).map(|at| at as u64)
            }
            (Domain::Categorical { .. }, _) => None,
            (Domain::Discrete { values }, value) => {
                let wanted = value.as_f64()?;
                let after = values.partition_point(|value| *value < wanted);
                let near = [after.checked_sub(1), Some(after)].into_iter().flatten().filter(|at| *at < values.len());
                near.min_by(|a, b| (values[*a] - wanted).abs().total_cmp(&(values[*b] - wanted).abs()))
                    .map(|at| at as u64)
            }
            (Domain::Int { min, step, .. }, Value::Int(value)) => {
                Some(value.abs_diff(*min) / step.unwrap_or(1).unsigned_abs().max(1))
            }
            (Domain::Int { min, step, .. }, value) => {
                Some(((value.as_f64()? - *min as f64) / step.unwrap_or(1) as f64).round().max(0.0) as u64)
            }
            (Domain::Double { step: None, .. }, _) => None,
            (Domain::Double { min, step: Some(step), .. }, value) => {
                Some(((value.as_f64()? - min) / step).round().max(0.0) as u64)
            }
        }
    }

    /// The level that a person means with this text; `None` when there is no such value.
    pub(super) fn level_of_text(&self, text: &str) -> Option<u64> {
        let value = match self {
            Domain::Categorical { .. } => Value::Text(text.to_owned()),
            _ => Value::Double(text.trim().parse().ok()?),
        };
        self.level(&self.admit(&value).ok()?)
    }

    /// The value's place in `[0, 1]`: the middle of its share. `None` when the value is of another kind.
    pub(crate) fn encode(&self, value: &Value) -> Option<f64> {
        let place = match self {
            Domain::Categorical { .. } | Domain::Discrete { .. } => {
                (self.level(value)? as f64 + 0.5) / self.levels()? as f64
            }
            Domain::Double { .. } | Domain::Int { .. } => {
                let (low, high, scale) = self.edges();
                let (low, high, value) = match scale {
                    Scale::Linear => (low, high, value.as_f64()?),
                    Scale::Log => (low.ln(), high.ln(), value.as_f64()?.ln()),
                };
                (value - low) / (high - low)
            }
        };
        Some(place.clamp(0.0, 1.0))
    }

    /// The value at a place of `[0, 1]`; clamped.
    pub(crate) fn at_place(&self, place: f64) -> Value {
        let place = place.clamp(0.0, 1.0);
        match self {
            Domain::Categorical { .. } | Domain::Discrete { .. } => {
                self.at((place * self.levels().unwrap_or(1) as f64) as u64)
            }
            Domain::Double { min, max, step, .. } => {
                let value = self.unplace(place);
                match step {
                    None => Value::Double(value.clamp(*min, *max)),
                    Some(_) => self.at(self.level(&Value::Double(value)).unwrap_or(0)),
                }
            }
            Domain::Int { .. } => self.at(self.level(&Value::Double(self.unplace(place))).unwrap_or(0)),
        }
    }

    /// The share of the line whose places have this value, infinite at the ends of the range; `None` for a continuum.
    pub(crate) fn share(&self, value: &Value) -> Option<(f64, f64)> {
        let (level, levels) = (self.level(value)?, self.levels()?);
        let end = |level: u64| match self {
            Domain::Categorical { .. } | Domain::Discrete { .. } => Some(level as f64 / levels as f64),
            _ => {
                let (below, above) = (self.at(level - 1).as_f64()?, self.at(level).as_f64()?);
                self.encode(&Value::Double(below / 2.0 + above / 2.0))
            }
        };
        let low = if level == 0 { f64::NEG_INFINITY } else { end(level)? };
        let high = if level + 1 >= levels { f64::INFINITY } else { end(level + 1)? };
        Some((low, high))
    }

    fn unplace(&self, place: f64) -> f64 {
        let (low, high, scale) = self.edges();
        match scale {
            // Written so that it does not overflow for the widest ranges.
            Scale::Linear => low * (1.0 - place) + high * place,
            Scale::Log => (low.ln() * (1.0 - place) + high.ln() * place).exp(),
        }
    }

    /// The ends of the unit interval: half a step beyond the first and last level, so that each has an equal share.
    fn edges(&self) -> (f64, f64, Scale) {
        let (low, high, step, scale) = match self {
            Domain::Double { min, max, scale, step: None } => return (*min, *max, *scale),
            Domain::Double { min, scale, step: Some(step), .. } => {
                let last = self.levels().map_or(0.0, |levels| (levels - 1) as f64);
                (*min, min + last * step, *step, *scale)
            }
            Domain::Int { min, step, scale, .. } => {
                let step = step.unwrap_or(1) as f64;
                let last = self.levels().map_or(0.0, |levels| (levels - 1) as f64);
                (*min as f64, *min as f64 + last * step, step, *scale)
            }
            Domain::Categorical { .. } | Domain::Discrete { .. } => return (0.0, 1.0, Scale::Linear),
        };
        match scale {
            Scale::Linear => (low - step / 2.0, high + step / 2.0, scale),
            Scale::Log => ((low - step / 2.0).max(low / 2.0), high + step / 2.0, scale),
        }
    }

    /// Brings a value to the domain's type.
    pub(super) fn admit(&self, value: &Value) -> Result<Value, String> {
        let said = |what: &str| Err(format!("{value} {what}"));
        match (self, value) {
            (_, Value::Foreign(_)) => said(FOREIGN),
            (Domain::Categorical { choices }, Value::Text(text)) if choices.contains(text) => Ok(value.clone()),
            (Domain::Categorical { choices }, _) => {
                let shown: Vec<&str> = choices.iter().take(20).map(String::as_str).collect();
                said(&format!("is no choice; write one of {}", shown.join(", ")))
            }
            (_, Value::Text(_)) => said("is text; write a number"),
            (Domain::Discrete { values }, _) => match value.as_f64() {
                Some(wanted) if values.contains(&wanted) => Ok(number(wanted)),
                _ => said(&format!("is none of the values {values:?}")),
            },
            (Domain::Int { min, max, .. }, _) => {
                let whole = match value {
                    Value::Int(value) => Some(*value),
                    Value::Double(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(*value as i64),
                    _ => None,
                };
                match whole {
                    None => said("is no whole number"),
                    Some(whole) if whole < *min || whole > *max => said(&format!("is outside {min} to {max}")),
                    Some(whole) if self.at(self.level(&Value::Int(whole)).unwrap_or(0)) != Value::Int(whole) => {
                        said("is off the steps that start at min")
                    }
                    Some(whole) => Ok(Value::Int(whole)),
                }
            }
            (Domain::Double { min, max, step, .. }, _) => {
                let number = value.as_f64().unwrap_or(f64::NAN);
                if !(number >= *min && number <= *max) {
                    return said(&format!("is outside {min} to {max}"));
                }
                match step {
                    None => Ok(Value::Double(number)),
                    Some(step) => {
                        let near = self.at(self.level(value).unwrap_or(0));
                        let off = near.as_f64().is_none_or(|near| (near - number).abs() > step * 1e-6);
                        if off { said("is off the steps that start at min") } else { Ok(near) }
                    }
                }
            }
        }
    }

    /// Equal values have equal fingerprints, whatever number type they came in.
    pub(super) fn fingerprint(&self, value: &Value) -> u64 {
        match self.level(value) {
            Some(level) => level,
            // -0 and 0 are one value.
            None => value.as_f64().map_or(u64::MAX - 1, |number| (number + 0.0).to_bits()),
        }
    }
}

/// `min + level * step` as a person would write it: 0.3 for the third step of 0.1, not 0.30000000000000004.
fn stepped(min: f64, step: f64, level: u64) -> f64 {
    let plain = min + level as f64 * step;
    let decimal = |scale: f64| {
        let (min_units, step_units) = ((min * scale).round(), (step * scale).round());
        let units = min_units + level as f64 * step_units;
        // Numbers of up to 2^53 units are exact, and so is the nearest double to their quotient.
        let exact = min_units / scale == min && step_units / scale == step && units.abs() < 9e15;
        exact.then_some(units / scale)
    };
    (0..=15).find_map(|decimals| decimal(10_f64.powi(decimals))).unwrap_or(plain)
}

/// A whole number is written as one, so that a program that wants an integer gets it.
fn number(value: f64) -> Value {
    if value.fract() == 0.0 && value.abs() < 9e15 { Value::Int(value as i64) } else { Value::Double(value) }
}
