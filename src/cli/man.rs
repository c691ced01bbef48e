//! `reveille man`: the manual page, made of the help texts.

use clap::CommandFactory as _;

use super::{Cli, Context, printer::Exit};

/// Print the manual page (reveille man | man -l -)
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args, context: &mut Context) -> anyhow::Result<Exit> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command()).render(&mut page)?;
    context.printer.raw(&page)?;
    Ok(Exit::Done)
}
