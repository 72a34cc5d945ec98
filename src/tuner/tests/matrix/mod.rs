//! The matrix: every algorithm against every feature. A row is a line of [`ALGORITHMS`], so none can be left out; a column is
//! a test here. In a cell the algorithm either searches, and every suggestion is valid and replays, or it is refused before
//! it begins, in a sentence that names others, each of which does search there.

mod cell;
mod columns;
mod health;

use super::*;
use cell::{Cell, Run, admit, run};

/// Runs a column. `refusing`: the algorithms that refuse it, and no others. `check` looks at what came out of a cell.
fn every(cell: &Cell<'_>, refusing: &[&str], check: impl Fn(&'static str, &Run)) {
    let mut refused = Vec::new();
    for algorithm in ALGORITHMS {
        if let Err(sentence) = admit(algorithm, cell) {
            refused.push(algorithm.name);
            let words = sentence.split(|c: char| !c.is_alphanumeric() && c != '-');
            let named = |word: &str| ALGORITHMS.iter().find(|other| other.name == word && other.name != algorithm.name);
            let named: Vec<&Algorithm> = words.filter_map(named).collect();
            assert!(!named.is_empty(), "{}: {sentence:?} names none that can", cell.label);
            for other in named {
                assert!(admit(other, cell).is_ok(), "{}: {sentence:?}, and so does {}", cell.label, other.name);
            }
            continue;
        }
        check(algorithm.name, &run(algorithm, cell, 3, false));
    }
    assert_eq!(refused, refusing, "{}", cell.label);
}
