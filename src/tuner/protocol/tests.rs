//! Conversations: what goes in, and what comes out.

use super::*;

const INIT: &str = r#"{"op":"init","space":{"z":{"type":"categorical","choices":["sgd",2,true]},
    "a":{"type":"double","min":0,"max":0.99,"when":{"z":"sgd"}},
    "n":{"type":"int","min":1,"max":9,"scale":"Log","when":{"z":[2,true]}}},
    "direction":"Minimize","algorithm":"tpe","settings":{"budget":100},"seed":1,"initial":[{"z":"sgd","a":0.25},{"z":true}]}"#;

fn started(init: &str) -> Session {
    let mut session = Session::default();
    assert_eq!(session.line(init), None);
    session
}

#[test]
fn a_conversation() {
    let mut session = started(INIT);
    let table = [
        (r#"{"op":"ask"}"#, Some(r#"{"id":1,"params":{"a":0.25,"z":"sgd"}}"#)),
        ("", None),
        (r#"{"op":"tell","id":1,"value":0.5}"#, None),
        (r#"{"op":"ask"}"#, Some(r#"{"id":2,"params":{"n":2,"z":true}}"#)),
        (r#"{"op":"tell","id":2,"failed":true}"#, None),
        (r#"{"op":"tell","id":2,"failed":true}"#, Some(r#"{"error":"no trial 2 is running"}"#)),
        (r#"{"op":"tell","params":{"z":2,"n":3},"value":1}"#, None),
        (r#"{"op":"tell","params":{"z":2},"value":1}"#, Some(r#"{"error":"params: n: has no value"}"#)),
        (r#"{"op":"tell","id":3}"#, Some(r#"{"error":"tell needs a value, or failed: true"}"#)),
        (r#"{"op":"ask","parallel":0}"#, Some(r#"{"error":"parallel is 0; write a whole number from 1 to 1000"}"#)),
        (INIT, Some(r#"{"error":"init comes once, as the first line"}"#)),
        (r#"{"op":"stop"}"#, Some(r#"{"error":"op is \"stop\"; write init, ask, tell or report"}"#)),
    ];
    for (line, answer) in table {
        assert_eq!(session.line(line).as_deref(), answer, "{line}");
    }
    let answer: Json = serde_json::from_str(&session.line(r#"{"op":"ask","parallel":3}"#).unwrap()).unwrap();
    let ids: Vec<u64> = answer["trials"].as_array().unwrap().iter().map(|t| t["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [3, 4, 5]);
}

#[test]
fn what_is_wrong_is_said() {
    let space = r#""space":{"x":{"type":"double","min":0,"max":1}}"#;
    let table = [
        (r#"{"op":"ask"}"#.to_owned(), "ask comes after init"),
        ("{".to_owned(), "this line is not understood: EOF while parsing an object at line 1 column 1"),
        (r#"{"op":"init","algorithm":"TPE"}"#.to_owned(), "init needs a space"),
        (format!(r#"{{"op":"init",{space}}}"#), "init needs an algorithm"),
        (
            format!(r#"{{"op":"init",{space},"algorithm":"tpe","settings":{{"candidates":0}}}}"#),
            "algorithm.settings.candidates: is 0; write a whole number from 1 to 1000",
        ),
        (
            format!(r#"{{"op":"init",{space},"algorithm":"tpe","direction":"up"}}"#),
            "direction is \"up\"; write minimize or maximize",
        ),
        (
            format!(r#"{{"op":"init",{space},"algorithm":"tpe","initial":[{{"x":2}}]}}"#),
            "initial[0]: x: 2 is outside 0 to 1",
        ),
        (
            r#"{"op":"init","space":{"x":{"type":"float"}},"algorithm":"tpe"}"#.to_owned(),
            "space.x: type is \"float\"; write double, int, categorical or discrete",
        ),
        (
            r#"{"op":"init","space":{"x":{"type":"int","min":0.5,"max":1}},"algorithm":"tpe"}"#.to_owned(),
            "space.x: min is 0.5; write a whole number",
        ),
    ];
    for (line, error) in table {
        assert_eq!(Session::default().line(&line).unwrap(), json!({ "error": error }).to_string(), "{line}");
    }
}

/// A maximum is found as the minimum of the negative.
#[test]
fn directions_mirror_each_other() {
    let ask = |direction: &str, sign: f64| {
        let init = format!(
            r#"{{"op":"init","space":{{"x":{{"type":"double","min":0,"max":1}}}},"algorithm":"Tpe","direction":"{direction}"}}"#
        );
        let mut session = started(&init);
        for id in 1..=12 {
            let answer: Json = serde_json::from_str(&session.line(r#"{"op":"ask"}"#).unwrap()).unwrap();
            let value = sign * answer["params"]["x"].as_f64().unwrap();
            assert_eq!(session.line(&json!({"op": "tell", "id": id, "value": value}).to_string()), None);
        }
        session.line(r#"{"op":"ask"}"#).unwrap()
    };
    assert_eq!(ask("minimize", 1.0), ask("maximize", -1.0));
    assert_ne!(ask("minimize", 1.0), ask("maximize", 1.0));
}

/// A resource is handed out: of three trials at 1 one goes on at 3, once all of them have ended.
#[test]
fn a_resource_is_handed_out() {
    let init = |algorithm: &str, settings: &str| {
        format!(
            r#"{{"op":"init","space":{{"x":{{"type":"double","min":0,"max":1}}}},"algorithm":"{algorithm}","settings":{settings},"fidelity":{{"min":1,"max":3}},"initial":[{{"x":0.5}}]}}"#
        )
    };
    let mut session = started(&init("successivehalving", "{}"));
    assert_eq!(session.line(r#"{"op":"ask"}"#).unwrap(), r#"{"fidelity":1,"id":1,"params":{"x":0.5}}"#);
    session.line(r#"{"op":"ask","parallel":2}"#);
    for id in 1..=3 {
        assert_eq!(session.line(&json!({"op": "tell", "id": id, "value": id}).to_string()), None);
    }
    let next = r#"{"fidelity":3,"id":4,"params":{"x":0.5},"parent":1}"#;
    assert_eq!(session.line(r#"{"op":"ask"}"#).unwrap(), next);
    let mut session = started(&init("pbt", r#"{"population":2}"#));
    let answer: Json = serde_json::from_str(&session.line(r#"{"op":"ask","parallel":5}"#).unwrap()).unwrap();
    assert_eq!(answer["trials"].as_array().unwrap().len(), 2);
    assert_eq!(session.line(r#"{"op":"ask"}"#).unwrap(), r#"{"wait":true}"#);
    let mut session = started(&init("random", "{}"));
    assert_eq!(session.line(r#"{"op":"ask"}"#).unwrap(), r#"{"fidelity":3,"id":1,"params":{"x":0.5}}"#);
}

#[test]
fn several_objectives_and_constraints() {
    let init = |algorithm: &str, rest: &str| {
        format!(
            r#"{{"op":"init","space":{{"x":{{"type":"double","min":0,"max":1}}}},"algorithm":"{algorithm}","direction":["maximize","minimize"],{rest}}}"#
        )
    };
    let mut session = started(&init("geneticnsga2", r#""constraints":1"#));
    let table = [
        (r#"{"op":"tell","params":{"x":0.5},"value":[0.9,3],"constraints":[-1]}"#, None),
        (r#"{"op":"tell","params":{"x":0.4},"value":[0.9,null],"constraints":["NaN"]}"#, None),
        (r#"{"op":"tell","params":{"x":0.3},"failed":true}"#, None),
        (
            r#"{"op":"tell","params":{"x":0.2},"value":0.9,"constraints":[1]}"#,
            Some("value has 1 numbers; write 2, one an objective"),
        ),
        (
            r#"{"op":"tell","params":{"x":0.2},"value":[0.9,1]}"#,
            Some("constraints is no list of 1 numbers, as many as init said"),
        ),
    ];
    for (line, error) in table {
        let answer = error.map(|error| json!({ "error": error }).to_string());
        assert_eq!(session.line(line), answer, "{line}");
    }
    let search = session.search.as_ref().unwrap();
    let front: Vec<&[f64]> = search.history.front().map(|finished| finished.outcome.losses()).collect();
    assert_eq!(front, [[-0.9, 3.0]]);
    let refused = |algorithm: &str, rest: &str| Session::default().line(&init(algorithm, rest)).unwrap();
    assert!(refused("forest", r#""seed":1"#).contains("Forest knows nothing of several objectives; write one of Auto"));
    assert!(
        refused("tpe", r#""constraints":-1"#).contains("constraints is -1; write how many there are, from 0 to 16")
    );
}

/// To where the value is better; what is no parameter has no derivative.
#[test]
fn derivatives_of_the_value() {
    for (direction, next) in [("maximize", 0.6), ("minimize", 0.4)] {
        let mut session = started(&format!(
            r#"{{"op":"init","space":{{"x":{{"type":"double","min":0,"max":1}}}},"algorithm":"gradient","direction":"{direction}","settings":{{"derivatives":"Reported"}}}}"#
        ));
        let answer = session.line(r#"{"op":"ask"}"#).unwrap();
        assert!(answer.contains(r#""params":{"x":0.5}"#), "{answer}");
        let wrong = session.line(r#"{"op":"tell","id":1,"value":1,"derivatives":{"y":1}}"#).unwrap();
        assert_eq!(wrong, json!({"error": "derivatives has \"y\", which is no parameter; leave it out"}).to_string());
        assert_eq!(session.line(r#"{"op":"tell","id":1,"value":1,"derivatives":{"x":1}}"#), None);
        let answer: Json = serde_json::from_str(&session.line(r#"{"op":"ask"}"#).unwrap()).unwrap();
        assert!((answer["params"]["x"].as_f64().unwrap() - next).abs() < 1e-12, "{answer}");
    }
}
