//! Folds reports into a Trial's status. Pure; reports that are in there already change nothing.

use super::compile::rules;
use crate::api::{Exit, ExperimentSpec, TrialStatus};
use crate::metrics::{Exactly, MAX_POINTS, MetricSummary, Observation, nearest};
use crate::report::{Batch, Body, Progress};
use jiff::Timestamp;
use std::collections::BTreeSet;

/// Bounds of the CRD's schema.
const MAX_METRICS: usize = 16;
/// Points of all curves of a trial together, so that its object stays below 64 kB. The objectives' are not cut short for others.
const MAX_POINTS_OF_ALL: usize = 1024;
const FEWEST_POINTS: usize = 16;
const MAX_OTHERS: usize = 32;
const MAX_OTHER_NAME: usize = 64;
const MAX_NAME: usize = 128;
const MAX_TAIL: usize = 2048;
const MAX_TROUBLE: usize = 1024;
/// Integers that every JSON reader keeps exactly.
const MAX_STEP: u64 = 1 << 53;

/// A metric to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// What of it is kept exactly.
    pub exactly: Exactly,
}

impl Wanted {
    /// The metrics that an Experiment wants.
    pub fn of(spec: &ExperimentSpec) -> Vec<Self> {
        // What cannot be judged is not run.
        let rungs = rules(&spec.early_stopping).map(|rules| rules.rungs()).unwrap_or_default();
        let objectives = spec.objectives.iter().map(|objective| {
            let exactly = Exactly { recent: objective.recent(), rungs: rungs.clone(), ..Exactly::default() };
            Wanted { name: objective.metric.clone(), exactly }
        });
        let others = spec.additional_metrics.iter();
        let left = MAX_POINTS_OF_ALL.saturating_sub(spec.objectives.len() * MAX_POINTS);
        let points = (left / spec.additional_metrics.len().max(1)).clamp(FEWEST_POINTS, MAX_POINTS);
        let others =
            others.map(|name| Wanted { name: name.clone(), exactly: Exactly { points, ..Exactly::default() } });
        objectives.chain(others).collect()
    }
}

/// The status after these batches, in this order. `wanted`: the metrics to keep; `None`: all of them. `now`: nothing was
/// measured later.
pub fn fold(status: &TrialStatus, batches: &[Batch], wanted: Option<&[Wanted]>, now: Timestamp) -> TrialStatus {
    let mut status = status.clone();
    let mut progress = status.reports.take().unwrap_or_default();
    for batch in batches {
        if batch.session > progress.session && !progress.session.is_empty() {
            status.metrics.iter_mut().for_each(MetricSummary::restart);
            // The program runs again: the end of the one before it is not its own.
            status.exit = None;
            status.trouble = None;
        }
        for record in progress.news(batch) {
            match &record.body {
                Body::Observation(observation) => {
                    // A clock may be wrong.
                    let time = observation.time.min(now).max(status.start_time.unwrap_or(Timestamp::MIN));
                    observe(&mut status.metrics, &Observation { time, ..observation.clone() }, batch.attempt, wanted);
                }
                Body::Seen(names) => (status.other_metrics, status.more_metrics) = others(names, wanted),
                Body::Trouble(why) => {
                    status.trouble = (!why.is_empty()).then(|| why.chars().take(MAX_TROUBLE).collect());
                }
                Body::Ended { exit_code, signal, tail, left_out, .. } => {
                    let tail = last(tail, MAX_TAIL).to_owned();
                    let (attempt, code, signal, values_left_out) = (batch.attempt, *exit_code, *signal, *left_out);
                    status.exit = Some(Exit { attempt, code, signal, tail, values_left_out });
                }
            }
        }
        progress = progress.after(batch);
    }
    status.reports = (progress != Progress::default()).then_some(progress);
    status
}

fn observe(metrics: &mut Vec<MetricSummary>, observation: &Observation, attempt: u32, wanted: Option<&[Wanted]>) {
    let name = &observation.metric;
    let found = wanted.and_then(|wanted| wanted.iter().find(|wanted| &wanted.name == name));
    if (wanted.is_some() && found.is_none()) || name.is_empty() || name.chars().count() > MAX_NAME {
        return;
    }
    let (other, found) = (Exactly::default(), found.map(|wanted| &wanted.exactly));
    let exactly = found.unwrap_or(&other);
    let bounded = Observation { step: observation.step.map(|step| step.min(MAX_STEP)), ..observation.clone() };
    if let Some(summary) = metrics.iter_mut().find(|summary| &summary.name == name) {
        summary.observe_and_keep(&bounded, exactly, attempt);
    } else if metrics.len() < MAX_METRICS {
        let mut summary = MetricSummary::new(name);
        summary.observe_and_keep(&bounded, exactly, attempt);
        metrics.push(summary);
    }
}

/// The names that are kept, and whether there are more. Those most like what is wanted stay.
fn others(names: &[String], wanted: Option<&[Wanted]>) -> (Vec<String>, bool) {
    let fitting: BTreeSet<&str> =
        names.iter().map(String::as_str).filter(|name| name.chars().count() <= MAX_OTHER_NAME).collect();
    let more = fitting.len() > MAX_OTHERS;
    let first = wanted.and_then(<[Wanted]>::first).filter(|_| more);
    let ranked: Vec<&str> = match first {
        Some(objective) => nearest(&objective.name, fitting),
        None => fitting.into_iter().collect(),
    };
    let mut kept: Vec<String> = ranked.into_iter().take(MAX_OTHERS).map(str::to_owned).collect();
    kept.sort();
    (kept, more)
}

/// The last characters of a text.
fn last(text: &str, most: usize) -> &str {
    let skipped = text.chars().count().saturating_sub(most);
    text.char_indices().nth(skipped).map_or("", |(start, _)| &text[start..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::AttemptBegin;
    use crate::report::Record;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::MAX;

    fn observation(metric: &str, step: u64, value: f64) -> Body {
        Body::Observation(Observation { metric: metric.into(), step: Some(step), value, time: Timestamp::UNIX_EPOCH })
    }

    fn batch(session: &str, records: Vec<(u64, Body)>) -> Batch {
        Batch {
            namespace: "ns".into(),
            trial: "t".into(),
            trial_uid: "u".into(),
            attempt: 0,
            session: session.into(),
            after: None,
            records: records.into_iter().map(|(sequence, body)| Record { sequence, body }).collect(),
            end: false,
        }
    }

    #[test]
    fn a_value_was_measured_while_its_attempt_ran() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let status = TrialStatus { start_time: Some(at(100)), ..TrialStatus::default() };
        // When it says that it was, and when it was.
        for (said, expected) in [(50, 100), (120, 120), (500, 200)] {
            let body =
                Body::Observation(Observation { metric: "loss".into(), step: Some(1), value: 1.0, time: at(said) });
            let after = fold(&status, &[batch("1", vec![(1, body)])], None, at(200));
            assert_eq!(after.metrics[0].latest_time, Some(at(expected)), "{said}");
        }
    }

    #[test]
    fn what_rules_compare_is_kept_exactly() {
        let spec = serde_json::json!({
            "objectives": [{"metric": "loss", "direction": "Minimize"}], "additionalMetrics": ["other"], "parameters": [],
            "limits": {"maxTrials": 1}, "trialTemplate": {"primaryContainer": "c", "manifest": {}},
            "earlyStopping": [{"name": "AsyncHalving", "settings": {"eta": 10, "minSteps": 5}}, {"name": "Patience"}],
        });
        let wanted = Wanted::of(&serde_json::from_value(spec).unwrap());
        assert_eq!(wanted[0].exactly.rungs[..3], [5, 50, 500]);
        assert_eq!(wanted[1].exactly, Exactly::default());
    }

    #[test]
    fn a_trial_with_as_many_metrics_as_there_may_be_is_below_64_kilobytes() {
        let spec = serde_json::json!({
            "objectives": [{"metric": "loss", "direction": "Minimize", "statistic": "Mean", "over": 100}],
            "additionalMetrics": (0..15).map(|at| format!("validation/metric_{at}")).collect::<Vec<_>>(),
            "parameters": [], "limits": {"maxTrials": 1}, "trialTemplate": {"primaryContainer": "c", "manifest": {}},
            "earlyStopping": [{"name": "AsyncHalving"}],
        });
        let wanted = Wanted::of(&serde_json::from_value(spec).unwrap());
        let said = |step: u64| {
            let values =
                wanted.iter().map(move |wanted| observation(&wanted.name, step * 1000, 1.0 / (step as f64 + 3.0)));
            values.collect::<Vec<_>>()
        };
        let records: Vec<_> = (1..).zip((0..600).flat_map(said)).collect();
        let status = fold(&TrialStatus::default(), &[batch("1", records)], Some(&wanted), NOW);
        let (size, points) =
            (serde_json::to_vec(&status).unwrap().len(), |at: usize| status.metrics[at].curve.points.len());
        assert!(size < 60_000, "{size} bytes");
        assert!(points(0) > 128 && points(15) > 20, "{} and {}", points(0), points(15));
    }

    #[test]
    fn a_program_that_runs_again_has_not_ended() {
        let ended =
            || Body::Ended { exit_code: Some(3), signal: None, tail: "no data".into(), left_out: 0, parse_misses: 0 };
        let first = batch("1", vec![(1, observation("loss", 1, 1.0)), (2, ended())]);
        let status = fold(&TrialStatus::default(), std::slice::from_ref(&first), None, NOW);
        assert_eq!(status.exit.as_ref().and_then(|exit| exit.code), Some(3));
        let again = fold(&status, &[batch("2", vec![(1, observation("loss", 1, 2.0))])], None, NOW);
        assert_eq!(again.exit, None);
        assert_eq!(fold(&again, &[first], None, NOW), again, "what the first says again changes nothing");
    }

    #[test]
    fn what_could_not_be_read_is_kept_until_it_could() {
        let trouble = |sequence, why: &str| (sequence, Body::Trouble(why.into()));
        let said = |records| fold(&TrialStatus::default(), &[batch("1", records)], None, NOW).trouble;
        assert_eq!(said(vec![trouble(1, "it is down"), trouble(2, "it is slow")]).as_deref(), Some("it is slow"));
        assert_eq!(said(vec![trouble(1, "it is down"), trouble(2, "")]), None);
        assert_eq!(said(vec![trouble(1, &"é".repeat(5000))]).unwrap().chars().count(), MAX_TROUBLE);
        let first = batch("1", vec![trouble(1, "it is down")]);
        assert_eq!(
            fold(&TrialStatus::default(), &[first, batch("2", vec![])], None, NOW).trouble,
            None,
            "another process"
        );
    }

    fn progress(status: &TrialStatus) -> u64 {
        status.reports.as_ref().map_or(0, |progress| progress.sequence)
    }

    #[test]
    fn keeps_what_is_asked_for_within_the_bounds_of_the_schema() {
        let ended =
            Body::Ended { exit_code: Some(3), signal: None, tail: "é".repeat(5000), left_out: 7, parse_misses: 0 };
        let names = (0..100).map(|n| format!("n{n:03}")).chain(["x".repeat(65), "accuracy".into()]).collect();
        let mut records = vec![(1, observation("acc", 1, 0.5)), (2, observation("other", 1, 9.0))];
        records.extend([(3, Body::Seen(names)), (4, ended), (5, observation("acc", u64::MAX, f64::NAN))]);
        let status = fold(
            &TrialStatus::default(),
            &[batch("s", records)],
            Some(&[Wanted { name: "acc".into(), exactly: Exactly { recent: 2, ..Exactly::default() } }]),
            NOW,
        );
        assert_eq!(status.metrics.len(), 1, "only what is wanted");
        assert_eq!((status.metrics[0].count, status.metrics[0].latest), (2, Some(0.5)));
        assert_eq!(status.metrics[0].latest_step, Some(MAX_STEP));
        assert_eq!(status.metrics[0].recent.len(), 1, "the finite one of at most two");
        assert_eq!((status.other_metrics.len(), status.more_metrics), (MAX_OTHERS, true));
        assert!(status.other_metrics.contains(&"accuracy".into()), "what may be meant stays");
        let exit = status.exit.unwrap();
        assert_eq!((exit.code, exit.tail.chars().count(), exit.values_left_out), (Some(3), MAX_TAIL, 7));
        let many = (0..50).map(|n| (n + 1, observation(&format!("m{n}"), 1, 1.0))).collect();
        assert_eq!(fold(&TrialStatus::default(), &[batch("s", many)], None, NOW).metrics.len(), MAX_METRICS);
    }

    #[test]
    fn nothing_new_changes_nothing() {
        let first = batch("s", vec![(1, observation("acc", 1, 0.5)), (2, observation("acc", 2, 0.6))]);
        let once = fold(&TrialStatus::default(), std::slice::from_ref(&first), None, NOW);
        assert_eq!(fold(&once, &[first.clone(), first], None, NOW), once);
        let older = batch("r", vec![(9, observation("acc", 1, 9.0))]);
        assert_eq!(fold(&once, &[older], None, NOW), once, "an older session");
        assert_eq!(fold(&once, &[batch("s", Vec::new())], None, NOW), once, "no records");
    }

    #[test]
    fn a_later_session_says_anew_what_an_earlier_one_said() {
        let bare = |value: f64| {
            Body::Observation(Observation { metric: "acc".into(), step: None, value, time: Timestamp::UNIX_EPOCH })
        };
        let died = batch("1", vec![(1, bare(0.9)), (2, bare(0.8)), (3, observation("loss", 1, 5.0))]);
        // Another metric may be the first that the second session says anything of.
        let begun = batch("2", vec![(1, observation("loss", 1, 4.0))]);
        let ended = batch("2", vec![(1, observation("loss", 1, 4.0)), (2, bare(0.1)), (3, bare(0.2))]);
        let stored = fold(
            &fold(&TrialStatus::default(), std::slice::from_ref(&died), None, NOW),
            std::slice::from_ref(&begun),
            None,
            NOW,
        );
        assert_eq!(
            (stored.metrics[0].count, stored.metrics[0].restarted),
            (2, true),
            "what was measured is kept so far"
        );
        for status in [
            fold(&stored, std::slice::from_ref(&ended), None, NOW),
            fold(&TrialStatus::default(), &[died, begun, ended], None, NOW),
        ] {
            let (accuracy, loss) = (&status.metrics[0], &status.metrics[1]);
            assert_eq!((accuracy.count, accuracy.min, accuracy.max), (2, Some(0.1), Some(0.2)));
            assert_eq!((loss.count, loss.max), (1, Some(4.0)));
        }
    }

    #[test]
    fn an_attempt_that_goes_on_from_a_checkpoint_replaces_what_it_overlaps() {
        let said = |attempt: u32, steps: std::ops::Range<u64>| {
            let records = (1..).zip(steps.map(|step| observation("loss", step, f64::from(attempt)))).collect();
            Batch { attempt, ..batch(&attempt.to_string(), records) }
        };
        let status = fold(&TrialStatus::default(), &[said(0, 1..8), said(1, 6..9)], None, NOW);
        let later = fold(&status, &[said(1, 6..9), said(3, 8..10)], None, NOW);
        let summary = &later.metrics[0];
        let points: Vec<_> = summary.curve.points.iter().map(|point| (point.step, point.number())).collect();
        let expected =
            [1, 2, 3, 4, 5].map(|step| (step, 0.0)).into_iter().chain([(6, 1.0), (7, 1.0), (8, 3.0), (9, 3.0)]);
        assert_eq!(points, expected.collect::<Vec<_>>());
        let begin = |attempt, step| AttemptBegin { attempt, step };
        assert_eq!(summary.attempts, [begin(1, 6), begin(3, 8)]);
    }

    #[test]
    fn a_session_that_is_no_later_restarts_nothing() {
        let first = batch("1", vec![(1, observation("acc", 3, 0.9))]);
        let again = batch("1", vec![(2, observation("acc", 1, 0.5)), (3, observation("acc", 2, 0.4))]);
        let summary = fold(&TrialStatus::default(), &[first.clone(), again, first], None, NOW).metrics.remove(0);
        assert_eq!((summary.count, summary.max, summary.latest), (3, Some(0.9), Some(0.4)));
    }

    proptest! {
        /// However the records are cut into overlapping batches, stored in between or not, the result is the same.
        #[test]
        fn any_cut_gives_the_same(values in prop::collection::vec(-5.0..5.0, 1..20), cuts in prop::collection::vec((0_usize..20, 0_usize..20), 0..10)) {
            let records: Vec<(u64, Body)> =
                values.iter().enumerate().map(|(at, value)| (at as u64 + 1, observation("m", at as u64, *value))).collect();
            let whole = fold(&TrialStatus::default(), &[batch("s", records.clone())], None, NOW);
            let mut status = TrialStatus::default();
            for (from, to) in cuts.into_iter().chain([(0, records.len())]) {
                // An agent sends on from what is acknowledged, or from before it.
                let from = from.min(progress(&status) as usize);
                let to = to.clamp(from, records.len());
                status = fold(&status, &[batch("s", records[from..to].to_vec())], None, NOW);
            }
            prop_assert_eq!(status, whole);
        }
    }
}
