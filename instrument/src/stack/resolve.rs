//! Names for the addresses of stacks, and what is remembered of them.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use crate::stack::binary::{Binary, Frame, UnpackedMax};
use crate::stack::modules::{BUILD_ID_BYTES_MAX, BuildId, Module};
use crate::stack::sampler::RawStack;
use crate::stack::verdict;

/// What the names of addresses take that are remembered: some two thousand addresses.
const NAMES_BYTES_MAX: usize = 2 << 20;
/// Files that are kept open, the ones asked last.
const BINARIES_MAX: usize = 4;
/// What the open files take, without what is mapped of them: the ones asked last stay.
const BINARIES_BYTES_MAX: usize = 6 << 20;
/// Debugging information that is compressed has to be unpacked into memory.
const UNPACKED_MAX: UnpackedMax = UnpackedMax(1 << 20);

/// What is known of names. Bounded, whatever the program's size. Files are opened when they are
/// first asked for.
#[derive(Debug, Default)]
pub(crate) struct Cache {
    addresses: HashMap<(Build, u64), Arc<[Frame]>>,
    /// What `addresses` takes.
    names_bytes: usize,
    /// The one asked last is last.
    binaries: Vec<Opened>,
}

#[derive(Debug)]
struct Opened {
    build: Build,
    /// None for a file that can't be used.
    binary: Option<Binary>,
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
        let key = ((module.path.clone(), module.build_id.clone()), offset);
        let frames = match self.addresses.get(&key) {
            Some(frames) => Arc::clone(frames),
            None => self.remember(key),
        };
        named.extend(frames.iter().cloned().map(Named::Frame));
        if frames.is_empty() {
            let build_id = module.build_id.clone();
            named.push(Named::Unknown { module: module.name(), build_id, offset });
        }
    }

    fn remember(&mut self, key: (Build, u64)) -> Arc<[Frame]> {
        // A file whose debugging information is broken may not stop the exporter.
        let named = catch_unwind(AssertUnwindSafe(|| {
            self.binary(&key.0).map(|binary| binary.frames(key.1))
        }));
        let frames = Arc::<[Frame]>::from(named.ok().flatten().unwrap_or_default());
        // Twice the key: the table has room to grow.
        let bytes = 2 * size_of_val(&key) + key.0.0.len() + BUILD_ID_BYTES_MAX;
        let bytes = bytes + frames.iter().map(Frame::bytes).sum::<usize>();
        if self.names_bytes + bytes > NAMES_BYTES_MAX {
            self.addresses = HashMap::new();
            self.names_bytes = 0;
        }
        self.names_bytes += bytes;
        self.addresses.insert(key, Arc::clone(&frames));
        self.forget_binaries();
        frames
    }

    /// The file of a module, unless what is on disk isn't what was loaded.
    fn binary(&mut self, build: &Build) -> Option<&Binary> {
        if let Some(at) = self.binaries.iter().position(|known| known.build == *build) {
            let asked = self.binaries.remove(at);
            self.binaries.push(asked);
        } else {
            let path = if build.0.is_empty() { "/proc/self/exe" } else { &build.0 };
            let open = || Binary::open_within(Path::new(path), UNPACKED_MAX).ok();
            let binary = path.starts_with('/').then(open).flatten();
            let binary = binary.filter(|binary| binary.is_build(&build.1));
            if self.binaries.len() >= BINARIES_MAX {
                self.binaries.remove(0);
            }
            self.binaries.push(Opened { build: build.clone(), binary });
        }
        self.binaries.last().and_then(|opened| opened.binary.as_ref())
    }

    fn forget_binaries(&mut self) {
        while self.binaries.len() > 1 && self.binaries_bytes() > BINARIES_BYTES_MAX {
            self.binaries.remove(0);
        }
    }

    fn binaries_bytes(&self) -> usize {
        self.binaries.iter().filter_map(|opened| opened.binary.as_ref()).map(Binary::bytes).sum()
    }
}
