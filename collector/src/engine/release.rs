//! Which engine this build runs: the one place for its version and checksums.

/// Release of the engine, and of the package that carries it.
pub(crate) const VERSION: &str = "26.7.3-stable.1";

/// What the library answers from `chdb_version`.
pub(crate) const LIBRARY_VERSION: &str = "26.7.3";

/// The npm package that carries the library for 64-bit Linux with glibc.
pub(crate) const PACKAGE: &str = "@chdb/lib-linux-x64-gnu";

/// Size of the packed package, for the progress bar; nothing depends on its being exact.
pub(crate) const PACKED_BYTES: u64 = 177_817_999;

/// The library's file name, in the package and where it is installed.
pub(crate) const LIBRARY: &str = "libchdb.so";

/// Size of the library.
pub(crate) const LIBRARY_BYTES: u64 = 566_330_096;

/// SHA-256 of the library.
pub(crate) const LIBRARY_SHA256: &str =
    "36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5";

/// What to run where the engine is missing.
pub(crate) const HOW_TO_INSTALL: &str = "run `holdup engine install`";
