//! Numbers as Go prints them, because kube-apiserver's sentences hold them.

/// `%v` of a `float64`: the shortest digits, an exponent below 1e-4 and from 1e6.
pub(super) fn float(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e6).contains(&magnitude) {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let (sign, exponent) = match exponent.strip_prefix('-') {
            Some(rest) => ('-', rest),
            None => ('+', exponent),
        };
        return format!("{digits}e{sign}{exponent:0>2}");
    }
    format!("{value}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_go() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (0.5, "0.5"),
            (-2.25, "-2.25"),
            (1e-4, "0.0001"),
            (1e-5, "1e-05"),
            (1.5e-7, "1.5e-07"),
            (999_999.0, "999999"),
            (1e6, "1e+06"),
            (12_345_678.5, "1.23456785e+07"),
            (-1e18, "-1e+18"),
            (1e21, "1e+21"),
            (1e300, "1e+300"),
        ] {
            assert_eq!(float(value), text);
        }
    }
}
