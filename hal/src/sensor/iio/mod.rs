//! Converters that the kernel drives: Linux Industrial I/O (IIO), polled or by buffer.
//!
//! [`RawChannel`] reads `in_*_raw` on request; [`Buffered`] reads the records of a character device that a
//! trigger fills at its own rate. Values are in the unit of the interface (Documentation/ABI/testing/
//! sysfs-bus-iio): millivolts, milliamperes, millidegrees Celsius, m/s². [`Scaling`] can bring them to another.
//!
//! `scan` and `stream` are pure; nothing here trusts what a driver writes into sysfs.

mod buffered;
mod device;
pub mod scan;
mod stream;

pub use buffered::{Buffered, MAX_READ};
pub use device::{Device, Plan, RawChannel};
pub use stream::{Scaling, Stream};

/// Where the kernel lists IIO devices.
pub const DEVICES: &str = "/sys/bus/iio/devices";
