//! The steps at which trials are compared: each up to 64, then 32 an octave, so that there are few however long trials
//! run, and none is further than a thirty-second from the step that was meant.

/// Up to this step each is a level.
const EXACT: u64 = 64;
/// Levels an octave above.
const AN_OCTAVE: u64 = 32;

/// A step at which trials are compared, by its rank among those.
pub(super) type Level = usize;

/// The last level that is not beyond this step.
pub(super) fn level_of(step: u64) -> Level {
    if step < EXACT {
        return step as Level;
    }
    let octave = u64::from(step.ilog2());
    let within = (step - (1 << octave)) / (1 << (octave - u64::from(AN_OCTAVE.ilog2())));
    (EXACT + (octave - u64::from(EXACT.ilog2())) * AN_OCTAVE + within) as Level
}

/// The step of this level.
pub(super) fn step_of(level: Level) -> u64 {
    let level = level as u64;
    if level < EXACT {
        return level;
    }
    let (octaves, within) = ((level - EXACT) / AN_OCTAVE, (level - EXACT) % AN_OCTAVE);
    let start = EXACT.checked_shl(octaves as u32).unwrap_or(u64::MAX);
    start.saturating_add(within.saturating_mul(start / AN_OCTAVE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn which_steps_are_levels() {
        let steps: Vec<u64> = (0..=100).map(step_of).collect();
        assert_eq!(steps[..=64], (0..=64).collect::<Vec<u64>>());
        assert_eq!(steps[64..=67], [64, 66, 68, 70]);
        assert_eq!(steps[95..=97], [126, 128, 132]);
        let table = [(0, 0), (63, 63), (64, 64), (65, 64), (66, 65), (127, 95), (128, 96), (131, 96), (132, 97)];
        for (step, level) in table {
            assert_eq!(level_of(step), level, "step {step}");
        }
    }

    #[test]
    fn no_step_is_too_large() {
        assert!(step_of(level_of(u64::MAX)) > u64::MAX / 2);
        assert_eq!(step_of(usize::MAX), u64::MAX);
    }

    proptest! {
        #[test]
        fn a_level_is_close_below_its_step(step in prop_oneof![0_u64..300, 0_u64..1 << 53]) {
            let level = level_of(step);
            let found = step_of(level);
            prop_assert!(found <= step && step - found <= step / AN_OCTAVE, "{} {}", found, step);
            prop_assert_eq!(level_of(found), level);
            prop_assert!(step_of(level + 1) > step);
        }
    }
}
