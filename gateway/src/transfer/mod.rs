//! One image on its way to one controller, whatever protocol carries it.
//!
//! ```text
//!   protocol adapter ── open / chunk / commit / abort ──▶ Engine ── Question ──▶ judge
//!            ▲                                              │  ▲                   │
//!            └───────────── Decision ───────────────────────┘  └───── Answer ──────┘
//! ```
//!
//! The engine opens nothing and reads no clock. It alone owns coverage, overlap and limits; a chunk says
//! only where on the wire it belongs. There is one engine for each controller, not for each connection.

pub mod coverage;
pub mod engine;
pub mod event;
pub mod image;
