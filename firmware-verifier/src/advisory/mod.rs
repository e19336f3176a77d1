//! Advisories: what vendors say of holes in their products, and whether one of them is here. Pure: bytes come in.

pub mod cpe;
mod percent;
pub mod purl;
pub mod version;
