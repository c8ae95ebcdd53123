//! The man pages: synopsis, description and options from the definitions, the rest by hand.

use clap_mangen::Man;

const SD_STARTER: &str = include_str!("sd-starter.roff");
const START_SERVER: &str = include_str!("start_server.roff");
const STARTERCTL: &str = include_str!("starterctl.roff");

/// What roff(7) needs once, at the beginning; clap_mangen begins every piece with it.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// The page of a program.
pub(crate) fn page(name: &str, command: clap::Command) -> String {
    let command = command
        .disable_help_subcommand(true)
        .after_long_help(None::<&str>);
    let mut built = command.clone();
    built.build();
    let man = Man::new(command);
    let mut page = String::from(".\\\" Generated: see tests/manual. Do not edit.\n");
    page.push_str(PREAMBLE);
    // Not clap_mangen's: it writes an empty date as nothing, so that what follows takes its place.
    let (title, version) = (name.to_uppercase(), env!("CARGO_PKG_VERSION"));
    page.push_str(&format!(
        ".TH {title} 1 \"\" \"sd\\-starter {version}\" \"sd\\-starter\"\n"
    ));
    page.push_str(&piece(|out| man.render_name_section(out)));
    page.push_str(&piece(|out| man.render_synopsis_section(out)));
    page.push_str(&piece(|out| man.render_description_section(out)));
    if built.has_subcommands() {
        page.push_str(".SH COMMANDS\n");
        for below in built.get_subcommands() {
            page.push_str(&subcommand(below));
        }
    } else {
        page.push_str(&options(&man));
    }
    page.push_str(match name {
        "sd-starter" => SD_STARTER,
        "start_server" => START_SERVER,
        _ => STARTERCTL,
    });
    page
}

/// The groups of options become subsections.
fn options(man: &Man) -> String {
    let text = piece(|out| man.render_options_section(out));
    let mut out = String::new();
    for line in text.lines() {
        match line
            .strip_prefix(".SH ")
            .map(|title| title.trim_matches('"'))
        {
            Some("OPTIONS") => out.push_str(".SH OPTIONS"),
            Some(title) => {
                let (first, rest) = title.split_at(1);
                out.push_str(&format!(".SS \"{first}{}\"", rest.to_lowercase()));
            }
            None => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

fn subcommand(command: &clap::Command) -> String {
    let man = Man::new(command.clone());
    let headless = |text: String| {
        let (_, text) = text.split_once('\n').expect("a heading, then more");
        text.to_owned()
    };
    let mut out = format!(".SS {}\n", command.get_name());
    out.push_str(&headless(piece(|out| man.render_synopsis_section(out))));
    out.push_str(".PP\n");
    out.push_str(&headless(piece(|out| man.render_description_section(out))));
    out.push_str(&headless(piece(|out| man.render_options_section(out))));
    out
}

fn piece(render: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>) -> String {
    let mut bytes = Vec::new();
    render(&mut bytes).expect("writing to memory does not fail");
    let text = String::from_utf8(bytes).expect("UTF-8");
    text.replace(PREAMBLE, "")
}
