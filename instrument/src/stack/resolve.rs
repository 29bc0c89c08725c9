//! Names for the addresses of stacks, and what is remembered of them.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::stack::binary::{Binary, Frame};
use crate::stack::modules::{BuildId, Module};
use crate::stack::sampler::RawStack;
use crate::stack::verdict;

/// Addresses whose frames are remembered: a few hundred bytes each.
const ADDRESSES_MAX: usize = 4096;
/// Files that are kept open, the ones asked last.
const BINARIES_MAX: usize = 4;
/// What the open files may take of memory while nobody asks. A program of a thousand compile units
/// takes half of it; those of a larger one are read again when there is a stall of another kind.
const RESTING_BYTES_MAX: usize = 12 << 20;
/// How long an open file that is too large for that is kept after it was last asked.
const LINGER: Duration = Duration::from_secs(10);

/// What is known of names. Bounded. Files are opened when they are first asked for.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    addresses: HashMap<(Build, u64), Arc<[Frame]>>,
    /// The one asked last is last.
    binaries: Vec<Opened>,
}

#[derive(Debug)]
struct Opened {
    build: Build,
    /// None for a file that can't be used.
    binary: Option<Binary>,
    asked: Instant,
}

impl Opened {
    fn bytes(&self) -> usize {
        self.binary.as_ref().map_or(0, Binary::bytes)
    }
}

type Build = (String, BuildId);

/// What several stacks of one stall have to say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resolved {
    /// Leaf first; empty when there was no stack.
    pub(crate) frames: Vec<String>,
    pub(crate) blame_function: String,
    pub(crate) blame_crate: String,
    /// Fingerprint; 0 when there was no stack.
    pub(crate) id: u64,
}

/// One frame with names, or where it is in which file.
#[derive(Clone, Debug)]
pub(super) enum Named {
    Frame(Frame),
    Unknown { module: String, build_id: BuildId, offset: u64 },
}

/// One stack, leaf first.
#[derive(Clone, Debug)]
pub(super) struct NamedStack {
    pub(super) frames: Vec<Named>,
    /// Whether the outermost frame is known.
    pub(super) complete: bool,
}

/// Stands below a stack of which outer frames are missing.
const CUT: &str = "…";

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Frame(frame) => frame.fmt(f),
            Self::Unknown { module, build_id, offset } => {
                write!(f, "{module}+0x{offset:x} @ {build_id}")
            }
        }
    }
}

/// Names the frames of several stacks of one stall, says whom to blame, and makes the fingerprint.
/// The first time that a file is asked for takes some milliseconds for each megabyte of its
/// debugging information; from then on microseconds.
pub(crate) fn resolve(cache: &mut Cache, stacks: &[RawStack]) -> Resolved {
    let name =
        |stack: &RawStack| NamedStack { frames: cache.name(stack), complete: stack.complete };
    let named = stacks.iter().map(name).collect::<Vec<_>>();
    let Some(verdict) = verdict::of(&named) else { return Resolved::default() };
    let shown = &named[verdict.shown];
    let cut = (!shown.complete).then(|| CUT.to_owned());
    let frames = shown.frames.iter().map(ToString::to_string).chain(cut).collect();
    let blame = verdict.blame.unwrap_or_default();
    Resolved {
        frames,
        blame_function: blame.function,
        blame_crate: blame.crate_name,
        id: verdict.id,
    }
}

impl Cache {
    pub(super) fn name(&mut self, stack: &RawStack) -> Vec<Named> {
        let mut named = Vec::with_capacity(stack.addresses.len() * 2);
        for &address in &stack.addresses {
            match stack.modules.containing(address) {
                Some(module) => self.name_in(module, address, &mut named),
                None => named.push(Named::Unknown {
                    module: "?".to_owned(),
                    build_id: BuildId::default(),
                    offset: address,
                }),
            }
        }
        named
    }

    fn name_in(&mut self, module: &Module, address: u64, named: &mut Vec<Named>) {
        let offset = module.relative(address);
        let build = (module.path.clone(), module.build_id.clone());
        let key = (build, offset);
        let frames = match self.addresses.get(&key) {
            Some(frames) => Arc::clone(frames),
            None => {
                // A file whose debugging information is broken may not stop the exporter.
                let named = catch_unwind(AssertUnwindSafe(|| {
                    self.binary(&key.0).map(|binary| binary.frames(offset))
                }));
                let frames = named.ok().flatten().unwrap_or_default();
                let frames = Arc::<[Frame]>::from(frames);
                if self.addresses.len() >= ADDRESSES_MAX {
                    self.addresses.clear();
                }
                self.addresses.insert(key, Arc::clone(&frames));
                frames
            }
        };
        named.extend(frames.iter().cloned().map(Named::Frame));
        if frames.is_empty() {
            let build_id = module.build_id.clone();
            named.push(Named::Unknown { module: module.name(), build_id, offset });
        }
    }

    /// The file of a module, unless what is on disk isn't what was loaded.
    fn binary(&mut self, build: &Build) -> Option<&Binary> {
        let asked = Instant::now();
        if let Some(at) = self.binaries.iter().position(|known| known.build == *build) {
            let found = self.binaries.remove(at);
            self.binaries.push(Opened { asked, ..found });
        } else {
            let path = if build.0.is_empty() { "/proc/self/exe" } else { &build.0 };
            let opened = path.starts_with('/').then(|| Binary::open(Path::new(path)).ok());
            let binary = opened.flatten().filter(|binary| binary.is_build(&build.1));
            if self.binaries.len() >= BINARIES_MAX {
                self.binaries.remove(0);
            }
            self.binaries.push(Opened { build: build.clone(), binary, asked });
        }
        self.binaries.last().and_then(|opened| opened.binary.as_ref())
    }

    pub(super) fn resting_bytes(&self) -> usize {
        self.binaries.iter().map(Opened::bytes).sum()
    }

    /// Gives memory back that nobody has asked for in a while. To be called now and then.
    pub(crate) fn rest(&mut self) {
        let mut bytes = self.resting_bytes();
        while bytes > RESTING_BYTES_MAX {
            let Some(at) = self.binaries.iter().position(|opened| opened.asked.elapsed() > LINGER)
            else {
                break;
            };
            bytes -= self.binaries.remove(at).bytes();
        }
    }
}
