//! Protocols: bytes in, transfer steps and replies out. Nothing here opens a socket or reads a clock.

pub mod modbus;
