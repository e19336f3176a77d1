//! A simulated controller: flash, bootloaders and a process image. Bytes and `now` in, a reply out.
//!
//! It is what the demo updates and what the tests break. It is written from the standard and from the
//! published register maps, never from the transfer profiles: it uses neither `Profile` nor `Update` nor
//! `Delivery`, so that a mistake in them shows as a controller that does not boot.
//!
//! Invariant: firmware runs only if flash holds every byte of it, as sealed by the bootloader; a
//! controller with a half-written single bank sits in its bootloader, its process image dead.

pub mod bootloader;
pub mod controller;
pub mod drive;
pub mod flash;
mod process;
pub mod server;

pub use bootloader::Kind;
pub use controller::Controller;
pub use flash::Flash;
