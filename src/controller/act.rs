//! The only place that carries out actions: one API call (or two) each.

use super::claim;
use super::failure::{Class, Failure};
use super::findings;
use super::job::SlimJob;
use super::last_words;
use super::mutation::Mutation;
use super::patch;
use super::pods;
use super::readable::Readable;
use super::unmade;
use super::wire::{Pen, timed};
use crate::api::{Experiment, ExperimentStatus, Trial, Usage, labels};
use crate::engine::{Action, Fate, Finding, Past, TrialPatch};
use crate::report::Batch;
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::{PartialObjectMeta, Request};
use kube::{Resource, ResourceExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What was learnt by an action.
#[derive(Clone, Debug)]
pub enum Learnt {
    /// A Trial is so.
    Trial(Box<Trial>),
    /// There is no Trial of this name.
    TrialGone(String),
    /// A Job is so.
    Job(Box<SlimJob>),
    /// The Job was deleted for us.
    JobDestroyed {
        /// `metadata.name`.
        name: String,
        /// `metadata.uid`.
        uid: String,
    },
    /// There is no Job of this name.
    JobMissing(String),
    /// The API server did not take this Job.
    JobRefused {
        /// `metadata.name`.
        name: String,
        /// The API server's sentence.
        message: String,
        /// Trying again cannot help.
        permanent: bool,
    },
    /// The curves of the trials that have ended.
    Curves(Vec<Past>),
    /// The claim for checkpoints is there.
    Claim,
    /// An action keeps failing.
    Blocked {
        /// [`Action::what`].
        what: String,
        /// One of [`crate::api::conditions::reasons`].
        reason: &'static str,
        /// The API server's sentence.
        message: String,
    },
    /// The API server's answer to a dry run.
    Probed {
        /// Generation of the Experiment.
        generation: i64,
        /// Its sentence; `None`: it would take the Job.
        refusal: Option<String>,
        /// The refusal may pass (quota, policy): ask again.
        may_pass: bool,
    },
    /// What the pods of this Job say.
    Pods {
        /// `metadata.name` of the Job.
        job: String,
        /// Why they do not run, or why they were taken away; empty when they do not say.
        why: String,
        /// What others have done to them.
        fate: Fate,
        /// Containers of the latest that run on, or are to be started (again), although another of its containers has ended.
        running: Vec<String>,
        /// Containers of the latest that have failed and are not started again, with their exit codes.
        failed: BTreeMap<String, i32>,
        /// What their agents could not say while they ran.
        last_words: Vec<Batch>,
    },
    /// What another Experiment has found out.
    Results {
        /// Its name.
        experiment: String,
        /// What it is.
        finding: Finding,
    },
    /// The Experiment is so.
    Experiment(Box<Experiment>),
    /// The Experiment does not exist any more.
    ExperimentGone,
}

impl Learnt {
    /// The pods of this Job could not be read.
    pub fn unread_pods(job: String, failure: &Failure) -> Self {
        let why = format!("its pods cannot be read: {}", failure.message);
        let (running, failed) = (Vec::new(), BTreeMap::new());
        Learnt::Pods { job, why, fate: Fate::Kept, running, failed, last_words: Vec::new() }
    }
}

/// How an action ended.
#[derive(Clone, Debug)]
pub enum Done {
    /// It is done.
    Done(Learnt),
    /// It was not done, because things are not as the plan took them to be; the rest of the plan is void.
    Void(Learnt),
}

/// On whose behalf an action is carried out.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The Experiment that the plan was made from; `None` for a Trial without one.
    pub experiment: Option<&'a Experiment>,
}

/// Carries out actions.
#[derive(Clone)]
pub struct Hand {
    client: kube::Client,
    pen: Pen,
    mutation: Mutation,
}

impl Hand {
    /// Writes through `pen`.
    pub fn new(client: kube::Client, pen: Pen, mutation: Mutation) -> Self {
        Hand { client, pen, mutation }
    }

    /// Carries out one action.
    ///
    /// # Errors
    /// When the API server did not do it, or may not have. The plan ends here; the next one starts from what is seen.
    pub async fn carry_out(&self, subject: Subject<'_>, action: &Action) -> Result<Done, Failure> {
        match action {
            Action::ProbeTemplate { generation, job, claim } => {
                self.probe(subject.namespace, *generation, job, claim.as_deref()).await
            }
            Action::CreateClaim { claim } => self.create_claim(subject.namespace, claim).await,
            Action::CreateTrial { trial } => self.create_trial(subject, trial).await,
            Action::AdoptTrial { name, patch } => self.patch_trial(subject.namespace, name, patch, false).await,
            Action::CreateJob { job, .. } => self.create_job(subject.namespace, job).await,
            Action::WriteTrialStatus { name, resource_version, patch, .. } => {
                let body = self.versioned(resource_version, trial_status(patch));
                self.patch_trial(subject.namespace, name, &body, true).await
            }
            Action::ConfirmJob { name } => match self.mutation {
                Mutation::ForgetConfirm => Ok(Done::Done(Learnt::JobMissing(name.clone()))),
                _ => self.read_job(subject.namespace, name).await.map(Done::Done),
            },
            Action::InspectPods { job } => self.inspect(subject.namespace, job).await,
            Action::ReadResults { experiment, wanted } => {
                let finding = findings::of(&self.client, subject.namespace, experiment, wanted).await?;
                Ok(Done::Done(Learnt::Results { experiment: experiment.clone(), finding }))
            }
            Action::ReadCurves => match subject.experiment {
                Some(experiment) => {
                    let curves = findings::curves(&self.client, subject.namespace, experiment).await?;
                    Ok(Done::Done(Learnt::Curves(curves)))
                }
                None => Ok(Done::Void(Learnt::ExperimentGone)),
            },
            Action::DeleteJob { name, uid, .. } => self.delete_job(subject.namespace, name, uid).await,
            Action::WriteExperimentStatus { resource_version, status, .. } => match subject.experiment {
                Some(experiment) => self.write_experiment(experiment, resource_version, status).await,
                None => Ok(Done::Void(Learnt::ExperimentGone)),
            },
        }
    }

    /// Patches a Trial: its status, or the object itself.
    ///
    /// # Errors
    /// When the API server did not do it, or may not have.
    pub async fn patch_trial(&self, ns: &str, name: &str, body: &Value, status: bool) -> Result<Done, Failure> {
        let (api, label) = (self.trials(ns), format!("{ns}/{name}"));
        let params = PatchParams { field_manager: Some(labels::MANAGER.into()), ..PatchParams::default() };
        let body = Patch::Merge(body);
        let answer = if status {
            let answer = async { api.patch_status(name, &params, &body).await?.whole() };
            self.pen.write("patch-status", "Trial", &label, answer).await
        } else {
            let answer = async { api.patch(name, &params, &body).await?.whole() };
            self.pen.write("patch", "Trial", &label, answer).await
        };
        match answer {
            Ok(trial) => Ok(Done::Done(Learnt::Trial(Box::new(trial)))),
            Err(failure) if failure.class == Class::Conflict => self.read_trial(ns, name).await.map(Done::Void),
            Err(failure) if failure.class == Class::NotFound => Ok(Done::Void(Learnt::TrialGone(name.into()))),
            Err(failure) => Err(failure),
        }
    }

    /// Reads a Trial from the API server itself.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn read_trial(&self, ns: &str, name: &str) -> Result<Learnt, Failure> {
        let api = self.trials(ns);
        let answer = async { api.get_opt(name).await?.map(Readable::whole).transpose() };
        let found = timed(format!("read Trial {ns}/{name}"), answer).await?;
        Ok(found.map_or_else(|| Learnt::TrialGone(name.into()), |trial| Learnt::Trial(Box::new(trial))))
    }

    /// Reads a Job from the API server itself.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn read_job(&self, ns: &str, name: &str) -> Result<Learnt, Failure> {
        let found = timed(format!("read Job {ns}/{name}"), self.jobs(ns).get_opt(name)).await?;
        Ok(found.map_or_else(|| Learnt::JobMissing(name.into()), |job| Learnt::Job(Box::new(job))))
    }

    async fn probe(&self, ns: &str, generation: i64, job: &Value, claim: Option<&Value>) -> Result<Done, Failure> {
        let jobs = self.would_take(&SlimJob::url_path(&(), Some(ns)), job, format!("try out Job in {ns}")).await?;
        let refused = match (jobs, claim) {
            (None, Some(claim)) => {
                let url = PersistentVolumeClaim::url_path(&(), Some(ns));
                let refused = self.would_take(&url, claim, format!("try out PersistentVolumeClaim in {ns}")).await?;
                refused.map(|(sentence, may_pass)| (format!("checkpoint.volumeClaimTemplate: {sentence}"), may_pass))
            }
            (jobs, _) => jobs,
        };
        let (refusal, may_pass) = refused.map_or((None, false), |(sentence, may_pass)| (Some(sentence), may_pass));
        Ok(Done::Done(Learnt::Probed { generation, refusal, may_pass }))
    }

    /// What the API server has against this object: a sentence, and whether that may pass.
    async fn would_take(&self, url: &str, object: &Value, call: String) -> Result<Option<(String, bool)>, Failure> {
        let url = format!("{url}?dryRun=All&fieldValidation=Strict&fieldManager={}", labels::MANAGER);
        let request = http::Request::post(url).header(http::header::CONTENT_TYPE, "application/json");
        let request = request.body(object.to_string().into_bytes()).map_err(kube::Error::HttpError);
        let answer = async { self.client.request::<Value>(request?).await };
        match timed(call, answer).await {
            Ok(_) => Ok(None),
            // A namesake says nothing against it.
            Err(failure) if failure.class == Class::AlreadyExists => Ok(None),
            Err(failure) if failure.class == Class::Invalid => Ok(Some((failure.message, false))),
            Err(failure) if failure.class == Class::Forbidden => Ok(Some((failure.message, true))),
            Err(failure) => Err(failure),
        }
    }

    async fn create_claim(&self, ns: &str, claim: &Value) -> Result<Done, Failure> {
        let name = claim.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let call = format!("read PersistentVolumeClaim {ns}/{name}");
        let api: Api<PartialObjectMeta<PersistentVolumeClaim>> = Api::namespaced(self.client.clone(), ns);
        // Looked for first: it is made once, and looked for whenever an operator begins anew.
        if let Some(found) = timed(call.clone(), api.get_opt(name)).await? {
            return match claim::in_the_way(&found.metadata, claim) {
                None => Ok(Done::Done(Learnt::Claim)),
                Some((class, message)) => Err(Failure { call, class, message, retry_after: None }),
            };
        }
        let url = PersistentVolumeClaim::url_path(&(), Some(ns));
        let request = Request::new(url).create(&created(), claim.to_string().into_bytes());
        let answer = async { self.client.request::<Value>(request.map_err(kube::Error::BuildRequest)?).await };
        self.pen.write("create", "PersistentVolumeClaim", &format!("{ns}/{name}"), answer).await?;
        Ok(Done::Done(Learnt::Claim))
    }

    async fn create_trial(&self, subject: Subject<'_>, trial: &Trial) -> Result<Done, Failure> {
        let (ns, name) = (subject.namespace, trial.name_any());
        let request = serde_json::to_vec(trial).map_err(kube::Error::SerdeError).and_then(|body| {
            let url = Trial::url_path(&(), Some(ns));
            Request::new(url).create(&created(), body).map_err(kube::Error::BuildRequest)
        });
        let answer = async { self.client.request::<Readable<Trial>>(request?).await?.whole() };
        match self.pen.write("create", "Trial", &format!("{ns}/{name}"), answer).await {
            Ok(trial) => Ok(Done::Done(Learnt::Trial(Box::new(trial)))),
            Err(mut failure) if failure.class == Class::AlreadyExists => match self.read_trial(ns, &name).await? {
                Learnt::Trial(found) => {
                    let ours = found.spec.index == trial.spec.index && same_controller(&found, trial);
                    if ours || self.mutation == Mutation::SkipOwnerCheck {
                        return Ok(Done::Done(Learnt::Trial(found)));
                    }
                    failure.message = format!(
                        "a Trial of this name exists that is not this Experiment's; delete it (kubectl delete trial \
                         {name}), and all that an earlier Experiment has left with kubectl delete trials -l {}={}",
                        labels::EXPERIMENT,
                        trial.spec.experiment,
                    );
                    Err(failure)
                }
                gone => Ok(Done::Void(gone)),
            },
            Err(failure) => Err(failure),
        }
    }

    async fn create_job(&self, ns: &str, job: &Value) -> Result<Done, Failure> {
        let name = job.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default();
        let request = Request::new(SlimJob::url_path(&(), Some(ns))).create(&created(), job.to_string().into_bytes());
        let answer = async { self.client.request::<SlimJob>(request.map_err(kube::Error::BuildRequest)?).await };
        let refused = |message: String, permanent: bool| {
            Ok(Done::Done(Learnt::JobRefused { name: name.to_owned(), message, permanent }))
        };
        match self.pen.write("create", "Job", &format!("{ns}/{name}"), answer).await {
            Ok(job) => Ok(Done::Done(Learnt::Job(Box::new(job)))),
            // Whose it is, the engine sees by its owner.
            Err(failure) if failure.class == Class::AlreadyExists => {
                let found = self.read_job(ns, name).await?;
                Ok(Done::Done(self.mutation.found(found, job)))
            }
            Err(failure) if failure.class == Class::Invalid => refused(failure.message, true),
            Err(failure) if failure.class == Class::Forbidden => refused(failure.message, false),
            Err(failure) => Err(failure),
        }
    }

    async fn delete_job(&self, ns: &str, name: &str, uid: &str) -> Result<Done, Failure> {
        let guarded = self.mutation != Mutation::DropUidPrecondition;
        let uid_guard = guarded.then(|| Preconditions { uid: Some(uid.to_owned()), resource_version: None });
        let params = DeleteParams { preconditions: uid_guard, ..DeleteParams::background() };
        let api = self.jobs(ns);
        let destroyed = || Learnt::JobDestroyed { name: name.to_owned(), uid: uid.to_owned() };
        match self.pen.write("delete", "Job", &format!("{ns}/{name}"), api.delete(name, &params)).await {
            Ok(answer) => Ok(Done::Done(answer.either(|job| Learnt::Job(Box::new(job)), |_| destroyed()))),
            Err(failure) if failure.class == Class::NotFound => Ok(Done::Done(destroyed())),
            // Another Job has taken the name: ours is gone.
            Err(failure) if failure.class == Class::Conflict => self.read_job(ns, name).await.map(Done::Void),
            Err(failure) => Err(failure),
        }
    }

    async fn inspect(&self, ns: &str, job: &str) -> Result<Done, Failure> {
        let found = match self.read_job(ns, job).await? {
            Learnt::Job(found) => found,
            gone => return Ok(Done::Void(gone)),
        };
        let api: Api<Pod> = Api::namespaced(self.client.clone(), ns);
        let params = ListParams::default().labels(&format!("batch.kubernetes.io/job-name={job}")).limit(20);
        let job = job.to_owned();
        let pods = match timed(format!("list Pods of Job {ns}/{job}"), api.list(&params)).await {
            Ok(pods) => pods.items,
            Err(failure) if failure.class == Class::Forbidden => {
                return Ok(Done::Done(Learnt::unread_pods(job, &failure)));
            }
            Err(failure) => return Err(failure),
        };
        let last_words = last_words::of(&pods, ns, &found);
        let has_ended = found.view().has_ended();
        let unmade = match pods.is_empty() && !found.is_suspended() && !has_ended {
            true => unmade::refusal(&self.client, ns, &found).await,
            false => None,
        };
        let (why, fate) = pods::disruption(&pods).unwrap_or_else(|| {
            // A Job can fail without ever having had a pod.
            let deleted = match pods.is_empty() {
                true => found.has_failed_pods(),
                false => pods.iter().all(|pod| pod.metadata.deletion_timestamp.is_some()),
            };
            let why = match unmade {
                Some(why) => why,
                // Those of a Job that has ended may be gone already.
                None if pods.is_empty() && has_ended => String::new(),
                None => pods::why(&job, found.is_suspended(), found.labels(), &pods),
            };
            (why, if deleted { Fate::Deleted } else { Fate::Kept })
        });
        let (running, failed) = (pods::running(&pods), pods::failed(&pods));
        Ok(Done::Done(Learnt::Pods { job, why, fate, running, failed, last_words }))
    }

    async fn write_experiment(
        &self,
        experiment: &Experiment,
        resource_version: &str,
        status: &ExperimentStatus,
    ) -> Result<Done, Failure> {
        let (ns, name) = (experiment.namespace().unwrap_or_default(), experiment.name_any());
        let api: Api<Readable<Experiment>> = Api::namespaced(self.client.clone(), &ns);
        let change = patch::diff(&json!(experiment.status), &json!(status));
        let body = self.versioned(resource_version, change);
        let params = PatchParams { field_manager: Some(labels::MANAGER.into()), ..PatchParams::default() };
        let body = Patch::Merge(&body);
        let answer = async { api.patch_status(&name, &params, &body).await?.whole() };
        match self.pen.write("patch-status", "Experiment", &format!("{ns}/{name}"), answer).await {
            Ok(written) => Ok(Done::Done(Learnt::Experiment(Box::new(written)))),
            Err(failure) if failure.class == Class::NotFound => Ok(Done::Void(Learnt::ExperimentGone)),
            Err(failure) if failure.class == Class::Conflict => {
                let answer = async { api.get_opt(&name).await?.map(Readable::whole).transpose() };
                let found = timed(format!("read Experiment {ns}/{name}"), answer).await?;
                let same = found.filter(|found| found.uid() == experiment.uid());
                Ok(Done::Void(same.map_or(Learnt::ExperimentGone, |found| Learnt::Experiment(Box::new(found)))))
            }
            Err(failure) => Err(failure),
        }
    }

    fn versioned(&self, resource_version: &str, status: Value) -> Value {
        match self.mutation {
            Mutation::DropResourceVersion => json!({"status": status}),
            _ => patch::status(resource_version, status),
        }
    }

    fn trials(&self, ns: &str) -> Api<Readable<Trial>> {
        Api::namespaced(self.client.clone(), ns)
    }

    fn jobs(&self, ns: &str) -> Api<SlimJob> {
        Api::namespaced(self.client.clone(), ns)
    }
}

fn created() -> PostParams {
    PostParams { dry_run: false, field_manager: Some(labels::MANAGER.into()) }
}

/// Each field that the engine owns; one that is not set is removed.
fn trial_status(patch: &TrialPatch) -> Value {
    json!({
        "attempt": patch.attempt,
        // Left out while there is none.
        "interruptions": (patch.interruptions > 0).then_some(patch.interruptions),
        "startTime": patch.start_time,
        "completionTime": patch.completion_time,
        "usage": (patch.usage != Usage::default()).then_some(patch.usage),
        "objective": patch.objective,
        "objectives": (!patch.objectives.is_empty()).then_some(&patch.objectives),
        "excesses": (!patch.excesses.is_empty()).then_some(&patch.excesses),
        "conditions": patch.conditions,
    })
}

fn same_controller(a: &Trial, b: &Trial) -> bool {
    let controller = |trial: &Trial| {
        trial.owner_references().iter().find(|owner| owner.controller == Some(true)).map(|owner| owner.uid.clone())
    };
    controller(a).is_some() && controller(a) == controller(b)
}
