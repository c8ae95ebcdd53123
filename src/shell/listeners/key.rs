//! The names in `SERVER_STARTER_PORT`.

use std::ops::{Deref, Range};
use std::rc::Rc;

/// The name of a socket in `SERVER_STARTER_PORT`. There may be thousands, which take less of the heap
/// as pieces of one text than each by itself.
#[derive(Clone, Debug)]
pub struct Key {
    all: Rc<String>,
    place: Range<usize>,
}

impl Key {
    /// Makes pieces of one text of them.
    pub(super) fn join<'a>(keys: impl Iterator<Item = &'a mut Key>) {
        let keys: Vec<_> = keys.collect();
        let mut all = String::with_capacity(keys.iter().map(|key| key.len()).sum());
        keys.iter().for_each(|key| all.push_str(key));
        let all = Rc::new(all);
        let mut begin = 0;
        for key in keys {
            let place = begin..begin + key.len();
            begin = place.end;
            let all = Rc::clone(&all);
            *key = Key { all, place };
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Key {
            all: Rc::new(text.to_owned()),
            place: 0..text.len(),
        }
    }
}

impl Deref for Key {
    type Target = str;

    fn deref(&self) -> &str {
        &self.all[self.place.clone()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_what_they_are_when_they_are_joined() {
        let texts = ["80", "", "localhost:80", "/run/a b", "80"];
        let mut keys = texts.map(Key::from);
        let alone = keys[2].clone();
        Key::join(keys.iter_mut());
        assert_eq!(keys.each_ref().map(|key| &**key), texts);
        assert!(Rc::ptr_eq(&keys[0].all, &keys[4].all));
        assert_eq!(&*alone, "localhost:80");
        Key::join(keys.iter_mut().skip(2));
        assert_eq!(keys.each_ref().map(|key| &**key), texts);
    }
}
