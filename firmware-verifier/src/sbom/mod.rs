//! Software bills of materials.

pub mod component;

pub use component::Component;
