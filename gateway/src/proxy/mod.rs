//! Sockets: one pump for each conduit. Nothing here holds an opinion; the conduit decides.

mod alarm;
pub mod pump;
mod ready;
