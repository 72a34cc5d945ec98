use super::*;
use crate::engine::JobView;
use serde_json::{Value, json};

fn experiment(name: &str, uid: &str, version: u64) -> Experiment {
    serde_json::from_value(json!({
        "apiVersion": "automl.dev/v1alpha1", "kind": "Experiment",
        "metadata": {"name": name, "namespace": "ns", "uid": uid, "resourceVersion": version.to_string()},
        "spec": {
            "objectives": [{"metric": "a", "direction": "Maximize"}], "parameters": [], "limits": {"maxTrials": 1},
            "trialTemplate": {"primaryContainer": "c", "manifest": {}},
        },
    }))
    .unwrap()
}

fn trial(name: &str, version: u64, owner: Option<&str>, conditions: Value) -> Trial {
    let owners = owner.map(|uid| {
        json!([{"apiVersion": "automl.dev/v1alpha1", "kind": "Experiment", "name": "e", "uid": uid, "controller": true}])
    });
    serde_json::from_value(json!({
        "apiVersion": "automl.dev/v1alpha1", "kind": "Trial",
        "metadata": {
            "name": name, "namespace": "ns", "uid": format!("uid-{name}"), "resourceVersion": version.to_string(),
            "ownerReferences": owners,
        },
        "spec": {"experiment": "e", "assignments": {}},
        "status": {"conditions": conditions},
    }))
    .unwrap()
}

fn owned(name: &str, version: u64) -> Trial {
    trial(name, version, Some("u1"), json!([]))
}

fn ended(name: &str, version: u64) -> Trial {
    let condition = json!({
        "type": "Complete", "status": "True", "reason": "Succeeded", "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    trial(name, version, Some("u1"), json!([condition]))
}

fn job(name: &str, experiment: &str, version: u64) -> SeenJob {
    let view = JobView {
        name: name.into(),
        uid: format!("uid-{name}"),
        resource_version: version.to_string(),
        ..JobView::default()
    };
    SeenJob { namespace: "ns".into(), experiment: experiment.into(), view }
}

/// What the desk of this UID is told, as text.
fn told(index: &mut Index, uid: &str) -> Vec<String> {
    let work = index.take(&uid.into());
    let text = |change: &Change| match change {
        Change::Trial(trial) => format!("+{}@{}", trial.name_any(), trial.resource_version().unwrap()),
        Change::TrialGone(name) => format!("-{name}"),
        Change::Job(job) => format!("+job {}@{}", job.name, job.resource_version),
        Change::JobGone(name) => format!("-job {name}"),
    };
    work.changes.iter().map(text).collect()
}

fn at(name: &str) -> Name {
    ("ns".into(), name.into())
}

fn names(names: &[&str]) -> HashSet<Name> {
    names.iter().map(|name| at(name)).collect()
}

#[test]
fn children_may_come_before_their_experiment() {
    let mut index = Index::default();
    index.see_job(job("t", "u1", 3));
    index.see_trial(owned("t", 2));
    assert!(index.take(&"u1".into()).experiment.is_none());
    index.see_trial(owned("t", 4));
    index.see_experiment(experiment("e", "u1", 1));
    assert_eq!(index.take(&"u1".into()).experiment.unwrap().name_any(), "e");
    assert!(index.take_touched().contains(&Key::Experiment("u1".into())));
}

#[test]
fn each_version_is_told_once_and_never_an_older_one() {
    let mut index = Index::default();
    index.see_experiment(experiment("e", "u1", 1));
    index.see_trial(owned("t", 5));
    index.see_job(job("t", "u1", 6));
    assert_eq!(told(&mut index, "u1"), ["+t@5", "+job t@6"]);
    index.take_touched();
    // The answer to our own write came first; the watch repeats it, after something older.
    for version in [3, 5] {
        index.see_trial(owned("t", version));
        index.see_job(job("t", "u1", version + 1));
        index.see_experiment(experiment("e", "u1", 0));
    }
    assert!(told(&mut index, "u1").is_empty());
    assert!(index.take_touched().is_empty(), "an echo wakes nobody");
    index.see_trial(owned("t", 7));
    assert_eq!(told(&mut index, "u1"), ["+t@7"]);
    assert_eq!(index.take_touched(), [Key::Experiment("u1".into())]);
}

#[test]
fn a_late_answer_does_not_bring_back_what_was_deleted() {
    let mut index = Index::default();
    index.see_experiment(experiment("e", "u1", 1));
    // Deleted by a person before the answer to our create was read.
    index.see_trial(owned("t", 5));
    index.trial_deleted(&owned("t", 6).metadata);
    index.see_trial(owned("t", 5));
    assert_eq!(told(&mut index, "u1"), ["+t@5", "-t"]);
    assert!(matches!(index.trial(&at("t")), Lookup::Absent));
    // Deleted by us; the watch still tells of its life.
    index.see_job(job("t", "u1", 7));
    index.job_destroyed(&at("t"), "uid-t");
    index.see_job(job("t", "u1", 8));
    index.job_deleted(&job("t", "u1", 9));
    assert_eq!(told(&mut index, "u1"), ["+job t@7", "-job t"]);
    // A new object of the old name is another matter.
    let mut fresh = owned("t", 10);
    fresh.metadata.uid = Some("another".into());
    index.see_trial(fresh);
    assert_eq!(told(&mut index, "u1"), ["+t@10"]);
}

#[test]
fn an_old_deletion_does_not_remove_a_new_object() {
    let mut index = Index::default();
    index.see_experiment(experiment("e", "u1", 1));
    let mut fresh = owned("t", 9);
    fresh.metadata.uid = Some("another".into());
    index.see_trial(fresh);
    index.trial_deleted(&owned("t", 6).metadata);
    assert!(matches!(index.trial(&at("t")), Lookup::Active(_)));
}

#[test]
fn a_job_that_lost_our_label_can_still_be_read() {
    let mut index = Index::default();
    index.see_experiment(experiment("e", "u1", 1));
    index.see_job(job("t", "u1", 5));
    index.job_deleted(&job("t", "u1", 6));
    assert_eq!(told(&mut index, "u1"), ["+job t@5", "-job t"]);
    index.see_job(job("t", "u1", 6));
    assert_eq!(told(&mut index, "u1"), ["+job t@6"]);
}

#[test]
fn a_list_tells_what_was_deleted_while_nobody_watched_and_spares_what_was_written_since() {
    let mut index = Index::default();
    index.see_experiment(experiment("e", "u1", 1));
    index.see_experiment(experiment("other", "u2", 2));
    index.see_trial(owned("kept", 3));
    index.see_trial(owned("gone", 4));
    index.see_trial(ended("gone-too", 5));
    index.see_trial(owned("written", 12));
    index.see_job(job("kept", "u1", 6));
    index.see_job(job("gone", "u1", 7));
    index.see_job(job("written", "u1", 11));
    told(&mut index, "u1");
    index.listed(Kind::Experiment, &names(&["e"]), 10);
    index.listed(Kind::Trial, &names(&["kept"]), 10);
    index.listed(Kind::Job, &names(&["kept"]), 10);
    let mut gone = told(&mut index, "u1");
    gone.sort();
    assert_eq!(gone, ["-gone", "-gone-too", "-job gone"]);
    assert!(index.experiment(&at("other")).is_none());
    assert!(index.take(&"u2".into()).forgotten);
}

#[test]
fn nothing_is_planned_before_all_kinds_were_listed() {
    let mut index = Index::default();
    index.see_experiment(experiment("e", "u1", 1));
    index.listed(Kind::Experiment, &names(&["e"]), 1);
    index.listed(Kind::Job, &names(&[]), 1);
    index.take_touched();
    assert!(!index.synced());
    index.listed(Kind::Trial, &names(&[]), 1);
    assert!(index.synced());
    assert_eq!(index.take_touched(), [Key::Experiment("u1".into())], "then everything is looked at");
}

#[test]
fn a_trial_made_by_hand_belongs_to_the_experiment_of_that_name_while_there_is_one() {
    let mut index = Index::default();
    index.see_trial(trial("mine", 1, None, json!([])));
    assert_eq!(index.take_touched(), [Key::Orphan(at("mine"))]);
    assert!(index.is_orphan(&at("mine")));
    index.see_experiment(experiment("e", "u1", 2));
    assert!(!index.is_orphan(&at("mine")));
    assert_eq!(told(&mut index, "u1"), ["+mine@1"]);
    // The Experiment goes before it has adopted it, and another comes.
    index.experiment_deleted(&experiment("e", "u1", 3).metadata);
    assert!(index.is_orphan(&at("mine")));
    assert_eq!(told(&mut index, "u1"), ["-mine"]);
    index.see_experiment(experiment("e", "u2", 4));
    assert_eq!(told(&mut index, "u2"), ["+mine@1"]);
    // Once adopted it stays with its owner.
    index.see_trial(trial("mine", 5, Some("u2"), json!([])));
    index.experiment_deleted(&experiment("e", "u2", 6).metadata);
    assert!(!index.is_orphan(&at("mine")));
}

#[test]
fn an_experiment_that_was_replaced_unseen_is_gone() {
    let mut index = Index::default();
    index.see_experiment(experiment("e", "u1", 1));
    index.see_experiment(experiment("e", "u2", 5));
    assert!(index.take(&"u1".into()).experiment.is_none());
    assert_eq!(index.take(&"u2".into()).experiment.unwrap().uid().unwrap(), "u2");
    // A late answer to a write to the old one.
    index.see_experiment(experiment("e", "u1", 4));
    assert_eq!(index.experiment(&at("e")).unwrap().uid().unwrap(), "u2");
}

#[test]
fn that_an_object_does_not_exist_says_nothing_about_a_namesake_that_was_seen_since() {
    let of = |uid: &str, version: u64| {
        let mut trial = owned("t", version);
        trial.metadata.uid = Some(uid.into());
        let mut job = job("t", "u1", version + 1);
        job.view.uid = format!("job-{uid}");
        (trial, job)
    };
    let mut index = Index::default();
    index.see_experiment(experiment("e", "u1", 1));
    let (trial, job) = of("old", 2);
    index.see_trial(trial);
    index.see_job(job);
    let asked = index.moment();
    // A later version of what was known is still what was asked for.
    let (trial, job) = of("old", 4);
    index.see_trial(trial);
    index.see_job(job);
    told(&mut index, "u1");
    index.trial_gone(&at("t"), asked);
    index.job_gone(&at("t"), asked);
    assert_eq!(told(&mut index, "u1"), ["-t", "-job t"]);
    // A person has deleted it and made another before the answer was read.
    let asked = index.moment();
    let (trial, job) = of("new", 6);
    index.see_trial(trial);
    index.see_job(job);
    index.trial_gone(&at("t"), asked);
    index.job_gone(&at("t"), asked);
    assert_eq!(told(&mut index, "u1"), ["+t@6", "+job t@7"]);
    assert!(matches!(index.trial(&at("t")), Lookup::Active(_)));
}

#[test]
fn that_an_experiment_is_gone_says_nothing_about_the_next_one_of_its_name() {
    let mut index = Index::default();
    index.see_experiment(experiment("e", "u1", 1));
    index.see_experiment(experiment("e", "u2", 5));
    index.experiment_gone(&at("e"), "u1");
    assert_eq!(index.experiment(&at("e")).unwrap().uid().unwrap(), "u2");
    // The watch is behind and still tells of its life.
    index.experiment_gone(&at("e"), "u2");
    index.see_experiment(experiment("e", "u2", 6));
    assert!(index.experiment(&at("e")).is_none());
}

#[test]
fn a_uid_is_forgotten_once_nothing_of_it_is_left() {
    let mut index = Index::default();
    index.see_experiment(experiment("e", "u1", 1));
    index.see_trial(owned("t", 2));
    index.see_job(job("t", "u1", 3));
    index.see_job(job("t", "u1", 4));
    index.experiment_deleted(&experiment("e", "u1", 5).metadata);
    assert!(!index.take(&"u1".into()).forgotten);
    index.trial_deleted(&owned("t", 6).metadata);
    assert!(!index.take(&"u1".into()).forgotten);
    index.job_deleted(&job("t", "u1", 7));
    assert!(index.take(&"u1".into()).forgotten);
    assert!(index.homes.is_empty() && index.trials.is_empty() && index.jobs.is_empty());
}

#[test]
fn an_experiment_that_waits_for_a_name_is_woken_when_it_is_free() {
    let mut index = Index::default();
    index.see_experiment(experiment("e", "u2", 5));
    index.see_trial(owned("t", 1));
    index.see_job(job("t", "u1", 2));
    index.want(Kind::Trial, at("t"), "u2".into());
    index.want(Kind::Job, at("t"), "u2".into());
    index.take_touched();
    index.trial_deleted(&owned("t", 6).metadata);
    assert!(index.take_touched().contains(&Key::Experiment("u2".into())));
    index.job_deleted(&job("t", "u1", 7));
    assert!(index.take_touched().contains(&Key::Experiment("u2".into())));
    assert_eq!(told(&mut index, "u2"), ["-t", "-job t"]);
}

#[test]
fn an_ended_trial_is_known_but_not_kept() {
    let mut index = Index::default();
    index.see_trial(owned("t", 1));
    assert_eq!(index.all_active_trials().len(), 1);
    index.see_trial(ended("t", 2));
    assert!(matches!(index.trial(&at("t")), Lookup::Ended(uid) if &*uid == "uid-t"));
    assert_eq!(index.all_active_trials().len(), 0);
}

#[test]
fn the_memory_of_deletions_is_bounded() {
    let mut gone = Gone::default();
    for number in 0..10_000 {
        gone.insert(Some(number.to_string()), 1);
    }
    assert_eq!((gone.versions.len(), gone.order.len()), (Gone::CAPACITY, Gone::CAPACITY));
    assert!(gone.covers("9999", 0) && !gone.covers("1", 0));
}
