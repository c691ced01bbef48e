//! The names of sources and sinks.

use super::{Section, value};

/// The name that a source or a sink is given, or one made of its kind: `caldav`, `caldav-2`.
pub fn name(section: &mut Section<'_>, kind: Option<&str>, taken: &dyn Fn(&str) -> bool) -> String {
    let written = section.read("name", |value| {
        let name = value::string(value)?;
        if name.contains('/') {
            return Err(format!("is '{name}' and must not hold a '/'"));
        }
        Ok(name)
    });
    let Some(name) = written else { return free_name(kind.unwrap_or("unknown"), taken) };
    if taken(&name) {
        section.report("name", &format!("'{name}' is taken: give each its own"));
    }
    section.set_name(&name);
    name
}

/// `stem`, or `stem-2`, `stem-3` and so on where it is taken.
pub fn free_name(stem: &str, taken: &dyn Fn(&str) -> bool) -> String {
    if !taken(stem) {
        return stem.to_owned();
    }
    (2_u64..).map(|count| format!("{stem}-{count}")).find(|name| !taken(name)).unwrap_or_default()
}
