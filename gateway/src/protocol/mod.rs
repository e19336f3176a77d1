//! Protocols: bytes in, transfer steps and replies out. Nothing here opens a socket or reads a clock.

pub use firmware_verifier::Digest;

pub mod modbus;
