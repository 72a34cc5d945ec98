//! What goes wrong between the operators and the API server.

use super::invariants::Eyes;
use automl_operator::local::apiserver::{ApiServer, Fault, RequestInfo, Verb};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// When the operator dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Its n-th write is lost with it.
    Before(u64),
    /// Its n-th write is carried out, and the answer is lost with it.
    After(u64),
    /// Its n-th request, be it a read, is lost with it.
    Asking(u64),
}

/// A request of an operator.
pub struct Asked<'a> {
    pub info: &'a RequestInfo,
    /// Position among the requests of all operators, from 1.
    pub number: u64,
    /// How long the simulation has been running.
    pub at: Duration,
    /// For those who meddle.
    pub server: &'a ApiServer,
}

/// Which requests go wrong, and how.
pub type Trouble = Arc<dyn Fn(&Asked<'_>) -> Fault + Send + Sync>;

/// Stands between all operators and the API server.
pub struct Chaos {
    server: ApiServer,
    eyes: Eyes,
    start: Instant,
    state: Mutex<State>,
    dead: watch::Sender<BTreeSet<String>>,
}

#[derive(Default)]
struct State {
    crashes: Vec<Crash>,
    trouble: Option<Trouble>,
    /// What belongs to the story: a quota, an admission policy. It stays when all else is calm.
    policy: Option<Trouble>,
    alive: BTreeSet<String>,
    requests: u64,
    writes: u64,
    fired: usize,
    deletes: BTreeSet<String>,
}

impl Chaos {
    pub fn new(server: ApiServer, eyes: Eyes) -> Arc<Self> {
        let chaos = Arc::new(Chaos {
            server: server.clone(),
            eyes,
            start: Instant::now(),
            state: Mutex::default(),
            dead: watch::Sender::new(BTreeSet::new()),
        });
        let hook = Arc::downgrade(&chaos);
        server.set_faults(Some(Arc::new(move |request: &RequestInfo| {
            hook.upgrade().map_or(Fault::None, |chaos| chaos.before(request))
        })));
        chaos
    }

    pub fn set_crashes(&self, crashes: Vec<Crash>) {
        self.state.lock().unwrap().crashes = crashes;
    }

    pub fn set_trouble(&self, trouble: Option<Trouble>) {
        self.state.lock().unwrap().trouble = trouble;
    }

    pub fn set_policy(&self, policy: Option<Trouble>) {
        self.state.lock().unwrap().policy = policy;
    }

    /// Requests of operators are those of user agents that begin so.
    fn before(&self, info: &RequestInfo) -> Fault {
        if !info.user_agent.starts_with("operator") {
            return Fault::None;
        }
        if self.dead.borrow().contains(&info.user_agent) {
            return Fault::Hang;
        }
        let (crash, asked, policy, trouble) = {
            let mut state = self.state.lock().unwrap();
            state.requests += 1;
            state.writes += u64::from(is_write(info));
            if info.verb == Verb::Delete {
                state.deletes.insert(info.name.clone());
            }
            let crash = self.crash(&mut state, info);
            let asked = Asked { info, number: state.requests, at: self.start.elapsed(), server: &self.server };
            (crash, asked, state.policy.clone(), state.trouble.clone())
        };
        let mut fault = policy.map_or(Fault::None, |policy| policy(&asked));
        match crash {
            // What the policy refuses is not carried out, whether or not anybody lives to hear of it.
            Some(Crash::After(_)) if fault == Fault::None => {
                self.eyes.lock().asked(info, &Fault::HangAfter);
                return Fault::HangAfter;
            }
            Some(_) => return Fault::Hang,
            None => {}
        }
        if fault == Fault::None {
            fault = trouble.map_or(Fault::None, |trouble| trouble(&asked));
        }
        if self.eyes.lock().asked(info, &fault) { fault } else { Fault::Hang }
    }

    fn crash(&self, state: &mut State, info: &RequestInfo) -> Option<Crash> {
        let hit = |crash: &Crash| match *crash {
            Crash::Before(n) | Crash::After(n) => is_write(info) && n == state.writes,
            Crash::Asking(n) => n == state.requests,
        };
        let at = state.crashes.iter().position(hit)?;
        let crash = state.crashes.remove(at);
        state.fired += 1;
        self.dead.send_modify(|dead| {
            dead.insert(info.user_agent.clone());
        });
        Some(crash)
    }

    /// Writes of operators so far, refused ones included and the lease left out.
    pub fn writes(&self) -> u64 {
        self.state.lock().unwrap().writes
    }

    /// Requests of operators so far.
    pub fn requests(&self) -> u64 {
        self.state.lock().unwrap().requests
    }

    /// How many of the crashes have happened.
    pub fn fired(&self) -> usize {
        self.state.lock().unwrap().fired
    }

    /// An operator has asked for the deletion of an object of this name.
    pub fn asked_to_delete(&self, name: &str) -> bool {
        self.state.lock().unwrap().deletes.contains(name)
    }

    /// Nothing goes wrong by itself.
    pub fn is_calm(&self) -> bool {
        self.state.lock().unwrap().trouble.is_none()
    }

    /// From now on no request goes wrong.
    pub fn calm(&self) {
        self.state.lock().unwrap().trouble = None;
    }

    /// An operator of this name has started.
    pub fn born(&self, name: &str) {
        self.state.lock().unwrap().alive.insert(name.to_owned());
    }

    /// Kills all operators whose name begins so.
    pub fn kill(&self, prefix: &str) {
        let mut state = self.state.lock().unwrap();
        let (killed, alive) = std::mem::take(&mut state.alive).into_iter().partition(|name| name.starts_with(prefix));
        state.alive = alive;
        let killed: BTreeSet<String> = killed;
        self.dead.send_modify(|dead| dead.extend(killed));
    }

    /// Returns when the operator of this name has died.
    pub async fn death(&self, name: &str) {
        let mut dead = self.dead.subscribe();
        let _ = dead.wait_for(|dead| dead.contains(name)).await;
    }
}

/// The lease is written for ever.
fn is_write(info: &RequestInfo) -> bool {
    info.is_write() && info.resource != "leases"
}
