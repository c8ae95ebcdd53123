//! Where a process is among the control groups: the texts of proc(5) and cgroups(7).
//!
//! Only the unified hierarchy (cgroup v2) counts; what a hybrid machine says of the
//! others is skipped.

/// The cgroup v2 path in `/proc/PID/cgroup`: the line `0::PATH`.
#[must_use]
pub fn unified(text: &str) -> Option<&str> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    // Of a cgroup that was removed under the process.
    let gone = path.ends_with(" (deleted)");
    (path.starts_with('/') && !gone).then_some(path)
}

/// Where that path is in the file system, as `/proc/PID/mountinfo` has it: the mount point of
/// the cgroup2 file system with the part of the path below its root.
#[must_use]
pub fn directory(mountinfo: &str, path: &str) -> Option<String> {
    mountinfo.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        if system.split(' ').next() != Some("cgroup2") {
            return None;
        }
        let mut words = mount.split(' ').skip(3);
        let (root, point) = (words.next()?, words.next()?);
        // A space in either would be an octal escape; no systemd has one.
        let below = path.strip_prefix(root.trim_end_matches('/'))?;
        (below.is_empty() || below.starts_with('/')).then(|| format!("{point}{below}"))
    })
}

/// The unit that a cgroup path belongs to: its first part that is neither a slice nor the
/// root, as sd_pid_get_unit(3) reads it.
#[must_use]
pub fn unit(path: &str) -> Option<&str> {
    let mut parts = path.split('/').filter(|part| !part.is_empty());
    let first = parts.find(|part| !part.ends_with(".slice"))?;
    (first.ends_with(".service") || first.ends_with(".scope")).then_some(first)
}

/// Whether `cgroup.events` says that somebody is in the cgroup or below it.
#[must_use]
pub fn is_populated(events: &str) -> bool {
    events.lines().any(|line| line == "populated 1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOUNTS: &str = "\
22 1 0:20 / /proc rw - proc proc rw
30 22 0:26 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_path_is_found_beside_older_hierarchies() {
        let text = "9:name=systemd:/old\n1:cpu:/\n0::/system.slice/app.service\n";
        assert_eq!(unified(text), Some("/system.slice/app.service"));
        assert_eq!(unified("9:name=systemd:/old\n"), None);
        assert_eq!(unified("0::/a (deleted)\n"), None);
    }

    #[test]
    fn the_directory_is_below_the_mount_point() {
        let app = "/system.slice/app.service";
        let expected = "/sys/fs/cgroup/unified/system.slice/app.service";
        assert_eq!(directory(MOUNTS, app).as_deref(), Some(expected));
        let bound = "30 22 0:26 /system.slice /cg rw - cgroup2 none rw";
        assert_eq!(directory(bound, app).as_deref(), Some("/cg/app.service"));
        assert_eq!(directory(bound, "/system.slicer/x"), None);
        assert_eq!(directory("22 1 0:20 / /proc rw - proc proc rw", app), None);
    }

    #[test]
    fn the_unit_is_what_stands_in_the_slices() {
        for (path, expected) in [
            ("/system.slice/app.service", Some("app.service")),
            (
                "/system.slice/system-a.slice/a@1.service/x",
                Some("a@1.service"),
            ),
            (
                "/user.slice/user-1.slice/session-2.scope",
                Some("session-2.scope"),
            ),
            ("/payload", None),
            ("/", None),
        ] {
            assert_eq!(unit(path), expected, "{path}");
        }
    }

    #[test]
    fn populated_is_a_line_of_its_own() {
        assert!(is_populated("populated 1\nfrozen 0\n"));
        assert!(!is_populated("populated 0\nfrozen 1\n"));
        assert!(!is_populated(""));
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*", path in "/.*") {
            let _ = (unified(&text), directory(&text, &path), unit(&text), is_populated(&text));
        }
    }
}
