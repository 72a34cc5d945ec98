//! Stories that need a fault to be of interest.

use super::super::experiments::experiment;
use super::waiting::stranger;
use super::{Scenario, one_at_a_time, scenario, standard};
use futures::FutureExt;
use kube::api::DeleteParams;
use std::time::Duration;
use tokio::time::sleep;

/// While the operator's request to delete a Job is under way, a person deletes it and makes another of its name.
pub fn a_job_is_replaced_before_it_is_deleted() -> Scenario {
    scenario("a Job is replaced before it is deleted", standard, |world| {
        async move {
            world.create(&experiment("e", one_at_a_time(2))).await;
            while !world.chaos.asked_to_delete("e-00000") {
                sleep(Duration::from_millis(100)).await;
            }
            world.jobs().delete("e-00000", &DeleteParams::background()).await.unwrap();
            stranger(world, "e-00000").await;
            world.until("ended", |world| world.ended("e")).await;
        }
        .boxed()
    })
}

/// A stranger's Job has the name of a trial's, and has ended.
pub fn a_strangers_job_has_ended() -> Scenario {
    scenario("a stranger's Job has ended", standard, |world| {
        async move {
            stranger(world, "e-00001").await;
            sleep(Duration::from_secs(120)).await;
            world.create(&experiment("e", one_at_a_time(3))).await;
            sleep(Duration::from_secs(60)).await;
            world.jobs().delete("e-00001", &DeleteParams::background()).await.ok();
            world.until("ended", |world| world.ended("e")).await;
        }
        .boxed()
    })
}
