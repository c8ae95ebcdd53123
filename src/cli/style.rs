//! What the reader's terminal can show: colours, a width, more than ASCII; in a pipe none of it.

/// How text is shown.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Style {
    /// Whether colours may be used.
    pub colour: bool,
    /// How many columns there are; in a pipe there is no limit.
    pub width: Option<usize>,
    /// Whether characters beyond ASCII arrive.
    pub unicode: bool,
    /// Whether a line can be written over.
    pub live: bool,
}

/// What stands out, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Under way.
    Busy,
    /// Wrong.
    Bad,
    /// Less important.
    Faint,
    /// As everything else.
    Plain,
}

/// A terminal narrower than this is none that we can lay out text for.
const NARROWEST: usize = 20;

/// Ties two words together: no-break space.
const TIE: char = '\u{a0}';

/// A text that is not to be torn apart by [`Style::wrap`].
#[must_use]
pub fn tied(text: &str) -> String {
    text.replace(' ', &TIE.to_string())
}

impl Style {
    /// The style for a stream. `columns` is what its terminal says, if it is one; `variable` looks
    /// up the environment: NO_COLOR (no-color.org), TERM, COLUMNS and the locale's variables count.
    pub fn of(columns: Option<usize>, variable: impl Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let locale = set("LC_ALL")
            .or_else(|| set("LC_CTYPE"))
            .or_else(|| set("LANG"));
        let locale = locale.unwrap_or_default().to_ascii_lowercase();
        let dumb = set("TERM").is_none_or(|term| term == "dumb");
        let asked = set("COLUMNS").and_then(|columns| columns.parse().ok());
        Self {
            colour: columns.is_some() && !dumb && set("NO_COLOR").is_none(),
            width: columns.map(|columns| asked.unwrap_or(columns).max(NARROWEST)),
            unicode: locale.contains("utf-8") || locale.contains("utf8"),
            live: columns.is_some() && !dumb,
        }
    }

    /// The text in a tone.
    #[must_use]
    pub fn paint(self, tone: Tone, text: &str) -> String {
        let code = match tone {
            Tone::Good => "1;32",
            Tone::Busy => "1;33",
            Tone::Bad => "1;31",
            Tone::Faint => "90",
            Tone::Plain => return text.to_owned(),
        };
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    /// What stands before an instance's name.
    #[must_use]
    pub fn dot(self, tone: Tone) -> String {
        let dot = match (self.unicode, tone) {
            (true, Tone::Good | Tone::Plain) => "●",
            (true, Tone::Busy) => "↻",
            (true, Tone::Bad) => "×",
            (true, Tone::Faint) => "○",
            (false, _) => "*",
        };
        self.paint(tone, dot)
    }

    /// A line that is not longer than there is room for.
    #[must_use]
    pub fn cut(self, line: &str) -> String {
        let (Some(width), length) = (self.width, line.chars().count()) else {
            return line.to_owned();
        };
        if length <= width {
            return line.to_owned();
        }
        let mark = if self.unicode { "…" } else { "..." };
        let room = width.saturating_sub(mark.chars().count());
        line.chars().take(room).chain(mark.chars()).collect()
    }

    /// The words of a text on lines that fit behind an indentation. A no-break space is shown as a
    /// blank, and no line ends at it.
    #[must_use]
    pub fn wrap(self, text: &str, indentation: usize) -> Vec<String> {
        let Some(width) = self.width else {
            return vec![text.replace(TIE, " ")];
        };
        let room = width.saturating_sub(indentation).max(NARROWEST);
        let mut lines = vec![String::new()];
        let mut used = 0;
        for word in text.split(' ') {
            let length = word.chars().count();
            if used > 0 && used + 1 + length > room {
                lines.push(String::new());
                used = 0;
            }
            let line = lines.last_mut().expect("it begins with one line");
            if used > 0 {
                line.push(' ');
                used += 1;
            }
            line.push_str(&word.replace(TIE, " "));
            used += length;
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn style(columns: Option<usize>, variables: &[(&str, &str)]) -> Style {
        Style::of(columns, |name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_pipe_gets_plain_text_of_any_width() {
        let style = style(None, &[("TERM", "xterm"), ("LANG", "C.UTF-8")]);
        assert_eq!(style.paint(Tone::Bad, "x"), "x");
        assert_eq!(style.cut(&"x".repeat(500)).len(), 500);
        assert_eq!(style.wrap("a b", 490), ["a b"]);
        assert!(!style.live);
        assert_eq!(style.dot(Tone::Good), "●");
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        let colour = |variables| style(Some(80), variables).colour;
        assert!(colour(&[("TERM", "xterm")]));
        assert!(colour(&[("TERM", "xterm"), ("NO_COLOR", "")]));
        assert!(!colour(&[("TERM", "xterm"), ("NO_COLOR", "1")]));
        assert!(!colour(&[("TERM", "dumb")]));
        assert!(!colour(&[]));
        let dot = style(Some(80), &[("TERM", "xterm"), ("LANG", "C")]).dot(Tone::Good);
        assert_eq!(dot, "\x1b[1;32m*\x1b[0m");
    }

    #[test]
    fn lines_fit() {
        let style = style(Some(24), &[("TERM", "dumb"), ("LANG", "de_DE.UTF-8")]);
        assert_eq!(style.cut(&"x".repeat(30)), format!("{}…", "x".repeat(23)));
        let lines = style.wrap("one two three four five six", 4);
        assert_eq!(lines, ["one two three four", "five six"]);
        let text = format!("one two three {}", tied("four five"));
        assert_eq!(style.wrap(&text, 4), ["one two three", "four five"]);
        assert_eq!(
            Style {
                width: None,
                ..style
            }
            .wrap("a  b", 0),
            ["a  b"]
        );
    }
}
