//! What Prometheus' HTTP API answers to a query at one moment.

use serde::Deserialize;
use serde_json::Value;

/// What came out of one query.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answered {
    /// `None`: no series matches.
    pub value: Option<f64>,
    /// What Prometheus warned of: the value may be made of a part of the series.
    pub warning: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    status: String,
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    error: String,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    result_type: String,
    result: Value,
}

/// Reads the body of an answer.
///
/// # Errors
/// A sentence: Prometheus refused the query, or its result is not one number.
pub fn answer(body: &[u8]) -> Result<Answered, String> {
    let body: Body = serde_json::from_slice(body).map_err(|error| format!("its answer cannot be read: {error}"))?;
    if body.status != "success" && body.error.is_empty() {
        return Err("its answer is none that Prometheus gives".into());
    }
    if body.status != "success" {
        return Err(format!("it refuses the query: {}", short(&body.error)));
    }
    let data = body.data.ok_or("its answer has no data")?;
    let sample = match (data.result_type.as_str(), data.result) {
        ("vector", Value::Array(series)) => match series.as_slice() {
            [] => None,
            [one] => match one.get("value") {
                Some(sample) => Some(sample.clone()),
                None => return Err("the result is a histogram; ask for one number, such as histogram_avg(...)".into()),
            },
            many => {
                let count = many.len();
                return Err(format!("{count} series match; ask for one number, such as max(...) or sum(...)"));
            }
        },
        ("scalar", sample) => Some(sample),
        (other, _) => return Err(format!("the result is a {other}; ask for one number at one moment")),
    };
    let number = |sample: &Value| sample.get(1).and_then(Value::as_str)?.parse().ok();
    let value = match &sample {
        Some(sample) => Some(number(sample).ok_or("its answer has no number where the value stands")?),
        None => None,
    };
    Ok(Answered { value, warning: body.warnings.first().map(|warning| short(warning)) })
}

/// So much of a foreign sentence is passed on.
fn short(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_and_what_they_say() {
        let vector =
            |series: &str| format!(r#"{{"status":"success","data":{{"resultType":"vector","result":[{series}]}}}}"#);
        let table = [
            (vector(r#"{"metric":{"a":"b"},"value":[1.5,"0.25"]}"#), "Some(0.25) -"),
            (vector(r#"{"metric":{},"value":[1,"NaN"]}"#), "Some(NaN) -"),
            (vector(r#"{"metric":{},"value":[1,"+Inf"]}"#), "Some(inf) -"),
            (vector(""), "None -"),
            (r#"{"status":"success","data":{"resultType":"scalar","result":[1,"7"]}}"#.into(), "Some(7.0) -"),
            (
                r#"{"status":"success","warnings":["store down\u0000"],"data":{"resultType":"scalar","result":[1,"7"]}}"#
                    .into(),
                "Some(7.0) store down",
            ),
            (vector(r#"{"value":[1,"1"]},{"value":[1,"2"]}"#), "2 series match; ask for one number"),
            (vector(r#"{"metric":{},"histogram":[1,{}]}"#), "the result is a histogram"),
            (vector(r#"{"value":[1]}"#), "its answer has no number"),
            (r#"{"status":"success","data":{"resultType":"matrix","result":[]}}"#.into(), "the result is a matrix"),
            (r#"{"status":"error","errorType":"timeout","error":"query timed out"}"#.into(), "it refuses the query: query timed out"),
            (r#"{"status":"success"}"#.into(), "its answer has no data"),
            (r#"{"status":"error"}"#.into(), "its answer is none that Prometheus gives"),
            ("<html>".into(), "its answer cannot be read"),
            (vector(r#"{"metric":{},"value":[1.5,"0.2"#), "its answer cannot be read"),
        ];
        for (body, expected) in table {
            let said = match answer(body.as_bytes()) {
                Ok(Answered { value, warning }) => format!("{value:?} {}", warning.unwrap_or_else(|| "-".into())),
                Err(sentence) => sentence,
            };
            assert!(said.starts_with(expected), "{body}: {said}");
        }
    }
}
