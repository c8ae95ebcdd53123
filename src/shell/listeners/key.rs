//! The names in `SERVER_STARTER_PORT`.

use std::ops::Deref;
use std::rc::Rc;

/// The name of a socket in `SERVER_STARTER_PORT`. There may be thousands, which take less of the heap
/// as pieces of one text than each by itself.
#[derive(Clone, Debug)]
pub struct Key {
    all: Rc<String>,
    begin: u32,
    end: u32,
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
            let end = begin + (key.end - key.begin);
            let all = Rc::clone(&all);
            *key = Key { all, begin, end };
            begin = end;
        }
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Key {
            all: Rc::new(text.to_owned()),
            begin: 0,
            end: u32::try_from(text.len()).expect("no command line is that long"),
        }
    }
}

impl Deref for Key {
    type Target = str;

    fn deref(&self) -> &str {
        &self.all[self.begin as usize..self.end as usize]
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
