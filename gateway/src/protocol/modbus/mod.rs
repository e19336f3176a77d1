//! Modbus: framing, requests, transfer profiles, and the conduit that puts them together.
//!
//! Sources: MODBUS Application Protocol Specification V1.1b3 and MODBUS Messaging on TCP/IP
//! Implementation Guide V1.0b (modbus.org).

pub mod conduit;
pub mod deliver;
pub mod frame;
mod link;
pub mod pdu;
pub mod profile;
mod session;
pub mod update;
