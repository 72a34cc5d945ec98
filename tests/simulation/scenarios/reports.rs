//! Programs that say much, seldom, late, twice or in no order.

use super::super::script::{End, Script, improving, printing, without_steps};
use super::{Scenario, alone, ending, merged, one_at_a_time, standard, two_at_a_time};
use serde_json::json;
use std::time::Duration;

pub fn all() -> Vec<Scenario> {
    let seconds = Duration::from_secs;
    vec![
        alone("an hour of reports", one_at_a_time(1), move |_| {
            without_steps(printing("score", seconds(20), (0..180).map(|step| f64::from(step % 50))))
        }),
        alone("a thousand records at once", one_at_a_time(1), |_| {
            printing("score", Duration::ZERO, (0..1000).map(|step| f64::from(step % 70)))
        }),
        alone("a container starts again within its attempt", two_at_a_time(3), |program| {
            let restart_after = (program.index == Some(1)).then_some(5);
            Script { restart_after, ..improving("score", program.number("x"), 8) }
        }),
        alone("steps come in no order", two_at_a_time(3), |program| {
            let mut script = improving("score", program.number("x"), 6);
            script.lines.iter_mut().zip([3, 1, 2, 2, 9, 4]).for_each(|(line, step)| line.step = Some(step));
            script
        }),
        alone(
            "clocks of nodes differ by hours",
            merged(two_at_a_time(3), json!({"failurePolicy": {"retries": 2}})),
            |program| match (program.index, program.attempt) {
                (Some(1), 0) => Script { clock_ahead: 3600, ..super::evicted(program) },
                (Some(1), 1) => Script { clock_ahead: -3600, ..super::evicted(program) },
                (Some(2), _) => Script { clock_ahead: -7200, ..standard(program) },
                _ => ending(program, End::Exit(0)),
            },
        ),
    ]
}
