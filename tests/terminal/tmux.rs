//! A terminal that a test types into and looks at: tmux, with a server of its own.

use std::process::Command;

use holdup_tests::collector::{Collector, eventually};
use holdup_tests::program;
use tempfile::TempDir;

use super::ran;

/// What a name may try: to clear the screen and to give the window a title.
pub(super) const HOSTILE: &str = "evil::\u{1b}[2J\u{1b}]0;owned\u{7}name";
/// What is shown of it.
pub(super) const HOSTILE_SHOWN: &str = "evil::\u{fffd}[2J\u{fffd}]0;owned\u{fffd}name";

/// A terminal in which a command runs, and after it a shell that tells how it ended.
pub(super) struct Tmux {
    folder: TempDir,
}

impl Tmux {
    /// Starts `holdup` with these arguments on a terminal of 80×24.
    pub(super) fn start(arguments: &str, collector: &Collector) -> Self {
        Self::start_after("true", arguments, collector)
    }

    /// The same, after the shell has done something.
    pub(super) fn start_after(first: &str, arguments: &str, collector: &Collector) -> Self {
        let tmux = Self { folder: tempfile::tempdir().expect("a folder") };
        let holdup = program("holdup").expect("built");
        let command = format!(
            "{first}; {} {arguments} --page {}; echo ended with $?; exec sh",
            holdup.display(),
            collector.page()
        );
        tmux.run(&["-f", "/dev/null", "new-session", "-d", "-x", "80", "-y", "24", &command]);
        tmux
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(self.folder.path().join("socket")).arg("-u");
        command.env("LC_ALL", "C.UTF-8").env_remove("TMUX").env_remove("NO_COLOR");
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let ran = ran(self.command().args(arguments));
        assert_eq!(ran.code, Some(0), "tmux {arguments:?}: {ran:?}");
        ran.stdout
    }

    /// What the terminal shows.
    pub(super) fn screen(&self) -> String {
        self.run(&["capture-pane", "-p"])
    }

    /// The same, with the sequences that colour it.
    pub(super) fn coloured(&self) -> String {
        self.run(&["capture-pane", "-p", "-e"])
    }

    /// The window's title, which programs can set.
    pub(super) fn title(&self) -> String {
        self.run(&["display-message", "-p", "#{pane_title}"])
    }

    /// Types keys, by tmux's names.
    pub(super) fn press(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    pub(super) fn resize(&self, width: u16, height: u16) {
        let (width, height) = (width.to_string(), height.to_string());
        self.run(&["resize-window", "-x", &width, "-y", &height]);
    }

    /// The id of the process that runs in the terminal.
    pub(super) fn process(&self) -> String {
        let shell = self.run(&["display-message", "-p", "#{pane_pid}"]);
        let children = format!("/proc/{0}/task/{0}/children", shell.trim());
        let children = std::fs::read_to_string(children).expect("a shell");
        children.split_whitespace().next().expect("a program").to_owned()
    }

    /// Takes the terminal away, as a connection does that is lost.
    pub(super) fn hang_up(&self) {
        self.run(&["kill-server"]);
    }

    /// Waits until the screen is as it should be, and returns it.
    pub(super) fn until(&self, what: &str, is: impl Fn(&str) -> bool) -> String {
        let mut last = String::new();
        let looked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(what, || {
                last = self.screen();
                is(&last).then(|| last.clone())
            })
        }));
        looked.unwrap_or_else(|_late| panic!("{what} did not come true:\n{last}"))
    }
}

impl Drop for Tmux {
    fn drop(&mut self) {
        // What is gone already can't be ended.
        let _gone = self.command().arg("kill-server").output();
    }
}
