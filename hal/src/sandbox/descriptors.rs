//! Closing what a process inherited besides its three standard streams.
//!
//! The one place outside `tpm/esys/` with unsafe code: no safe wrapper closes a descriptor that nobody owns. libtss2 opens
//! the TPM without O_CLOEXEC, so a child does inherit some.

#![allow(unsafe_code)]

use std::io;

/// Closes every descriptor from 3 on (close_range(2), Linux 5.9).
///
/// Called by a process that has just been started, before it has opened anything: nothing in it owns one of these.
pub(super) fn close_inherited() -> io::Result<()> {
    let (first, last, flags) = (3_u32, u32::MAX, 0_u32);
    // SAFETY: the kernel only reads these numbers. No value of this process owns a descriptor from 3 on, as said above, so
    // none is closed under its owner.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
