//! What this build calls itself.

/// The program and its version, in one piece: `strings` finds it in the file, so that builds can be
/// told apart without running them.
const TITLE: &str = concat!("sd-starter ", env!("CARGO_PKG_VERSION"));

/// The version of this build.
#[must_use]
pub fn version() -> &'static str {
    // Kept from being folded into the code, where nobody would find it.
    let title = std::hint::black_box(TITLE);
    title.strip_prefix("sd-starter ").unwrap_or(title)
}
