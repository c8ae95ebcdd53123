//! The licences of what is linked into the programs: the MIT one of each crate, which all of them offer
//! (`deny.toml` allows no others), with the crates that share its very words named once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const HEAD: &str = "\
sd-starter and starterctl are linked with the Rust standard library (MIT OR Apache-2.0) and with these
crates, each of which is used here under the licence that follows its name.
";

/// What `cargo` prints; offline, for all of it was fetched to build this.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo is what runs this");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo {arguments:?}: {complaint}");
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

/// Names and versions of what is linked, without us: no build scripts, no macros that ran at build time.
fn linked() -> BTreeSet<(String, String)> {
    let edges = "normal,no-proc-macro";
    let tree = cargo(&[
        "tree", "--edges", edges, "--prefix", "none", "--format", "{p}",
    ]);
    let of = |line: &str| {
        let mut words = line.split(' ');
        let name = words.next()?.to_owned();
        let version = words.next()?.strip_prefix('v')?.to_owned();
        (name != env!("CARGO_PKG_NAME")).then_some((name, version))
    };
    tree.lines().filter_map(of).collect()
}

/// The MIT licence in a crate's folder.
fn licence(folder: &Path) -> String {
    let text = ["LICENSE-MIT", "LICENSE"]
        .iter()
        .find_map(|name| std::fs::read_to_string(folder.join(name)).ok())
        .unwrap_or_else(|| panic!("no licence in {}", folder.display()));
    assert!(
        text.contains("THE SOFTWARE IS PROVIDED \"AS IS\""),
        "not the MIT licence in {}",
        folder.display()
    );
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_matches('\n').to_owned()
}

pub(crate) fn text() -> String {
    let platform = "x86_64-unknown-linux-gnu";
    let metadata = cargo(&[
        "metadata",
        "--format-version=1",
        "--filter-platform",
        platform,
    ]);
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo metadata(1) is JSON");
    let word = |package: &Value, name: &str| package[name].as_str().expect("a text").to_owned();
    let packages = metadata["packages"].as_array().expect("a list");
    let folders: BTreeMap<_, _> = packages
        .iter()
        .map(|package| {
            let id = (word(package, "name"), word(package, "version"));
            (id, word(package, "manifest_path"))
        })
        .collect();
    let mut by_text: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for id in linked() {
        let manifest = Path::new(&folders[&id]);
        let text = licence(manifest.parent().expect("in a folder"));
        by_text
            .entry(text)
            .or_default()
            .push(format!("{} {}", id.0, id.1));
    }
    let mut sections: Vec<_> = by_text
        .into_iter()
        .map(|(text, names)| (names, text))
        .collect();
    sections.sort();
    let mut all = HEAD.to_owned();
    for (names, text) in sections {
        all += &format!("\n\n{}\n\n{text}\n", names.join(", "));
    }
    all
}
