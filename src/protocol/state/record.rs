//! How a saved type is written as JSON and read back: what `#[derive(Serialize, Deserialize)]` would
//! be. Derived code knows every format at compile time, once for each type: a tenth of the program,
//! for something that is read once in a supervisor's life. Here the types share what they can.
//!
//! The names are those of the fields and variants, in camelCase. A variant without fields is its name;
//! one with fields an object whose one key is the name. Unknown fields are ignored, unknown variants
//! are not understood, and a field may only be missing where it is optional or says its default.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::rc::Rc;

use serde_json::Value;

use super::held::Bytes;
use super::label::Label;

/// Why something cannot be understood.
pub type Unfit = String;

/// What can be written and read.
pub trait Record: Sized {
    /// Writes it at the end.
    fn save(&self, out: &mut Vec<u8>);

    /// Reads it.
    fn load(value: &Value) -> Result<Self, Unfit>;

    /// What it is where it is missing.
    fn absent() -> Option<Self> {
        None
    }
}

/// A struct whose fields are all written.
macro_rules! record {
    ($(#[$about:meta])* pub struct $name:ident {
        $($(#[$note:meta])* pub $field:ident: $type:ty $(= $default:expr)?,)*
    }) => {
        $(#[$about])*
        pub struct $name {
            $($(#[$note])* pub $field: $type,)*
        }

        impl $crate::protocol::state::record::Record for $name {
            fn save(&self, out: &mut Vec<u8>) {
                use $crate::protocol::state::record::{close, open, put};
                open(out);
                $(put(out, stringify!($field), &self.$field);)*
                close(out);
            }

            fn load(value: &serde_json::Value) -> Result<Self, String> {
                use $crate::protocol::state::record::take;
                Ok(Self {
                    $($field: take(value, stringify!($field), None$(.or(Some($default)))?)?,)*
                })
            }
        }
    };
}

/// An enum. The value of a tuple variant has a name here, which is not written.
macro_rules! choice {
    ($(#[$about:meta])* pub enum $name:ident {
        $(
            $(#[$note:meta])* $variant:ident
            $({ $($(#[$field_note:meta])* $field:ident: $type:ty,)* })?
            $(($inner:ident: $inner_type:ty))?,
        )*
    }) => {
        $(#[$about])*
        pub enum $name {
            $(
                $(#[$note])* $variant
                $({ $($(#[$field_note])* $field: $type,)* })?
                $(($inner_type))?,
            )*
        }

        impl $crate::protocol::state::record::Record for $name {
            fn save(&self, out: &mut Vec<u8>) {
                use $crate::protocol::state::record;
                let start = out.len();
                match self {
                    $(Self::$variant { $($($field,)*)? $(0: $inner)? } => {
                        record::begin(out, stringify!($variant));
                        $(
                            record::open(out);
                            $(record::put(out, stringify!($field), $field);)*
                            record::close(out);
                        )?
                        $(record::Record::save($inner, out);)?
                    })*
                }
                record::end(out, start);
            }

            fn load(value: &serde_json::Value) -> Result<Self, String> {
                use $crate::protocol::state::record;
                let (name, _fields) = record::variant(value)?;
                $(if name == record::camel(stringify!($variant)) {
                    return Ok(Self::$variant {
                        $($($field: record::take(_fields, stringify!($field), None)?,)*)?
                        $(0: <$inner_type as record::Record>::load(_fields)?)?
                    });
                })*
                Err(format!("unknown variant `{name}`"))
            }
        }
    };
}

pub(super) use {choice, record};

/// As JSON.
#[must_use]
pub fn to_json(record: &impl Record) -> Vec<u8> {
    let mut out = Vec::new();
    record.save(&mut out);
    out
}

/// From JSON.
///
/// # Errors
/// What cannot be understood, and where it stands.
pub fn from_json<T: Record>(text: &[u8]) -> Result<T, Unfit> {
    let value: Value = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    T::load(&value)
}

pub(super) fn open(out: &mut Vec<u8>) {
    out.push(b'{');
}

pub(super) fn close(out: &mut Vec<u8>) {
    out.push(b'}');
}

/// A field of the object that was opened last.
pub(super) fn put<T: Record>(out: &mut Vec<u8>, field: &str, value: &T) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    key(out, field);
    value.save(out);
}

fn key(out: &mut Vec<u8>, name: &str) {
    // Names of ours, in which there is nothing to escape.
    out.push(b'"');
    out.extend(camel(name).bytes());
    out.extend(b"\":");
}

pub(super) fn begin(out: &mut Vec<u8>, variant: &str) {
    out.push(b'{');
    key(out, variant);
}

/// Ends a variant: its object, or its name alone where nothing followed.
pub(super) fn end(out: &mut Vec<u8>, start: usize) {
    if out.last() == Some(&b':') {
        out.pop();
        out.remove(start);
    } else {
        out.push(b'}');
    }
}

pub(super) fn take<T: Record>(value: &Value, field: &str, default: Option<T>) -> Result<T, Unfit> {
    match find(value, field)? {
        Some(there) => T::load(there).map_err(|unfit| format!("{field}: {unfit}")),
        None => default
            .or_else(T::absent)
            .ok_or_else(|| format!("missing field `{}`", camel(field))),
    }
}

fn find<'a>(value: &'a Value, field: &str) -> Result<Option<&'a Value>, Unfit> {
    let object = value.as_object().ok_or("not an object")?;
    Ok(object.get(&camel(field)))
}

/// The name of a variant, and its fields.
pub(super) fn variant(value: &Value) -> Result<(&str, &Value), Unfit> {
    if let Value::String(name) = value {
        return Ok((name, &Value::Null));
    }
    let mut members = value.as_object().into_iter().flatten();
    match (members.next(), members.next()) {
        (Some((name, fields)), None) => Ok((name, fields)),
        _ => Err("not a variant".to_owned()),
    }
}

/// `last_failure` and `LastFailure` are `lastFailure`.
pub(super) fn camel(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut is_upper = false;
    for letter in name.chars() {
        match letter {
            '_' => {}
            _ if is_upper => camel.push(letter.to_ascii_uppercase()),
            _ if camel.is_empty() => camel.push(letter.to_ascii_lowercase()),
            _ => camel.push(letter),
        }
        is_upper = letter == '_';
    }
    camel
}

impl Record for String {
    fn save(&self, out: &mut Vec<u8>) {
        text(out, self);
    }

    fn load(value: &Value) -> Result<Self, Unfit> {
        as_text(value).map(str::to_owned)
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    // Writing to memory does not fail.
    let _ = serde_json::to_writer(out, text);
}

fn as_text(value: &Value) -> Result<&str, Unfit> {
    value.as_str().ok_or_else(|| "not a text".to_owned())
}

impl Record for bool {
    fn save(&self, out: &mut Vec<u8>) {
        out.extend(if *self { &b"true"[..] } else { b"false" });
    }

    fn load(value: &Value) -> Result<Self, Unfit> {
        value.as_bool().ok_or_else(|| "not a flag".to_owned())
    }
}

impl Record for u64 {
    fn save(&self, out: &mut Vec<u8>) {
        out.extend(self.to_string().bytes());
    }

    fn load(value: &Value) -> Result<Self, Unfit> {
        value.as_u64().ok_or_else(|| "not a number".to_owned())
    }
}

impl Record for i32 {
    fn save(&self, out: &mut Vec<u8>) {
        out.extend(self.to_string().bytes());
    }

    fn load(value: &Value) -> Result<Self, Unfit> {
        let number = value.as_i64().and_then(|number| number.try_into().ok());
        number.ok_or_else(|| "not a small number".to_owned())
    }
}

/// As a u64 that must not be too large.
macro_rules! small {
    ($($type:ty)*) => {
        $(impl Record for $type {
            fn save(&self, out: &mut Vec<u8>) {
                out.extend(self.to_string().bytes());
            }

            fn load(value: &Value) -> Result<Self, Unfit> {
                let number = u64::load(value)?.try_into();
                number.map_err(|_| "too large a number".to_owned())
            }
        })*
    };
}

small!(u32 usize);

impl<T: Record> Record for Option<T> {
    fn save(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.save(out),
            None => out.extend(b"null"),
        }
    }

    fn load(value: &Value) -> Result<Self, Unfit> {
        match value {
            Value::Null => Ok(None),
            value => T::load(value).map(Some),
        }
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

/// What is written again and again and hardly ever changes: its text is made once, for every copy.
#[derive(Clone, Debug, Default)]
pub struct Once<T>(Rc<(T, OnceCell<Vec<u8>>)>);

impl<T> From<T> for Once<T> {
    fn from(value: T) -> Self {
        Self(Rc::new((value, OnceCell::new())))
    }
}

impl<T> Deref for Once<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.0
    }
}

impl<T: PartialEq> PartialEq for Once<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0.0 == other.0.0
    }
}

impl<T: Eq> Eq for Once<T> {}

impl<T: Record> Record for Once<T> {
    fn save(&self, out: &mut Vec<u8>) {
        let (value, text) = &*self.0;
        out.extend(text.get_or_init(|| to_json(value)));
    }

    fn load(value: &Value) -> Result<Self, Unfit> {
        T::load(value).map(Self::from)
    }
}

impl<T: Record> Record for Vec<T> {
    fn save(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (index, value) in self.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            value.save(out);
        }
        out.push(b']');
    }

    fn load(value: &Value) -> Result<Self, Unfit> {
        elements(value)?.iter().map(T::load).collect()
    }
}

fn elements(value: &Value) -> Result<&[Value], Unfit> {
    let elements = value.as_array().map(Vec::as_slice);
    elements.ok_or_else(|| "not a list".to_owned())
}

impl<A: Record, B: Record> Record for (A, B) {
    fn save(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        self.0.save(out);
        out.push(b',');
        self.1.save(out);
        out.push(b']');
    }

    fn load(value: &Value) -> Result<Self, Unfit> {
        match elements(value)? {
            [first, second] => Ok((A::load(first)?, B::load(second)?)),
            _ => Err("not a pair".to_owned()),
        }
    }
}

impl Record for Label {
    fn save(&self, out: &mut Vec<u8>) {
        text(out, self.as_str());
    }

    fn load(value: &Value) -> Result<Self, Unfit> {
        let label = Self::new(as_text(value)?);
        label.ok_or_else(|| "not a label of a descriptor".to_owned())
    }
}

impl Record for Bytes {
    fn save(&self, out: &mut Vec<u8>) {
        text(out, &String::from(self.clone()));
    }

    fn load(value: &Value) -> Result<Self, Unfit> {
        let bytes = Self::try_from(as_text(value)?.to_owned());
        bytes.map_err(str::to_owned)
    }
}

/// Descriptors by their labels.
impl Record for BTreeMap<Label, i32> {
    fn save(&self, out: &mut Vec<u8>) {
        open(out);
        for (label, number) in self {
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            label.save(out);
            out.push(b':');
            number.save(out);
        }
        close(out);
    }

    fn load(value: &Value) -> Result<Self, Unfit> {
        let members = value.as_object().ok_or("not an object")?;
        let mut all = Self::new();
        for (name, number) in members {
            let label = Label::new(name).ok_or_else(|| format!("{name}: not a label"))?;
            all.insert(label, i32::load(number)?);
        }
        Ok(all)
    }
}
