//! Numbers that are hard: whatever comes out, a valid suggestion follows, and the same one again.

use super::cell::complete;
use super::*;
use proptest::prelude::*;

fn any_loss() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => prop::sample::select(vec![0.0, -0.0, 1.0, 1.0 + f64::EPSILON]),
        2 => -10.0_f64..10.0,
        3 => prop::sample::select(vec![1e300, -1e300, 1e-300, -1e-300, f64::MAX, f64::MIN, f64::MIN_POSITIVE, 1e12]),
        1 => prop::sample::select(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
    ]
}

fn numbers() -> SearchSpace {
    SearchSpace::new(vec![double("x", 0.0, 1.0, Scale::Linear), int("n", 1, 1000)], &[]).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn any_losses_will_do(losses in prop::collection::vec(any_loss(), 2..30), parallel in 1_usize..6, repeated in any::<bool>()) {
        let outcome = |index: u64, _: &Assignment| match losses.get(index as usize % losses.len()) {
            Some(loss) if index % 9 != 8 => (complete(vec![*loss]), vec![]),
            _ => (Outcome::Failed, vec![]),
        };
        // The same place again and again, with other losses.
        let place = numbers().decode(&[0.5, 0.5]);
        let known = losses.iter().filter(|_| repeated).map(|loss| (place.clone(), complete(vec![*loss]))).collect();
        let trials = losses.len() as u64;
        let cell = Cell { trials, parallel, known, outcome: &outcome, ..Cell::new("any losses", numbers()) };
        every(&cell, &[], |_, _| {});
    }
}

/// Losses of one kind each, after two trials and after more.
#[test]
fn losses_of_a_kind() {
    let table: [(&str, fn(u64) -> f64); 8] = [
        ("a constant", |_| 7.0),
        ("zero", |_| 0.0),
        ("tiny losses", |at| 1e-300 * at as f64),
        ("huge losses", |at| 1e300 * (at as f64 - 10.0) / 20.0),
        ("an outlier", |at| if at == 5 { 1e300 } else { at as f64 }),
        ("an outlier below", |at| if at == 5 { -1e300 } else { at as f64 }),
        ("two values", |at| (at % 2) as f64),
        ("all over the range", |at| 10_f64.powi(at as i32 * 30 - 300)),
    ];
    for (label, loss) in table {
        let outcome = |index: u64, _: &Assignment| (complete(vec![loss(index)]), vec![]);
        let cell = Cell { outcome: &outcome, ..Cell::new(label, numbers()) };
        every(&cell, &[], |name, run| assert_eq!(run.suggested.len(), 20, "{name} with {label}: {:?}", run.none));
    }
}
