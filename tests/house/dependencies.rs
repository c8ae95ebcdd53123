//! `deny.toml`, checked: licences, duplicates and sources of what the programs are linked with.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// The quoted words of a list in deny.toml.
fn list(rules: &str, name: &str) -> BTreeSet<String> {
    let start = rules
        .find(&format!("{name} = ["))
        .expect("the list is there");
    let end = rules[start..].find(']').expect("it ends");
    let quoted = rules[start..start + end].split('"').skip(1).step_by(2);
    quoted.map(str::to_owned).collect()
}

/// The packages that the programs are linked with, and those of the build.
fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .output()
        .expect("cargo runs us");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let nodes = metadata["resolve"]["nodes"].take();
    let nodes = nodes.as_array().expect("a graph");
    let root = metadata["resolve"]["root"].as_str().expect("us").to_owned();
    // Walked along what is not for tests alone.
    let mut wanted = BTreeSet::new();
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        let node = nodes.iter().find(|node| node["id"] == id.as_str());
        let deps = node.expect("it is in the graph")["deps"].as_array();
        for dep in deps.into_iter().flatten() {
            let kinds = dep["dep_kinds"].as_array().expect("kinds");
            let id = dep["pkg"].as_str().expect("an id").to_owned();
            if kinds.iter().any(|kind| kind["kind"] != "dev") && wanted.insert(id.clone()) {
                open.push(id);
            }
        }
    }
    let all = metadata["packages"].take();
    let all = all.as_array().expect("packages").iter();
    all.filter(|package| package["id"].as_str().is_some_and(|id| wanted.contains(id)))
        .cloned()
        .collect()
}

/// Whether an SPDX expression can be met: "A OR B" by either, "A AND B" by both.
fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.trim();
    let (mut depth, mut or, mut and) = (0, None, None);
    for (at, c) in expression.char_indices() {
        let rest = &expression[at..];
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ if depth == 0 && (rest.starts_with(" OR ") || rest.starts_with('/')) => {
                or = or.or(Some((at, if c == '/' { 1 } else { 4 })));
            }
            _ if depth == 0 && rest.starts_with(" AND ") => and = and.or(Some(at)),
            _ => {}
        }
    }
    if let Some((at, length)) = or {
        return is_met(&expression[..at], allowed) || is_met(&expression[at + length..], allowed);
    }
    if let Some(at) = and {
        return is_met(&expression[..at], allowed) && is_met(&expression[at + 5..], allowed);
    }
    let inner = expression
        .strip_prefix('(')
        .and_then(|rest| rest.strip_suffix(')'));
    inner.map_or_else(
        || allowed.contains(expression),
        |inner| is_met(inner, allowed),
    )
}

#[test]
fn s13_dependencies_have_licences_that_we_know_and_none_is_there_twice() {
    let rules = std::fs::read_to_string("deny.toml").expect("our rules");
    let allowed = list(&rules, "allow");
    assert!(allowed.contains("MIT"));
    let mut versions: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let packages = packages();
    assert!(packages.len() > 10, "{} packages", packages.len());
    for package in &packages {
        let name = package["name"].as_str().expect("a name");
        let license = package["license"].as_str().unwrap_or_default();
        assert!(
            is_met(license, &allowed),
            "{name}: {license:?} is not allowed"
        );
        let source = package["source"].as_str().unwrap_or_default();
        assert!(
            source.starts_with("registry+"),
            "{name} comes from {source:?}"
        );
        let version = package["version"].as_str().expect("a version").to_owned();
        versions.entry(name.to_owned()).or_default().push(version);
    }
    for (name, versions) in versions {
        assert_eq!(versions.len(), 1, "{name} is there twice: {versions:?}");
    }
}

#[test]
fn an_expression_of_licences_is_read_as_it_is_meant() {
    let allowed = ["MIT", "Zlib"].map(str::to_owned).into();
    for (expression, met) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND Zlib", true),
        ("(GPL-3.0 OR BSD) AND Zlib", false),
        ("", false),
    ] {
        assert_eq!(is_met(expression, &allowed), met, "{expression}");
    }
}
