//! The covariance matrix of a search distribution, up to its overall scale.

/// A symmetric, positive definite matrix.
pub(super) enum Covariance {
    /// Its lower triangle, row by row, and that of its Cholesky factor.
    Full {
        matrix: Vec<Vec<f64>>,
        factor: Vec<Vec<f64>>,
    },
    Diagonal(Vec<f64>),
}

impl Covariance {
    /// The unit matrix.
    pub fn unit(dimensions: usize, full: bool) -> Self {
        if !full {
            return Covariance::Diagonal(vec![1.0; dimensions]);
        }
        let row = |at: usize| (0..=at).map(|other| if other == at { 1.0 } else { 0.0 }).collect();
        let matrix: Vec<Vec<f64>> = (0..dimensions).map(row).collect();
        Covariance::Full { factor: matrix.clone(), matrix }
    }

    /// Standard deviation of one coordinate.
    pub fn deviation(&self, at: usize) -> f64 {
        match self {
            Covariance::Full { matrix, .. } => matrix[at][at].sqrt(),
            Covariance::Diagonal(variances) => variances[at].sqrt(),
        }
    }

    /// From a draw of unit normals to one of this covariance.
    pub fn colour(&self, white: &[f64]) -> Vec<f64> {
        match self {
            Covariance::Full { factor, .. } => factor.iter().map(|row| dot(row, white)).collect(),
            Covariance::Diagonal(variances) => {
                white.iter().zip(variances).map(|(white, variance)| white * variance.sqrt()).collect()
            }
        }
    }

    /// The inverse of [`Covariance::colour`].
    pub fn whiten(&self, coloured: &[f64]) -> Vec<f64> {
        match self {
            Covariance::Full { factor, .. } => {
                let mut white: Vec<f64> = Vec::with_capacity(coloured.len());
                for (row, value) in factor.iter().zip(coloured) {
                    white.push((value - dot(row, &white)) / row[white.len()]);
                }
                white
            }
            Covariance::Diagonal(variances) => {
                coloured.iter().zip(variances).map(|(value, variance)| value / variance.sqrt()).collect()
            }
        }
    }

    /// `keep` times itself plus the weighted outer products of the directions. It stays as it is where that would not be
    /// positive definite.
    pub fn adapt(&mut self, keep: f64, directions: &[(f64, Vec<f64>)]) {
        match self {
            Covariance::Full { matrix, factor } => {
                let mut next = matrix.clone();
                for (at, row) in next.iter_mut().enumerate() {
                    row.iter_mut().for_each(|entry| *entry *= keep);
                    for (weight, direction) in directions {
                        let scaled = weight * direction[at];
                        row.iter_mut().zip(direction).for_each(|(entry, other)| *entry += scaled * other);
                    }
                }
                if let Some(next_factor) = cholesky(&next) {
                    (*matrix, *factor) = (next, next_factor);
                }
            }
            Covariance::Diagonal(variances) => {
                for (at, variance) in variances.iter_mut().enumerate() {
                    let added: f64 = directions.iter().map(|(weight, of)| weight * of[at] * of[at]).sum();
                    let next = keep * *variance + added;
                    if next > 1e-20 && next.is_finite() {
                        *variance = next;
                    }
                }
            }
        }
    }
}

/// Of as many entries as the shorter one has.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The lower factor of a matrix given by its lower triangle; `None` when it is not positive definite, or so nearly not
/// that its factor means nothing.
fn cholesky(matrix: &[Vec<f64>]) -> Option<Vec<Vec<f64>>> {
    let mut factor: Vec<Vec<f64>> = Vec::with_capacity(matrix.len());
    for row in matrix {
        let mut new: Vec<f64> = Vec::with_capacity(row.len());
        for (other, entry) in factor.iter().zip(row) {
            let rest = entry - dot(other, &new);
            new.push(rest / other[new.len()]);
        }
        let variance = row[new.len()];
        let rest = variance - dot(&new, &new);
        if !(rest > 1e-14 * variance && rest.is_finite()) {
            return None;
        }
        new.push(rest.sqrt());
        factor.push(new);
    }
    Some(factor)
}
