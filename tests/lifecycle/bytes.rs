//! What is in the packages: the same bytes each time, nothing that a checker objects to, and programs for
//! glibc 2.31.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::made::{Kind, VERSION, output, packages, programs, repository};
use crate::support::requirement;
use crate::support::scratch::Scratch;

/// The newest glibc that Debian 11 has.
const GLIBC: (u32, u32) = (2, 31);

#[test]
fn packages_have_the_same_bytes_each_time() {
    let full = std::env::var_os("SD_STARTER_FULL").is_some();
    for (maker, kind) in [("packaging/deb", Kind::Deb), ("packaging/rpm", Kind::Rpm)] {
        // Elsewhere, by somebody with another umask, at another time.
        let scratch = Scratch::new();
        let checkout = scratch.join("another/checkout");
        let mut clone = Command::new("cp");
        fs::create_dir(scratch.join("another")).expect("a new directory");
        output(
            clone
                .arg("-r")
                .arg("--no-preserve=all")
                .arg(tracked(&scratch))
                .arg(&checkout),
        );
        let mut make = Command::new("sh");
        make.args([
            "-c",
            "umask 077; chmod +x packaging/* systemd/*-generator; exec \"$@\"",
            "sh",
            maker,
        ]);
        make.arg(scratch.join("made")).current_dir(&checkout);
        if !full {
            make.env("PROGRAMS", programs());
        }
        let other = output(&mut make);
        let (one, other) = (
            fs::read(packages().ours(kind, VERSION)),
            fs::read(other.trim_end()),
        );
        let (one, other) = (one.expect("made"), other.expect("made"));
        assert!(
            !one.is_empty() && one == other,
            "{maker}: {} and {} bytes",
            one.len(),
            other.len()
        );
    }
}

/// What is under version control, as it is now.
fn tracked(scratch: &Scratch) -> std::path::PathBuf {
    let copy = scratch.join("tracked");
    fs::create_dir(&copy).expect("a new directory");
    let mut tar = Command::new("sh");
    tar.args([
        "-c",
        "git ls-files -z | tar -c --null -T - | tar -x -C \"$0\"",
    ]);
    output(tar.arg(&copy).current_dir(repository()));
    copy
}

#[test]
fn the_programs_run_on_glibc_2_31() {
    for program in ["sd-starter", "starterctl"] {
        let mut objdump = Command::new("objdump");
        let symbols = output(objdump.arg("--dynamic-syms").arg(programs().join(program)));
        let versions = symbols.split("GLIBC_").skip(1).filter_map(|rest| {
            let version: String = rest
                .chars()
                .take_while(|c| c.is_ascii_digit() || *c == '.')
                .collect();
            let mut numbers = version.split('.').map_while(|number| number.parse().ok());
            Some((numbers.next()?, numbers.next()?))
        });
        let newest = versions.max().expect("it uses the C library");
        assert!(newest <= GLIBC, "{program} needs glibc {newest:?}");
        let text = fs::read(programs().join(program)).expect("it was built");
        let home = repository().to_str().expect("UTF-8");
        let at = text
            .windows(home.len())
            .position(|bytes| bytes == home.as_bytes());
        assert_eq!(at, None, "{program} names a directory of this machine");
    }
}

#[test]
fn lintian_has_nothing_to_object_to() {
    if !requirement::file("/usr/bin/lintian", "lintian") {
        return;
    }
    let mut lintian = Command::new("lintian");
    lintian.args(["--allow-root", "--fail-on", "error,warning", "--no-cfg"]);
    let said = output(lintian.arg(packages().ours(Kind::Deb, VERSION)));
    assert!(!said.contains("E: ") && !said.contains("W: "), "{said}");
}

#[test]
fn rpmlint_finds_no_error() {
    if !requirement::file("/usr/bin/rpmlint", "rpmlint") {
        return;
    }
    let mut rpmlint = Command::new("rpmlint");
    rpmlint
        .arg("--rpmlintrc")
        .arg(repository().join("packaging/rpmlintrc"));
    let spec = repository().join("packaging/sd-starter.spec");
    let said = output(rpmlint.arg(packages().ours(Kind::Rpm, VERSION)).arg(spec));
    assert!(said.contains(" 0 errors,"), "{said}");
}

#[test]
fn the_version_is_the_same_everywhere() {
    let read = |path: &str| fs::read_to_string(repository().join(path)).expect("ours");
    let changelog = read("packaging/debian/changelog");
    assert!(
        changelog.starts_with(&format!("sd-starter ({VERSION}) ")),
        "{changelog}"
    );
    let spec = read("packaging/sd-starter.spec");
    assert!(
        spec.contains(&format!("!?new_version:{VERSION}}}")),
        "the spec's Version"
    );
    assert!(
        spec.contains(&format!("> - {VERSION}-1\n")),
        "the spec's changelog"
    );
}

/// For distributors: no package, only the script.
#[test]
fn an_installation_has_its_own_paths() {
    let scratch = Scratch::new();
    let mut install = Command::new("packaging/install.sh");
    install
        .current_dir(repository())
        .env("DESTDIR", scratch.join("root"));
    output(install.arg(programs()));
    let there = |path: &str| scratch.join("root/usr/local").join(path);
    let unit =
        fs::read_to_string(there("lib/systemd/system/sd-starter@.service")).expect("installed");
    assert!(
        unit.contains("\nExecStart=/usr/local/bin/sd-starter $OPTIONS"),
        "{unit}"
    );
    assert!(
        unit.contains("\nExecReload=/usr/local/bin/starterctl reload\n"),
        "{unit}"
    );
    let link = fs::read_link(there("bin/start_server")).expect("a link");
    assert_eq!(link, Path::new("sd-starter"));
    assert!(there("share/man/man1/start_server.1").exists());
}
