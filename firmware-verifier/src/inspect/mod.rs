//! What an image is made of, found out by looking into it: unpacking what it is packed in, and knowing components by the
//! texts and symbols they carry.
//!
//! Everything stays in memory: names are words for reports, no path is ever followed, and links are not resolved. All that an
//! image can make grow is limited by [`Limits`], and a limit that is reached is a [`Finding`] about the image, as is
//! whatever is damaged. It is meant to run in a process that can do nothing else (`hal::sandbox`), for the decoders below
//! are other people's; it does not rely on it.
//!
//! What is not found is not proven to be absent: versions are texts that a build may strip or change.

mod cpio;
mod elf;
mod fdt;
mod hex_records;
mod known;
mod packages;
mod place;
mod read;
mod report;
mod signature;
mod squashfs;
mod squeeze;
mod tar;
mod uimage;
mod walk;

pub use known::SIGNATURES;
pub use report::{By, Container, Finding, Found, Kind, Occurrence, Report};
pub use signature::{Signature, Then};

/// Looks into `image`, and into everything in it.
pub fn inspect(image: &[u8], limits: &Limits) -> Report {
    let mut walk = walk::Walk::new(limits);
    walk.item(image, &place::Place::image(), 0);
    walk.finish()
}

/// What looking may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Containers within containers.
    pub depth: usize,
    /// Bytes that all containers together may unpack to.
    pub total: u64,
    /// Bytes that one container or file may unpack to.
    pub item: usize,
    /// How many times its packed size something may unpack to, once it is over [`Limits::RATIO_FROM`].
    pub ratio: usize,
    /// Files, links and folders.
    pub entries: usize,
    /// Bytes of one name.
    pub name: usize,
    /// Places that are tried because something there looks like the start of a container.
    pub attempts: usize,
    /// Bytes that decoders may set aside or fill, counted anew for each of them.
    pub work: u64,
    /// Different components, and different containers, that are reported.
    pub reported: usize,
}

impl Limits {
    /// Below this a high ratio is usual: a page of zeros packs into a few bytes.
    pub const RATIO_FROM: usize = 16 << 20;

    /// For images up to [`crate::MAX_IMAGE`]: a Linux with everything is 200 MiB unpacked and has 20,000 files.
    pub const USUAL: Limits = Limits {
        depth: 8,
        total: 384 << 20,
        item: 128 << 20,
        ratio: 256,
        entries: 200_000,
        name: 4096, // PATH_MAX of Linux
        attempts: 4096,
        work: 4 << 30,
        reported: 5000, // so that the list stays within `sbom::MAX_SBOM`
    };
}

#[cfg(test)]
mod tests;
