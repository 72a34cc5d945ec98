//! What the schema of a custom kind does: refusals, defaults, pruning, rules in CEL.

use kube::{
    Api, Client,
    api::{DynamicObject, Patch, PatchParams, PostParams, ValidationDirective},
    core::ApiResource,
};
use serde_json::{Value, json};

use super::{Behaviour, eventually, kind, made, object, sentence, widget, widgets};
use crate::behaviours;

pub fn list() -> Vec<Behaviour> {
    behaviours! {
        "each refusal names the field, the value and the rule",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation", refusals;
        "several refusals come together",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation", together;
        "a required field is required",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation", required;
        "rules are not checked on what the schema refuses",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules", rules_wait;
        "defaults fill in, in items of lists, too",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#defaulting", defaults;
        "nulls where none may be are dropped or replaced",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#defaulting-and-nullable", nulls;
        "unknown fields are dropped, but not where all are preserved",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#field-pruning", pruning;
        "strict validation refuses unknown fields by name",
            "reference/using-api/api-concepts/#validation-for-unrecognized-or-duplicate-fields", strict;
        "a map list holds no key twice, a set no value",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema", twice;
        "a rule's messageExpression and fieldPath make the sentence",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#the-messageexpression-field", expression;
        "a transition rule compares with the old value",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#transition-rules", transition;
        "the rules of the spec hold on a patch, too",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules", rule_on_patch;
        "a rule without a message is its own",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules", own_words;
        "a rule's reason decides how its sentence begins",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#field-reason", rule_reason;
        "the schema of the status holds on its endpoint",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#status-subresource", status_schema;
        "a stricter definition lets what was stored be, as long as it does not change",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-ratcheting", ratcheting;
        "an object with only metadata changed keeps its defaults and its generation",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#defaulting", default_once;
        "a whole number may stand where a number is wanted, and as 1.0 where an integer is",
            "tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation", numbers;
    }
}

async fn refusal(client: &Client, namespace: &str, spec: Value) -> String {
    let result = widgets(client, namespace).create(&PostParams::default(), &widget("a", spec)).await;
    let message = sentence(result, 422, "Invalid");
    message.strip_prefix("Widget.behaviours.test \"a\" is invalid: ").expect(&message).to_owned()
}

const UNCHECKED: &str = "<nil>: Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing errors to complete validation";

async fn refusals(client: Client, namespace: String) {
    let table = [
        (
            json!({"size": -1}),
            "spec.size: Invalid value: -1: spec.size in body should be greater than or equal to 0",
            false,
        ),
        (
            json!({"size": 101}),
            "spec.size: Invalid value: 101: spec.size in body should be less than or equal to 100",
            false,
        ),
        (
            json!({"size": "x"}),
            "spec.size: Invalid value: \"string\": spec.size in body must be of type integer: \"string\"",
            true,
        ),
        (
            json!({"size": 1.5}),
            "spec.size: Invalid value: \"number\": spec.size in body must be of type integer: \"number\", <nil>: Invalid value: \"\": Checked value must be of type integer (default format) in spec.size",
            true,
        ),
        (
            json!({"color": "blue"}),
            "spec.color: Unsupported value: \"blue\": supported values: \"red\", \"green\"",
            true,
        ),
        (json!({"title": "abcdefghijk"}), "spec.title: Too long: may not be more than 10 bytes", true),
        (
            json!({"title": "ABC"}),
            "spec.title: Invalid value: \"ABC\": spec.title in body should match '^[a-z]*$'",
            false,
        ),
        (
            json!({"parts": [{"name": "a"}, {"name": "b"}, {"name": "c"}, {"name": "d"}]}),
            "spec.parts: Too many: 4: must have at most 3 items",
            true,
        ),
        (json!({"parts": [{"name": "a"}, {"count": 2}]}), "spec.parts[1].name: Required value", true),
        (
            json!({"parts": {"name": "a"}}),
            "spec.parts: Invalid value: \"object\": spec.parts in body must be of type array: \"object\"",
            true,
        ),
        (
            json!({"notes": {"k": 1}}),
            "spec.notes.k: Invalid value: \"integer\": spec.notes.k in body must be of type string: \"integer\"",
            true,
        ),
        (
            json!({"tags": [true]}),
            "spec.tags[0]: Invalid value: \"boolean\": spec.tags[0] in body must be of type string: \"boolean\"",
            true,
        ),
    ];
    for (spec, expected, blocking) in table {
        let expected = if blocking { format!("[{expected}, {UNCHECKED}]") } else { expected.to_owned() };
        assert_eq!(refusal(&client, &namespace, spec.clone()).await, expected, "{spec}");
    }
}

async fn together(client: Client, namespace: String) {
    let message = refusal(&client, &namespace, json!({"size": -1, "title": "A"})).await;
    assert!(message.starts_with('[') && message.ends_with(']'), "{message}");
    for part in [
        "spec.size: Invalid value: -1: spec.size in body should be greater than or equal to 0",
        "spec.title: Invalid value: \"A\": spec.title in body should match '^[a-z]*$'",
    ] {
        assert!(message.contains(part), "{message}");
    }
}

async fn required(client: Client, namespace: String) {
    let bare = object(json!({"apiVersion": "behaviours.test/v1", "kind": "Widget", "metadata": {"name": "a"}}));
    let result = widgets(&client, &namespace).create(&PostParams::default(), &bare).await;
    let message = sentence(result, 422, "Invalid");
    assert_eq!(message, format!("Widget.behaviours.test \"a\" is invalid: [spec: Required value, {UNCHECKED}]"));
}

async fn rules_wait(client: Client, namespace: String) {
    let message = refusal(&client, &namespace, json!({"color": "blue", "min": 5, "max": 1})).await;
    assert!(message.contains(UNCHECKED), "{message}");
    assert!(!message.contains("is above max"), "{message}");
}

async fn defaults(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let created = made(&api, "a", json!({"parts": [{"name": "x"}, {"name": "y", "count": 4}]})).await;
    let parts = json!([{"name": "x", "count": 1}, {"name": "y", "count": 4}]);
    assert_eq!(created.data["spec"], json!({"size": 3, "parts": parts}));
}

async fn nulls(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let created = made(&api, "a", json!({"size": null, "color": null, "raw": {"kept": null}})).await;
    assert_eq!(created.data["spec"], json!({"size": 3, "raw": {"kept": null}}));
}

async fn pruning(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let spec = json!({"size": 1, "wheels": 4, "parts": [{"name": "x", "count": 1, "colour": "red"}], "raw": {"any": {"thing": 1}}});
    let created = made(&api, "a", spec).await;
    let kept = json!({"size": 1, "parts": [{"name": "x", "count": 1}], "raw": {"any": {"thing": 1}}});
    assert_eq!(created.data["spec"], kept);
}

async fn strict(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let path = format!("{}?fieldValidation=Strict", super::widgets_path(&namespace));
    let mut body =
        serde_json::to_value(widget("a", json!({"wheels": 4, "parts": [{"name": "x", "colour": "red"}]}))).unwrap();
    body["metadata"]["nick"] = json!("n");
    let result = super::request::<Value>(&client, "POST", &path, &[], Some(&body)).await;
    assert_eq!(
        sentence(result, 400, "BadRequest"),
        "Widget in version \"v1\" cannot be handled as a Widget: strict decoding error: unknown field \"metadata.nick\", \
         unknown field \"spec.parts[0].colour\", unknown field \"spec.wheels\""
    );
    made(&api, "a", json!({})).await;
    let params = PatchParams { field_validation: Some(ValidationDirective::Strict), ..PatchParams::default() };
    let result = api.patch("a", &params, &Patch::Merge(json!({"spec": {"wheels": 4}}))).await;
    let message = sentence(result, 422, "Invalid");
    assert!(message.starts_with(" \"\" is invalid: patch: Invalid value: \"{"), "{message}");
    assert!(message.ends_with("}\": strict decoding error: unknown field \"spec.wheels\""), "{message}");
}

async fn twice(client: Client, namespace: String) {
    let found = refusal(&client, &namespace, json!({"parts": [{"name": "x"}, {"name": "x"}]})).await;
    assert_eq!(found, "spec.parts[1]: Duplicate value: {\"name\":\"x\"}");
    let found = refusal(&client, &namespace, json!({"tags": ["x", "y", "x"]})).await;
    assert_eq!(found, "spec.tags[2]: Duplicate value: \"x\"");
}

async fn expression(client: Client, namespace: String) {
    let found = refusal(&client, &namespace, json!({"min": 5, "max": 1})).await;
    assert_eq!(found, "spec.min: Invalid value: min is above max");
}

async fn transition(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({"fixed": "once"})).await;
    let patch = |text: &str| Patch::Merge(json!({"spec": {"fixed": text, "size": 4}}));
    api.patch("a", &PatchParams::default(), &patch("once")).await.unwrap();
    assert_eq!(
        sentence(api.patch("a", &PatchParams::default(), &patch("twice")).await, 422, "Invalid"),
        "Widget.behaviours.test \"a\" is invalid: spec.fixed: Invalid value: \"twice\": fixed is immutable"
    );
}

async fn rule_on_patch(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({"color": "red", "min": 1, "max": 5})).await;
    let result = api.patch("a", &PatchParams::default(), &Patch::Merge(json!({"spec": {"max": 0}}))).await;
    assert_eq!(
        sentence(result, 422, "Invalid"),
        "Widget.behaviours.test \"a\" is invalid: spec.min: Invalid value: a coloured min is above max"
    );
}

async fn numbers(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let created = made(&api, "a", json!({"ratio": 1, "size": 2.0})).await;
    assert_eq!(created.data["spec"]["ratio"].as_f64(), Some(1.0));
    assert_eq!(created.data["spec"]["size"].as_f64(), Some(2.0));
}

async fn own_words(client: Client, namespace: String) {
    let found = refusal(&client, &namespace, json!({"even": 3})).await;
    assert_eq!(found, "spec.even: Invalid value: 3: failed rule: self % 2 == 0");
}

async fn rule_reason(client: Client, namespace: String) {
    let found = refusal(&client, &namespace, json!({"even": 102})).await;
    assert_eq!(found, "spec.even: Forbidden: more than a hundred");
}

async fn status_schema(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    made(&api, "a", json!({})).await;
    let patch = Patch::Merge(json!({"status": {"conditions": [{"type": "Ready"}], "unknown": 1}}));
    let message = sentence(api.patch_status("a", &PatchParams::default(), &patch).await, 422, "Invalid");
    let expected = "status.conditions[0].status: Required value";
    assert_eq!(message, format!("Widget.behaviours.test \"a\" is invalid: [{expected}, {UNCHECKED}]"));
    let patch = Patch::Merge(json!({"status": {"phase": "x", "unknown": 1}}));
    let patched = api.patch_status("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!(patched.data["status"], json!({"phase": "x"}));
}

async fn ratcheting(client: Client, namespace: String) {
    let plural = format!("{}s", namespace.replace('-', ""));
    let name = format!("{plural}.behaviours.test");
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
        "spec": {
            "group": "behaviours.test", "scope": "Namespaced", "names": {"kind": "Ratchet", "plural": plural},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "properties": {"spec": {"type": "object", "properties": {
                    "size": {"type": "integer"}, "note": {"type": "string"},
                }}},
            }}}],
        },
    });
    let definitions: Api<DynamicObject> =
        Api::all_with(client.clone(), &kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition"));
    definitions.create(&PostParams::default(), &object(definition)).await.unwrap();
    let resource = ApiResource { plural, ..kind("behaviours.test", "v1", "Ratchet") };
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &namespace, &resource);
    eventually("the kind is served", || async { api.list(&Default::default()).await.is_ok() }).await;
    let large = |name: &str| {
        let metadata = json!({"name": name});
        object(
            json!({"apiVersion": "behaviours.test/v1", "kind": "Ratchet", "metadata": metadata, "spec": {"size": 200}}),
        )
    };
    api.create(&PostParams::default(), &large("a")).await.unwrap();
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/size/maximum";
    let stricter = json!([{"op": "add", "path": path, "value": 100}]);
    let stricter = Patch::<Value>::Json(serde_json::from_value(stricter).unwrap());
    definitions.patch(&name, &PatchParams::default(), &stricter).await.unwrap();
    let dry = PostParams { dry_run: true, ..PostParams::default() };
    eventually("the definition is obeyed", || async { api.create(&dry, &large("b")).await.is_err() }).await;
    let edit = |spec: Value| Patch::Merge(json!({"spec": spec}));
    let edited = api.patch("a", &PatchParams::default(), &edit(json!({"note": "x"}))).await.unwrap();
    assert_eq!(edited.data["spec"], json!({"size": 200, "note": "x"}));
    let message = sentence(api.patch("a", &PatchParams::default(), &edit(json!({"size": 201}))).await, 422, "Invalid");
    let expected = "spec.size: Invalid value: 201: spec.size in body should be less than or equal to 100";
    assert_eq!(message, format!("Ratchet.behaviours.test \"a\" is invalid: {expected}"));
    // The end of a definition is the end of its objects.
    let _ = definitions.delete(&name, &Default::default()).await.unwrap();
    eventually("the kind is gone", || async {
        let found = api.get("a").await;
        matches!(found, Err(kube::Error::Api(status)) if status.code == 404)
    })
    .await;
}

async fn default_once(client: Client, namespace: String) {
    let api = widgets(&client, &namespace);
    let created = made(&api, "a", json!({"parts": [{"name": "x"}]})).await;
    let patch = Patch::Merge(json!({"metadata": {"annotations": {"a": "b"}}}));
    let patched = api.patch("a", &PatchParams::default(), &patch).await.unwrap();
    assert_eq!((patched.metadata.generation, &patched.data["spec"]), (Some(1), &created.data["spec"]));
}
