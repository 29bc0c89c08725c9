//! What needs `unsafe`: calls into libc and the kernel, and the memory of the program's modules.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::mem::{self, MaybeUninit};
use std::ops::{Deref, Range};
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use crate::stack::STACK_BYTES_MAX;
use crate::stack::registers::Registers;

/// Id of this thread, as the kernel counts.
pub(super) fn thread_id() -> i32 {
    // SAFETY: the call has no arguments and can't fail.
    unsafe { libc::gettid() }
}

/// How long a thread of this process was on a CPU, up to this instant.
pub(super) fn cpu_time(tid: i32) -> Option<Duration> {
    // How the kernel makes a clock of a thread's id: of one thread, and of what is scheduled.
    const OF_THREAD: libc::clockid_t = 4;
    const SCHEDULED: libc::clockid_t = 2;
    let clock = (!tid << 3) | OF_THREAD | SCHEDULED;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is written to memory that is ours; an unknown clock is refused.
    if unsafe { libc::clock_gettime(clock, &raw mut time) } != 0 {
        return None;
    }
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

/// Lowest address of this thread's stack, and the first above it.
pub(super) fn stack_bounds() -> Option<(u64, u64)> {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: the call has no arguments and can't fail.
    let this = unsafe { libc::pthread_self() };
    // SAFETY: `this` is a live thread; the attributes are written to memory that is ours.
    if unsafe { libc::pthread_getattr_np(this, attributes.as_mut_ptr()) } != 0 {
        return None;
    }
    let (mut low, mut bytes) = (ptr::null_mut(), 0_usize);
    // SAFETY: the attributes were initialised by the call above.
    let result =
        unsafe { libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut bytes) };
    // SAFETY: the attributes are initialised and not used afterwards.
    unsafe { libc::pthread_attr_destroy(attributes.as_mut_ptr()) };
    let low = low.addr() as u64;
    (result == 0).then_some((low, low + bytes as u64))
}

/// Reads this process's memory without trusting the address: what isn't mapped isn't read. Returns
/// how many bytes came.
pub(super) fn read_memory(address: u64, into: &mut [u8]) -> usize {
    // SAFETY: the call can't fail and has no arguments.
    let this = unsafe { libc::getpid() };
    read_memory_of(this, address, into)
}

/// Reads the memory of any process that the kernel lets this one read. Returns how many bytes came.
pub(super) fn read_memory_of(pid: i32, address: u64, into: &mut [u8]) -> usize {
    let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
    let start = ptr::without_provenance_mut(usize::try_from(address).unwrap_or(0));
    let remote = libc::iovec { iov_base: start, iov_len: into.len() };
    // SAFETY: the kernel writes to `into` and to nothing else, and checks both ranges.
    let read = unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(read).unwrap_or(0)
}

/// The registers of this thread in this function, and the stack above.
#[inline(never)]
pub(super) fn own_registers(stack: &mut Vec<u8>) -> Option<Registers> {
    let (_, high) = stack_bounds()?;
    let registers = registers_here();
    stack.resize(usize::try_from(high - registers.sp).ok()?.min(STACK_BYTES_MAX), 0);
    let read = read_memory(registers.sp, stack);
    stack.truncate(read);
    Some(registers)
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn registers_here() -> Registers {
    let (pc, sp, fp): (u64, u64, u64);
    // SAFETY: three registers are read; nothing else is touched.
    unsafe {
        std::arch::asm!("lea {}, [rip]", "mov {}, rsp", "mov {}, rbp",
            out(reg) pc, out(reg) sp, out(reg) fp, options(nomem, nostack, preserves_flags));
    }
    Registers { pc, sp, fp, lr: 0 }
}

#[cfg(target_arch = "aarch64")]
#[inline(always)]
fn registers_here() -> Registers {
    let (pc, sp, fp, lr): (u64, u64, u64, u64);
    // SAFETY: four registers are read; nothing else is touched.
    unsafe {
        std::arch::asm!("adr {}, .", "mov {}, sp", "mov {}, x29", "mov {}, x30",
            out(reg) pc, out(reg) sp, out(reg) fp, out(reg) lr,
            options(nomem, nostack, preserves_flags));
    }
    Registers { pc, sp, fp, lr }
}

/// Where the program begins: the outermost frame of its first thread is there.
pub(super) fn entry_point() -> u64 {
    // SAFETY: reads what the kernel gave to the process at its start.
    unsafe { libc::getauxval(libc::AT_ENTRY) }
}

/// Bytes of a module's unwind tables.
#[derive(Clone, Debug)]
pub(super) enum Table {
    /// Of a module that is never unloaded.
    InPlace(&'static [u8]),
    Copied(Arc<[u8]>),
}

impl Default for Table {
    fn default() -> Self {
        Self::InPlace(&[])
    }
}

impl Deref for Table {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::InPlace(bytes) => bytes,
            Self::Copied(bytes) => bytes,
        }
    }
}

/// One program header, of which the addresses are those in memory.
#[derive(Clone, Debug)]
pub struct Segment {
    /// `PT_…`
    pub kind: u32,
    /// `PF_…`
    pub flags: u32,
    /// Where it is.
    pub range: Range<u64>,
}

/// A module as the dynamic linker describes it, while it is held.
pub(super) struct Loaded<'a> {
    pub(super) name: &'a str,
    pub(super) base: u64,
    pub(super) segments: &'a [Segment],
}

impl Loaded<'_> {
    /// Memory of the module; empty when it isn't all within one segment.
    pub(super) fn memory(&self, range: Range<u64>) -> &[u8] {
        let is_inside = |segment: &Segment| {
            segment.kind == libc::PT_LOAD
                && segment.range.start <= range.start
                && range.end <= segment.range.end
        };
        if range.is_empty() || !self.segments.iter().any(is_inside) {
            return &[];
        }
        let start = ptr::with_exposed_provenance(usize::try_from(range.start).unwrap_or(0));
        let length = usize::try_from(range.end - range.start).unwrap_or(0);
        // SAFETY: the range is inside of a segment of a module that the dynamic linker keeps while
        // it calls back, which is as long as `self` lives; tables are in read-only segments.
        unsafe { std::slice::from_raw_parts(start, length) }
    }

    /// The memory of the module for good, for one that can't be unloaded: the program itself, what
    /// the kernel gave, and the C library that this code is linked with.
    pub(super) fn memory_for_good(&self, range: Range<u64>) -> Option<&'static [u8]> {
        let libc = (libc::dl_iterate_phdr as *const ()).addr() as u64;
        let inside = |segment: &Segment| segment.range.contains(&libc);
        let stays = self.name.is_empty()
            || self.name.starts_with("linux-vdso")
            || self.segments.iter().any(inside);
        let bytes = self.memory(range);
        // SAFETY: the module stays until the process ends, and its read-only segments with it.
        stays.then(|| unsafe { mem::transmute::<&[u8], &'static [u8]>(bytes) })
    }
}

/// How often modules were loaded and unloaded.
pub(super) fn loads_and_unloads() -> (u64, u64) {
    let mut found = (0, 0);
    extern "C" fn first(info: *mut libc::dl_phdr_info, _: usize, data: *mut c_void) -> c_int {
        // SAFETY: the linker passes a description that lasts as long as this call.
        let info = unsafe { &*info };
        // SAFETY: the caller passed this pointer, and waits.
        unsafe { *data.cast::<(u64, u64)>() = (info.dlpi_adds, info.dlpi_subs) };
        1
    }
    // SAFETY: `found` outlives the call, and `first` treats it as what it is.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut found).cast()) };
    found
}

/// Shows each module that is loaded.
pub(super) fn for_each_module(mut each: impl FnMut(Loaded<'_>)) {
    let mut each: &mut dyn FnMut(Loaded<'_>) = &mut each;
    extern "C" fn one(info: *mut libc::dl_phdr_info, _: usize, data: *mut c_void) -> c_int {
        // SAFETY: the linker passes a description that lasts as long as this call.
        let info = unsafe { &*info };
        // SAFETY: the caller passed this pointer, and waits.
        let each = unsafe { &mut *data.cast::<&mut dyn FnMut(Loaded<'_>)>() };
        let count = usize::from(info.dlpi_phnum);
        // SAFETY: the linker says that there are as many headers.
        let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, count) };
        // SAFETY: the name is null or ends with a zero.
        let name = (!info.dlpi_name.is_null()).then(|| unsafe { CStr::from_ptr(info.dlpi_name) });
        let segment = |header: &libc::Elf64_Phdr| {
            let start = info.dlpi_addr.wrapping_add(header.p_vaddr);
            let range = start..start.saturating_add(header.p_memsz);
            Segment { kind: header.p_type, flags: header.p_flags, range }
        };
        let segments = headers.iter().map(segment).collect::<Vec<_>>();
        let name = name.unwrap_or_default().to_str().unwrap_or("?");
        each(Loaded { name, base: info.dlpi_addr, segments: &segments });
        0
    }
    // SAFETY: `each` outlives the call, and `one` treats it as what it is. It doesn't unwind: a
    // panic in `extern "C"` ends the process, and what is passed here doesn't panic.
    unsafe { libc::dl_iterate_phdr(Some(one), (&raw mut each).cast()) };
}

/// Maps a file to read it.
pub(super) fn map_file(file: &std::fs::File) -> std::io::Result<memmap2::Mmap> {
    // SAFETY: a program's file isn't written to while it runs; the kernel refuses that for the
    // program itself, and package managers replace a library's file in place of changing it.
    unsafe { memmap2::Mmap::map(file) }
}
