//! Levels: root mean square of a stream, and the plateaus, edges and bias of a differential bus.

pub mod bus;
pub mod edge;
pub mod rms;
pub mod settle;
pub mod talker;
