//! Reading the tables of a TOML file with every key's line at hand: what is wrong is reported, each in a sentence that
//! names the file, the line and the key. It knows no setting: those of the program are in `config`, those of each kind
//! of sink are with the sink.
//!
//! * [`Section`]: a table; [`Diagnostics`]: what was found wrong.
//! * [`value`], [`address`], [`names`]: single values.
//! * [`secret`]: the keys that say where a secret is; [`SecretRef`]: reading it there; [`SecretCommand`]: running what
//!   prints it; [`ProcessGroup`]: ending what was run; [`Credentials`]: how a client logs in; [`oauth2`]: how it gets
//!   access tokens for that.

pub mod address;
mod credentials;
mod error;
pub mod names;
pub mod oauth2;
pub mod secret;
mod secret_command;
mod secret_ref;
mod section;
pub mod value;

pub use credentials::{ClientCertificate, Credentials, OAuth2Settings, PasswordScheme, SecretSource};
pub use error::{ConfigError, Problem};
pub use secret_command::{ProcessGroup, SecretCommand};
pub use secret_ref::{FileStamp, MAX_SECRET, Secret, SecretError, SecretRef};
pub use section::{Diagnostics, Replacement, Section, kind_of, nearest};
