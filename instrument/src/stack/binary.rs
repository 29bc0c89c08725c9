//! The names in one file: a program, a shared library, or the debugging information of one.

use std::fs::File;
use std::path::Path;

use object::{Object, ObjectSection};

use crate::stack::folders::Folders;
use crate::stack::modules::BuildId;
use crate::stack::{ffi, names, origin};

/// One function that was being executed: the one whose code it is, or one that the compiler put
/// inside of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[doc(hidden)]
pub struct Frame {
    /// For people. Empty when it isn't known.
    pub function: String,
    /// Empty when it isn't known.
    pub crate_name: String,
    /// What stays of the function's name whatever the compiler does.
    pub segment: String,
    /// Empty when it isn't known.
    pub file: String,
    /// 0 when it isn't known.
    pub line: u32,
    /// Of std, or of a package that was fetched.
    pub is_foreign: bool,
}

/// A file with symbols and debugging information, read as far as it is asked for.
#[doc(hidden)]
pub struct Binary {
    loader: addr2line::Loader,
    folders: Folders,
    build_id: BuildId,
    /// How many symbols.
    symbols: usize,
    /// Bytes of sections that are compressed in the file, and not in memory.
    unpacked: u64,
}

/// What the loader keeps of a compile unit, on average: its table of abbreviations above all.
const UNIT_BYTES: usize = 8 << 10;
const SYMBOL_BYTES: usize = 32;

/// Why a file can't be used.
#[doc(hidden)]
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BinaryError {
    /// It can't be opened or mapped.
    #[error("{path} can't be read: {source}")]
    Read {
        /// The file.
        path: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// It isn't a program, or a broken one.
    #[error("{path} is not a program or library that can be understood: {reason}")]
    Format {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl std::fmt::Debug for Binary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Binary").field("build_id", &self.build_id).finish_non_exhaustive()
    }
}

impl Binary {
    /// Opens a file.
    ///
    /// # Errors
    ///
    /// When it can't be read, or when it is no ELF file.
    pub fn open(path: &Path) -> Result<Self, BinaryError> {
        let shown = || path.display().to_string();
        let read = |source| BinaryError::Read { path: shown(), source };
        let format = |reason: String| BinaryError::Format { path: shown(), reason };
        let map = ffi::map_file(&File::open(path).map_err(read)?).map_err(read)?;
        let object = object::File::parse(&*map).map_err(|error| format(error.to_string()))?;
        let build_id = object.build_id().ok().flatten().map(BuildId::new).unwrap_or_default();
        let symbols = object.symbols().count();
        let unpacked = unpacked_bytes(&object);
        let folders = Folders::of(&object);
        let loader = addr2line::Loader::new(path).map_err(|error| format(error.to_string()))?;
        Ok(Self { loader, folders, build_id, symbols, unpacked })
    }

    /// The build id in hexadecimal digits; none if the linker gave none.
    pub fn build_id(&self) -> Option<String> {
        self.build_id.is_known().then(|| self.build_id.to_string())
    }

    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let unpacked = usize::try_from(self.unpacked).unwrap_or(usize::MAX);
        let kept = self.folders.units() * UNIT_BYTES + self.symbols * SYMBOL_BYTES;
        kept.saturating_add(unpacked)
    }

    pub(super) fn is_build(&self, id: &BuildId) -> bool {
        self.build_id == *id
    }

    /// Whether it has a table of symbols, without which there are no names.
    pub fn has_symbols(&self) -> bool {
        self.symbols > 0
    }

    /// The functions at an address, innermost first, as lines of a stack. Empty when nothing is
    /// known of it.
    pub fn describe(&self, address: u64) -> Vec<String> {
        self.frames(address).iter().map(ToString::to_string).collect()
    }

    /// The functions at an address, innermost first. Empty when nothing is known of it.
    pub fn frames(&self, address: u64) -> Vec<Frame> {
        let symbol = self.loader.find_symbol(address);
        let mut frames = Vec::new();
        let mut names = Vec::new();
        if let Ok(mut found) = self.loader.find_frames(address) {
            while let Ok(Some(frame)) = found.next() {
                let name = frame.function.as_ref().and_then(|f| f.raw_name().ok());
                let (file, line) = frame
                    .location
                    .map(|at| (at.file.unwrap_or_default(), at.line.unwrap_or(0)))
                    .unwrap_or_default();
                names.push(name.map(std::borrow::Cow::into_owned).unwrap_or_default());
                frames.push((file.to_owned(), line));
            }
        }
        if frames.is_empty() {
            let Some(symbol) = symbol else { return Vec::new() };
            return vec![self.frame(symbol, "", 0)];
        }
        // The outermost is the function of which this is the code: the symbol has its whole name.
        if let (Some(last), Some(symbol)) = (names.last_mut(), symbol) {
            symbol.clone_into(last);
        }
        let outer = names.iter().skip(1).map(String::as_str).chain([""]);
        let names = names.iter().zip(outer).map(|(name, outer)| named_by(name, outer));
        let frames = names.zip(&frames).map(|(name, (file, line))| self.frame(&name, file, *line));
        frames.collect()
    }

    fn frame(&self, raw: &str, file: &str, line: u32) -> Frame {
        let source = self.folders.source(file);
        let name = names::shown(raw);
        let segment = names::last_segment(&names::demangled(raw)).to_owned();
        let candidates = names::crates(&name);
        let by_path = candidates.iter().find(|name| origin::can_be_blamed(name));
        let (function, crate_name) = match by_path.or(candidates.first()) {
            Some(crate_name) => (name.clone(), (*crate_name).to_owned()),
            // The last segment alone, or a function of another language.
            None if source.crate_name.is_empty() => (name.clone(), String::new()),
            None => {
                let last = if segment == "{}" { "{closure}" } else { &segment };
                (format!("{}::{last}", source.module), source.crate_name)
            }
        };
        let is_foreign = origin::is_foreign(file);
        Frame { function, crate_name, segment, file: source.shown, line, is_foreign }
    }
}

fn unpacked_bytes(object: &object::File<'_>) -> u64 {
    let data = object.sections().filter_map(|section| section.compressed_data().ok());
    let packed = data.filter(|data| data.format != object::CompressionFormat::None);
    packed.map(|data| data.uncompressed_size).sum()
}

/// A closure that the debugging information names by a number alone is named by the generic argument
/// of the function that calls it: `{async_fn#0}` in `poll<shop::checkout::{async_fn_env#0}>`.
fn named_by<'a>(name: &'a str, outer: &str) -> std::borrow::Cow<'a, str> {
    if !names::is_anonymous(name) {
        return name.into();
    }
    let kind = name.trim_start_matches('{').split(['#', '}', '_']).next().unwrap_or_default();
    let Some(end) = outer.find(&format!("::{{{kind}")).filter(|_| outer.contains("_env#")) else {
        return name.into();
    };
    let starts = |c: char| !c.is_alphanumeric() && c != '_' && c != ':';
    let start = outer[..end].rfind(starts).map_or(0, |at| at + 1);
    format!("{}::{{closure}}", &outer[start..end]).into()
}

impl std::fmt::Display for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.function)?;
        match (self.file.as_str(), self.line) {
            ("", _) => Ok(()),
            (file, 0) => write!(f, " at {file}"),
            (file, line) => write!(f, " at {file}:{line}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_no_program_is_refused_and_named() {
        let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let error = Binary::open(&here).unwrap_err().to_string();
        assert!(error.contains("Cargo.toml"), "{error}");
        let error = Binary::open(Path::new("nowhere/at/all")).unwrap_err().to_string();
        assert!(error.starts_with("nowhere/at/all can't be read"), "{error}");
    }

    #[test]
    fn a_closure_is_named_by_the_function_that_calls_it() {
        let outer = "poll<shop::cart::checkout::{async_fn_env#0}, alloc::sync::Arc<x::H>>";
        assert_eq!(named_by("{async_fn#0}", outer), "shop::cart::checkout::{closure}");
        assert_eq!(named_by("{async_fn#0}", "poll"), "{async_fn#0}");
        assert_eq!(named_by("total", outer), "total");
    }
}
