//! The templates of mails (minijinja): those that are built in, and files in their place. HTML is escaped, and what
//! rendering may cost is bounded.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment};
use serde::Serialize;

use super::links;

/// The names of the templates, with what is built in.
pub const BUILT_IN: [(&str, &str); 3] = [
    ("subject.txt", include_str!("templates/subject.txt")),
    ("mail.txt", include_str!("templates/mail.txt")),
    ("mail.html", include_str!("templates/mail.html")),
];
/// Instructions of one rendering: that of a long mail takes about 3,000.
const FUEL: u64 = 100_000;
/// Octets of a rendered part above which the built-in template takes its place: few servers take a larger mail.
const LARGEST: usize = 16 * 1024 * 1024;

/// The parts of a mail, as templates have written them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedMail {
    /// The Subject, not yet on one line.
    pub subject: String,
    /// The text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

/// Compiled templates.
#[derive(Debug)]
pub struct MailTemplates {
    built_in: Environment<'static>,
    /// With the files of a folder in place of those that are built in.
    own: Option<Environment<'static>>,
    /// One of them has failed, and the log says so.
    has_failed: AtomicBool,
}

/// A template that cannot be used, or a folder that cannot be read: a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TemplateError(String);

impl MailTemplates {
    /// Those that are built in.
    ///
    /// # Errors
    /// Never, as they are compiled in the tests.
    pub fn built_in() -> Result<MailTemplates, TemplateError> {
        let mut environment = environment();
        for (name, source) in BUILT_IN {
            environment.add_template(name, source).map_err(|error| TemplateError(described(&error)))?;
        }
        Ok(MailTemplates { built_in: environment, own: None, has_failed: AtomicBool::new(false) })
    }

    /// Those in `folder`, with the names of [`BUILT_IN`]; a file that is not there leaves the built-in one.
    ///
    /// # Errors
    /// When the folder has none of them, one cannot be read, or is no template.
    pub fn of_folder(folder: &Path) -> Result<MailTemplates, TemplateError> {
        let mut environment = environment();
        let mut count = 0;
        for (name, source) in BUILT_IN {
            let path = folder.join(name);
            let source = match fs::read_to_string(&path) {
                Ok(text) => {
                    count += 1;
                    text
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => source.to_owned(),
                Err(error) => return Err(TemplateError(format!("{} cannot be read: {error}", path.display()))),
            };
            environment.add_template_owned(name, source).map_err(|error| {
                TemplateError(format!("{} is not a template: {}", path.display(), described(&error)))
            })?;
        }
        if count == 0 {
            let names = BUILT_IN.map(|(name, _)| name).join(", ");
            return Err(TemplateError(format!("{} has none of the files {names}", folder.display())));
        }
        Ok(MailTemplates { own: Some(environment), ..MailTemplates::built_in()? })
    }

    /// Renders a mail with the variables `view`. If a template of the folder fails, the built-in ones take its place,
    /// and the log says so once: a reminder is not lost for the sake of its looks.
    ///
    /// # Errors
    /// When the built-in templates fail.
    pub fn render(&self, view: &impl Serialize) -> Result<RenderedMail, TemplateError> {
        let view = Value::from(Serde(view));
        if let Some(own) = &self.own {
            match rendered(own, &view) {
                Ok(mail) => return Ok(mail),
                Err(error) if !self.has_failed.swap(true, Ordering::Relaxed) => {
                    tracing::error!(error = %error, "a mail template failed; mails are written with the built-in ones");
                }
                Err(_) => {}
            }
        }
        rendered(&self.built_in, &view)
    }

    /// As [`MailTemplates::render`], but the templates of the folder must not fail.
    ///
    /// # Errors
    /// When one of them does.
    pub fn try_render(&self, view: &impl Serialize) -> Result<RenderedMail, TemplateError> {
        rendered(self.own.as_ref().unwrap_or(&self.built_in), &Value::from(Serde(view)))
    }
}

/// Writes the built-in templates into `folder`, which is made if it does not exist. Files are not overwritten.
///
/// # Errors
/// What the system says of a file, by its path; also if it already exists.
pub fn export(folder: &Path) -> Result<Vec<PathBuf>, TemplateError> {
    let failed = |path: &Path, error: &io::Error| TemplateError(format!("{}: {error}", path.display()));
    fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let paths = BUILT_IN.map(|(name, _)| folder.join(name));
    if let Some(path) = paths.iter().find(|path| path.exists()) {
        return Err(TemplateError(format!("{} already exists and is not overwritten", path.display())));
    }
    for (path, (_, source)) in paths.iter().zip(BUILT_IN) {
        fs::write(path, source).map_err(|error| failed(path, &error))?;
    }
    Ok(paths.to_vec())
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    if let Ok(syntax) =
        SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build()
    {
        environment.set_syntax(syntax);
    }
    environment.set_auto_escape_callback(|name| match name.ends_with(".html") {
        true => AutoEscape::Html,
        false => AutoEscape::None,
    });
    environment.set_fuel(Some(FUEL));
    environment.add_filter("linked", |text: String| Value::from_safe_string(links::linked(&text)));
    environment
}

fn rendered(environment: &Environment<'_>, view: &Value) -> Result<RenderedMail, TemplateError> {
    let part = |name: &str| {
        let rendered = environment.get_template(name).and_then(|template| template.render(view.clone()));
        let text = rendered.map_err(|error| TemplateError(described(&error)))?;
        if text.len() > LARGEST {
            return Err(TemplateError(format!("{name} makes more than {LARGEST} octets")));
        }
        Ok(text)
    };
    Ok(RenderedMail { subject: part("subject.txt")?, text: part("mail.txt")?, html: part("mail.html")? })
}

/// What is wrong with a template, and in which line.
fn described(error: &minijinja::Error) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_take_the_place_of_built_in_templates_and_html_is_escaped() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("mail.html"), "<b>{{ title }}</b>{{ title|linked }}").unwrap();
        fs::write(folder.path().join("subject.txt"), "{{ event.uid }}: {{ title }}").unwrap();
        let templates = MailTemplates::of_folder(folder.path()).unwrap();
        let mail = templates.try_render(&json!({"title": "<i>", "event": {"uid": "a"}})).unwrap();
        assert_eq!(mail.html, "<b>&lt;i&gt;</b>&lt;i&gt;");
        assert_eq!(mail.subject, "a: <i>");
        assert!(mail.text.starts_with("<i>\n\n"), "{}", mail.text);
    }

    #[test]
    fn a_template_that_does_not_end_is_replaced_by_the_built_in_one() {
        let folder = tempfile::tempdir().unwrap();
        let endless = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        fs::write(folder.path().join("mail.txt"), endless).unwrap();
        let templates = MailTemplates::of_folder(folder.path()).unwrap();
        let view = json!({"title": "Tea"});
        assert!(templates.try_render(&view).unwrap_err().to_string().contains("fuel"));
        assert!(templates.render(&view).unwrap().text.starts_with("Tea\n"));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_said_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        assert!(MailTemplates::of_folder(folder.path()).unwrap_err().to_string().contains("has none of the files"));
        fs::write(folder.path().join("mail.txt"), "a\n{% if %}").unwrap();
        let error = MailTemplates::of_folder(folder.path()).unwrap_err().to_string();
        assert!(error.contains("mail.txt is not a template") && error.contains("mail.txt:2"), "{error}");
    }

    #[test]
    fn exported_templates_are_those_that_are_built_in_and_none_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("new/templates");
        assert_eq!(export(&into).unwrap().len(), 3);
        assert_eq!(fs::read_to_string(into.join("mail.html")).unwrap(), BUILT_IN[2].1);
        assert!(MailTemplates::of_folder(&into).is_ok());
        assert!(export(&into).unwrap_err().to_string().contains("already exists and is not overwritten"));
    }
}
