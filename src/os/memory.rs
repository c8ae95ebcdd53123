//! The heap: giving back what a start leaves behind.
#![expect(unsafe_code, reason = "malloc_trim")]

/// Returns free pages of the heap to the system. An allocator keeps what was freed for the next
/// time, but most of what a start needs (the definition of every option, the text of its help) is
/// never needed again. Does nothing where the C library cannot.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number and changes nothing that is in use (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}
