//! The bytes for a child: copied once, so that what is looked into is what was hashed, whoever changes the file meanwhile.

use std::fs::File;
use std::io::{self, Read, Seek, Write};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

/// Copies `from` to its end into memory that nobody can change any more, and shows each piece to `each`. More than `most`
/// bytes are an error of kind [`io::ErrorKind::FileTooLarge`].
pub fn copy(from: &mut dyn Read, most: u64, each: &mut dyn FnMut(&[u8])) -> io::Result<File> {
    let memory = memfd_create("image", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut memory = File::from(memory);
    let (mut piece, mut len) = (vec![0; 256 << 10], 0);
    loop {
        let n = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        len += n as u64;
        if len > most {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {most} bytes")));
        }
        let piece = piece.get(..n).unwrap_or_default();
        each(piece);
        memory.write_all(piece)?;
    }
    memory.rewind()?;
    fcntl_add_seals(&memory, SealFlags::WRITE | SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
    Ok(memory)
}
