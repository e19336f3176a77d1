//! Structures on their way between us and libtss2: marshalling, sized buffers, memory that it hands out.
#![allow(unsafe_code)]

use std::ffi::c_void;

use tss_esapi::tss2_esys as ffi;
use zeroize::Zeroize;

use crate::tpm::error::TpmError;

/// Memory handed out by ESYS, wiped and freed when dropped. Holds what a successful call filled, or null.
pub(super) struct Given<T>(pub(super) *mut T);

impl<T: Copy> Given<T> {
    pub(super) fn get(&self) -> T {
        // SAFETY: ESYS filled the pointer on success, the only case in which `Given` is made, with a whole T.
        unsafe { *self.0 }
    }
}

impl<T> Drop for Given<T> {
    fn drop(&mut self) {
        if self.0.is_null() {
            return;
        }
        // SAFETY: ESYS allocated a whole T here (calloc of the full struct, checked non-null), nobody else
        // holds the pointer, and bytes may be written to any of it before it is freed once.
        unsafe {
            std::slice::from_raw_parts_mut(self.0.cast::<u8>(), size_of::<T>()).zeroize();
            ffi::Esys_Free(self.0.cast::<c_void>());
        }
    }
}

/// Unmarshals `bytes` with one of libtss2's `Tss2_MU_..._Unmarshal`; `T` must be a plain C structure.
macro_rules! unmarshal {
    ($function:path, $type:ty, $bytes:expr) => {{
        let bytes: &[u8] = $bytes;
        let (mut out, mut offset) = (<$type>::default(), 0);
        // SAFETY: the buffer is readable for its stated length and `out` is a whole structure to write to.
        let code = unsafe { $function(bytes.as_ptr(), bytes.len() as ffi::size_t, &mut offset, &mut out) };
        if code == 0 && offset as usize == bytes.len() {
            Ok(out)
        } else {
            Err($crate::tpm::error::TpmError::Malformed {
                what: stringify!($type),
                found: format!("{} bytes, libtss2 says {code:#010x}", bytes.len()),
                expected: "a marshalled structure of TPM 2.0 Part 2",
            })
        }
    }};
}

/// A sized buffer structure (TPM2B_...) holding `bytes`, which must fit.
macro_rules! sized {
    ($type:ty, $field:ident, $bytes:expr) => {{
        let bytes: &[u8] = $bytes;
        let mut out = <$type>::default();
        match out.$field.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                out.size = bytes.len() as u16;
                Ok(out)
            }
            None => Err($crate::tpm::esys::memory::too_long(stringify!($type), bytes.len())),
        }
    }};
}

/// The bytes in use of a sized buffer structure.
macro_rules! in_use {
    ($value:expr, $field:ident) => {
        $value
            .$field
            .get(..usize::from($value.size))
            .ok_or_else(|| $crate::tpm::esys::memory::too_long(stringify!($field), usize::from($value.size)))
    };
}

pub(super) fn too_long(what: &'static str, len: usize) -> TpmError {
    TpmError::Malformed { what, found: format!("{len} bytes"), expected: "no more than the structure holds" }
}

/// `bytes` behind their length in two bytes: a TPM2B.
pub(super) fn with_size(bytes: &[u8]) -> Vec<u8> {
    let len = bytes.len() as u16;
    [&len.to_be_bytes(), bytes].concat()
}

/// Marshals `value` with one of libtss2's `Tss2_MU_..._Marshal`; `$type` must be a plain C structure.
macro_rules! marshal {
    ($function:path, $type:ty, $value:expr) => {{
        let value: &$type = $value;
        // No structure is longer on the wire than in memory.
        let (mut out, mut offset) = (vec![0u8; size_of::<$type>()], 0);
        // SAFETY: the buffer is writable for its stated length and the structure came whole from ESYS.
        let code = unsafe { $function(value, out.as_mut_ptr(), out.len() as ffi::size_t, &mut offset) };
        if code == 0 {
            out.truncate(offset as usize);
            Ok(out)
        } else {
            Err($crate::tpm::error::TpmError::answered(stringify!($function), code))
        }
    }};
}

pub(super) use {in_use, marshal, sized, unmarshal};
