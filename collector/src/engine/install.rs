//! `holdup engine install`: fetches the library with npm's client, verifies it, puts it in place.

use std::fs::{self, File};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sha2::{Digest as _, Sha256};
use tokio::process::Command;

use super::library::{data_home, install_dir, is_verified, marker, marker_text};
use super::{EngineError, release};

/// Options of `holdup engine install`.
#[derive(Debug, clap::Args)]
pub(crate) struct InstallArgs {
    /// Folder for the library [default: below $XDG_DATA_HOME/holdup or ~/.local/share/holdup]
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// How often the growing download is looked at, and how often that is said without a terminal.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const SAY_EVERY: Duration = Duration::from_secs(5);

/// Installs the library, unless it is there.
pub(crate) async fn install(args: &InstallArgs) -> Result<(), EngineError> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64", target_env = "gnu")) {
        let system = format!("{} {}", std::env::consts::ARCH, std::env::consts::OS);
        return Err(EngineError::Platform { system });
    }
    let folder = args.dir.clone().unwrap_or_else(|| install_dir(&data_home()));
    let failed =
        |error: std::io::Error| EngineError::Install(format!("{}: {error}", folder.display()));
    fs::create_dir_all(&folder).map_err(failed)?;
    // Two at once would fetch twice; the second waits, and finds it there.
    let lock = File::create(folder.join("install.lock")).map_err(failed)?;
    let lock = blocking(move || lock.lock().map(|()| lock)).await?.map_err(failed)?;
    let library = folder.join(release::LIBRARY);
    let present = library.clone();
    if library.exists() && blocking(move || verify(&present)).await?.is_ok() {
        fs::write(marker(&library), marker_text()).map_err(failed)?;
        say(&format!("The engine {} is installed in {}.", release::VERSION, folder.display()));
        return Ok(());
    }
    let temporary = Temporary::new(&folder).map_err(failed)?;
    let outcome = tokio::select! {
        outcome = fetch(&temporary.path, &library) => outcome,
        _ = tokio::signal::ctrl_c() => Err(EngineError::Install("interrupted".into())),
    };
    drop(temporary);
    drop(lock);
    outcome?;
    debug_assert!(is_verified(&library));
    say(&format!("The engine {} is installed in {}.", release::VERSION, folder.display()));
    Ok(())
}

async fn fetch(temporary: &Path, library: &Path) -> Result<(), EngineError> {
    let cache = temporary.join("cache");
    let package = format!("{}@{}", release::PACKAGE, release::VERSION);
    let npm = Command::new("npm")
        .args(["pack", "--ignore-scripts", "--loglevel=error", "--cache"])
        .arg(&cache)
        .arg("--pack-destination")
        .arg(temporary)
        .arg(&package)
        .current_dir(temporary)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let npm = npm.map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => EngineError::NpmMissing,
        _ => EngineError::Install(format!("npm: {error}")),
    })?;
    let progress = Progress::new(&package);
    let output = npm.wait_with_output();
    tokio::pin!(output);
    let mut look = tokio::time::interval(LOOK_EVERY);
    let output = loop {
        tokio::select! {
            output = &mut output => break output,
            _ = look.tick() => progress.show(bytes_in(temporary)),
        }
    };
    let output = output.map_err(|error| EngineError::Install(format!("npm: {error}")))?;
    progress.end();
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> =
            text.lines().filter(|line| !line.contains("A complete log")).collect();
        return Err(EngineError::Install(format!(
            "`npm pack {package}` failed ({}): {}",
            output.status,
            lines.join(" ")
        )));
    }
    say("Unpacking and verifying it.");
    unpack(temporary).await?;
    let unpacked = temporary.join("package").join(release::LIBRARY);
    let (file, target) = (unpacked.clone(), library.to_owned());
    blocking(move || {
        verify(&file)?;
        let failed = |error: std::io::Error| EngineError::Install(error.to_string());
        fs::rename(&file, &target).map_err(failed)?;
        fs::write(marker(&target), marker_text()).map_err(failed)
    })
    .await?
}

async fn unpack(temporary: &Path) -> Result<(), EngineError> {
    let failed = |reason: String| EngineError::Install(format!("unpacking: {reason}"));
    let archive = fs::read_dir(temporary)
        .map_err(|error| failed(error.to_string()))?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "tgz"))
        .ok_or_else(|| failed("npm left no archive".into()))?;
    let output = Command::new("tar")
        .arg("-xzf")
        .arg(&archive)
        .arg("-C")
        .arg(temporary)
        .arg(format!("package/{}", release::LIBRARY))
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| failed(format!("tar: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// Compares the library's checksum with the pinned one.
fn verify(library: &Path) -> Result<(), EngineError> {
    let failed =
        |error: std::io::Error| EngineError::Install(format!("{}: {error}", library.display()));
    let mut file = File::open(library).map_err(failed)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut buffer).map_err(failed)?;
        if length == 0 {
            break;
        }
        hasher.update(&buffer[..length]);
    }
    let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if hex == release::LIBRARY_SHA256 {
        return Ok(());
    }
    Err(EngineError::Install(format!(
        "{} has the SHA-256 {hex}, not the pinned {}: nothing was installed; try again, and if it \
         happens again, do not trust the source",
        library.display(),
        release::LIBRARY_SHA256
    )))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, EngineError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| EngineError::Install(error.to_string()))
}

/// A folder that is removed in any case, and so are those of runs that were killed.
struct Temporary {
    path: PathBuf,
}

impl Temporary {
    /// Called with the install lock held, so that what is found is nobody's.
    fn new(folder: &Path) -> std::io::Result<Self> {
        for entry in fs::read_dir(folder)?.filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().starts_with(".fetching-") {
                fs::remove_dir_all(entry.path())?;
            }
        }
        let path = folder.join(format!(".fetching-{}", std::process::id()));
        fs::create_dir(&path)?;
        Ok(Self { path })
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "could not be removed");
        }
    }
}

/// A bar on a terminal, a line every few seconds elsewhere.
struct Progress {
    bar: ProgressBar,
    said: std::cell::Cell<Instant>,
    is_terminal: bool,
}

impl Progress {
    fn new(package: &str) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let target =
            if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let bar = ProgressBar::with_draw_target(Some(release::PACKED_BYTES), target);
        if let Ok(style) =
            ProgressStyle::with_template("{wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
        {
            bar.set_style(style);
        }
        say(&format!("Fetching {package} ({} MB).", release::PACKED_BYTES / 1_000_000));
        Self { bar, said: std::cell::Cell::new(Instant::now()), is_terminal }
    }

    fn show(&self, bytes: u64) {
        let bytes = bytes.min(release::PACKED_BYTES);
        self.bar.set_position(bytes);
        if !self.is_terminal && self.said.get().elapsed() >= SAY_EVERY {
            self.said.set(Instant::now());
            let (done, all) = (bytes / 1_000_000, release::PACKED_BYTES / 1_000_000);
            say(&format!("Fetched {done} of {all} MB."));
        }
    }

    fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// Bytes of all files below a folder; what vanishes meanwhile counts nothing.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => bytes_in(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

fn say(text: &str) {
    // There is nobody to tell that standard error is closed.
    let _ = writeln!(std::io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_library_is_not_taken() {
        let error = verify(&std::env::current_exe().unwrap()).unwrap_err().to_string();
        assert!(error.contains(release::LIBRARY_SHA256), "{error}");
    }
}
