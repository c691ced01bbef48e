//! The settings: one TOML file, read once, checked as a whole.

mod settings;

pub use settings::*;
