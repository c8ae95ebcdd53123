//! The unwinder, of which a program that aborts on a panic needs next to nothing, is linked in: as
//! libgcc_s.so.1 it costs each start nine system calls and a tenth of its time, and each fork five
//! mappings. It is not bundled into our library: the compiler's driver knows where it is.
#![expect(unsafe_code, reason = "a library is named in an extern block")]

#[link(name = "gcc_eh", kind = "static", modifiers = "-bundle")]
// SAFETY: nothing is declared here; it is Rust's own library that calls it, by names that both libgcc
// have.
unsafe extern "C" {}
