//! The real controllers against the embedded control plane, in simulated time: whole experiments in milliseconds, with
//! an operator that is killed, starved, lied to and restarted.

mod chaos;
mod cluster;
mod crashes;
mod experiments;
mod invariants;
mod run;
mod scenarios;
mod script;
mod whole;
mod world;
