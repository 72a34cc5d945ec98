//! Constants of the strategy, functions of the number of dimensions and of the population (Hansen's tutorial, table 1).

/// Learning rates and recombination weights.
pub(super) struct Strategy {
    /// Of the ranks, the best first. The positive ones sum to 1, the others are negative.
    pub weights: Vec<f64>,
    /// Variance-effective number of parents.
    pub parents: f64,
    pub step_rate: f64,
    pub step_damping: f64,
    pub path_rate: f64,
    pub rank_one: f64,
    pub rank_many: f64,
    /// Expected length of a vector of unit normals.
    pub expected_length: f64,
}

impl Strategy {
    /// For at least one dimension and at least two members. A diagonal covariance has fewer entries to learn, and
    /// learns them faster (Ros and Hansen, 2008, <https://hal.inria.fr/inria-00287367>).
    pub fn new(dimensions: usize, population: usize, full: bool) -> Self {
        let n = dimensions as f64;
        let raw: Vec<f64> =
            (1..=population).map(|rank| ((population as f64 + 1.0) / 2.0).ln() - (rank as f64).ln()).collect();
        let effective = |weights: &[f64]| {
            let (sum, squares) = weights.iter().fold((0.0, 0.0), |(sum, squares), w| (sum + w, squares + w * w));
            if squares > 0.0 { sum * sum / squares } else { 1.0 }
        };
        let (better, worse) = raw.split_at(population / 2);
        let (parents, others) = (effective(better), effective(worse));
        let faster = if full { 1.0 } else { (n + 2.0) / 3.0 };
        let rank_one = (2.0 / ((n + 1.3).powi(2) + parents) * faster).min(0.5);
        let rank_many = 2.0 * (0.25 + parents + 1.0 / parents - 2.0) / ((n + 2.0).powi(2) + parents);
        let rank_many = (rank_many * faster).min(1.0 - rank_one);
        let least = (1.0 + rank_one / rank_many)
            .min(1.0 + 2.0 * others / (parents + 2.0))
            .min((1.0 - rank_one - rank_many) / (n * rank_many))
            .max(0.0);
        let (gain, loss) = (better.iter().sum::<f64>(), -worse.iter().sum::<f64>());
        let weight = |raw: &f64| match *raw >= 0.0 {
            true => raw / gain.max(1e-300),
            false => raw / loss.max(1e-300) * least,
        };
        let step_rate = (parents + 2.0) / (n + parents + 5.0);
        Strategy {
            weights: raw.iter().map(weight).collect(),
            parents,
            step_rate,
            step_damping: 1.0 + 2.0 * (((parents - 1.0) / (n + 1.0)).sqrt() - 1.0).max(0.0) + step_rate,
            path_rate: (4.0 + parents / n) / (n + 4.0 + 2.0 * parents / n),
            rank_one,
            rank_many,
            expected_length: n.sqrt() * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n)),
        }
    }
}
