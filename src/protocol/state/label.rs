//! The name of a descriptor in a saved state, which is also its name in systemd's fd store.

use std::fmt;

/// The longest name that systemd keeps (FDNAME= of sd_notify(3)).
const MAX_LENGTH: usize = 255;

/// A label: up to 255 visible ASCII characters without a colon, so that it can be an FDNAME=.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Label(String);

impl Label {
    /// The label with this text, if that can be one.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = (1..=MAX_LENGTH).contains(&text.len());
        let plain = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        (fits && text.bytes().all(plain)).then(|| Self(text.to_owned()))
    }

    /// `NOUN.NUMBER`: the label of one of several.
    #[must_use]
    pub fn numbered(noun: &'static str, number: u64) -> Self {
        Self(format!("{noun}.{number}"))
    }

    /// The label of the one and only.
    #[must_use]
    pub fn of(noun: &'static str) -> Self {
        Self(noun.to_owned())
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Label {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(&text).ok_or("not a label of a descriptor")
    }
}

impl From<Label> for String {
    fn from(label: Label) -> Self {
        label.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_can_be_a_name_in_the_fd_store() {
        for good in ["listener.0", "worker.18446744073709551615.pidfd", "x"] {
            assert_eq!(Label::new(good).unwrap().as_str(), good);
        }
        for bad in ["", "a:b", "a b", "a\n", "ä", &"x".repeat(256)] {
            assert_eq!(Label::new(bad), None, "{bad}");
        }
        assert_eq!(Label::numbered("mail", 7).as_str(), "mail.7");
    }
}
