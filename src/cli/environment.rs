//! The variables that stand in for options, as with `start_server`.

use super::refusal::Refusal;
use super::values;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

/// The environment that we were started with.
///
/// As in Perl, an empty variable is as good as none.
pub(super) struct Environment<'a>(pub(super) &'a [(OsString, OsString)]);

impl Environment<'_> {
    fn get(&self, name: &str) -> Option<&OsStr> {
        let is_it = |(candidate, _): &&(OsString, OsString)| candidate == name;
        let value = self
            .0
            .iter()
            .find(is_it)
            .map(|(_, value)| value.as_os_str());
        value.filter(|value| !value.is_empty())
    }

    /// Whether the variable is there.
    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Whether the variable is true to Perl: there, and not 0.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "0")
    }

    /// The variable as a path.
    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.get(name).map(PathBuf::from)
    }

    /// The variable as a length of time.
    pub(super) fn duration(&self, name: &str) -> Result<Option<Duration>, Refusal> {
        let value = self.get(name).map(OsStr::to_string_lossy);
        value
            .map(|value| values::duration(name, &value))
            .transpose()
    }
}
