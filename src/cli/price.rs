//! What GPUs cost, as it is said on the command line.

use std::str::FromStr;

/// A GPU's model as the DCGM exporter names it, and what it costs.
#[derive(Clone, Debug, PartialEq)]
pub struct GpuPrice {
    /// Such as `NVIDIA H100 80GB HBM3`; `any`: all that are not named.
    pub model: String,
    /// US dollars an hour.
    pub dollars: f64,
}

impl FromStr for GpuPrice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("{text:?} is not MODEL=DOLLARS, such as \"NVIDIA H100 80GB HBM3=3.20\", or any=2.50 for all others")
        };
        let (model, dollars) = text.rsplit_once('=').ok_or_else(wrong)?;
        let dollars: f64 = dollars.trim().parse().map_err(|_| wrong())?;
        let model = model.trim().to_owned();
        if model.is_empty() || !dollars.is_finite() || dollars < 0.0 {
            return Err(wrong());
        }
        Ok(GpuPrice { model, dollars })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_read() {
        let good = [
            ("NVIDIA H100 80GB HBM3=3.20", "NVIDIA H100 80GB HBM3", 3.2),
            ("any=0", "any", 0.0),
            ("a=b=1", "a=b", 1.0),
        ];
        for (text, model, dollars) in good {
            assert_eq!(text.parse(), Ok(GpuPrice { model: model.into(), dollars }));
        }
        for text in ["", "3.20", "H100=", "H100=cheap", "=3", "H100=-1", "H100=NaN", "H100=inf"] {
            assert!(text.parse::<GpuPrice>().unwrap_err().contains("is not MODEL=DOLLARS"), "{text}");
        }
    }
}
