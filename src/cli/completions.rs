//! `reveille completions`: completions for a shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Cli, Context, printer::ExitStatus};

/// Print completions for a shell
///
/// For bash: reveille completions bash > ~/.local/share/bash-completion/completions/reveille
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn run(args: &Args, context: &mut Context) -> anyhow::Result<ExitStatus> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "reveille", &mut script);
    context.printer.raw(&script)?;
    Ok(ExitStatus::Success)
}
