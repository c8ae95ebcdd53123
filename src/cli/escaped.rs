//! Words of others for people to read: a worker says what it likes, and root's terminal obeys.

use serde_json::Value;

/// A text without the characters that a terminal or a layout obeys, each as Rust writes it: `\n`,
/// `\u{1b}`. These are C0, DEL and C1 (ECMA-48), and what changes the direction of the text around it
/// (UAX 9).
#[must_use]
pub fn text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// What a supervisor answered, with every text in it so.
#[must_use]
pub fn answer(value: &Value) -> Value {
    match value {
        Value::String(words) => text(words).into(),
        Value::Array(values) => values.iter().map(answer).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            fields
                .map(|(name, value)| (name.clone(), answer(value)))
                .collect()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn what_a_terminal_obeys_is_shown() {
        let cases = [
            ("Größe 100% „ok“\u{a0}\\", "Größe 100% „ok“\u{a0}\\"),
            ("\x1b]0;x\x07", "\\u{1b}]0;x\\u{7}"),
            ("one\ntwo\r\tthree", "one\\ntwo\\r\\tthree"),
            ("\u{7f}\u{9b}2J", "\\u{7f}\\u{9b}2J"),
            (
                "\u{202e}txt\u{202c}\u{2066}",
                "\\u{202e}txt\\u{202c}\\u{2066}",
            ),
        ];
        for (words, expected) in cases {
            assert_eq!(text(words), expected);
        }
    }

    #[test]
    fn texts_are_found_wherever_they_stand() {
        let value = json!({ "a": [{ "b": "\x1b" }, 7, null], "c": "\n" });
        let expected = json!({ "a": [{ "b": "\\u{1b}" }, 7, null], "c": "\\n" });
        assert_eq!(answer(&value), expected);
    }

    proptest! {
        #[test]
        fn nothing_is_left_and_once_is_enough(words in any::<String>()) {
            let shown = text(&words);
            prop_assert!(!shown.chars().any(char::is_control));
            prop_assert_eq!(text(&shown), shown);
        }
    }
}
