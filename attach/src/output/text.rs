//! A dump for people: what holds the runtime first, and one line for each thread that only waits.

use std::fmt::Write;

use crate::dump::{Dump, ThreadDump};
use crate::naming::Frame;
use crate::role::{Activity, Role};

/// Columns of a terminal.
const COLUMNS: usize = 80;
/// Characters of generic arguments that are shown of a function's name.
const GENERICS_MAX: usize = 24;

/// How a dump is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Look {
    /// With colours, for a terminal.
    pub colour: bool,
    /// With all frames: also those of the runtime around a task, and those of threads that wait.
    pub whole: bool,
}

/// A group of threads: what they do, what is said of it, and whether their frames are shown.
struct Group {
    activity: Activity,
    title: &'static str,
    with_frames: bool,
}

const GROUPS: [Group; 6] = [
    Group {
        activity: Activity::Poll,
        title: "Inside a poll: nothing else is polled on this thread until it returns",
        with_frames: true,
    },
    Group { activity: Activity::Scheduling, title: "Between polls", with_frames: true },
    Group {
        activity: Activity::Blocking,
        title: "At blocking work, where it belongs",
        with_frames: true,
    },
    Group { activity: Activity::Other, title: "Other threads", with_frames: true },
    Group { activity: Activity::Parked, title: "Parked, waiting for work", with_frames: false },
    Group { activity: Activity::Idle, title: "Idle in the blocking pool", with_frames: false },
];

/// A dump as text, 80 columns wide as far as names allow.
#[must_use]
pub fn text(dump: &Dump, look: Look) -> String {
    let mut out = String::new();
    // Writing to a string can't fail.
    let _written = write_dump(&mut out, dump, look);
    out
}

fn write_dump(out: &mut String, dump: &Dump, look: Look) -> std::fmt::Result {
    let inner = dump.inner_pid.map(|pid| format!(", {pid} in its container")).unwrap_or_default();
    writeln!(out, "Process {}{inner}: {}", dump.pid, dump.command)?;
    writeln!(out, "{}", summary(dump))?;
    for group in &GROUPS {
        let of_group = |thread: &&ThreadDump| thread.activity == group.activity;
        let mut threads = dump.threads.iter().filter(of_group).peekable();
        if threads.peek().is_none() {
            continue;
        }
        let colour = if group.activity == Activity::Poll { RED } else { PLAIN };
        writeln!(out, "\n{}", styled(group.title, colour, look))?;
        for thread in threads {
            write_thread(out, thread, group.with_frames || look.whole, look)?;
        }
    }
    let has_no_names =
        |thread: &ThreadDump| thread.role == Role::Unknown && thread.missing.is_none();
    if dump.threads.iter().any(has_no_names) {
        writeln!(
            out,
            "\nThe program has no symbols (it was stripped), so what its threads are for isn't\n\
             known. `holdup symbolize --binary FILE` names the frames from the unstripped file."
        )?;
    }
    Ok(())
}

/// `14 threads: 4 workers (2 inside a poll, 2 parked), 3 blocking pool (3 idle in the pool)`.
fn summary(dump: &Dump) -> String {
    let count = |role: Role, activity: Option<Activity>| {
        let of_role = dump.threads.iter().filter(|thread| thread.role == role);
        of_role.filter(|thread| activity.is_none_or(|a| thread.activity == a)).count()
    };
    let roles = [
        Role::Worker,
        Role::CurrentThread,
        Role::BlockOn,
        Role::BlockingPool,
        Role::Other,
        Role::Unknown,
    ];
    let parts = roles.into_iter().filter_map(|role| {
        let all = count(role, None);
        let done = GROUPS.iter().filter(|group| group.activity != Activity::Other);
        let done = done.filter_map(|group| match count(role, Some(group.activity)) {
            0 => None,
            some => Some(format!("{some} {}", group.activity.label())),
        });
        let done = done.collect::<Vec<_>>().join(", ");
        let done = if done.is_empty() { done } else { format!(" ({done})") };
        (all > 0).then(|| format!("{} {all}{done}", role.label()))
    });
    let parts = parts.collect::<Vec<_>>().join("; ");
    wrapped(&format!("{} threads: {parts}", dump.threads.len()))
}

fn write_thread(
    out: &mut String,
    thread: &ThreadDump,
    with_frames: bool,
    look: Look,
) -> std::fmt::Result {
    let name = styled(&thread.name, BOLD, look);
    writeln!(out, "  {name} {}  {}, {}", thread.tid, thread.role.label(), state(thread))?;
    if let Some(reason) = &thread.missing {
        return writeln!(out, "    no stack: {reason}");
    }
    if !with_frames {
        return Ok(());
    }
    let inner = inner(thread, look);
    for (index, frame) in thread.frames[..inner].iter().enumerate() {
        write_frame(out, frame, thread.blame == Some(index), look)?;
    }
    match thread.frames.len() - inner {
        0 if thread.complete => Ok(()),
        0 => writeln!(out, "      … outer frames are missing"),
        more => writeln!(out, "      … {more} frames around it (--whole-stacks)"),
    }
}

/// How many frames are shown.
fn inner(thread: &ThreadDump, look: Look) -> usize {
    match look.whole {
        true => thread.frames.len(),
        false => crate::role::Reading::of(&thread.frames).inner,
    }
}

fn write_frame(out: &mut String, frame: &Frame, is_blamed: bool, look: Look) -> std::fmt::Result {
    let mark = if is_blamed { ">" } else { " " };
    let function = match frame.function.is_empty() {
        true => format!("{frame} @ {}", known(&frame.build_id)),
        false => without_long_generics(&frame.function),
    };
    let place = match (frame.file.as_str(), frame.line) {
        ("", _) => String::new(),
        (file, 0) => file.to_owned(),
        (file, line) => format!("{file}:{line}"),
    };
    let style = if is_blamed { RED } else { PLAIN };
    let width = 8 + function.chars().count() + place.chars().count();
    let shown = styled(&function, style, look);
    let place = styled(&place, DIM, look);
    match (frame.file.is_empty(), width < COLUMNS) {
        (true, _) => writeln!(out, "    {mark} {shown}"),
        (false, true) => writeln!(out, "    {mark} {shown}  {place}"),
        (false, false) => writeln!(out, "    {mark} {shown}\n          {place}"),
    }
}

fn known(build_id: &str) -> &str {
    if build_id.is_empty() { "?" } else { build_id }
}

/// `off CPU (S) in futex`
fn state(thread: &ThreadDump) -> String {
    let cpu = if thread.on_cpu { "on CPU" } else { "off CPU" };
    let letter = thread.state.filter(|_| !thread.on_cpu);
    let letter = letter.map(|state| format!(" ({state})")).unwrap_or_default();
    let place = thread.call.as_ref().or(thread.wait_channel.as_ref());
    let place = place.map(|place| format!(" in {place}")).unwrap_or_default();
    format!("{cpu}{letter}{place}")
}

/// A name whose generic arguments are left out where they are long: the path is what is looked for.
fn without_long_generics(name: &str) -> String {
    if name.chars().count() <= COLUMNS - 8 {
        return name.to_owned();
    }
    let mut out = String::with_capacity(name.len());
    // `<A as B>::f` begins with one, which says whose function it is.
    let mut rest = name;
    while let Some(start) = rest.find('<') {
        let Some(length) = closing(&rest[start..]) else { break };
        let inside = &rest[start + 1..start + length];
        out.push_str(&rest[..start]);
        match inside.chars().count() > GENERICS_MAX && !out.is_empty() {
            true => out.push_str("<…>"),
            false => out.push_str(&rest[start..=start + length]),
        }
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    out
}

/// Where the bracket is closed with which the text begins.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'<' => depth += 1,
            b'>' if at > 0 && text.as_bytes()[at - 1] == b'-' => {}
            b'>' if depth == 1 => return Some(at),
            b'>' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

/// Broken at spaces into lines that fit.
fn wrapped(text: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        let width = word.chars().count();
        if column > 0 && column + 1 + width > COLUMNS {
            out.push_str("\n  ");
            column = 2;
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out
}

const PLAIN: &str = "";
const RED: &str = "\u{1b}[1;31m";
const BOLD: &str = "\u{1b}[1m";
const DIM: &str = "\u{1b}[2m";

fn styled(text: &str, style: &str, look: Look) -> String {
    match look.colour && !style.is_empty() {
        true => format!("{style}{text}\u{1b}[0m"),
        false => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thread(role: Role, activity: Activity) -> ThreadDump {
        let functions = ["sleep", "shop::pay", "tokio::runtime::task::raw::poll"];
        let frame = |function: &&str| Frame {
            function: (*function).to_owned(),
            crate_name: function.split("::").next().unwrap().to_owned(),
            file: "src/pay.rs".to_owned(),
            line: 7,
            ..Frame::default()
        };
        let mut frames: Vec<Frame> = functions.iter().map(frame).collect();
        frames.push(frame(&"tokio::runtime::scheduler::multi_thread::worker::run"));
        ThreadDump {
            tid: 12,
            name: "worker".to_owned(),
            state: Some('S'),
            on_cpu: false,
            call: Some("clock_nanosleep".to_owned()),
            wait_channel: None,
            role,
            activity,
            blame: (activity == Activity::Poll).then_some(1),
            frames,
            complete: true,
            missing: None,
        }
    }

    fn dump(threads: Vec<ThreadDump>) -> Dump {
        let (command, counts) = ("shop --now".to_owned(), crate::sampler::Counts::default());
        Dump { pid: 11, inner_pid: Some(1), command, threads, counts }
    }

    #[test]
    fn what_blocks_comes_first_and_is_marked() {
        let threads = vec![
            thread(Role::Worker, Activity::Parked),
            thread(Role::Worker, Activity::Poll),
            thread(Role::BlockingPool, Activity::Idle),
        ];
        let plain = text(&dump(threads.clone()), Look::default());
        let expected = "\
Process 11, 1 in its container: shop --now
3 threads: worker 2 (1 inside a poll, 1 parked); blocking pool 1 (1 idle in the
  pool)

Inside a poll: nothing else is polled on this thread until it returns
  worker 12  worker, off CPU (S) in clock_nanosleep
      sleep  src/pay.rs:7
    > shop::pay  src/pay.rs:7
      … 2 frames around it (--whole-stacks)

Parked, waiting for work
  worker 12  worker, off CPU (S) in clock_nanosleep

Idle in the blocking pool
  worker 12  blocking pool, off CPU (S) in clock_nanosleep
";
        assert_eq!(plain, expected);
        let look = Look { colour: true, whole: true };
        let coloured = text(&dump(threads), look);
        assert!(coloured.contains("\u{1b}[1;31mshop::pay\u{1b}[0m"), "{coloured}");
        assert_eq!(coloured.matches("worker::run").count(), 3, "whole stacks: {coloured}");
    }

    #[test]
    fn long_generic_arguments_are_left_out() {
        let long = "a".repeat(60);
        let name = format!("core::future::Poll<{long}, fn() -> u8>::map");
        assert_eq!(without_long_generics(&name), "core::future::Poll<…>::map");
        let name = format!("<{long} as shop::Pay<T>>::pay<{long}>");
        assert_eq!(without_long_generics(&name), format!("<{long} as shop::Pay<T>>::pay<…>"));
        assert_eq!(without_long_generics("a<b>::c"), "a<b>::c");
    }
}
