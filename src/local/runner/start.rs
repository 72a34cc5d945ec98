//! Starts a pod's process: slot, objects, files, record, spawn.

use super::NODE_NAME;
use super::admit::{Launch, Objects, Plan};
use super::control::{Control, Key, name_of};
use super::desk::{Failure, Resource};
use super::gpus::Gpus;
use super::object::Pod;
use super::pods::{Process, identity};
use super::process::{
    Exit, POD_VARIABLE, Program, RUNNER_VARIABLE, StartError, prepare, spawn, supervise, write_private,
};
use super::restart::record;
use super::status::{Ended, Running, Standing};
use super::token::Bearer;
use serde_json::json;
use std::ffi::OsString;
use std::time::Duration;
use tokio::time::Instant;

/// The program that stands in front of a trial's command.
const AGENT: &str = "automl-agent";
/// Pause before an object that is missing is looked for again, or a machine without room is tried again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const GPU_VARIABLE: &str = "CUDA_VISIBLE_DEVICES";

impl Control {
    /// Starts a pod that is to run, or says what it waits for.
    pub async fn try_start(&mut self, pod: &Pod) -> Result<(), Failure> {
        let uid = &pod.meta.uid;
        let Some(plan) = self.work.get(uid).and_then(|work| work.plan.clone()) else { return Ok(()) };
        let gpus = match self.slots.take(uid, &plan.request) {
            Ok(gpus) => gpus,
            Err(message) => return self.wait_for_slot(pod, message).await,
        };
        if pod.spec.get("nodeName").is_none_or(|name| name != NODE_NAME) {
            let patch = json!({"metadata": {"uid": uid}, "spec": {"nodeName": NODE_NAME}});
            self.patch_pod(&name_of(&pod.meta), &patch).await?;
            if !self.may_start(uid) {
                return Ok(());
            }
        }
        let objects = self.read_objects(&pod.meta.namespace, &plan).await?;
        let folder = self.state.pod_folder(uid);
        let launch = match plan.launch(&identity(&pod.meta), &objects, self.slots.capacity(), &folder) {
            Ok(launch) => launch,
            Err(message) => {
                self.wait(pod, "CreateContainerConfigError", message);
                return Ok(());
            }
        };
        let started = self.start(pod, &plan, launch, &gpus, folder).await;
        let now = self.now();
        let Some(work) = self.work.get_mut(uid) else { return Ok(()) };
        let (restarts, last) = match work.standing.take() {
            Some(Standing::Restarting { restarts, last }) => (restarts + 1, Some(last)),
            _ => (0, None),
        };
        match started {
            Ok((process, end)) => {
                work.process = Some(process);
                work.standing = Some(Standing::Running(Running { started_at: now, restarts, last }));
                let uid = uid.clone();
                self.processes.spawn(async move { (uid, end.await) });
                self.enqueue(Key(Resource::Pod, name_of(&pod.meta)));
            }
            Err(StartError::Machine(message)) => {
                if let Some(last) = last {
                    // It has run before: the pause goes on.
                    work.standing = Some(Standing::Restarting { restarts: restarts - 1, last });
                    work.restart_at = Some(Instant::now() + LOOK_AGAIN);
                    self.enqueue_at(Key(Resource::Pod, name_of(&pod.meta)), Instant::now() + LOOK_AGAIN);
                } else {
                    self.wait(pod, "CreateContainerError", message);
                }
            }
            Err(StartError::Pod(message)) => {
                self.tell(&pod.meta, "Failed", format!("Error: {message}")).await;
                self.decide(uid, Ended::start_error(message, now), restarts);
                self.after_the_end(uid);
                self.enqueue(Key(Resource::Pod, name_of(&pod.meta)));
            }
        }
        Ok(())
    }

    /// Whether a pod is still wanted, as far as was seen since it was looked at.
    fn may_start(&self, uid: &str) -> bool {
        let Some(work) = self.work.get(uid) else { return false };
        self.store.pod(&work.name).is_some_and(|pod| pod.meta.uid == uid && !pod.meta.deleting())
    }

    async fn wait_for_slot(&mut self, pod: &Pod, message: String) -> Result<(), Failure> {
        let Some(work) = self.work.get_mut(&pod.meta.uid) else { return Ok(()) };
        let standing = Some(Standing::Unscheduled(message.clone()));
        if work.standing != standing {
            work.standing = standing;
            self.tell(&pod.meta, "FailedScheduling", message).await;
        }
        Ok(())
    }

    fn wait(&mut self, pod: &Pod, reason: &'static str, message: String) {
        if let Some(work) = self.work.get_mut(&pod.meta.uid) {
            work.standing = Some(Standing::Waiting(reason, message));
            self.enqueue_at(Key(Resource::Pod, name_of(&pod.meta)), Instant::now() + LOOK_AGAIN);
        }
    }

    async fn read_objects(&self, namespace: &str, plan: &Plan) -> Result<Objects, Failure> {
        let mut objects = Objects::new();
        for reference in plan.references() {
            if let Some(data) = self.desk.data(namespace, &reference).await? {
                objects.insert(reference, data);
            }
        }
        Ok(objects)
    }

    /// Writes the pod's files, records that it starts, and starts it.
    async fn start(
        &self,
        pod: &Pod,
        plan: &Plan,
        launch: Launch,
        gpus: &[String],
        folder: String,
    ) -> Result<(Process, impl Future<Output = (Exit, String)> + Send + 'static), StartError> {
        let program = self.program(pod, &launch, plan, gpus);
        let bearer = Bearer {
            namespace: pod.meta.namespace.clone(),
            service_account: plan.service_account.clone(),
            pod: pod.meta.name.clone(),
            pod_uid: pod.meta.uid.clone(),
        };
        self.settings.tokens.revoke(&pod.meta.uid);
        let termination_message = launch.termination_message.clone();
        let (tokens, pod_folder) = (self.settings.tokens.clone(), folder.clone());
        let prepared = tokio::task::spawn_blocking(move || {
            prepare(&launch)?;
            for token in &launch.tokens {
                let text = tokens.issue(bearer.clone(), &token.audience);
                write_private(&token.path, text.as_bytes(), 0o600)?;
            }
            // From here on a later runner takes the pod for one that ran.
            record(&pod_folder, None).map_err(|error| StartError::Machine(format!("{pod_folder}: {error}")))
        });
        let broken = |error: tokio::task::JoinError| StartError::Machine(error.to_string());
        prepared.await.map_err(broken)??;
        let started = spawn(&program)?;
        if let Err(error) = record(&folder, started.child.id()) {
            // A later runner still finds the process by its environment.
            tracing::warn!(folder, %error, "cannot record a process");
        }
        let (stopper, end) = supervise(started, &pod.meta.uid);
        Ok((Process { stopper, termination_message, outcome: None }, end))
    }

    fn program(&self, pod: &Pod, launch: &Launch, plan: &Plan, gpus: &[String]) -> Program {
        let mut env = launch.env.clone();
        if !gpus.is_empty() {
            env.insert(GPU_VARIABLE.to_owned(), gpus.join(","));
        } else if matches!(self.settings.gpus, Gpus::Count(_)) && plan.request.gpus == 0 {
            env.entry(GPU_VARIABLE.to_owned()).or_default();
        }
        env.extend(self.settings.environment.iter().cloned());
        env.insert(RUNNER_VARIABLE.to_owned(), self.state.id().to_owned());
        env.insert(POD_VARIABLE.to_owned(), pod.meta.uid.clone());
        let (lifeline, argv) = match launch.argv.split_first() {
            Some((name, rest)) if name == AGENT => {
                let agent = self.settings.agent_command.iter().cloned();
                (true, agent.chain(rest.iter().map(OsString::from)).collect())
            }
            _ => (false, launch.argv.iter().map(OsString::from).collect()),
        };
        Program {
            argv,
            env,
            working_dir: self.settings.base_dir.join(launch.working_dir.as_deref().unwrap_or_default()),
            log: self.state.log(&pod.meta.namespace, &pod.meta.name),
            lifeline,
        }
    }
}
