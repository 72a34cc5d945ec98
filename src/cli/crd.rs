//! `automl crd`.

use super::exit::{ExitCode, Failure, Outcome};
use super::print;

/// Prints both CRDs as YAML documents.
pub fn print() -> Outcome {
    let crds = crate::api::crds().map_err(Failure::other)?;
    for crd in crds {
        let text = serde_saphyr::to_string(&crd).map_err(Failure::other)?;
        print::text(&format!("---\n{text}"))?;
    }
    Ok(ExitCode::Done)
}
