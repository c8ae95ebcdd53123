//! Memory: giving back what a start, or a swap, leaves behind.
#![expect(unsafe_code, reason = "malloc_trim, dl_iterate_phdr, madvise")]

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::ptr;

/// Bits of a page's entry in /proc/self/pagemap: "file-page or shared-anon", "page swapped" and
/// "page present" (Linux, Documentation/admin-guide/mm/pagemap.rst).
const FILE: u64 = 1 << 61;
const SWAPPED: u64 = 1 << 62;
const PRESENT: u64 = 1 << 63;

/// Returns free pages of the heap to the system. An allocator keeps what was freed for the next
/// time, but most of what a start needs (the definition of every option, the text of its help) is
/// never needed again. Does nothing where the C library cannot.
pub fn give_back_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it takes a number and changes nothing that is in use (malloc_trim(3)).
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Lets go of the program's own code and constants: a start touches nearly all of them, because with
/// each page the kernel maps its neighbours (64 KiB), and an idle loop needs next to none.
///
/// They stay in the page cache, and each comes back, with its neighbours, when it is used. That costs
/// a few microseconds as a rule. Where memory is so short that the cache has dropped them meanwhile,
/// it costs a read from the disk; but pages that are mapped and that nobody uses are dropped then
/// just as well, only later. Who cannot have that locks the memory (mlockall(2)) or protects it
/// (`MemoryMin=`): what is locked stays, because the kernel refuses to take it.
///
/// Nothing happens where /proc cannot be read or a filter forbids it. A segment to which somebody has
/// written (a debugger's or uprobe's breakpoint, a relocation) is left alone, as its file has not that.
pub fn give_back_program() {
    let mut segments: Vec<Range<usize>> = Vec::new();
    // SAFETY: the callback is passed the vector that it expects, which nobody else has meanwhile.
    unsafe {
        libc::dl_iterate_phdr(Some(collect), (&raw mut segments).cast());
    }
    let Ok(pagemap) = File::open("/proc/self/pagemap") else {
        return;
    };
    segments.retain(|segment| is_as_in_its_file(&pagemap, segment).unwrap_or(false));
    drop(pagemap);
    // Last of all, because whatever is used after it is back.
    for segment in &segments {
        // SAFETY: whole pages of a private mapping of a file that are as in that file, which a program
        // that is executed cannot lose: whoever touches them next finds what was there.
        unsafe {
            libc::madvise(
                ptr::without_provenance_mut(segment.start),
                segment.len(),
                libc::MADV_DONTNEED,
            );
        }
    }
}

/// Collects the program's segments that are mapped without the right to write; whole pages of them.
unsafe extern "C" fn collect(
    object: *mut libc::dl_phdr_info,
    _: libc::size_t,
    segments: *mut c_void,
) -> c_int {
    // SAFETY: this is what `give_back_program` passes.
    let segments = unsafe { &mut *segments.cast::<Vec<Range<usize>>>() };
    // SAFETY: the C library passes an object, and as many headers as it says (dl_iterate_phdr(3)).
    let (base, headers) = unsafe {
        let headers = std::slice::from_raw_parts((*object).dlpi_phdr, (*object).dlpi_phnum.into());
        ((*object).dlpi_addr, headers)
    };
    let page = rustix::param::page_size();
    let constant = headers.iter().filter(|header| {
        header.p_type == libc::PT_LOAD && header.p_flags & (libc::PF_R | libc::PF_W) == libc::PF_R
    });
    segments.extend(constant.filter_map(|header| {
        let begin = base.checked_add(header.p_vaddr)?;
        let end = begin.checked_add(header.p_filesz)?;
        let begin = usize::try_from(begin)
            .ok()?
            .checked_next_multiple_of(page)?;
        let end = usize::try_from(end).ok()? / page * page;
        (begin < end).then_some(begin..end)
    }));
    // The first object is the program: the libraries are everybody's, and of no weight.
    1
}

/// Whether nobody has written to these pages: then each that is there is the file's own.
fn is_as_in_its_file(pagemap: &File, segment: &Range<usize>) -> io::Result<bool> {
    const ENTRY: usize = size_of::<u64>();
    let page = rustix::param::page_size();
    let mut entries = vec![0; segment.len() / page * ENTRY];
    let first = segment.start / page * ENTRY;
    pagemap.read_exact_at(&mut entries, first as u64)?;
    let mut entries = entries.chunks_exact(ENTRY).map(|entry| {
        entry
            .iter()
            .rev()
            .fold(0, |all, byte| all << 8 | u64::from(*byte))
    });
    Ok(entries.all(|entry| entry & (PRESENT | SWAPPED) == 0 || entry & FILE != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where this program's code is, and how much of it is resident: bytes.
    fn code() -> (Range<usize>, usize) {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let own = std::env::current_exe().unwrap();
        let own = own.to_str().unwrap();
        let mut lines = maps.lines();
        let head = lines.find(|line| line.contains(" r-xp ") && line.ends_with(own));
        let (begin, end) = head
            .unwrap()
            .split_once(' ')
            .unwrap()
            .0
            .split_once('-')
            .unwrap();
        let number = |text| usize::from_str_radix(text, 16).unwrap();
        let resident = lines.find_map(|line| line.strip_prefix("Rss:")).unwrap();
        let resident: usize = resident.trim_end_matches("kB").trim().parse().unwrap();
        (number(begin)..number(end), resident * 1024)
    }

    /// Reads every byte of it.
    fn sum(range: &Range<usize>) -> u64 {
        range.clone().fold(0, |sum, address| {
            let byte: *const u8 = ptr::with_exposed_provenance(address);
            // SAFETY: within a mapping that can be read, for as long as we run.
            let byte = unsafe { byte.read_volatile() };
            sum.wrapping_mul(31).wrapping_add(byte.into())
        })
    }

    /// Other tests run meanwhile and bring back what they execute, and the system may drop any page at any
    /// time: so what is resident is looked at again and again, and only what is read has to be right at once.
    #[test]
    fn code_that_is_not_used_goes_and_comes_back() {
        let (range, _) = code();
        let before = sum(&range);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            let sum_now = sum(&range);
            let (_, all) = code();
            give_back_program();
            let (_, left) = code();
            assert_eq!(sum_now, before);
            if all > range.len() / 2 && left < all / 2 {
                break;
            }
            let late = std::time::Instant::now() > deadline;
            assert!(!late, "{left} left of {all}, {} in all", range.len());
        }
        assert_eq!(sum(&range), before);
    }

    #[test]
    fn what_was_written_to_is_not_as_in_its_file() {
        let page = rustix::param::page_size();
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        let pagemap = File::open("/proc/self/pagemap").unwrap();
        // SAFETY: a new mapping, which nobody else knows.
        let begin = unsafe {
            libc::mmap(
                ptr::null_mut(),
                2 * page,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE,
                std::os::fd::AsRawFd::as_raw_fd(&file),
                0,
            )
        };
        assert_ne!(begin, libc::MAP_FAILED);
        let range = begin.addr()..begin.addr() + 2 * page;
        assert!(is_as_in_its_file(&pagemap, &range).unwrap());
        let byte = begin.cast::<u8>();
        // SAFETY: within the mapping.
        unsafe { byte.read_volatile() };
        assert!(is_as_in_its_file(&pagemap, &range).unwrap());
        // SAFETY: within the mapping, which can be written to.
        unsafe { byte.write_volatile(0) };
        assert!(!is_as_in_its_file(&pagemap, &range).unwrap());
        // SAFETY: nobody uses it any more.
        assert_eq!(unsafe { libc::munmap(begin, 2 * page) }, 0);
    }
}
