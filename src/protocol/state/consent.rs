//! What a program that is tried with a state (`--check-state`) answers when it can take over.

/// What stands around the version.
const AROUND: (&str, &str) = ("sd-starter ", " can take over");

/// The longest version that is believed.
const LONGEST: usize = 64;

/// The answer of a program of this version.
#[must_use]
pub fn render(version: &str) -> String {
    format!("{}{version}{}", AROUND.0, AROUND.1)
}

/// The version of the program that answers so. An exit status of 0 alone is no consent: many a
/// program has that for everything.
#[must_use]
pub fn parse(line: &str) -> Option<&str> {
    let version = line.strip_prefix(AROUND.0)?.strip_suffix(AROUND.1)?;
    let plain = version.bytes().all(|byte| byte.is_ascii_graphic());
    ((1..=LONGEST).contains(&version.len()) && plain).then_some(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_recognised_and_nothing_else_is() {
        assert_eq!(parse(&render("0.2.0+deb1")), Some("0.2.0+deb1"));
        for other in ["", "sd-starter 0.1.0", "sd-starter  can take over", "yes"] {
            assert_eq!(parse(other), None, "{other}");
        }
        assert_eq!(parse(&render("1 2")), None);
        assert_eq!(parse(&render(&"1".repeat(65))), None);
    }
}
