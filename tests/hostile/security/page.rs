//! SECURITY.md and the tests name each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder)
        .expect("a folder of tests")
        .flatten()
    {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The digits after `prefix`, where they end with `end`.
fn numbers<'a>(text: &'a str, prefix: &'a str, end: &'a str) -> impl Iterator<Item = u32> + 'a {
    text.match_indices(prefix).filter_map(move |(at, _)| {
        let rest = &text[at + prefix.len()..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        rest[digits..]
            .starts_with(end)
            .then(|| rest[..digits].parse().ok())?
    })
}

#[test]
fn every_claim_has_its_test_and_every_such_test_its_claim() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("SECURITY.md")).expect("the page");
    let claims: Vec<u32> = numbers(&page, "- **S", "**").collect();
    let in_order: Vec<u32> = (1..).take(claims.len()).collect();
    assert_eq!(claims, in_order, "numbered without a gap");
    let mut files = Vec::new();
    sources(&root.join("tests"), &mut files);
    let texts = files
        .iter()
        .map(|file| std::fs::read_to_string(file).expect("readable"));
    let tests: BTreeSet<u32> = texts
        .flat_map(|text| numbers(&text, "#[test]\nfn s", "_").collect::<Vec<_>>())
        .collect();
    assert_eq!(claims.into_iter().collect::<BTreeSet<_>>(), tests);
}
