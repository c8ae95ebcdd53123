//! The claims of SECURITY.md that have no better place; each test has the number of its claim.

mod files;
mod page;
mod workers;

/// A user of whom the machine knows nothing.
const STRANGER: &str = "61234";

/// `setpriv` to become that user.
const AS_STRANGER: [&str; 4] = [
    "setpriv",
    "--reuid=61234",
    "--regid=61234",
    "--clear-groups",
];
