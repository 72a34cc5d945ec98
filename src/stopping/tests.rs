use super::*;
use crate::metrics::{Curve, Direction, Point, Statistic};
use proptest::prelude::*;
use serde_json::json;

/// Values at the steps 1, 2, ...
fn curve(values: &[f64]) -> Curve {
    curve_at(&values.iter().enumerate().map(|(at, value)| (at as u64 + 1, *value)).collect::<Vec<_>>())
}

fn curve_at(points: &[(u64, f64)]) -> Curve {
    let mut curve = Curve::default();
    points.iter().for_each(|(step, value)| curve.push(Point::new(*step, *value)));
    curve
}

fn rules(name: &str, settings: Value) -> Rules {
    let mut rules = Rules::default();
    rules.add(name, &serde_json::from_value(settings).unwrap()).unwrap();
    rules
}

/// What a rule says to this curve (higher is better) among complete trials of these.
fn judged(rules: &Rules, others: &[Curve], own: &Curve) -> Option<String> {
    let mut curves = Curves::new(Direction::Maximize, Statistic::Best);
    others.iter().zip(0..).for_each(|(other, key)| curves.insert(key, other, Course::Complete));
    let key = others.len() as u64;
    curves.insert(key, own, Course::Running);
    rules.judge(&curves, key).map(|decision| decision.reason)
}

/// Trials that stay at 0.1, 0.2, ... for ten steps.
fn ladder(count: usize) -> Vec<Curve> {
    (1..=count).map(|rank| curve(&[rank as f64 / 10.0; 10])).collect()
}

#[test]
fn what_each_rule_says() {
    let nan = f64::NAN;
    type Row<'a> = (&'a str, Value, usize, Curve, Option<&'a str>);
    #[rustfmt::skip]
    let table: Vec<Row> = vec![
        ("Median", json!({}), 9, curve(&[0.1, 0.2, 0.4]), Some("step 3: 0.4 is below the median 0.5 of 9 trials")),
        ("Median", json!({}), 9, curve(&[0.1, 0.6, 0.4]), None),
        ("Median", json!({}), 4, curve(&[0.0]), None),
        ("Median", json!({"minTrials": 4}), 4, curve(&[0.0]), Some("step 1: 0 is below the median 0.25 of 4 trials")),
        ("Median", json!({"warmUpSteps": 4}), 9, curve(&[0.1, 0.2, 0.4]), None),
        ("Median", json!({"warmUpSteps": 2, "interval": 5}), 9, curve(&[0.1, 0.6, 0.4]), None),
        ("Median", json!({"warmUpSteps": 1, "interval": 5}), 9, curve(&[0.1, 0.6, 0.4]), Some("step 1: 0.1 is below the median 0.5 of 9 trials")),
        ("Median", json!({}), 9, curve_at(&[(2, 0.0), (8, 0.3)]), Some("step 8: 0.3 is below the median 0.5 of 9 trials")),
        ("Median", json!({}), 9, curve_at(&[(2, 0.0), (80, 0.3)]), None),
        ("Median", json!({}), 9, curve(&[0.9, nan]), Some("step 2: no finite number is below the median 0.5 of 9 trials")),
        ("Percentile", json!({}), 9, curve(&[0.69]), Some("step 1: 0.69 is below the percentile 25 0.7 of 9 trials")),
        ("Percentile", json!({"percentile": 75}), 9, curve(&[0.31]), None),
        ("Threshold", json!({"bound": 0.5, "fromStep": 2}), 0, curve(&[0.1]), None),
        ("Threshold", json!({"bound": 0.5, "fromStep": 2}), 0, curve(&[0.1, 0.5]), None),
        ("Threshold", json!({"bound": 0.5, "fromStep": 2}), 0, curve(&[0.6, 0.4]), Some("step 2: 0.4 is below the bound 0.5")),
        ("Threshold", json!({"bound": 0.5}), 0, curve(&[0.6, nan]), Some("step 2: no finite number is below the bound 0.5")),
        ("Patience", json!({"steps": 2}), 0, curve(&[0.6, 0.4]), None),
        ("Patience", json!({"steps": 2}), 0, curve(&[0.6, 0.4, 0.5]), Some("step 3: not better than 0.6 since step 1")),
        ("Patience", json!({"steps": 2}), 0, curve(&[0.6, 0.4, 0.61]), None),
        ("Patience", json!({"steps": 2, "minDelta": 0.1}), 0, curve(&[0.6, 0.4, 0.61]), Some("step 3: not better than 0.6 since step 1")),
        ("Patience", json!({"steps": 2, "warmUpSteps": 2}), 0, curve(&[0.6, 0.4, 0.5]), None),
        ("Patience", json!({"steps": 2}), 0, curve(&[0.6, nan, nan]), Some("step 3: not better than 0.6 since step 1")),
        ("Plateau", json!({"steps": 2}), 0, curve(&[0.1, 0.5, 0.501, 0.5]), Some("step 4: between 0.5 and 0.501 for 2 steps")),
        ("Plateau", json!({"steps": 2}), 0, curve(&[0.1, 0.5, 0.51, 0.5]), None),
        ("Plateau", json!({"steps": 2}), 0, curve(&[0.5, 0.5]), None),
        ("Plateau", json!({"steps": 2}), 0, curve(&[0.5, 0.5, 0.5]), Some("step 3: between 0.5 and 0.5 for 2 steps")),
        ("AsyncHalving", json!({}), 9, curve(&[0.5]), None),
        ("AsyncHalving", json!({}), 9, curve(&[0.4]), Some("step 1: 0.4 is below 0.45, what the best 1/2 of 10 trials have")),
        ("AsyncHalving", json!({"eta": 3, "minSteps": 2}), 9, curve(&[0.1, 0.1, 0.9]), Some("step 2: 0.1 is below 0.6, what the best 1/3 of 10 trials have")),
        ("AsyncHalving", json!({"minSteps": 2}), 9, curve(&[0.1]), None),
        ("AsyncHalving", json!({}), 0, curve(&[0.1]), None),
        ("AsyncHalving", json!({"eta": 3, "brackets": 2}), 5, curve(&[0.0, 0.0]), None),
        ("AsyncHalving", json!({"eta": 3, "brackets": 2}), 6, curve(&[0.0, 0.0]), Some("step 1: 0 is below 0.4, what the best 1/3 of 7 trials have")),
        ("CurveModel", json!({}), 0, curve(&[0.1, 0.2, 0.3, 0.3]), None),
        ("CurveModel", json!({}), 9, curve(&[0.1, 0.2, 0.3]), None),
        ("CurveModel", json!({}), 9, curve(&[0.1, 0.3, 0.35, 0.36, 0.36]), Some("step 5: 0.36; the chance to beat 0.9 by step 10 is below 1%")),
        ("CurveModel", json!({}), 9, curve(&[0.1, 0.3, 0.5, 0.7]), None),
        ("CurveModel", json!({"minChance": 0.5}), 9, curve(&[0.1, 0.4, 0.3, 0.6, 0.5]), Some("step 5: 0.5; the chance to beat 0.9 by step 10 is 10%")),
        ("CurveModel", json!({}), 9, curve(&[0.91, 0.3, 0.3, 0.3]), None),
        ("CurveModel", json!({"warmUpSteps": 6}), 9, curve(&[0.1, 0.3, 0.35, 0.36, 0.36]), None),
        ("CurveModel", json!({"maxSteps": 5}), 9, curve(&[0.1, 0.3, 0.35, 0.36, 0.36]), None),
        ("Auto", json!({}), 9, curve(&[0.3]), None),
        ("Auto", json!({}), 9, curve(&[0.3, 0.3]), Some("step 2: 0.3 is below the median 0.45 of 10 trials, and does not catch up")),
        ("Auto", json!({}), 9, curve(&[0.25, 0.35]), None),
        ("Auto", json!({}), 9, curve(&[0.5, 0.5]), None),
        ("Auto", json!({}), 6, curve(&[0.1, 0.1]), None),
        ("Auto", json!({}), 9, curve(&[0.1, 0.3, 0.35, 0.36, 0.36]), Some("step 5: 0.36; the chance to beat 0.9 by step 10 is below 1%")),
        ("Auto", json!({"warmUpSteps": 3}), 9, curve(&[0.3, 0.3]), None),
        ("Auto", json!({}), 0, curve(&[0.1, nan]), None),
        ("Auto", json!({}), 0, curve(&[0.1, nan, nan]), Some("step 3: no finite value since step 2")),
    ];
    for (rule, settings, others, own, reason) in table {
        let found = judged(&rules(rule, settings.clone()), &ladder(others), &own);
        assert_eq!(found.as_deref(), reason, "{rule} {settings} {own:?}");
    }
}

#[test]
fn while_there_is_no_best_trial_the_goal_is_to_be_reached() {
    for direction in [Direction::Maximize, Direction::Minimize] {
        let sign = if direction == Direction::Maximize { 1.0 } else { -1.0 };
        let first = curve(&[0.1, 0.3, 0.35, 0.36, 0.36].map(|value| sign * value));
        let judged = |goal: Option<f64>, known: bool| {
            let mut curves = Curves::new(direction, Statistic::Best).with_goal(goal.map(|goal| sign * goal));
            if known {
                curves.insert(0, &curve(&[sign * 0.1; 10]), Course::Complete);
            }
            curves.insert(1, &first, Course::Running);
            rules("CurveModel", json!({"maxSteps": 10})).judge(&curves, 1).map(|decision| decision.reason)
        };
        let says = format!("step 5: {}; the chance to beat {} by step 10 is below 1%", sign * 0.36, sign * 0.9);
        assert_eq!(judged(Some(0.9), false), Some(says));
        assert_eq!(judged(Some(0.3), false), None, "it is there already");
        assert_eq!(judged(None, false), None);
        assert_eq!(judged(Some(0.9), true), None, "it is the best");
    }
}

#[test]
fn settings_are_checked() {
    let table = [
        ("median", json!({}), "name: \"median\" is no rule; there are Auto, Median, Percentile, "),
        (
            "Median",
            json!({"steps": 3}),
            "settings.steps: is no setting of Median; there are minTrials, warmUpSteps, interval",
        ),
        ("Median", json!({"interval": 0}), "settings.interval: is 0; write a whole number from 1 to "),
        ("Percentile", json!({"percentile": "x"}), "settings.percentile: is \"x\"; write a number from 0 to 100"),
        ("Threshold", json!({}), "settings.bound: is missing; write a number"),
        ("AsyncHalving", json!({"eta": 1}), "settings.eta: is 1; write a whole number from 2 to 100"),
    ];
    for (rule, settings, says) in table {
        let given = serde_json::from_value(settings).unwrap();
        let errors = build(rule, &given).err().unwrap();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(texts[0].starts_with(says), "{rule}: {texts:?}");
    }
    let error = RuleError::new("settings.x", "is y").within("earlyStopping[0]");
    assert_eq!(error.to_string(), "earlyStopping[0].settings.x: is y");
}

#[test]
fn each_rule_can_be_made() {
    for (rule, _) in RULES {
        let settings = if *rule == "Threshold" { json!({"bound": 1}) } else { json!({}) };
        assert_eq!(build(rule, &serde_json::from_value(settings).unwrap()).map(|(name, _)| name).ok(), Some(*rule));
    }
}

#[test]
fn the_first_rule_that_wants_to_stops_the_trial() {
    let mut both = rules("Threshold", json!({"bound": 0.1}));
    both.add("Patience", &serde_json::from_value(json!({"steps": 1})).unwrap()).unwrap();
    let mut curves = Curves::new(Direction::Maximize, Statistic::Best);
    for (values, rule) in [(&[0.0, 0.0], Some("Threshold")), (&[0.2, 0.2], Some("Patience")), (&[0.2, 0.3], None)] {
        curves.insert(0, &curve(values), Course::Running);
        assert_eq!(both.judge(&curves, 0).map(|decision| decision.rule), rule);
    }
    curves.insert(0, &curve(&[0.0, 0.0]), Course::Stopped);
    assert_eq!(both.judge(&curves, 0), None, "it has ended");
    assert_eq!(both.judge(&curves, 1), None, "there is none");
}

#[test]
fn trials_that_start_together_are_judged_by_place_until_one_is_complete() {
    let auto = rules("Auto", json!({}));
    let mut curves = Curves::new(Direction::Maximize, Statistic::Best);
    for (other, key) in ladder(9).iter().zip(0..) {
        curves.insert(key, other, Course::Running);
    }
    let table = [
        (curve(&[0.3; 3]), None),
        (curve(&[0.3; 4]), Some("step 4: 0.3 is below the median 0.45 of 10 trials, and does not catch up")),
        (curve(&[0.3; 7]), Some("step 4: 0.3 is below the median 0.45 of 10 trials, and does not catch up")),
        (curve(&[0.1, 0.1, 0.2, 0.3]), None),
        (curve(&[0.5; 4]), None),
    ];
    for (own, reason) in table {
        curves.insert(9, &own, Course::Running);
        assert_eq!(auto.judge(&curves, 9).map(|decision| decision.reason).as_deref(), reason, "{own:?}");
    }
    curves.insert(0, &curve(&[0.4; 10]), Course::Complete);
    curves.insert(9, &curve(&[0.3; 4]), Course::Running);
    let reason = "step 4: 0.3; the chance to beat 0.9 by step 10 is below 1%";
    assert_eq!(auto.judge(&curves, 9).map(|decision| decision.reason).as_deref(), Some(reason));
}

#[test]
fn only_the_latest_ended_trials_are_kept() {
    let mut curves = Curves::new(Direction::Minimize, Statistic::Best);
    let total = KEPT as u64 + 50;
    for key in (0..total).rev() {
        curves.insert(key, &curve(&[key as f64, 0.5]), Course::Complete);
    }
    let (_, table) = curves.at(1).unwrap();
    assert_eq!((table.counted.len(), table.counted.best()), (KEPT, Some(50.0)));
    assert_eq!((curves.best_but(total), curves.best_but(0)), (Some(0.0), Some(0.5)), "results of all count");
}

/// A change of the trials: key, curve, course; no curve: the trial is gone.
type Change = (u64, Option<Curve>, Course);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    let value = prop_oneof![8 => -5.0..5.0, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY), 1 => any::<f64>()];
    let points = prop::collection::vec((0_u64..12, value), 0..12).prop_map(|mut points| {
        points.sort_by_key(|(step, _)| *step);
        points
    });
    let long = (1_u64..40, 1_usize..700)
        .prop_map(|(every, count)| (1..=count as u64).map(|at| (at * every, (at as f64).sin())).collect::<Vec<_>>());
    let any_points = prop::collection::vec((0_u64..12, any::<f64>()), 0..8);
    let points = prop_oneof![8 => points, 1 => long, 1 => any_points];
    let course = prop_oneof![2 => Just(Course::Running), 1 => Just(Course::Complete), 1 => Just(Course::Stopped)];
    let curve = prop::option::weighted(0.9, points.prop_map(|points| curve_at(&points)));
    prop::collection::vec((0_u64..8, curve, course), 0..40)
}

fn apply(curves: &mut Curves, changes: &[Change]) -> BTreeMap<u64, (Curve, Course)> {
    let mut left = BTreeMap::new();
    for (key, curve, course) in changes {
        match curve {
            Some(curve) => {
                curves.insert(*key, curve, *course);
                left.insert(*key, (curve.clone(), *course));
            }
            None => {
                curves.remove(*key);
                left.remove(key);
            }
        }
    }
    left
}

/// Each rule, with settings under which it says something early.
fn eager() -> Vec<Rules> {
    vec![
        rules("Median", json!({"minTrials": 1})),
        rules("Percentile", json!({"minTrials": 2, "warmUpSteps": 2, "interval": 2})),
        rules("Threshold", json!({"bound": 0})),
        rules("Patience", json!({"steps": 2})),
        rules("Plateau", json!({"steps": 2, "tolerance": 0.3})),
        rules("AsyncHalving", json!({"brackets": 2})),
        rules("CurveModel", json!({"minChance": 0.5})),
        rules("Auto", json!({"maxSteps": 20})),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_kept_up_to_date_is_what_a_fresh_start_gives(changes in changes(), maximize in any::<bool>(), latest in any::<bool>()) {
        let direction = if maximize { Direction::Maximize } else { Direction::Minimize };
        let statistic = if latest { Statistic::Latest } else { Statistic::Best };
        let mut kept = Curves::new(direction, statistic);
        let left = apply(&mut kept, &changes);
        let mut fresh = Curves::new(direction, statistic);
        left.iter().for_each(|(key, (curve, course))| fresh.insert(*key, curve, *course));
        // The tables, by their definition.
        for step in 0..200 {
            let Some((level, table)) = kept.at(step) else { continue };
            let mut expected = Table::default();
            for (key, (curve, _)) in &left {
                if let Some(sample) = Series::new(curve, direction).at(level) {
                    expected.counted.insert(kept.counted(&sample), *key);
                    expected.averages.insert(sample.average, *key);
                }
            }
            prop_assert_eq!(table, &expected, "step {}", step);
        }
        let results = left.iter().filter(|(key, (_, course))| **key != 3 && (!latest || *course != Course::Running));
        let results = results.filter_map(|(_, (curve, _))| {
            Series::new(curve, direction).points().last().map(|sample| kept.counted(sample))
        });
        prop_assert_eq!(kept.best_but(3), results.min_by(f64::total_cmp));
        prop_assert_eq!(kept.typical(), fresh.typical());
        for rules in eager() {
            for key in 0..8 {
                prop_assert_eq!(rules.judge(&kept, key), rules.judge(&fresh, key));
            }
        }
    }

    #[test]
    fn the_direction_is_of_no_account(changes in changes()) {
        let negated = |curve: &Curve| curve_at(&curve.points.iter().map(|point| (point.step, -point.number())).collect::<Vec<_>>());
        let changes: Vec<Change> = changes.into_iter().map(|(key, curve, course)| (key, curve.filter(|curve| curve.stride <= 1), course)).collect();
        let mirrored: Vec<Change> = changes.iter().map(|(key, curve, course)| (*key, curve.as_ref().map(negated), *course)).collect();
        let (mut up, mut down) = (Curves::new(Direction::Maximize, Statistic::Best), Curves::new(Direction::Minimize, Statistic::Best));
        apply(&mut up, &changes);
        apply(&mut down, &mirrored);
        for rules in eager() {
            for key in 0..8 {
                prop_assert_eq!(rules.judge(&up, key).is_some(), rules.judge(&down, key).is_some());
            }
        }
    }
}
