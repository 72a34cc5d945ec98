//! What goes wrong between the operator and the API server.

use automl_operator::local::apiserver::{Fault, RequestInfo};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// When the operator dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// Its n-th write is lost with it.
    Before(u64),
    /// Its n-th write is carried out, and the answer is lost with it.
    After(u64),
}

/// Which of the operator's requests go wrong: given the request and its number among them.
pub type Trouble = Arc<dyn Fn(&RequestInfo, u64) -> Fault + Send + Sync>;

/// Stands between all operators and the API server.
pub struct Chaos {
    state: Mutex<State>,
    dead: watch::Sender<BTreeSet<String>>,
}

struct State {
    crashes: Vec<Crash>,
    trouble: Option<Trouble>,
    requests: u64,
    writes: u64,
}

impl Chaos {
    pub fn new(crashes: Vec<Crash>, trouble: Option<Trouble>) -> Arc<Self> {
        let state = Mutex::new(State { crashes, trouble, requests: 0, writes: 0 });
        Arc::new(Chaos { state, dead: watch::Sender::new(BTreeSet::new()) })
    }

    /// Requests of operators are those of user agents that begin so.
    pub fn before(&self, request: &RequestInfo) -> Fault {
        if !request.user_agent.starts_with("operator") {
            return Fault::None;
        }
        if self.dead.borrow().contains(&request.user_agent) {
            return Fault::Hang;
        }
        let mut state = self.state.lock().unwrap();
        state.requests += 1;
        if request.is_write() {
            state.writes += 1;
            let number = state.writes;
            let hit = |crash: &Crash| matches!(*crash, Crash::Before(n) | Crash::After(n) if n == number);
            if let Some(crash) = state.crashes.iter().copied().find(hit) {
                self.dead.send_modify(|dead| drop(dead.insert(request.user_agent.clone())));
                return match crash {
                    Crash::Before(_) => Fault::Hang,
                    Crash::After(_) => Fault::HangAfter,
                };
            }
        }
        let number = state.requests;
        state.trouble.as_ref().map_or(Fault::None, |trouble| trouble(request, number))
    }

    /// Writes of operators so far, refused ones included.
    pub fn writes(&self) -> u64 {
        self.state.lock().unwrap().writes
    }

    /// From now on nothing goes wrong.
    pub fn calm(&self) {
        let mut state = self.state.lock().unwrap();
        state.trouble = None;
        state.crashes.clear();
    }

    /// Kills the operator of this name.
    pub fn kill(&self, name: &str) {
        self.dead.send_modify(|dead| drop(dead.insert(name.to_owned())));
    }

    /// Returns when the operator of this name has died.
    pub async fn death(&self, name: &str) {
        let mut dead = self.dead.subscribe();
        let _ = dead.wait_for(|dead| dead.contains(name)).await;
    }
}
