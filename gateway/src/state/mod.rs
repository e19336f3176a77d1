//! What the gateway must still know after a power cut, in one SQLite file.
//!
//! [`Db`] owns the file; one thread owns the `Db`. Each module below is one table: functions that read take
//! [`Rows`], functions that write take [`Tx`], and several of them in one [`Db::write`] happen together or
//! not at all. Nothing here is called on the packet path.
//!
//! Invariant: a row that names an image is written after the image is whole in the vault, and goes before it.

mod column;
mod db;
mod error;
mod lock;
mod schema;
mod takeover;

pub mod alarm;
pub mod break_glass;
pub mod case;
pub mod delivery;
pub mod held;
pub mod identity;
pub mod learned;
pub mod meta;
pub mod outbox;
pub mod receipt;
pub mod release;
pub mod soak;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod torture;

pub use db::{Db, Rows, Tx};
pub use error::StateError;
pub use lock::Lock;
pub use takeover::CASES_LEFT_OUT;
