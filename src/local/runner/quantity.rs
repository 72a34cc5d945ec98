//! Kubernetes quantities: `500m`, `2Gi`, `1e3`.

use serde_json::Value;

/// An amount in thousandths, rounded up as Kubernetes rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity {
    milli: i64,
}

impl Quantity {
    /// Reads a quantity from a JSON string or number. `None` where it is none, or not within the bounds of a signed
    /// 64-bit number of thousandths.
    pub fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => Self::parse_text(text),
            Value::Number(number) => Self::parse_text(&number.to_string()),
            _ => None,
        }
    }

    fn parse_text(text: &str) -> Option<Self> {
        let digits_end = text.find(|c: char| !matches!(c, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
        let (number, suffix) = text.split_at(digits_end);
        let (negative, number) = match number.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, number.strip_prefix('+').unwrap_or(number)),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let mantissa: i128 = digits.parse().ok()?;
        let decimals = i32::try_from(fraction.len()).ok()?;
        let (binary, decimal) = scale(suffix)?;
        let scaled = mantissa.checked_mul(1_i128.checked_shl(binary)?)?;
        let exponent = decimal.checked_add(3)?.checked_sub(decimals)?;
        let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
        let milli = if exponent >= 0 { scaled.checked_mul(power)? } else { ceiling(scaled, power) };
        let milli = if negative { -milli } else { milli };
        Some(Self { milli: i64::try_from(milli).ok()? })
    }

    /// Thousandths of the unit: the usual measure of cpu.
    pub fn milli(self) -> i64 {
        self.milli
    }

    /// Whole units, rounded up: bytes of memory, GPUs, cores.
    pub fn units(self) -> i64 {
        self.milli.div_euclid(1000) + i64::from(self.milli.rem_euclid(1000) > 0)
    }

    /// The units, if there is no fraction.
    pub fn whole(self) -> Option<i64> {
        (self.milli % 1000 == 0).then_some(self.milli / 1000)
    }
}

fn ceiling(value: i128, divisor: i128) -> i128 {
    value / divisor + i128::from(value % divisor > 0)
}

/// Suffix -> (power of two, power of ten).
fn scale(suffix: &str) -> Option<(u32, i32)> {
    Some(match suffix {
        "" => (0, 0),
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        _ => {
            let exponent = suffix.strip_prefix(['e', 'E'])?;
            (0, exponent.parse().ok()?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn reads_what_kubernetes_reads() {
        for (input, milli) in [
            (json!("1"), Some(1000)),
            (json!(2), Some(2000)),
            (json!(0.5), Some(500)),
            (json!("500m"), Some(500)),
            (json!("0.1"), Some(100)),
            (json!("1n"), Some(1)),
            (json!("1.5Gi"), Some(1_610_612_736_000)),
            (json!("2k"), Some(2_000_000)),
            (json!("1e3"), Some(1_000_000)),
            (json!("12E2"), Some(1_200_000)),
            (json!("+3"), Some(3000)),
            (json!("-1"), Some(-1000)),
            (json!(".5"), Some(500)),
            (json!("5."), Some(5000)),
            (json!(""), None),
            (json!("."), None),
            (json!("1 Gi"), None),
            (json!("one"), None),
            (json!("1..2"), None),
            (json!("--1"), None),
            (json!("1e999999999999"), None),
            (json!("9999999999999999999999999999999999999999999"), None),
            (json!("9E"), None),
            (json!(null), None),
            (json!(true), None),
        ] {
            assert_eq!(Quantity::parse(&input).map(Quantity::milli), milli, "{input}");
        }
    }

    #[test]
    fn units_round_up() {
        for (text, units, whole) in [("1500m", 2, None), ("2", 2, Some(2)), ("1m", 1, None), ("-1500m", -1, None)] {
            let quantity = Quantity::parse(&json!(text)).unwrap();
            assert_eq!((quantity.units(), quantity.whole()), (units, whole), "{text}");
        }
    }
}
