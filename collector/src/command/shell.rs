//! `holdup completions` and `holdup man`: what shells and readers of manuals know of the command.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use clap_complete::Shell;

use super::text::print;

/// The arguments of `holdup completions`.
#[derive(Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// Of which shell
    shell: Shell,
}

/// The arguments of `holdup man`.
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// Write the pages of all commands into this folder; without it, holdup(1) goes to stdout
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Prints a script that the shell loads.
pub(crate) fn completions(args: &CompletionsArgs, mut of: clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut of, "holdup", &mut script);
    print(&script)
}

/// Prints or writes manual pages.
pub(crate) fn man(args: &ManArgs, of: clap::Command) -> anyhow::Result<()> {
    let Some(folder) = &args.out else {
        // As among the pages of all commands.
        let mut of = of.disable_help_subcommand(true);
        of.build();
        let mut page = Vec::new();
        clap_mangen::Man::new(of).render(&mut page)?;
        return print(&page);
    };
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(of, folder))
        .with_context(|| format!("cannot write manual pages into {}", folder.display()))
}
