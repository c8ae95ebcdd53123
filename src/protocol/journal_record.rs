//! One record for the journal, in journald's native protocol.
//!
//! Source: "Native Journal Protocol" of systemd, systemd.journal-fields(7).
//! A field is `NAME=value\n`, or, when its value has a line feed, `NAME\n`,
//! the length as 64 bits little-endian, the value, `\n`. Names are upper-case
//! ASCII letters, digits and `_`, at most 64, and do not begin with `_` (those
//! are journald's own) or a digit.
//!
//! Limitations: a record that is larger than a datagram would have to travel
//! in a memfd. Values are cut and fields are counted, so that ours never are.

/// A longer value is cut on a character boundary.
pub const MAX_VALUE_LENGTH: usize = 8192;

/// Further fields are dropped. 16 times 8 KiB fits the default socket buffer
/// (212,992 bytes).
pub const MAX_FIELDS: usize = 16;

/// The longest name of a field.
const MAX_NAME_LENGTH: usize = 64;

/// `PRIORITY=`, see syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// The program cannot go on.
    Critical = 2,
    /// Something failed.
    Error = 3,
    /// Something is odd.
    Warning = 4,
    /// Normal, and worth noticing: a swap, a verdict.
    Notice = 5,
    /// Normal.
    Info = 6,
    /// For whoever looks for an error.
    Debug = 7,
}

/// A record under construction; its bytes are one datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    bytes: Vec<u8>,
    fields: usize,
}

impl Record {
    /// A record with `PRIORITY=` and `MESSAGE=`.
    pub fn new(priority: Priority, message: &str) -> Record {
        let mut record = Record {
            bytes: Vec::new(),
            fields: 0,
        };
        record.push("PRIORITY", &(priority as u8).to_string());
        record.push("MESSAGE", message);
        record
    }

    /// Adds a field. The name is put into the journal's form (`worker-pid`
    /// becomes `WORKER_PID`); one of which nothing is left is not added.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Record {
        let name = field_name(name);
        if !name.is_empty() && self.fields < MAX_FIELDS {
            self.push(&name, value);
        }
        self
    }

    /// The datagram.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn push(&mut self, name: &str, value: &str) {
        let value = cut(value).as_bytes();
        self.fields += 1;
        self.bytes.extend(name.as_bytes());
        if value.contains(&b'\n') {
            self.bytes.push(b'\n');
            // Lossless: the value was just cut to MAX_VALUE_LENGTH.
            self.bytes.extend((value.len() as u64).to_le_bytes());
        } else {
            self.bytes.push(b'=');
        }
        self.bytes.extend(value);
        self.bytes.push(b'\n');
    }
}

fn field_name(name: &str) -> String {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let fitted = name.chars().map(|c| {
        if is_fit(c) {
            c.to_ascii_uppercase()
        } else {
            '_'
        }
    });
    let is_not_first = |c: &char| *c == '_' || c.is_ascii_digit();
    fitted
        .skip_while(is_not_first)
        .take(MAX_NAME_LENGTH)
        .collect()
}

fn cut(value: &str) -> &str {
    let mut end = value.len().min(MAX_VALUE_LENGTH);
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    &value[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a record as journald does.
    fn decode(mut bytes: &[u8]) -> Option<Vec<(String, String)>> {
        let mut fields = Vec::new();
        while !bytes.is_empty() {
            let end = bytes.iter().position(|byte| b"=\n".contains(byte))?;
            let (name, rest) = bytes.split_at(end);
            let (length, rest) = match rest.strip_prefix(b"=") {
                Some(rest) => (rest.iter().position(|&byte| byte == b'\n')?, rest),
                None => {
                    let (length, rest) = rest[1..].split_first_chunk::<8>()?;
                    (usize::try_from(u64::from_le_bytes(*length)).ok()?, rest)
                }
            };
            let value = rest.get(..length)?;
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
            fields.push((text(name)?, text(value)?));
            bytes = rest[length..].strip_prefix(b"\n")?;
        }
        Some(fields)
    }

    #[test]
    fn a_plain_record_is_lines() {
        let record = Record::new(Priority::Notice, "hello").field("generation", "7");
        assert_eq!(
            record.as_bytes(),
            b"PRIORITY=5\nMESSAGE=hello\nGENERATION=7\n"
        );
    }

    #[test]
    fn a_line_feed_takes_the_binary_form() {
        let record = Record::new(Priority::Error, "a\nb");
        assert_eq!(
            record.as_bytes(),
            b"PRIORITY=3\nMESSAGE\n\x03\0\0\0\0\0\0\0a\nb\n"
        );
    }

    #[test]
    fn names_are_put_into_form() {
        for (name, expected) in [
            ("worker-pid", "WORKER_PID"),
            ("_PID", "PID"),
            ("7up", "UP"),
            ("MESSAGE_ID", "MESSAGE_ID"),
            ("a=b\nc", "A_B_C"),
            ("_", ""),
            ("ä", ""),
        ] {
            assert_eq!(field_name(name), expected, "{name:?}");
        }
        assert_eq!(field_name(&"A".repeat(65)).len(), 64);
    }

    #[test]
    fn a_record_is_bounded() {
        let long = "ä\n".repeat(MAX_VALUE_LENGTH);
        let record = (0..100).fold(Record::new(Priority::Info, &long), |record, number| {
            record.field(&format!("N{number}"), &long)
        });
        assert!(record.as_bytes().len() < 212_992);
        assert_eq!(
            decode(record.as_bytes()).map(|fields| fields.len()),
            Some(MAX_FIELDS)
        );
    }

    proptest! {
        #[test]
        fn journald_reads_what_was_written(
            message in "(.|\n){0,60}",
            fields in prop::collection::vec(("[A-Z][A-Z0-9_]{0,20}", "(.|\n){0,30}"), 0..10),
        ) {
            let mut expected = vec![
                ("PRIORITY".to_owned(), "6".to_owned()),
                ("MESSAGE".to_owned(), message.clone()),
            ];
            expected.extend(fields.iter().cloned());
            let record = fields.iter().fold(Record::new(Priority::Info, &message), |record, (name, value)| {
                record.field(name, value)
            });
            prop_assert_eq!(decode(record.as_bytes()), Some(expected));
        }

        #[test]
        fn never_panics(name in ".{0,80}", value in "(.|\n){0,80}") {
            let record = Record::new(Priority::Debug, &value).field(&name, &value);
            prop_assert!(decode(record.as_bytes()).is_some());
        }
    }
}
