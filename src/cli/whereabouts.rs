//! Where the instances are: from a name on the command line to a control socket.

use std::path::{Path, PathBuf};

use super::client::NoAnswer;
use super::control::{Instance, Target};

/// Where the instances of the system have their directories.
const SYSTEM_DIRECTORY: &str = "/run/sd-starter";

/// The variables that say which instance is meant when nobody does.
#[derive(Clone, Debug, Default)]
pub struct Whereabouts {
    /// `RUNTIME_DIRECTORY`, in a unit's own commands: a list with colons, the first one is it.
    pub runtime_directory: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`, for a user manager's units.
    pub xdg_runtime_dir: Option<PathBuf>,
}

impl Whereabouts {
    /// The control socket that a command line means.
    ///
    /// # Errors
    /// [`NoAnswer::NoName`] when nothing says which.
    pub fn find(&self, target: &Target) -> Result<PathBuf, NoAnswer> {
        if let Some(path) = &target.control_socket {
            return Ok(path.clone());
        }
        match &target.instance {
            Some(Instance::Socket(path)) => Ok(path.clone()),
            Some(Instance::Unit(name)) => {
                let mut places = self.directories().map(|dir| dir.join(name).join("control"));
                let found = places.clone().find(|path| path.exists());
                Ok(found.or_else(|| places.next()).unwrap_or_default())
            }
            None => {
                let list = self.runtime_directory.as_ref().ok_or(NoAnswer::NoName)?;
                let list = list.to_str().unwrap_or_default();
                match list.split(':').next() {
                    Some(directory) if !directory.is_empty() => {
                        Ok(Path::new(directory).join("control"))
                    }
                    Some(_) | None => Err(NoAnswer::NoName),
                }
            }
        }
    }

    /// The directories that instances have theirs in.
    pub fn directories(&self) -> impl Iterator<Item = PathBuf> + Clone + '_ {
        std::iter::once(PathBuf::from(SYSTEM_DIRECTORY)).chain(self.own_directory())
    }

    fn own_directory(&self) -> Option<PathBuf> {
        let runtime = self.xdg_runtime_dir.as_ref()?;
        Some(runtime.join("sd-starter"))
    }

    /// Every place where an instance could be, by its name.
    #[must_use]
    pub fn instances(&self) -> Vec<(String, PathBuf)> {
        instances_in(self.directories())
    }

    /// The same of the user's own manager alone.
    #[must_use]
    pub fn own_instances(&self) -> Vec<(String, PathBuf)> {
        instances_in(self.own_directory())
    }
}

fn instances_in(directories: impl IntoIterator<Item = PathBuf>) -> Vec<(String, PathBuf)> {
    let entries = directories
        .into_iter()
        .filter_map(|directory| std::fs::read_dir(directory).ok())
        .flat_map(Iterator::flatten);
    let mut instances: Vec<_> = entries
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, entry.path().join("control"))
        })
        .collect();
    instances.sort();
    instances
}

/// What an instance is called: by its unit if its socket is where units have theirs.
#[must_use]
pub fn name_of(socket: &Path) -> String {
    // Without looking: a name must not depend on whether it is there.
    let absolute = std::path::absolute(socket).unwrap_or_else(|_| socket.to_owned());
    let socket = absolute.as_path();
    let directory = socket.parent().unwrap_or(socket);
    let in_place = directory
        .parent()
        .is_some_and(|parent| parent.ends_with("sd-starter"));
    match directory.file_name() {
        Some(name) if in_place && socket.ends_with("control") => {
            name.to_string_lossy().into_owned()
        }
        Some(_) | None => socket.to_string_lossy().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(instance: Option<&str>) -> Target {
        Target {
            instance: instance.map(|text| text.parse().unwrap()),
            control_socket: None,
        }
    }

    fn found(whereabouts: &Whereabouts, instance: Option<&str>) -> Option<PathBuf> {
        whereabouts.find(&target(instance)).ok()
    }

    #[test]
    fn a_units_own_commands_need_no_name() {
        let whereabouts = Whereabouts {
            runtime_directory: Some("/run/sd-starter/app:/run/other".into()),
            xdg_runtime_dir: None,
        };
        assert_eq!(
            found(&whereabouts, None),
            Some("/run/sd-starter/app/control".into())
        );
        assert_eq!(found(&Whereabouts::default(), None), None);
        let empty = Whereabouts {
            runtime_directory: Some("".into()),
            xdg_runtime_dir: None,
        };
        assert_eq!(found(&empty, None), None);
    }

    #[test]
    fn a_name_is_looked_for_with_the_system_and_with_the_user() {
        let scratch = crate::os::scratch::Scratch::new();
        let user = scratch.path("sd-starter/mine");
        std::fs::create_dir_all(&user).unwrap();
        std::fs::write(user.join("control"), "").unwrap();
        let whereabouts = Whereabouts {
            runtime_directory: Some("/run/elsewhere".into()),
            xdg_runtime_dir: Some(scratch.path("")),
        };
        assert_eq!(
            found(&whereabouts, Some("mine.service")),
            Some(user.join("control"))
        );
        assert_eq!(
            found(&whereabouts, Some("nobody")),
            Some("/run/sd-starter/nobody/control".into()),
            "the first place is where it is missed"
        );
        assert_eq!(found(&whereabouts, Some("/x/y")), Some("/x/y".into()));
        let names = whereabouts.instances();
        assert!(names.contains(&("mine".to_owned(), user.join("control"))));
        let own = [("mine".to_owned(), user.join("control"))];
        assert_eq!(whereabouts.own_instances(), own);
        assert_eq!(Whereabouts::default().own_instances(), []);
        assert_eq!(name_of(&user.join("control")), "mine");
        assert_eq!(name_of(Path::new("/tmp/x/control")), "/tmp/x/control");
    }
}
