//! get, list, watch.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    Inner, Outcome,
    object::{self, Object},
    render::Renderer,
    request::Request,
    resource::{self, Resource},
    selector::{FieldSelector, LabelSelector},
    status::{FieldError, Status},
    store::{Key, State, Table},
    watch::{Watch, too_old},
};

/// Values of `resourceVersionMatch`.
const EXACT: &str = "Exact";
const NOT_OLDER: &str = "NotOlderThan";

/// Which objects a list or watch is about.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    pub namespace: String,
    labels: LabelSelector,
    fields: FieldSelector,
}

impl Filter {
    pub fn new(request: &Request, resource: &Resource) -> Result<Self, Status> {
        let fields = request.options.text("fieldSelector");
        let mut fields = FieldSelector::parse(fields, |path| resource.selectable(path))?;
        if resource.view == resource::View::EventsV1 {
            fields.rename(super::events::stored_path);
        }
        if !request.info.name.is_empty() {
            // A watch on one object by its path.
            fields.push("metadata.name", &request.info.name);
        }
        Ok(Self {
            namespace: request.info.namespace.clone(),
            labels: LabelSelector::parse(request.options.text("labelSelector"))?,
            fields,
        })
    }

    pub fn matches(&self, object: &Value) -> bool {
        (self.namespace.is_empty() || object::namespace(object) == self.namespace)
            && self.labels.matches(object)
            && self.fields.matches(object)
    }

    fn is_everything(&self) -> bool {
        self.labels == LabelSelector::default() && self.fields == FieldSelector::default()
    }
}

/// Refuses options of a list or watch that do not go together.
fn check_options(request: &Request) -> Result<(), Status> {
    let given = |name: &str| !request.options.text(name).is_empty();
    let matching = request.options.text("resourceVersionMatch");
    let watches = request.info.verb == super::Verb::Watch;
    let path = "resourceVersionMatch";
    let mut errors = Vec::new();
    let mut forbid = |wrong: bool, field: &str, why: &str| {
        if wrong {
            errors.push(FieldError::forbidden(field, why));
        }
    };
    let initial = given("sendInitialEvents");
    forbid(!watches && initial, "sendInitialEvents", "sendInitialEvents is forbidden for list");
    let why = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan";
    forbid(watches && initial && matching != NOT_OLDER, path, why);
    if !matching.is_empty() {
        let why = "resourceVersionMatch is forbidden unless resourceVersion is provided";
        forbid(!watches && !given("resourceVersion"), path, why);
        let why = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
        forbid(watches && !initial, path, why);
        forbid(given("continue"), path, "resourceVersionMatch is forbidden when continue is provided");
        let why = "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"";
        forbid(!watches && matching == EXACT && request.options.text("resourceVersion") == "0", path, why);
        let known: &[&str] = if watches { &[NOT_OLDER] } else { &[EXACT, NOT_OLDER, ""] };
        if !known.contains(&matching) {
            let known: Vec<String> = known.iter().map(|&name| name.to_owned()).collect();
            errors.push(FieldError::not_supported(path, json!(matching), &known));
        }
    }
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid("ListOptions", "meta.k8s.io", "", &errors)) }
}

/// Objects in order.
type View<'a> = Box<dyn Iterator<Item = (Key, Arc<Object>)> + 'a>;

/// The objects of a namespace after `after`, as they are, or as they were at resourceVersion `at`.
pub(super) fn view<'a>(
    table: &'a Table,
    namespace: &'a str,
    after: Option<&'a Key>,
    at: Option<u64>,
) -> Result<View<'a>, Status> {
    let now = table.range(namespace, after).map(|(key, object)| (key.clone(), object.clone()));
    let Some(at) = at else { return Ok(Box::new(now)) };
    let mut differences: BTreeMap<Key, Option<Arc<Object>>> =
        table.history.differences_at(at).ok_or_else(|| too_old(at, table.history.compacted()))?;
    differences
        .retain(|key, _| (namespace.is_empty() || key.namespace == namespace) && after.is_none_or(|after| key > after));
    if differences.is_empty() {
        return Ok(Box::new(now));
    }
    let mut merged: BTreeMap<Key, Arc<Object>> = now.filter(|(key, _)| !differences.contains_key(key)).collect();
    merged.extend(differences.into_iter().filter_map(|(key, object)| Some((key, object?))));
    Ok(Box::new(merged.into_iter()))
}

/// Serves GET of one object.
pub(super) fn get(
    server: &Inner,
    state: &State,
    request: &Request,
    resource: &Arc<Resource>,
) -> Result<Outcome, Status> {
    let object = find(state, request, resource)?;
    let renderer = Renderer::new(resource.clone(), request, server.clock.clone())?;
    Ok(Outcome::object(200, renderer, object.clone()))
}

/// The object that a path names.
pub(super) fn find<'a>(state: &'a State, request: &Request, resource: &Resource) -> Result<&'a Arc<Object>, Status> {
    let key = Key::new(&request.info.namespace, &request.info.name);
    state
        .get(resource.table, &key)
        .ok_or_else(|| Status::not_found(&resource.plural, &resource.group, &request.info.name))
}

/// Serves a list.
pub(super) fn list(
    server: &Inner,
    state: &State,
    request: &Request,
    resource: &Arc<Resource>,
) -> Result<Outcome, Status> {
    check_options(request)?;
    let filter = Filter::new(request, resource)?;
    let renderer = Renderer::new(resource.clone(), request, server.clock.clone())?;
    let table = state.tables.get(resource.table).ok_or_else(Status::page_not_found)?;
    let current = state.resource_version;
    let wanted = request.options.number("resourceVersion")?;
    let limit =
        request.options.number("limit")?.and_then(|limit| usize::try_from(limit).ok()).filter(|&limit| limit > 0);
    let token = request.options.text("continue");
    let matching = request.options.text("resourceVersionMatch");
    if let Some(wanted) = wanted.filter(|&wanted| wanted > current) {
        let message = format!("Timeout: Too large resource version: {wanted}, current: {current}");
        return Err(Status::new(504, "Timeout", message).with_retry_after(1));
    }
    let (shown, after) = if token.is_empty() {
        let hold = table.held_at(&request.info.user_agent);
        let stale = hold.filter(|hold| hold.all_lists || wanted == Some(0)).map(|hold| hold.up_to.min(current));
        match wanted {
            Some(exact) if matching == EXACT => (exact, None),
            _ => (stale.unwrap_or(current), None),
        }
    } else {
        let (version, key) = parse_token(token)
            .ok_or_else(|| Status::bad_request("continue key is not valid: encoding is not what this server gave"))?;
        (version.unwrap_or(current), Some(key))
    };
    let objects = view(table, &filter.namespace, after.as_ref(), (shown < current).then_some(shown))
        .map_err(|expired| if token.is_empty() { expired } else { expired_token(after.as_ref()) })?;
    let mut found = Vec::new();
    let mut next = None;
    let mut last = None;
    let mut left = 0;
    for (key, object) in objects.filter(|(_, object)| filter.matches(&object.value)) {
        if limit.is_some_and(|limit| found.len() >= limit) {
            next = next.or_else(|| last.take());
            left += 1;
            if !filter.is_everything() {
                break;
            }
        } else {
            last = Some(key);
            found.push(object);
        }
    }
    let mut metadata = json!({ "resourceVersion": shown.to_string() });
    if let Some(key) = next {
        metadata["continue"] = json!(format!("{shown}/{}/{}", key.namespace, key.name));
        if filter.is_everything() {
            metadata["remainingItemCount"] = json!(left);
        }
    }
    Ok(Outcome::list(renderer, found, metadata))
}

/// In a token: the rest is wanted as it is then.
const LATEST: &str = "-1";

/// As of which resourceVersion the rest is wanted, if not as it is now, and after which object it begins.
fn parse_token(token: &str) -> Option<(Option<u64>, Key)> {
    let mut parts = token.splitn(3, '/');
    let version = match parts.next()? {
        LATEST => None,
        version => Some(version.parse().ok()?),
    };
    Some((version, Key::new(parts.next()?, parts.next()?)))
}

fn expired_token(after: Option<&Key>) -> Status {
    let message = "The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter, or use the continue token in this response to retrieve the remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were created, modified, or deleted between the time the first chunk was returned and now may show up in the list.";
    let status = Status::expired(message);
    match after {
        Some(key) => status.with_continue(format!("{LATEST}/{}/{}", key.namespace, key.name)),
        None => status,
    }
}

/// Serves a watch.
pub(super) fn watch(
    server: &Arc<Inner>,
    state: &mut State,
    request: &Request,
    resource: &Arc<Resource>,
) -> Result<Outcome, Status> {
    check_options(request)?;
    let filter = Filter::new(request, resource)?;
    let renderer = Renderer::new(resource.clone(), request, server.clock.clone())?;
    Ok(Outcome::watch(Watch::start(server, state, request, renderer, filter)?))
}
