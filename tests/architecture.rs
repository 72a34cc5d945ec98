//! The house rules that the compiler does not know: which room may use which, what PURE rooms leave alone, how long a
//! file may be. Reads the tokens of every file under `src/`, so comments and texts do not count.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Which room may use which. The same table stands in ARCHITECTURE.md.
const ARROWS: [(&str, &[&str]); 12] = [
    (
        "cli",
        &["agent", "api", "controller", "engine", "local", "metrics", "report", "server", "space", "stopping", "tuner"],
    ),
    ("controller", &["engine", "report", "api"]),
    ("server", &["controller", "report", "metrics", "api"]),
    ("local", &["api", "agent"]),
    ("agent", &["report", "metrics"]),
    ("engine", &["tuner", "stopping", "metrics", "report", "space", "api"]),
    ("api", &["space", "metrics", "report"]),
    ("tuner", &["space"]),
    ("stopping", &["metrics"]),
    ("report", &["metrics"]),
    ("space", &[]),
    ("metrics", &[]),
];

/// Rooms that do no I/O, read no clock, spawn nothing and draw no randomness from the air.
const PURE: [&str; 6] = ["space", "tuner", "stopping", "engine", "metrics", "report"];

/// What PURE rooms must not name, and why.
const IMPURE: [(&str, &str); 18] = [
    ("tokio", "spawns, waits and does I/O"),
    ("axum", "does I/O"),
    ("ureq", "does I/O"),
    ("kube::Client", "does I/O"),
    ("kube::client", "does I/O"),
    ("kube::runtime", "does I/O"),
    ("std::env", "reads what is around the process"),
    ("std::fs", "does I/O"),
    ("std::net", "does I/O"),
    ("std::process", "spawns or ends processes"),
    ("std::thread", "spawns or waits"),
    ("Timestamp::now", "reads the clock; take the time as an argument"),
    ("SystemTime", "reads the clock; take the time as an argument"),
    ("Instant", "reads the clock; take the time as an argument"),
    ("rand::rng", "draws randomness from the air; take a generator or a seed as an argument"),
    ("rand::random", "draws randomness from the air; take a generator or a seed as an argument"),
    ("thread_rng", "draws randomness from the air; take a generator or a seed as an argument"),
    ("Uuid::new_v4", "draws randomness from the air; take the identity as an argument"),
];

/// Files in the root of `src/` that belong to no room.
const ROOMLESS: [&str; 3] = ["main.rs", "agent_main.rs", "lib.rs"];

/// Longest file, in lines, tests not counted.
const LONGEST: usize = 450;

#[test]
fn the_house_keeps_its_rules() {
    let violations = check(&sources());
    let list: Vec<String> = violations.iter().map(Violation::to_string).collect();
    assert!(list.is_empty(), "{} violations:\n{}", list.len(), list.join("\n"));
}

#[test]
fn no_circle() {
    assert_eq!(circle(&arrows()), None);
    let table = [("a", &["b"] as &[&str]), ("b", &["c", "d"]), ("c", &[]), ("d", &["b"])];
    assert_eq!(circle(&table.into()), Some("b -> d -> b".to_owned()));
}

/// The page and this test name the same rooms, arrows and PURE rooms.
#[test]
fn architecture_page_is_current() {
    let page = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let known: Vec<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    let mut on_page: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut pure = BTreeSet::new();
    for line in page.lines() {
        // `agent -> report metrics   tuner -> space`: a room, then rooms up to a word that is none or has an arrow.
        let words: Vec<&str> = line.split_whitespace().collect();
        for (at, _) in words.iter().enumerate().filter(|(at, word)| *at > 0 && **word == "->") {
            let room = words[at - 1];
            let behind = &words[at + 1..];
            let all = known.iter().copied().filter(|other| *other != room);
            let named = (0..behind.len())
                .take_while(|next| known.contains(&behind[*next]) && behind.get(next + 1) != Some(&"->"))
                .map(|next| behind[next]);
            let uses = if behind.first() == Some(&"everything") { all.collect() } else { named.collect() };
            on_page.entry(room).or_insert(uses);
        }
        if let Some((room, _)) = line.trim().strip_suffix("PURE").and_then(|rest| rest.trim().split_once('/')) {
            pure.insert(room);
        }
    }
    for (room, uses) in ARROWS {
        let found = on_page.remove(room).unwrap_or_default();
        assert_eq!(found, uses.iter().copied().collect(), "ARCHITECTURE.md: what {room} may use");
    }
    assert_eq!(pure, PURE.into(), "ARCHITECTURE.md: rooms marked PURE");
}

/// Each rule catches what it is made for, and nothing beside it.
#[test]
fn the_checker_catches() {
    let long = "fn f() {}\n".repeat(LONGEST);
    let over = format!("{long}fn g() {{}}\n");
    let long_by_tests = format!("{long}#[cfg(test)]\nmod tests {{\n fn g() {{}}\n}}\n");
    #[rustfmt::skip]
    let table: [(&str, &str, &[&str]); 33] = [
        // Arrows.
        ("src/tuner/tpe.rs", "use crate::space::Space;", &[]),
        ("src/space/mod.rs", "\nuse crate::api::Trial;", &["src/space/mod.rs:2: space must not use api; it may use nothing of ours"]),
        ("src/tuner/tpe.rs", "fn f(x: crate::engine::Plan) {}", &["src/tuner/tpe.rs:1: tuner must not use engine; it may use space"]),
        ("src/tuner/tpe.rs", "use crate::{\n space::Space,\n api::{self, Trial},\n};", &["src/tuner/tpe.rs:3: tuner must not use api"]),
        ("src/tuner/tpe.rs", "pub use super::super::metrics;", &["src/tuner/tpe.rs:1: tuner must not use metrics"]),
        ("src/tuner/tpe/split.rs", "use super::super::metrics;", &[]),
        ("src/tuner/mod.rs", "mod a { use super::super::api; }", &["src/tuner/mod.rs:1: tuner must not use api"]),
        ("src/tuner/mod.rs", "use automl_operator::api;", &["src/tuner/mod.rs:1: tuner must not use api"]),
        ("src/tuner/mod.rs", "fn f() { vec![crate::api::KIND] }", &["src/tuner/mod.rs:1: tuner must not use api"]),
        ("src/tuner/mod.rs", "#[cfg(test)] mod tests { use crate::api; }", &["src/tuner/mod.rs:1: tuner must not use api"]),
        ("src/tuner/mod.rs", "/// See [`crate::api`].\npub(crate) const A: &str = \"crate::api\"; // crate::api", &[]),
        ("src/tuner/mod.rs", "use crate::*;", &["src/tuner/mod.rs:1: crate::* is no room; name the room"]),
        ("src/agent/mod.rs", "use crate::local::Runner;", &["src/agent/mod.rs:1: agent must not use local; it may use report, metrics"]),
        ("src/cli/mod.rs", "use crate::{api, local, server};", &[]),
        ("src/controller/mod.rs", "use crate::cli::Failure;", &["src/controller/mod.rs:1: controller must not use cli"]),
        ("src/lib.rs", "pub mod api; use crate::api::Trial;", &[]),
        ("src/attic/mod.rs", "", &["src/attic/mod.rs:1: attic is no room"]),
        ("src/helpers.rs", "", &["src/helpers.rs:1: helpers is no room"]),
        // Purity.
        ("src/engine/plan.rs", "fn f() { std::thread::sleep(d) }", &["src/engine/plan.rs:1: std::thread in PURE room engine: spawns or waits"]),
        ("src/engine/plan.rs", "use std::{collections::BTreeMap, fs};", &["src/engine/plan.rs:1: std::fs in PURE room engine"]),
        ("src/engine/plan.rs", "let now = jiff::Timestamp::now();", &["src/engine/plan.rs:1: Timestamp::now in PURE room"]),
        ("src/engine/plan.rs", "fn f(now: jiff::Timestamp) { now::<u8>() }", &[]),
        ("src/engine/plan.rs", "use std::time::{Duration, Instant};", &["src/engine/plan.rs:1: Instant in PURE room"]),
        ("src/engine/plan.rs", "use kube::{Resource, Client};", &["src/engine/plan.rs:1: kube::Client in PURE room"]),
        ("src/space/mod.rs", "let mut generator = rand::rng();", &["src/space/mod.rs:1: rand::rng in PURE room space: draws randomness"]),
        ("src/metrics/mod.rs", "#[tokio::main] async fn f() {}", &["src/metrics/mod.rs:1: tokio in PURE room metrics"]),
        ("src/report/mod.rs", "#[cfg(test)]\nmod tests { use std::fs; }\nuse std::net::TcpStream;", &["src/report/mod.rs:3: std::net in PURE room report"]),
        ("src/local/mod.rs", "use std::fs; use tokio::task; fn f() { rand::rng(); SystemTime::now(); }", &[]),
        // Length.
        ("src/local/mod.rs", &long, &[]),
        ("src/local/mod.rs", &over, &["src/local/mod.rs:451: 451 lines, 450 at most (tests not counted)"]),
        ("src/local/mod.rs", &long_by_tests, &[]),
        // What cannot be read is not passed over.
        ("src/local/mod.rs", "fn f( {", &["src/local/mod.rs:1: cannot be read as Rust"]),
        ("src/local/mod.rs", "\"", &["src/local/mod.rs:1: cannot be read as Rust"]),
    ];
    for (path, text, expected) in table {
        let found: Vec<String> = check(&[(path.to_owned(), text.to_owned())]).iter().map(ToString::to_string).collect();
        let shown = &text[..text.len().min(120)];
        assert_eq!(found.len(), expected.len(), "{path}: {shown}\nfound {found:?}");
        for (found, expected) in found.iter().zip(expected) {
            assert!(found.starts_with(expected), "{path}: {shown}\nfound    {found}\nexpected {expected}");
        }
    }
}

/// Files of test modules may be long and impure; their arrows count like any other.
#[test]
fn test_modules_in_files_of_their_own() {
    let long = "\n".repeat(LONGEST + 1);
    let file = |path: &str, text: &str| (path.to_owned(), text.to_owned());
    let files = [
        file("src/engine/mod.rs", "#[cfg(test)]\nmod tests;\nmod plan;"),
        file("src/engine/tests/mod.rs", "mod model; use std::fs;"),
        file("src/engine/tests/model.rs", &format!("use std::fs;{long}use crate::cli;")),
        file("src/engine/plan.rs", "use std::fs;"),
    ];
    let found: Vec<String> = check(&files).iter().map(ToString::to_string).collect();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("src/engine/tests/model.rs:452: engine must not use cli"), "{found:?}");
    assert!(found[1].starts_with("src/engine/plan.rs:1: std::fs in PURE room engine"), "{found:?}");
}

/// A broken rule.
#[derive(PartialEq)]
struct Violation {
    file: String,
    line: usize,
    rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.rule)
    }
}

/// Checks files, given as path and text.
fn check(files: &[(String, String)]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let scans: Vec<(&str, Scan)> = files.iter().map(|(path, text)| (path.as_str(), Scan::of(path, text))).collect();
    let tests: BTreeSet<&[String]> = scans.iter().flat_map(|(_, scan)| &scan.test_files).map(Vec::as_slice).collect();
    for (path, scan) in &scans {
        let mut violation = |line, rule| violations.push(Violation { file: (*path).to_owned(), line, rule });
        if let Some(error) = &scan.error {
            violation(1, format!("cannot be read as Rust: {error}"));
            continue;
        }
        let Some(room) = scan.module.first().map(String::as_str) else { continue };
        if !ARROWS.iter().any(|(known, _)| *known == room) {
            violation(1, format!("{room} is no room; there are {}", ARROWS.map(|(room, _)| room).join(", ")));
            continue;
        }
        let test_file = (1..=scan.module.len()).any(|length| tests.contains(&scan.module[..length]));
        for mention in &scan.mentions {
            if let Some(rule) = arrow_rule(room, mention) {
                violation(mention.line, rule);
            }
            if PURE.contains(&room) && !mention.in_test && !test_file {
                for (name, why) in IMPURE {
                    if mention.names(name) {
                        violation(mention.line, format!("{name} in PURE room {room}: {why}"));
                    }
                }
            }
        }
        if scan.lines > LONGEST && !test_file {
            let rule =
                format!("{} lines, {LONGEST} at most (tests not counted): split it, one idea a file", scan.lines);
            violation(scan.lines, rule);
        }
    }
    violations.dedup();
    violations
}

/// What is wrong with a mention of another room.
fn arrow_rule(room: &str, mention: &Mention) -> Option<String> {
    let target = mention.of_ours.as_deref()?;
    let arrows = arrows();
    let allowed = arrows.get(room)?;
    if target == room || allowed.contains(&target) {
        None
    } else if arrows.contains_key(target) {
        let may = if allowed.is_empty() { "nothing of ours".to_owned() } else { allowed.join(", ") };
        Some(format!("{room} must not use {target}; it may use {may} (see the table in ARCHITECTURE.md)"))
    } else {
        Some(format!("crate::{target} is no room; name the room that it comes from"))
    }
}

fn arrows() -> BTreeMap<&'static str, &'static [&'static str]> {
    ARROWS.into()
}

/// A circle in the table, written as `a -> b -> a`.
fn circle(arrows: &BTreeMap<&str, &[&str]>) -> Option<String> {
    fn walk<'a>(room: &'a str, way: &mut Vec<&'a str>, arrows: &BTreeMap<&'a str, &'a [&'a str]>) -> Option<String> {
        if let Some(start) = way.iter().position(|seen| *seen == room) {
            return Some([&way[start..], &[room]].concat().join(" -> "));
        }
        way.push(room);
        let found = arrows.get(room).into_iter().flat_map(|uses| uses.iter()).find_map(|next| walk(next, way, arrows));
        way.pop();
        found
    }
    arrows.keys().find_map(|room| walk(room, &mut Vec::new(), arrows))
}

/// A path such as `std::fs::read`; each leaf of a `use` tree is one.
struct Mention {
    line: usize,
    path: Vec<String>,
    /// What stands after the crate's root, for a path that leads into this crate.
    of_ours: Option<String>,
    in_test: bool,
}

impl Mention {
    /// Whether the segments of `name` stand in the path, one after the other.
    fn names(&self, name: &str) -> bool {
        let name: Vec<&str> = name.split("::").collect();
        self.path.windows(name.len()).any(|window| window == name)
    }
}

/// What one file says.
#[derive(Default)]
struct Scan {
    /// `["tuner", "tpe"]` for `src/tuner/tpe.rs`; empty for files that belong to no room.
    module: Vec<String>,
    mentions: Vec<Mention>,
    /// Modules declared here as tests that lie in files of their own.
    test_files: Vec<Vec<String>>,
    /// Lines, those of inline tests not counted.
    lines: usize,
    error: Option<String>,
}

impl Scan {
    fn of(path: &str, text: &str) -> Self {
        let inside = path.strip_prefix("src/").unwrap_or(path);
        let mut scan = Scan { lines: text.lines().count(), ..Scan::default() };
        if !ROOMLESS.contains(&inside) {
            let module = inside.trim_end_matches(".rs").trim_end_matches("/mod");
            scan.module = module.split('/').map(str::to_owned).collect();
        }
        match TokenStream::from_str(text) {
            Ok(tokens) => scan.walk(tokens, &scan.module.clone(), false),
            Err(error) => scan.error = Some(error.to_string()),
        }
        scan
    }

    /// Goes through the tokens of a module or of anything in it.
    fn walk(&mut self, tokens: TokenStream, module: &[String], in_test: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut rest = tokens.as_slice();
        while let [first, ..] = rest {
            if let Some(length) = test_item(rest) {
                self.test_item(&rest[..length], module, in_test);
                rest = &rest[length..];
            } else if let [TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Group(body), after @ ..] = rest
                && word == "mod"
            {
                self.walk(body.stream(), &[module, &[name.to_string()]].concat(), in_test);
                rest = after;
            } else if matches!(first, TokenTree::Ident(_)) {
                rest = self.path(rest, &[], module, in_test);
            } else {
                if let TokenTree::Group(group) = first {
                    self.walk(group.stream(), module, in_test);
                }
                rest = &rest[1..];
            }
        }
    }

    /// Records the path that starts here, behind `prefix`; gives what follows it.
    fn path<'a>(
        &mut self,
        tokens: &'a [TokenTree],
        prefix: &[String],
        module: &[String],
        in_test: bool,
    ) -> &'a [TokenTree] {
        let mut path = prefix.to_vec();
        let [first, rest @ ..] = tokens else { return tokens };
        path.push(first.to_string());
        let mut rest = rest;
        while let Some(after) = after_colons(rest) {
            match after {
                [TokenTree::Group(group), after @ ..] if group.delimiter() == Delimiter::Brace => {
                    self.leaves(group, &path, module, in_test);
                    return after;
                }
                [segment @ TokenTree::Ident(_), after @ ..] => {
                    path.push(segment.to_string());
                    rest = after;
                }
                [TokenTree::Punct(star), after @ ..] if star.as_char() == '*' => {
                    path.push("*".to_owned());
                    rest = after;
                }
                _ => break,
            }
        }
        let of_ours = of_ours(&path, module);
        self.mentions.push(Mention { line: first.span().start().line, path, of_ours, in_test });
        rest
    }

    /// The leaves of `{a, b::c, d::{e, f}}`.
    fn leaves(&mut self, group: &Group, prefix: &[String], module: &[String], in_test: bool) {
        let tokens: Vec<TokenTree> = group.stream().into_iter().collect();
        for leaf in tokens.split(|token| matches!(token, TokenTree::Punct(comma) if comma.as_char() == ',')) {
            self.path(leaf, prefix, module, in_test);
        }
    }

    /// Takes the item behind `#[cfg(test)]` as a test.
    fn test_item(&mut self, item: &[TokenTree], module: &[String], in_test: bool) {
        if let [.., TokenTree::Ident(word), TokenTree::Ident(name), TokenTree::Punct(_)] = item
            && word == "mod"
        {
            self.test_files.push([module, &[name.to_string()]].concat());
        }
        if let (false, [first, .., last]) = (in_test, item) {
            let lines = last.span().end().line - first.span().start().line + 1;
            self.lines = self.lines.saturating_sub(lines);
        }
        // Without the attribute, which would be seen again.
        self.walk(item[2..].iter().cloned().collect(), module, true);
    }
}

/// How many tokens `#[cfg(test)]` and the item behind it have, when they stand here.
fn test_item(tokens: &[TokenTree]) -> Option<usize> {
    let [TokenTree::Punct(hash), TokenTree::Group(attribute), ..] = tokens else { return None };
    let is_test = hash.as_char() == '#' && attribute.stream().to_string().replace(' ', "") == "cfg(test)";
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        TokenTree::Punct(punct) => punct.as_char() == ';',
        _ => false,
    };
    is_test.then(|| 2 + tokens[2..].iter().position(ends).map_or(tokens.len() - 2, |end| end + 1))
}

fn after_colons(tokens: &[TokenTree]) -> Option<&[TokenTree]> {
    match tokens {
        [TokenTree::Punct(a), TokenTree::Punct(b), rest @ ..] if a.as_char() == ':' && b.as_char() == ':' => Some(rest),
        _ => None,
    }
}

/// What a path names in the crate's root, if it leads there from this module: `api` in `crate::api::Trial`.
fn of_ours(path: &[String], module: &[String]) -> Option<String> {
    let supers = path.iter().take_while(|segment| *segment == "super").count();
    let from_root = match path.first()?.as_str() {
        "crate" | "automl_operator" => 1,
        "super" if supers == module.len() => supers,
        _ => return None,
    };
    path.get(from_root).cloned()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Path, from the root, and text of each file under `src/`.
fn sources() -> Vec<(String, String)> {
    fn collect(folder: &Path, files: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                files.push((name, std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut files = Vec::new();
    collect(&root().join("src"), &mut files);
    assert!(files.len() > 50, "only {} files found under src/", files.len());
    files.sort();
    files
}
