//! The real controllers against the embedded control plane, in simulated time: whole experiments in milliseconds, with
//! an operator that is killed, starved, lied to and restarted.

#![allow(dead_code)] // the world is growing: chaos and mutations come next

mod chaos;
mod cluster;
mod crashes;
mod experiments;
mod invariants;
mod neighbours;
mod run;
mod scenarios;
mod script;
mod whole;
mod world;
