//! The `headgate` command.

#![forbid(unsafe_code)]

fn main() {}
