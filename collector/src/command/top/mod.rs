//! `holdup top`: what blocks, in a terminal, as it goes on.

mod asker;
mod draw;
mod rows;
mod state;

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::ask::{Address, Choice, Collector};
use asker::Asker;
use state::{After, State};

/// How long a key or an answer may wait until it shows.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// The arguments of `holdup top`.
#[derive(Args, Debug)]
pub(crate) struct TopArgs {
    /// How far back, at first: one of 1m, 5m, 15m, 1h, 6h, 24h, 7d
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = state::range)]
    since: usize,
    #[command(flatten)]
    choice: Choice,
    /// How often to ask
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
    interval: Duration,
    #[command(flatten)]
    address: Address,
}

/// Draws until it is ended by `q`, Ctrl-C or a signal.
pub(crate) fn run(args: &TopArgs) -> anyhow::Result<()> {
    if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() {
        bail!("top draws on a terminal, and this is none: use `holdup query top`");
    }
    let ended = Arc::new(AtomicBool::new(false));
    // A hang-up ends it as it ends any program: no terminal is left to be given back.
    signal_hook::flag::register(signal_hook::consts::SIGTERM, ended.clone())?;
    let collector = Collector::at(&args.address)?;
    let asker = Asker::start(collector, args.choice.clone(), args.interval);
    let mut terminal = ratatui::try_init().context("the terminal can't be drawn on")?;
    let outcome = watch(&mut terminal, State::new(args.since), &asker, &ended);
    ratatui::try_restore().context("the terminal can't be given back: `reset` does")?;
    outcome
}

fn watch(
    terminal: &mut DefaultTerminal,
    mut state: State,
    asker: &Asker,
    ended: &AtomicBool,
) -> anyhow::Result<()> {
    asker.want(state.wanted());
    let mut stale = true;
    while !ended.load(Ordering::Relaxed) {
        if stale {
            terminal.draw(|frame| draw::draw(frame, &mut state)).context("cannot draw")?;
        }
        wait_for_input()?;
        stale = event::poll(Duration::ZERO).context("the terminal is gone")?;
        if stale {
            match event::read().context("the terminal is gone")? {
                Event::Key(key) if key.kind != KeyEventKind::Release => match state.key(key) {
                    After::Quit => return Ok(()),
                    After::Ask => asker.want(state.wanted()),
                    After::Draw => {}
                },
                _ => {}
            }
        }
        while let Some(news) = asker.news() {
            state.hear(news);
            stale = true;
        }
    }
    Ok(())
}

/// Waits for a key, not for long. Crossterm would read from a terminal that is gone for ever.
fn wait_for_input() -> anyhow::Result<()> {
    let stdin = std::io::stdin();
    let mut input = [PollFd::new(&stdin, PollFlags::IN)];
    match rustix::event::poll(&mut input, Some(&LOOK)) {
        Ok(_) | Err(Errno::INTR) => {}
        Err(error) => return Err(error).context("the terminal is gone"),
    }
    if input[0].revents().intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
        bail!("the terminal is gone");
    }
    Ok(())
}
