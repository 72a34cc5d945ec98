//! The Cholesky factor of a covariance matrix, which grows row by row.

/// Lower triangular `L` with `L L^T = K`, packed by rows.
#[derive(Clone, Default)]
pub(super) struct Factor {
    packed: Vec<f64>,
    size: usize,
}

/// So much of its variance a row keeps at least, beyond what the rows before it explain: duplicates do no harm.
const LEAST: f64 = 1e-10;

impl Factor {
    pub fn with_capacity(size: usize) -> Self {
        Factor { packed: Vec::with_capacity(size * (size + 1) / 2), size: 0 }
    }

    fn row(&self, at: usize) -> &[f64] {
        let start = at * (at + 1) / 2;
        self.packed.get(start..=start + at).unwrap_or_default()
    }

    /// Rows with their numbers and diagonal elements; the rows without these.
    fn rows(&self) -> impl DoubleEndedIterator<Item = (usize, &[f64], f64)> + ExactSizeIterator {
        self.rows_from(0)
    }

    /// The same from one on.
    fn rows_from(&self, first: usize) -> impl DoubleEndedIterator<Item = (usize, &[f64], f64)> + ExactSizeIterator {
        let row = |at| self.row(at).split_last().map_or((at, &[][..], 1.0), |(last, row)| (at, row, *last));
        (first..self.size).map(row)
    }

    /// Adds a row of `K`: covariances with the rows so far, and the own variance. Takes `size^2` steps.
    pub fn push(&mut self, covariances: &[f64], variance: f64) {
        let row = self.forward(covariances);
        let rest = (variance - dot(&row, &row)).max(LEAST * variance);
        self.packed.extend_from_slice(&row);
        self.packed.push(rest.sqrt());
        self.size += 1;
    }

    /// `L^-1 b`. Only as many rows as `b` has.
    pub fn forward(&self, b: &[f64]) -> Vec<f64> {
        let mut solved = Vec::with_capacity(b.len());
        self.go_forward(b, &mut solved);
        solved
    }

    /// The same where the first elements are solved already; `b` has those that follow.
    pub fn go_forward(&self, b: &[f64], solved: &mut Vec<f64>) {
        for ((_, row, diagonal), b) in self.rows_from(solved.len()).zip(b) {
            let next = (b - dot(row, solved)) / diagonal;
            solved.push(next);
        }
    }

    /// `L^-T b`.
    pub fn backward(&self, mut b: Vec<f64>) -> Vec<f64> {
        for (at, row, diagonal) in self.rows().rev() {
            let (before, rest) = b.split_at_mut(at);
            let Some(value) = rest.first_mut() else { continue };
            *value /= diagonal;
            subtract(before, *value, row);
        }
        b
    }

    /// Half the logarithm of the determinant of `K`.
    pub fn half_log_determinant(&self) -> f64 {
        self.rows().map(|(_, _, diagonal)| diagonal.ln()).sum()
    }

    /// `K^-1`, its lower triangle packed by rows.
    pub fn inverse(&self) -> Vec<f64> {
        // First L^-1, by rows; then the sum of the products of its rows with themselves.
        let mut inverse = Factor::with_capacity(self.size);
        for (at, row, diagonal) in self.rows() {
            let mut next = vec![0.0; at + 1];
            for (earlier, weight) in row.iter().enumerate() {
                subtract(&mut next, weight / diagonal, inverse.row(earlier));
            }
            if let Some(last) = next.last_mut() {
                *last = 1.0 / diagonal;
            }
            inverse.packed.extend_from_slice(&next);
            inverse.size += 1;
        }
        let mut product = vec![0.0; self.packed.len()];
        for at in 0..self.size {
            let row = inverse.row(at);
            let mut rest = product.as_mut_slice();
            for (column, weight) in row.iter().enumerate() {
                let (target, after) = rest.split_at_mut(column + 1);
                subtract(target, -weight, row);
                rest = after;
            }
        }
        product
    }
}

/// The inner product of the common length, in eight lanes so that it is vectorised.
pub(super) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let length = a.len().min(b.len());
    let (a, b) = (a.get(..length).unwrap_or_default(), b.get(..length).unwrap_or_default());
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut lanes = [0.0; 8];
    for (a, b) in a.iter().zip(b) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f64>() + rest
}

/// `target -= weight * row`, of the common length.
fn subtract(target: &mut [f64], weight: f64, row: &[f64]) {
    for (target, value) in target.iter_mut().zip(row) {
        *target -= weight * value;
    }
}
