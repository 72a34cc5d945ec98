//! Names in traces (W3C Trace Context, OpenTelemetry): functions of UIDs alone, so that whoever begins anew goes on with the same
//! trace, and a trial can be told its place in it before anything is exported.

/// All of an Experiment, 32 hexadecimal digits: its UID without the dashes.
pub fn trace_id(experiment_uid: &str) -> String {
    let digits: String = experiment_uid.chars().filter(|digit| *digit != '-').collect();
    if digits.len() == 32
        && digits.chars().all(|digit| digit.is_ascii_hexdigit())
        && digits.chars().any(|one| one != '0')
    {
        return digits.to_lowercase();
    }
    // Nobody but a test names an object so.
    format!("{:016x}{:016x}", hash(experiment_uid), hash(&format!("{experiment_uid}/")))
}

/// One span, 16 hexadecimal digits. `of`: the UID of its object; of a part of its life, with a word behind.
pub fn span_id(of: &str) -> String {
    format!("{:016x}", hash(of))
}

/// The variable `TRACEPARENT` of a trial's program: what it traces is below the trial.
pub fn traceparent(experiment_uid: &str, trial_uid: &str) -> String {
    format!("00-{}-{}-01", trace_id(experiment_uid), span_id(trial_uid))
}

/// FNV-1a (Fowler, Noll, Vo), never nought, which no span may be called.
fn hash(text: &str) -> u64 {
    let hash = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_objects() {
        let experiment = "0AF76519-16cd-43dd-8448-eb211c80319c";
        assert_eq!(trace_id(experiment), "0af7651916cd43dd8448eb211c80319c");
        // Published values of FNV-1a with 64 bits.
        assert_eq!((span_id(""), span_id("a")), ("cbf29ce484222325".to_owned(), "af63dc4c8601ec8c".to_owned()));
        assert_eq!(traceparent(experiment, "a"), "00-0af7651916cd43dd8448eb211c80319c-af63dc4c8601ec8c-01");
        let others = ["u1", "u2", "00000000-0000-0000-0000-000000000000"].map(trace_id);
        assert!(others.iter().all(|id| id.len() == 32 && id.chars().any(|one| one != '0')), "{others:?}");
        assert_ne!(others[0], others[1]);
    }
}
