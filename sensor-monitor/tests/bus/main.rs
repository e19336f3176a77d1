//! A field bus from outside: on a simulated line with its waveforms, on a real pseudo terminal, and under attack.
#![allow(clippy::unwrap_used, clippy::panic)]

mod attenuation;
mod hostile;
mod line;
#[cfg(target_os = "linux")]
mod terminal;
mod traffic;
