//! The recipes in `packaging/recipes`, word for word: every file and command of a page is taken from the
//! page, run, and reloaded ten times under load, and no client may notice. (What is replaced: the address
//! 127.0.0.1:8080, and /usr/src/sd-starter, because tests run side by side.)
//!
//! ```text
//! cargo test --test recipes -- --nocapture
//! ```
//!
//! `SD_STARTER_RECIPES_ROUNDS=20` makes two hundred reloads of the ten. `tests/recipes/on trixie`
//! runs them on Debian 13, whatever this machine is.
//!
//! A server that is not installed is skipped, loudly; where CI is set that is a failure.

#![expect(clippy::panic, reason = "a test ends by it, with its reason")]
#![expect(
    clippy::print_stdout,
    reason = "the tables are for the reader of a test's output"
)]

#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "../support/mod.rs"]
mod support;

mod front;
mod kitchen;
mod page;

use std::collections::BTreeSet;
use std::fs;

use kitchen::{Kitchen, Traffic};

/// One test a page, and the list of them.
macro_rules! recipes {
    ($($name:ident: $page:literal, $traffic:expr, [$(($file:literal, $package:literal)),*];)*) => {
        $(
            #[test]
            fn $name() {
                if let Some(kitchen) = Kitchen::new($page, &[$(($file, $package)),*]) {
                    kitchen.cook($traffic);
                }
            }
        )*

        const PAGES: &[&str] = &[$($page),*];
    };
}

recipes! {
    gunicorn: "gunicorn", Traffic::Full, [("/usr/bin/gunicorn", "gunicorn")];
    uvicorn: "uvicorn", Traffic::Full, [("/usr/bin/uvicorn", "uvicorn")];
    hypercorn: "hypercorn", Traffic::Full,
        [("/usr/lib/python3/dist-packages/hypercorn", "python3-hypercorn")];
    puma: "puma", Traffic::Full, [("/usr/bin/puma", "puma")];
    unicorn: "unicorn", Traffic::Full, [("/usr/bin/unicorn", "unicorn")];
    node: "node", Traffic::Full, [("/usr/bin/node", "nodejs")];
    fastify: "fastify", Traffic::Full, [("/usr/bin/npm", "npm")];
    starlet: "starlet", Traffic::Full, [("/usr/bin/plackup", "libplack-perl"),
        ("/usr/share/perl5/Plack/Handler/Starlet.pm", "starlet")];
    starman: "starman", Traffic::Full, [("/usr/bin/starman", "starman"),
        ("/usr/share/perl5/Net/Server/SS/PreFork.pm", "libnet-server-ss-prefork-perl")];
    twiggy: "twiggy", Traffic::WithGaps, [("/usr/bin/plackup", "libplack-perl"),
        ("/usr/share/perl5/Plack/Handler/Twiggy.pm", "twiggy")];
    haproxy: "haproxy", Traffic::Full, [("/usr/sbin/haproxy", "haproxy")];
    nginx: "nginx", Traffic::NewOnly, [("/usr/sbin/nginx", "nginx")];
    go: "go", Traffic::Full, [("/usr/bin/go", "golang-go")];
    axum: "axum", Traffic::Full, [];
    php_fpm: "php-fpm", Traffic::Front, [("/usr/sbin/haproxy", "haproxy"), ("/etc/php", "php-fpm")];
    shell: "shell", Traffic::Full, [];
}

#[test]
fn every_page_is_cooked_and_the_readme_leads_to_it() {
    let folder = page::FOLDER;
    let files = fs::read_dir(folder)
        .expect("the folder of the recipes")
        .flatten();
    let names: BTreeSet<_> = files
        .filter_map(|file| Some(file.path().file_stem()?.to_str()?.to_owned()))
        .collect();
    let cooked: BTreeSet<_> = PAGES.iter().map(|page| (*page).to_owned()).collect();
    assert_eq!(names, cooked);
    let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md"));
    let readme = readme.expect("there is one");
    for page in PAGES {
        let link = format!("packaging/recipes/{page}.md");
        assert!(readme.contains(&link), "the README does not lead to {link}");
    }
}
