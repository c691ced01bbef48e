//! `reveille templates`: the templates that mails are written with.

use std::path::PathBuf;

use super::{Context, printer::ExitStatus};
use crate::delivery::sink::email::export_templates;

/// Work with the templates that mails are written with
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    action: TemplatesAction,
}

#[derive(Debug, clap::Subcommand)]
enum TemplatesAction {
    /// Write the built-in templates into a folder
    ///
    /// A sink of the kind email uses them if its key `templates` names the folder. A file that is removed there leaves
    /// the built-in template. Existing files are not overwritten.
    Export {
        /// The folder, which is made if it does not exist
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let TemplatesAction::Export { folder } = &args.action;
    match export_templates(folder) {
        Ok(paths) => {
            let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
            context.printer.note(format!("wrote {}", paths.join(", ")));
            Ok(ExitStatus::Success)
        }
        Err(error) => {
            context.printer.error(error);
            Ok(ExitStatus::Failure)
        }
    }
}
