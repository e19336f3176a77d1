//! Sockets: one pump for each conduit. Nothing here holds an opinion; the conduit decides.

pub mod pump;
mod ready;
