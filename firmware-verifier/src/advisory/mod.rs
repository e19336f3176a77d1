//! Advisories: what vendors say of holes in their products, and whether one of them is here.
//!
//! Pure: sources and the database come in as bytes, answers go out. Invariant: what cannot be read or compared is
//! said to be so; it is never taken for "not affected".

pub mod cpe;
pub mod csaf;
pub mod database;
mod date;
pub mod kev;
pub mod known;
pub mod matching;
mod percent;
pub mod purl;
pub mod version;
