//! Where the engine's library is.

use std::fs;
use std::path::{Path, PathBuf};

use super::{EngineError, release};

/// Names the library, where it is neither in the data folder nor beside the program.
pub(crate) const VARIABLE: &str = "HOLDUP_ENGINE_LIBRARY";

/// Holdup's folder for data: `$XDG_DATA_HOME/holdup`, by default `~/.local/share/holdup`.
pub(crate) fn data_home() -> PathBuf {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .unwrap_or_else(std::env::temp_dir)
        .join("holdup")
}

/// The folder that `holdup engine install` puts the library in, below a data folder.
pub(crate) fn install_dir(data: &Path) -> PathBuf {
    data.join("engine").join(release::VERSION)
}

/// Records that a library was verified, beside it: the checksum and the size. Reading half a
/// gigabyte at every start would take longer than the start.
pub(crate) fn marker(library: &Path) -> PathBuf {
    library.with_extension("so.verified")
}

/// What the marker says of a verified library.
pub(crate) fn marker_text() -> String {
    format!("{} {}\n", release::LIBRARY_SHA256, release::LIBRARY_BYTES)
}

/// Whether a library is whole and was verified when it was installed.
pub(crate) fn is_verified(library: &Path) -> bool {
    fs::metadata(library).is_ok_and(|metadata| metadata.len() == release::LIBRARY_BYTES)
        && fs::read_to_string(marker(library)).is_ok_and(|text| text == marker_text())
}

/// Finds the library: the one that is named, else a verified one in the data folder, else a
/// verified one beside this program.
pub(crate) fn locate(named: Option<&Path>) -> Result<PathBuf, EngineError> {
    if let Some(path) = named {
        return if path.is_file() {
            Ok(path.to_owned())
        } else {
            Err(EngineError::NotInstalled { looked: vec![path.to_owned()] })
        };
    }
    let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
    let looked: Vec<PathBuf> = std::iter::once(install_dir(&data_home()))
        .chain(beside)
        .map(|folder| folder.join(release::LIBRARY))
        .collect();
    match looked.iter().find(|library| is_verified(library)) {
        Some(library) => Ok(library.clone()),
        None => Err(EngineError::NotInstalled { looked }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_named_library_that_is_missing_says_how_to_get_one() {
        let error = locate(Some(Path::new("/nowhere/libchdb.so"))).unwrap_err().to_string();
        assert!(error.contains("/nowhere/libchdb.so"), "{error}");
        assert!(error.contains("run `holdup engine install`"), "{error}");
    }

    #[test]
    fn a_library_without_its_marker_is_not_verified() {
        assert!(!is_verified(&std::env::current_exe().unwrap()));
    }
}
