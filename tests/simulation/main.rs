//! The real controllers against the embedded control plane, in simulated time: whole experiments in milliseconds, with
//! operators that are killed, starved, lied to and restarted.

mod agent;
mod chaos;
mod cluster;
mod compare;
mod crashes;
mod door;
mod events;
mod experiments;
mod faults;
mod invariants;
mod lease;
mod leases;
mod mutations;
mod pages;
mod races;
mod reverts;
mod routes;
mod run;
mod scenarios;
mod schedules;
mod script;
mod weather;
mod whole;
mod world;
mod writes;
