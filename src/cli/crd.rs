//! `automl crd`.

use super::exit::{ExitCode, Failure, Outcome};
use std::io::Write;

/// Prints both CRDs as YAML documents.
pub fn print() -> Outcome {
    let crds = crate::api::crds().map_err(Failure::other)?;
    let mut out = std::io::stdout().lock();
    for crd in crds {
        let text = serde_saphyr::to_string(&crd).map_err(Failure::other)?;
        write!(out, "---\n{text}").map_err(Failure::other)?;
    }
    Ok(ExitCode::Done)
}
