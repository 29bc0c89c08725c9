//! libchdb's C API, loaded at run time.
//!
//! Every call into the library is in this file. The names and types are those of `chdb.h` of the
//! pinned release. What the C side asks of its callers is turned into ownership: a [`Connection`]
//! runs one statement at a time, so its methods take `&mut self`, and an [`Insert`] borrows it.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::Path;
use std::sync::Arc;

use super::{EngineError, release};

/// A value whose inside is the library's own.
#[repr(C)]
struct Opaque {
    _private: [u8; 0],
}

type Handle = *mut Opaque;
type Text = *const c_char;

/// `chdb_query_analysis_v1`.
#[repr(C)]
struct RawAnalysis {
    struct_size: u32,
    statement_count: u32,
    flags: u32,
    query_class: u32,
}

macro_rules! api {
    ($($field:ident = $symbol:literal: fn($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        /// The functions of the library that are used here.
        struct Api { $($field: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)* }

        impl Api {
            fn load(library: &libloading::Library) -> Result<Self, String> {
                Ok(Self { $($field: {
                    // SAFETY: the type is the one `chdb.h` gives for this name, and the version
                    // of the library is checked before anything but its version is called.
                    let symbol = unsafe {
                        library.get::<unsafe extern "C" fn($($arg),*) $(-> $ret)?>($symbol)
                    };
                    *symbol.map_err(|error| error.to_string())?
                },)* })
            }
        }
    };
}

api! {
    version = "chdb_version": fn() -> Text;
    signal_handlers = "chdb_set_signal_handlers_enabled": fn(c_int);
    connect = "chdb_connect": fn(c_int, *mut *mut c_char) -> *mut Handle;
    close = "chdb_close_conn": fn(*mut Handle);
    shutdown = "chdb_shutdown": fn() -> c_int;
    classify = "chdb_classify_query_n":
        fn(Handle, Text, usize, Text, usize, *mut RawAnalysis) -> c_int;
    query = "chdb_query_with_params_n": fn(
        Handle, Text, usize, Text, usize,
        *const Text, *const usize, *const Text, *const usize, usize
    ) -> Handle;
    insert = "chdb_stream_insert_with_params_n": fn(
        Handle, Text, usize, Text, usize,
        *const Text, *const usize, *const Text, *const usize, usize
    ) -> Handle;
    insert_error = "chdb_stream_insert_error": fn(Handle) -> Text;
    append = "chdb_stream_append": fn(Handle, *const c_void, usize) -> c_int;
    done = "chdb_stream_done": fn(Handle) -> Handle;
    cancel_insert = "chdb_stream_cancel_insert": fn(Handle);
    destroy_insert = "chdb_destroy_insert_stream": fn(Handle);
    destroy_result = "chdb_destroy_query_result": fn(Handle);
    result_error = "chdb_result_error": fn(Handle) -> Text;
    result_buffer = "chdb_result_buffer": fn(Handle) -> *const u8;
    result_length = "chdb_result_length": fn(Handle) -> usize;
    storage_rows_read = "chdb_result_storage_rows_read": fn(Handle) -> u64;
    storage_bytes_read = "chdb_result_storage_bytes_read": fn(Handle) -> u64;
    rows_read = "chdb_result_rows_read": fn(Handle) -> u64;
    rows_written = "chdb_result_rows_written": fn(Handle) -> u64;
    bytes_written = "chdb_result_bytes_written": fn(Handle) -> u64;
}

/// A function that takes a statement, its format and its parameters.
type Statement = unsafe extern "C" fn(
    Handle,
    Text,
    usize,
    Text,
    usize,
    *const Text,
    *const usize,
    *const Text,
    *const usize,
    usize,
) -> Handle;

/// The loaded library. It stays loaded until the process ends: its threads run its code.
#[derive(Clone)]
pub(crate) struct Library {
    api: Arc<Api>,
}

impl Library {
    /// Loads the library, and refuses any version but the pinned one.
    pub(crate) fn load(path: &Path) -> Result<Self, EngineError> {
        let unusable = |reason: String| EngineError::Library { path: path.to_owned(), reason };
        // SAFETY: loading runs the library's initialisers; it is the file that the user named or
        // that `holdup engine install` verified.
        let library = unsafe { libloading::Library::new(path) }
            .map_err(|error| unusable(error.to_string()))?;
        let api = Api::load(&library).map_err(|error| {
            unusable(format!("it is not libchdb {}: {error}", release::LIBRARY_VERSION))
        })?;
        std::mem::forget(library);
        // SAFETY: `chdb_version` takes nothing and returns a static string.
        let version = unsafe { (api.version)() };
        // SAFETY: as above: not null, terminated, never freed.
        let version = unsafe { CStr::from_ptr(version) }.to_string_lossy();
        if version != release::LIBRARY_VERSION {
            return Err(unusable(format!(
                "it is version {version}, and this build needs {}",
                release::LIBRARY_VERSION
            )));
        }
        // SAFETY: sets a flag of the process; no connection exists yet.
        unsafe { (api.signal_handlers)(0) };
        Ok(Self { api: Arc::new(api) })
    }

    /// Opens a connection. All connections of a process share one data folder.
    pub(crate) fn connect(&self, path: &str) -> Result<Connection, EngineError> {
        let failed = |reason: &str| EngineError::Connect { reason: reason.to_owned() };
        // No setting is given here: with one, the engine's threads survive its shutdown.
        let arguments = ["holdup".to_owned(), format!("--path={path}")]
            .into_iter()
            .map(CString::new)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| failed("the data folder's name contains a zero byte"))?;
        let mut pointers: Vec<*mut c_char> =
            arguments.iter().map(|argument| argument.as_ptr().cast_mut()).collect();
        let count = c_int::try_from(pointers.len()).map_err(|_| failed("too many arguments"))?;
        // SAFETY: `count` pointers to terminated strings that outlive the call, which copies them.
        let outer = unsafe { (self.api.connect)(count, pointers.as_mut_ptr()) };
        if outer.is_null() {
            return Err(failed("libchdb refused the data folder"));
        }
        // SAFETY: a non-null answer points to the connection's handle until it is closed.
        let handle = unsafe { *outer };
        Ok(Connection { api: Arc::clone(&self.api), outer, handle })
    }

    /// Stops the engine's threads. Answers false while a connection is open.
    pub(crate) fn shutdown(&self) -> bool {
        // SAFETY: may be called from any thread at any time; open connections make it refuse.
        unsafe { (self.api.shutdown)() == 0 }
    }
}

/// What the engine counted for one statement.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) read_rows: u64,
    pub(crate) read_bytes: u64,
    pub(crate) written_rows: u64,
    pub(crate) written_bytes: u64,
    pub(crate) result_rows: u64,
}

/// What a statement does, as the engine's own parser says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// Reads only.
    Read,
    /// Changes data or definitions.
    Write,
    /// Changes the session or the server, or writes outside the engine.
    Control,
    /// Does not parse.
    Unknown,
}

/// Names and values of `{name:Type}` placeholders, in the C API's shape.
#[derive(Debug, Default)]
pub(crate) struct Parameters {
    pairs: Vec<(String, String)>,
}

impl Parameters {
    pub(crate) fn push(&mut self, name: String, value: String) {
        self.pairs.push((name, value));
    }

    fn columns(&self) -> (Vec<Text>, Vec<usize>, Vec<Text>, Vec<usize>) {
        let pointer = |text: &String| text.as_ptr().cast::<c_char>();
        (
            self.pairs.iter().map(|(name, _)| pointer(name)).collect(),
            self.pairs.iter().map(|(name, _)| name.len()).collect(),
            self.pairs.iter().map(|(_, value)| pointer(value)).collect(),
            self.pairs.iter().map(|(_, value)| value.len()).collect(),
        )
    }
}

/// One session of the engine: settings, current database, temporary tables.
pub(crate) struct Connection {
    api: Arc<Api>,
    outer: *mut Handle,
    handle: Handle,
}

// SAFETY: the C API binds a connection to no thread; it asks only that calls don't overlap, which
// `&mut self` ensures.
unsafe impl Send for Connection {}

impl Connection {
    /// Parses a statement without running it: how many there are, and what the gravest one does.
    pub(crate) fn classify(&mut self, sql: &str) -> (u32, Class) {
        let mut analysis =
            RawAnalysis { struct_size: 16, statement_count: 0, flags: 0, query_class: 4 };
        // SAFETY: pointer and length of a live string, no target database, a struct of this size.
        let state = unsafe {
            (self.api.classify)(
                self.handle,
                sql.as_ptr().cast(),
                sql.len(),
                std::ptr::null(),
                0,
                &raw mut analysis,
            )
        };
        let class = match (state, analysis.query_class) {
            (0, 0) => Class::Read,
            (0, 1 | 2) => Class::Write,
            (0, 3) => Class::Control,
            _ => Class::Unknown,
        };
        (analysis.statement_count, class)
    }

    /// Runs one statement to its end; the answer holds what it returned, whole.
    pub(crate) fn query(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &Parameters,
    ) -> Result<(Vec<u8>, Counts), String> {
        let result = self.call(self.api.query, sql, format, parameters);
        take(&self.api, result)
    }

    /// Hands a statement to the library.
    fn call(
        &mut self,
        function: Statement,
        sql: &str,
        format: &str,
        parameters: &Parameters,
    ) -> Handle {
        let (names, name_lengths, values, value_lengths) = parameters.columns();
        // SAFETY: pointers and lengths of strings and arrays that outlive the call, which takes
        // over what it needs for longer.
        unsafe {
            function(
                self.handle,
                sql.as_ptr().cast(),
                sql.len(),
                format.as_ptr().cast(),
                format.len(),
                names.as_ptr(),
                name_lengths.as_ptr(),
                values.as_ptr(),
                value_lengths.as_ptr(),
                names.len(),
            )
        }
    }

    /// Starts an insert whose rows follow in pieces. `sql` has neither a format nor data.
    pub(crate) fn insert(
        &mut self,
        sql: &str,
        format: &str,
        parameters: &Parameters,
    ) -> Result<Insert<'_>, String> {
        let stream = self.call(self.api.insert, sql, format, parameters);
        let insert = Insert { connection: self, stream };
        match insert.error() {
            Some(error) => Err(error),
            None => Ok(insert),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: opened by `connect` and closed once; inserts borrow it, so none is open.
        unsafe { (self.api.close)(self.outer) };
    }
}

/// An insert that is under way; dropped before [`Insert::finish`], it is cancelled.
pub(crate) struct Insert<'a> {
    connection: &'a mut Connection,
    stream: Handle,
}

impl Insert<'_> {
    /// Hands over the next bytes; blocks while the engine is behind.
    pub(crate) fn append(&mut self, bytes: &[u8]) -> Result<(), String> {
        // SAFETY: an open stream, and pointer and length of live bytes, which are copied.
        let state = unsafe {
            (self.connection.api.append)(self.stream, bytes.as_ptr().cast(), bytes.len())
        };
        if state == 0 {
            return Ok(());
        }
        Err(self.error().unwrap_or_else(|| "the engine ended the insert".to_owned()))
    }

    /// Ends the data and commits it.
    pub(crate) fn finish(self) -> Result<Counts, String> {
        // SAFETY: an open stream, finished once; `drop` frees the handle.
        let result = unsafe { (self.connection.api.done)(self.stream) };
        take(&self.connection.api, result).map(|(_, counts)| counts)
    }

    fn error(&self) -> Option<String> {
        // SAFETY: the handle is live until `drop`, and the text lives as long as the handle.
        let text = unsafe { (self.connection.api.insert_error)(self.stream) };
        owned(text)
    }
}

impl Drop for Insert<'_> {
    fn drop(&mut self) {
        // SAFETY: of a finished stream this is a no-op, of an open one it discards what is pending.
        unsafe { (self.connection.api.cancel_insert)(self.stream) };
        // SAFETY: destroyed once, and not used after.
        unsafe { (self.connection.api.destroy_insert)(self.stream) };
    }
}

/// Copies what a result holds, and destroys it.
fn take(api: &Api, result: Handle) -> Result<(Vec<u8>, Counts), String> {
    if result.is_null() {
        return Err("the engine returned no result".to_owned());
    }
    let guard = ResultGuard { api, result };
    // SAFETY: `result` is live until the guard drops; the text lives as long.
    if let Some(error) = owned(unsafe { (api.result_error)(result) }) {
        return Err(error);
    }
    let count = |read: unsafe extern "C" fn(Handle) -> u64| {
        // SAFETY: a getter on a live result.
        unsafe { read(guard.result) }
    };
    let counts = Counts {
        read_rows: count(api.storage_rows_read),
        read_bytes: count(api.storage_bytes_read),
        written_rows: count(api.rows_written),
        written_bytes: count(api.bytes_written),
        result_rows: count(api.rows_read),
    };
    // SAFETY: a getter on a live result.
    let length = unsafe { (api.result_length)(result) };
    // SAFETY: a getter on a live result.
    let buffer = unsafe { (api.result_buffer)(result) };
    if buffer.is_null() || length == 0 {
        return Ok((Vec::new(), counts));
    }
    // SAFETY: the engine says that `length` bytes are at `buffer`, until the result is destroyed.
    let bytes = unsafe { std::slice::from_raw_parts(buffer, length) };
    Ok((bytes.to_vec(), counts))
}

struct ResultGuard<'a> {
    api: &'a Api,
    result: Handle,
}

impl Drop for ResultGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: a result that this guard alone owns, destroyed once.
        unsafe { (self.api.destroy_result)(self.result) };
    }
}

fn owned(text: Text) -> Option<String> {
    if text.is_null() {
        return None;
    }
    // SAFETY: not null, and the C API's texts are terminated.
    Some(unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned())
}
