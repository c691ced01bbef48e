//! The settings: one TOML file, read once, checked as a whole: every problem is reported, each in a sentence that names
//! the file, the line and the key.

mod address;
mod error;
mod load;
mod secret;
mod secret_ref;
mod section;
mod settings;
mod sinks;
mod sources;
mod value;

#[cfg(test)]
mod tests;

pub use error::{ConfigError, Problem};
pub use load::{Overrides, load, read_text};
pub use secret_ref::{FileStamp, SecretError, SecretRef};
pub use settings::*;
pub use sources::ONE_USER;
