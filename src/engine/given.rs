//! Given points, made whole: what a person leaves open is drawn at random.

use crate::space::{Assignment, SearchSpace, SpaceError};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How often the open parameters of a point are drawn to satisfy the constraints.
const TRIES: usize = 1000;

/// Every point, each with its place in `spec.initialTrials`, with a value for each active parameter, in the order given.
///
/// # Errors
/// A sentence for each thing that does not fit; at the first point that cannot be made whole the search ends.
pub(super) fn complete(
    space: &SearchSpace,
    given: &[(usize, &Assignment)],
    seed: u64,
) -> Result<Vec<Assignment>, Vec<String>> {
    let wrong: Vec<String> = given
        .iter()
        .flat_map(|(at, point)| space.check_partial(point).err().unwrap_or_default().into_iter().map(sentence(*at)))
        .collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    given.iter().map(|(at, point)| whole(space, point, *at, seed)).collect()
}

fn whole(space: &SearchSpace, given: &Assignment, at: usize, seed: u64) -> Result<Assignment, Vec<String>> {
    // A stream of its own, so that adding given points does not move the tuner's draws.
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(u64::MAX - at as u64);
    let mut last = Vec::new();
    for _ in 0..TRIES {
        let point: Vec<f64> = space.parameters().iter().map(|_| rng.random()).collect();
        let candidate = space.decode_around(given, &point);
        let nothing_open = candidate.len() == given.len();
        match space.check(&candidate) {
            Ok(checked) => return Ok(checked),
            Err(errors) if nothing_open => return Err(errors.into_iter().map(sentence(at)).collect()),
            Err(errors) => last = errors,
        }
    }
    let last = last.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
    Err(vec![format!("initialTrials[{at}]: {TRIES} draws of what it leaves open did not fit; the last: {last}")])
}

fn sentence(at: usize) -> impl Fn(SpaceError) -> String {
    move |error| format!("initialTrials[{at}]: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Parameter;
    use serde_json::{Value, json};

    fn completed(given: Value) -> Result<Vec<Assignment>, Vec<String>> {
        let parameters: Vec<Parameter> = serde_json::from_value(json!([
            {"name": "x", "double": {"min": 0, "max": 1}},
            {"name": "y", "double": {"min": 0, "max": 1}},
            {"name": "o", "categorical": {"choices": ["sgd", "adam"]}},
            {"name": "m", "double": {"min": 0, "max": 1}, "when": [{"parameter": "o", "in": ["sgd"]}]},
        ]))
        .unwrap();
        let parameters = parameters.iter().map(|parameter| parameter.to_space().unwrap()).collect();
        let space = SearchSpace::new(parameters, &["x + y < 1".to_owned()]).unwrap();
        let given = serde_json::from_value::<Vec<Assignment>>(given).unwrap();
        complete(&space, &given.iter().enumerate().collect::<Vec<_>>(), 1)
    }

    #[test]
    fn what_is_given_stays_and_the_rest_fits_it() {
        let table = [
            json!({"x": 0.99}),
            json!({"m": 0.5}),
            json!({"o": "adam"}),
            json!({"o": "sgd", "x": 0.1}),
            json!({"x": 0.25, "y": 0.25, "o": "adam"}),
            json!({}),
        ];
        for given in table {
            let whole = completed(json!([given])).unwrap().remove(0);
            let sum = whole["x"].as_f64().unwrap() + whole["y"].as_f64().unwrap();
            assert!(sum < 1.0, "{given}: {whole:?}");
            for (name, value) in given.as_object().unwrap() {
                assert_eq!(&json!(whole[name]), value, "{given}");
            }
            assert_eq!(whole.contains_key("m"), json!(whole["o"]) == "sgd", "{given}: {whole:?}");
        }
    }

    #[test]
    fn what_cannot_be_is_said() {
        let table = [
            (json!([{}, {"x": 2}]), vec!["initialTrials[1]: x: 2 is outside 0 to 1"]),
            (json!([{"x": 0.5, "y": 0.6, "o": "adam"}]), vec!["initialTrials[0]: x + y < 1: does not hold"]),
            (
                json!([{"x": 0.5, "y": 0.6}]),
                vec![
                    "initialTrials[0]: 1000 draws of what it leaves open did not fit; the last: x + y < 1: does not hold",
                ],
            ),
            (
                json!([{"x": 0.5, "y": 0.1, "o": "adam", "m": 0.5}]),
                vec!["initialTrials[0]: m: is given, but its conditions do not hold; leave it out"],
            ),
            (
                json!([{"o": true}]),
                vec!["initialTrials[0]: o: true is neither a number nor text; put a word such as true into quotes"],
            ),
        ];
        for (given, expected) in table {
            assert_eq!(completed(given.clone()).unwrap_err(), expected, "{given}");
        }
    }
}
