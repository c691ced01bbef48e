//! The settings: one TOML file, read once, checked as a whole: every problem is reported, each in a sentence that names
//! the file, the line and the key.

mod account_origins;
mod accounts;
mod admin;
mod alarms;
mod context;
mod credentials;
mod load;
mod server_users;
mod settings;
mod sources;
mod user_list;

#[cfg(test)]
mod tests;

pub use crate::tables::address::feed as feed_url;
pub use crate::tables::{
    ClientCertificate, ConfigError, Credentials, FileStamp, OAuth2Settings, PasswordScheme, Problem, Secret,
    SecretCommand, SecretError, SecretRef, SecretSource,
};
pub use alarms::{AlarmRule, AlarmSettings, CalendarAlarms, CalendarNames, SourceAlarms};
pub use load::{Overrides, load, read_text};
pub use server_users::ServerUsers;
pub use settings::*;
pub use sources::ONE_USER;
