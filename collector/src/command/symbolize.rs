//! `holdup symbolize`: names the frames that a stripped program could only give as offsets.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use holdup::symbols::Binary;

/// The arguments of `holdup symbolize`.
#[derive(Args, Debug)]
pub(crate) struct SymbolizeArgs {
    /// The file from before it was stripped, or its debugging information; may be given several
    /// times
    #[arg(long, value_name = "FILE", required = true)]
    binary: Vec<PathBuf>,
    /// The build that frames without one are of
    #[arg(long, value_name = "HEX")]
    build_id: Option<String>,
    /// Frames, such as `shop+0x1a2b @ 93ac61ec`; without any, stacks are read from stdin
    frames: Vec<String>,
}

/// A frame that has no names.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    offset: u64,
    build_id: Option<&'a str>,
}

/// Prints each frame with its names; what has names already stays as it is.
pub(crate) fn run(args: &SymbolizeArgs) -> anyhow::Result<()> {
    let binaries = Binaries::open(&args.binary)?;
    if let Some(id) = &args.build_id
        && binaries.of(Some(id)).is_none()
    {
        bail!("--build-id is {id}, but {}: find the file of that build", binaries.list());
    }
    let mut out = std::io::stdout().lock();
    let mut unmatched = BTreeMap::<String, u64>::new();
    let mut resolve = |line: &str| -> std::io::Result<()> {
        let Some(place) = Place::parse(line) else { return writeln!(out, "{line}") };
        let id = place.build_id.or(args.build_id.as_deref());
        let named = binaries.of(id).map(|binary| binary.describe(place.offset));
        if named.is_none() {
            *unmatched.entry(id.unwrap_or("unknown").to_owned()).or_default() += 1;
        }
        match named {
            Some(names) if !names.is_empty() => {
                names.iter().try_for_each(|name| writeln!(out, "{name}"))
            }
            _ => writeln!(out, "{line}"),
        }
    };
    let written = if args.frames.is_empty() {
        std::io::stdin().lock().lines().try_for_each(|line| resolve(&line?))
    } else {
        args.frames.iter().try_for_each(|line| resolve(line))
    };
    match written {
        // A pager that was closed has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
        other => other.context("cannot read the frames or write their names")?,
    }
    binaries.complain(&unmatched)
}

impl<'a> Place<'a> {
    /// `[module+]0xoffset [@ build]`, and nothing else on the line.
    fn parse(line: &'a str) -> Option<Self> {
        let line = line.trim();
        let (place, build_id) = match line.rsplit_once(" @ ") {
            Some((place, id)) => (place, Some(id)),
            None => (line, None),
        };
        let digits = match place.rsplit_once("+0x") {
            Some((_module, digits)) => digits,
            None => place.strip_prefix("0x")?,
        };
        let is_id = |id: &&str| id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let offset = u64::from_str_radix(digits, 16).ok()?;
        Some(Self { offset, build_id: build_id.filter(is_id) })
    }
}

struct Binaries(Vec<(PathBuf, Binary)>);

impl Binaries {
    fn open(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let open = |path: &PathBuf| {
            let binary = Binary::open(path)?;
            if !binary.has_symbols() {
                bail!("{} has no symbols: give the file from before it was stripped", shown(path));
            }
            Ok((path.clone(), binary))
        };
        Ok(Self(paths.iter().map(open).collect::<anyhow::Result<_>>()?))
    }

    /// The file of a build. A frame that doesn't tell its build is of the one file that there is.
    fn of(&self, id: Option<&str>) -> Option<&Binary> {
        let found = match id {
            Some(id) => self.0.iter().find(|(_, binary)| {
                binary.build_id().is_some_and(|own| own.eq_ignore_ascii_case(id))
            }),
            None => self.0.first().filter(|_| self.0.len() == 1),
        };
        found.map(|(_, binary)| binary)
    }

    /// Every file with its build.
    fn list(&self) -> String {
        let each = self.0.iter().map(|(path, binary)| match binary.build_id() {
            Some(id) => format!("{} is build {id}", shown(path)),
            None => format!("{} has no build id", shown(path)),
        });
        each.collect::<Vec<_>>().join(", ")
    }

    fn complain(&self, unmatched: &BTreeMap<String, u64>) -> anyhow::Result<()> {
        if unmatched.is_empty() {
            return Ok(());
        }
        let builds = unmatched.iter().map(|(id, count)| match count {
            1 => format!("1 frame is of build {id}"),
            count => format!("{count} frames are of build {id}"),
        });
        let builds = builds.collect::<Vec<_>>().join(", ");
        bail!("{builds}, but {}: these frames stay as they are", self.list())
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_without_names_are_told_from_those_with() {
        let place = |line| Place::parse(line).map(|place| (place.offset, place.build_id));
        assert_eq!(place("shop+0x1a2b @ 93ac61ec"), Some((0x1a2b, Some("93ac61ec"))));
        assert_eq!(place("  libc.so.6+0x10 @ ?"), Some((0x10, None)));
        assert_eq!(place("0xff @ 01"), Some((0xff, Some("01"))));
        assert_eq!(place("0xff"), Some((0xff, None)));
        for line in ["", "…", "shop::cart::total at src/cart.rs:12", "0xshop", "a + 0x1"] {
            assert_eq!(place(line), None, "{line}");
        }
    }

    fn own() -> (Binaries, String) {
        let path = std::env::current_exe().unwrap();
        let binaries = Binaries::open(&[path]).unwrap();
        let id = binaries.0[0].1.build_id().unwrap();
        (binaries, id)
    }

    #[test]
    fn a_frame_is_looked_up_in_the_file_of_its_build_alone() {
        let (binaries, id) = own();
        assert!(binaries.of(Some(&id.to_uppercase())).is_some() && binaries.of(None).is_some());
        assert!(binaries.of(Some("0123")).is_none());
        let unmatched = BTreeMap::from([("0123".to_owned(), 2)]);
        let error = binaries.complain(&unmatched).unwrap_err().to_string();
        assert!(error.contains("2 frames are of build 0123") && error.contains(&id), "{error}");
        assert!(binaries.complain(&BTreeMap::new()).is_ok());
    }

    #[test]
    fn a_file_without_symbols_is_refused() {
        let error = Binaries::open(&[PathBuf::from("/proc/self/cmdline")]).err().unwrap();
        assert!(error.to_string().contains("/proc/self/cmdline"), "{error}");
    }
}
