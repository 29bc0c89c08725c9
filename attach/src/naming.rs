//! Names for the addresses of stacks.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::rc::Rc;

use holdup::symbols::{Binary, Place};
use serde::Serialize;

use crate::modules::Modules;
use crate::sampler::{Epoch, RawStack};

/// One function that was being executed: the one whose code it is, or one that the compiler put
/// inside of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Frame {
    /// Its path, demangled and without hash. Empty when it isn't known.
    pub function: String,
    /// Its crate. Empty when it isn't known.
    pub crate_name: String,
    /// Its source file. Empty when it isn't known.
    pub file: String,
    /// The line in it. 0 when it isn't known.
    pub line: u32,
    /// Whether the compiler put it inside of the next frame.
    pub inlined: bool,
    /// The file name of the program or library that it is in.
    pub module: String,
    /// The build of that, in hexadecimal digits. Empty when the linker gave none.
    pub build_id: String,
    /// The address in that file.
    pub offset: u64,
}

impl std::fmt::Display for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.function.is_empty() {
            let Self { module, offset, .. } = self;
            return write!(f, "{module}+0x{offset:x}");
        }
        f.write_str(&self.function)
    }
}

type Build = (String, String);

/// What is known of names.
#[derive(Debug, Default)]
pub(crate) struct Names {
    frames: HashMap<(Epoch, u64), Rc<[Frame]>>,
    /// None for a file that can't be used.
    binaries: HashMap<Build, Option<Binary>>,
}

impl Names {
    /// The frames of a stack, leaf first.
    pub(crate) fn of(&mut self, stack: &RawStack, epochs: &[Modules]) -> Vec<Frame> {
        let Some(modules) = epochs.get(stack.epoch) else { return Vec::new() };
        let frames = stack.addresses.iter().flat_map(|&address| {
            let known = self.frames.get(&(stack.epoch, address)).cloned();
            let frames = known.unwrap_or_else(|| {
                let frames: Rc<[Frame]> = self.name(modules, address).into();
                self.frames.insert((stack.epoch, address), Rc::clone(&frames));
                frames
            });
            frames.to_vec()
        });
        frames.collect()
    }

    fn name(&mut self, modules: &Modules, address: u64) -> Vec<Frame> {
        let found = modules.walker.place(address);
        let Some((Place { offset, .. }, (path, build_id))) =
            found.and_then(|place| Some((place.clone(), modules.walker.module(place.module)?)))
        else {
            // Code made at run time, or the wrong way.
            return vec![Frame { module: "?".to_owned(), offset: address, ..Frame::default() }];
        };
        let module = path.rsplit('/').next().unwrap_or_default().to_owned();
        let binary = self.binary(modules, path, &build_id);
        // A file whose debugging information is broken is no reason to end.
        let found = binary.map(|binary| catch_unwind(AssertUnwindSafe(|| binary.frames(offset))));
        let found = found.and_then(Result::ok).unwrap_or_default();
        if found.is_empty() {
            return vec![Frame { module, build_id, offset, ..Frame::default() }];
        }
        let last = found.len() - 1;
        let frames = found.into_iter().enumerate().map(|(index, frame)| Frame {
            function: frame.function.chars().map(crate::thread::visible).collect(),
            crate_name: frame.crate_name,
            file: frame.file,
            line: frame.line,
            inlined: index < last,
            module: module.clone(),
            build_id: build_id.clone(),
            offset,
        });
        frames.collect()
    }

    /// The file of a module, unless what is found isn't what was loaded.
    fn binary(&mut self, modules: &Modules, path: &str, build_id: &str) -> Option<&Binary> {
        let build = (path.to_owned(), build_id.to_owned());
        let binary = self.binaries.entry(build).or_insert_with(|| {
            let paths = modules.paths(path);
            let mut opened = paths.iter().filter_map(|path| Binary::open(Path::new(path)).ok());
            opened.find(|binary| binary.build_id().unwrap_or_default() == build_id)
        });
        binary.as_ref()
    }
}
