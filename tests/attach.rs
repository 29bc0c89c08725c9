//! `holdup dump` and `holdup record` on processes that have nothing of Holdup in them.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use holdup_tests::collector::{eventually, signal};
use holdup_tests::program;
use serde_json::Value;

/// A process that blocks, until this is dropped.
struct Target {
    child: Child,
    input: Option<ChildStdin>,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Target {
    fn start(scene: &str) -> Self {
        Self::of(&program("holdup-blocked").expect("built"), scene)
    }

    fn of(program: &Path, scene: &str) -> Self {
        Self::run(Command::new(program).arg(scene))
    }

    fn run(command: &mut Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let input = child.stdin.take();
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let first = lines.next().expect("a line").expect("text");
        assert_eq!(first, "ready");
        Self { child, input, lines }
    }

    fn pid(&self) -> String {
        self.child.id().to_string()
    }

    /// Ends it, and returns what it says.
    fn end(mut self) -> Vec<String> {
        drop(self.input.take());
        let said = self.lines.by_ref().map(|line| line.expect("text")).collect();
        assert!(self.child.wait().expect("it is our child").success());
        said
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

fn holdup(arguments: &[&str]) -> Output {
    let mut command = Command::new(program("holdup").expect("built"));
    command.args(arguments).output().expect("it runs")
}

/// What a command prints. A machine that forbids ptrace fails here, with what the command says.
fn printed(arguments: &[&str]) -> String {
    let output = holdup(arguments);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{arguments:?}: {error}\nThese tests need the right to trace a child of theirs: see \
         docs/attach.md, \"Rights\"."
    );
    String::from_utf8(output.stdout).expect("text")
}

fn refused(arguments: &[&str]) -> String {
    let output = holdup(arguments);
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    String::from_utf8(output.stderr).expect("text")
}

fn dump(target: &Target) -> Vec<Value> {
    let text = printed(&["dump", &target.pid(), "--output", "json"]);
    let dump: Value = serde_json::from_str(&text).expect("JSON");
    dump["threads"].as_array().expect("threads").clone()
}

/// The one thread inside a poll, as soon as there is one.
fn poll_of(target: &Target) -> Value {
    eventually("one thread is inside a poll", || {
        let inside = |thread: &Value| thread["activity"] == "poll";
        let mut found: Vec<Value> = dump(target).into_iter().filter(inside).collect();
        found.pop().filter(|thread| found.is_empty() && thread["blame"].is_u64())
    })
}

fn blamed(thread: &Value) -> &Value {
    let index = thread["blame"].as_u64().expect("somebody is to blame");
    &thread["frames"][usize::try_from(index).expect("a small number")]
}

#[test]
fn a_worker_that_blocks_in_a_poll_is_named_with_the_function() {
    for (scene, function, on_cpu, call) in [
        ("sleeps", "asks_bank", false, "clock_nanosleep"),
        ("spins", "mines", true, ""),
        ("deadlocks", "locks_twice", false, "futex"),
    ] {
        let target = Target::start(scene);
        let thread = eventually("it is at the place where it stays", || {
            let thread = poll_of(&target);
            (on_cpu || thread["call"] == call).then_some(thread)
        });
        let frame = blamed(&thread);
        assert_eq!(frame["function"], format!("holdup_blocked::{function}"), "{thread:#}");
        assert!(frame["file"].as_str().expect("a file").ends_with("src/main.rs"), "{frame}");
        assert!(frame["line"].as_u64().expect("a line") > 0);
        assert_eq!(thread["role"], "worker");
        assert_eq!(thread["on_cpu"], on_cpu, "{scene}");
        assert_eq!(thread["complete"], true, "{thread:#}");
        let others = dump(&target);
        let parked = |thread: &&Value| thread["role"] == "worker" && thread["activity"] == "parked";
        assert_eq!(others.iter().filter(parked).count(), 1, "the other worker: {others:#?}");
        target.end();
    }
}

#[test]
fn a_thread_of_the_blocking_pool_is_told_from_a_worker() {
    let target = Target::start("pool");
    let thread = eventually("the closure sleeps", || {
        let at_work = |thread: &Value| thread["activity"] == "blocking";
        dump(&target).into_iter().find(at_work)
    });
    assert_eq!(thread["role"], "blocking_pool", "{thread:#}");
    assert!(thread["blame"].is_null(), "that is what the pool is for");
    let functions = thread["frames"].as_array().expect("frames");
    assert!(functions.iter().any(|frame| frame["function"] == "holdup_blocked::archives"));
    let text = printed(&["dump", &target.pid()]);
    assert!(text.contains("At blocking work, where it belongs"), "{text}");
    assert!(text.contains("holdup_blocked::archives"), "{text}");
    // Names stay whole, so that they can be searched for.
    let long = text.lines().skip(1).filter(|line| !line.contains("::"));
    let long: Vec<_> = long.filter(|line| line.chars().count() > 80).collect();
    assert!(long.is_empty(), "wider than a terminal: {long:#?}");
}

#[test]
fn a_stripped_program_gives_addresses_with_module_and_build() {
    let folder = tempfile::tempdir().expect("a folder");
    let original = program("holdup-blocked").expect("built");
    let stripped = folder.path().join("shop");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(&original).status();
    assert!(strip.expect("strip runs").success());
    let target = Target::of(&stripped, "sleeps");
    // Also when the file is gone.
    fs::remove_file(&stripped).expect("it was there");
    let sleeper = eventually("it sleeps", || {
        dump(&target).into_iter().find(|thread| thread["call"] == "clock_nanosleep")
    });
    assert_eq!((&sleeper["role"], &sleeper["complete"]), (&"unknown".into(), &true.into()));
    let place = sleeper["frames"].as_array().expect("frames").iter().find_map(|frame| {
        let is_place = frame["function"] == "" && frame["module"] == "shop";
        let id = frame["build_id"].as_str().filter(|_| is_place)?;
        Some(format!("shop+0x{:x} @ {id}", frame["offset"].as_u64()?))
    });
    let place = place.unwrap_or_else(|| panic!("a place without a name: {sleeper:#}"));
    let text = printed(&["dump", &target.pid()]);
    assert!(text.contains(&place) && text.contains("has no symbols"), "{place}: {text}");

    // What `symbolize` is for.
    let mut symbolize = Command::new(program("holdup").expect("built"))
        .args(["symbolize", "--binary"])
        .arg(&original)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut input = symbolize.stdin.take().expect("a pipe");
    let places = text.lines().map(|line| line.trim().trim_start_matches("> "));
    places.for_each(|line| writeln!(input, "{line}").expect("it reads"));
    drop(input);
    let named = symbolize.wait_with_output().expect("it ends");
    let named = String::from_utf8(named.stdout).expect("text");
    assert!(named.contains("holdup_blocked::asks_bank"), "{named}");
}

/// Builds the target as it would be shipped, once.
fn shipped() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folder = holdup_tests::target_dir().expect("known").join("shipped");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--release", "--package", "holdup-blocked", "--target-dir"]);
    cargo.arg(&folder).args(["--config", "profile.release.panic=\"abort\""]).current_dir(&root);
    cargo.env("RUSTFLAGS", "-Cforce-frame-pointers=no");
    let built = cargo.output().expect("cargo runs");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    folder.join("release/holdup-blocked")
}

#[test]
fn an_optimised_program_that_aborts_and_has_no_frame_pointers_is_followed() {
    let program = shipped();
    for (scene, function) in
        [("sleeps", "asks_bank"), ("spins", "mines"), ("deadlocks", "locks_twice")]
    {
        let target = Target::of(&program, scene);
        let thread = poll_of(&target);
        let frame = blamed(&thread);
        assert_eq!(frame["function"], format!("holdup_blocked::{function}"), "{thread:#}");
        assert_eq!(thread["complete"], true, "{thread:#}");
    }
}

/// Counts of folded stacks that have all of the texts.
fn counted(folded: &str, texts: &[&str]) -> u64 {
    let has = |line: &&str| texts.iter().all(|text| line.contains(text));
    let count = |line: &str| line.rsplit(' ').next().expect("a count").parse::<u64>();
    folded.lines().filter(has).map(|line| count(line).expect("a number")).sum()
}

#[test]
fn a_sleeping_blocker_counts_as_much_as_a_spinning_one() {
    let record = |target: &Target, more: &[&str]| {
        let pid = target.pid();
        let arguments = ["record", &pid, "--duration", "2s", "--format", "folded", "--output", "-"];
        printed(&[&arguments, more].concat())
    };
    let sleeper = Target::start("sleeps");
    poll_of(&sleeper);
    let folded = record(&sleeper, &[]);
    let asleep = counted(&folded, &["inside a poll;off CPU;", "holdup_blocked::asks_bank"]);
    // As often as it was looked at, which a thread that only waits tells. A profiler of CPU time
    // would have none.
    let looks = counted(&folded, &["other threads;off CPU;", "holdup_blocked::until_closed"]);
    assert!(asleep > 5 && asleep.abs_diff(looks) <= 1, "{asleep} of {looks}: {folded}");
    assert_eq!(counted(&record(&sleeper, &["--on-cpu"]), &["asks_bank"]), 0);

    let spinner = Target::start("spins");
    poll_of(&spinner);
    let folded = record(&spinner, &["--workers-only"]);
    let all = counted(&folded, &[""]);
    let spinning = counted(&folded, &["inside a poll;on CPU;", "holdup_blocked::mines"]);
    assert!(spinning > 5 && spinning == all, "{spinning} of {all}: {folded}");
}

#[test]
fn a_recording_is_written_in_each_format_and_early_on_ctrl_c() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = Target::start("sleeps");
    poll_of(&target);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (svg, json) = (path("a.svg"), path("a.json"));
    printed(&["record", &target.pid(), "-d", "500ms", "-o", &svg]);
    let graph = fs::read_to_string(&svg).expect("written");
    assert!(graph.contains("<svg") && graph.contains("holdup_blocked::asks_bank"), "{graph}");
    printed(&["record", &target.pid(), "-d", "500ms", "--format", "speedscope", "-o", &json]);
    let file: Value =
        serde_json::from_str(&fs::read_to_string(&json).expect("written")).expect("JSON");
    let names: Vec<_> = file["shared"]["frames"].as_array().expect("frames").iter().collect();
    assert!(names.iter().any(|frame| frame["name"] == "holdup_blocked::asks_bank"), "{names:?}");
    assert!(file["profiles"].as_array().expect("profiles").len() >= 3, "one for each thread");

    let started = Instant::now();
    let long = Command::new(program("holdup").expect("built"))
        .args(["record", &target.pid(), "-d", "10min", "--format", "folded", "-o", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // It listens to signals as soon as it has opened what it writes to.
    eventually("it listens", || {
        let status = fs::read_to_string(format!("/proc/{}/status", long.id())).ok()?;
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:\t"))?;
        (u64::from_str_radix(caught, 16).expect("a mask") & 0b10 != 0).then_some(())
    });
    thread::sleep(Duration::from_millis(300));
    signal(long.id(), "INT");
    let output = long.wait_with_output().expect("it ends");
    assert!(output.status.success() && started.elapsed() < Duration::from_secs(60));
    let folded = String::from_utf8(output.stdout).expect("text");
    assert!(counted(&folded, &["holdup_blocked::asks_bank"]) > 0, "{folded}");
}

#[test]
fn a_process_that_ends_meanwhile_gives_what_there_was() {
    let mut target = Target::start("sleeps");
    poll_of(&target);
    let pid = target.pid();
    let recording = thread::spawn(move || {
        holdup(&["record", &pid, "-d", "10min", "--format", "folded", "-o", "-"])
    });
    thread::sleep(Duration::from_millis(1500));
    target.child.kill().expect("it is our child");
    target.child.wait().expect("it is our child");
    let output = recording.join().expect("it ends");
    let (folded, said) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("the process ended"), "{said}");
    assert!(counted(&folded, &["holdup_blocked::asks_bank"]) > 0, "{folded} {said}");
}

#[test]
fn a_stopped_process_can_be_looked_at_and_stays_stopped() {
    let target = Target::start("spins");
    poll_of(&target);
    signal(target.child.id(), "STOP");
    eventually("it has stopped", || state(&target.pid()).0.starts_with('T').then_some(()));
    let thread = poll_of(&target);
    assert_eq!(blamed(&thread)["function"], "holdup_blocked::mines", "{thread:#}");
    assert!(state(&target.pid()).0.starts_with('T'));
    signal(target.child.id(), "CONT");
    eventually("it runs on", || (!state(&target.pid()).0.starts_with('T')).then_some(()));
    target.end();
}

#[test]
fn another_program_in_the_same_process_is_followed() {
    let mut command = Command::new("sh");
    command.args(["-c", "echo ready; read line; exec sleep 600"]);
    let mut target = Target::run(&mut command);
    let recording = Command::new(program("holdup").expect("built"))
        .args(["record", &target.pid(), "-d", "10min", "--format", "folded", "-o", "-"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    thread::sleep(Duration::from_millis(700));
    writeln!(target.input.as_mut().expect("open"), "go").expect("it reads");
    let name = format!("/proc/{}/comm", target.pid());
    let is_other = || fs::read_to_string(&name).is_ok_and(|name| name.trim() == "sleep");
    eventually("it is another program", || is_other().then_some(()));
    thread::sleep(Duration::from_millis(700));
    signal(recording.id(), "INT");
    let output = recording.wait_with_output().expect("it ends");
    let folded = String::from_utf8(output.stdout).expect("text");
    // Their own programs have no names, the C library's functions do.
    assert!(counted(&folded, &["off CPU", "read"]) > 0, "{folded}");
    assert!(counted(&folded, &["off CPU", "sleep+0x", "clock_nanosleep"]) > 0, "{folded}");
}

#[test]
fn a_process_in_a_container_is_named_by_the_files_that_it_sees() {
    if !is_root() {
        println!("not tested: only root may make a container's namespaces");
        return;
    }
    // The program is in a file system that nobody else has.
    let script = "mount -t tmpfs none /mnt && cp \"$0\" /mnt/shop && exec /mnt/shop sleeps";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]);
    let target = Target::run(command.arg(program("holdup-blocked").expect("built")));
    let children = format!("/proc/{0}/task/{0}/children", target.pid());
    let inside = fs::read_to_string(children).expect("it lives").trim().to_owned();
    let dump: Value = eventually("it sleeps", || {
        let text = printed(&["dump", &inside, "--output", "json"]);
        let dump: Value = serde_json::from_str(&text).expect("JSON");
        text.contains("clock_nanosleep").then_some(dump)
    });
    assert_eq!(dump["inner_pid"], 1, "the first of its namespace");
    assert!(dump.to_string().contains("holdup_blocked::asks_bank"), "{dump:#}");
    assert!(!Path::new("/mnt/shop").exists());
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|of| of.uid() == 0)
}

/// The state of a process, and who traces it.
fn state(pid: &str) -> (String, String) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it lives");
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).expect("a line");
        line.trim().to_owned()
    };
    (value("State:"), value("TracerPid:"))
}

#[test]
fn a_target_survives_that_the_command_is_killed_at_any_moment() {
    const KILLS: u32 = 60;
    let target = Target::start("answers");
    let pid = target.pid();
    for kill in 0..KILLS {
        let mut command = Command::new(program("holdup").expect("built"));
        command.args(["record", &pid, "--rate", "1000", "-d", "10min", "-o", "/dev/null"]);
        let mut recording = command.stderr(Stdio::null()).spawn().expect("it starts");
        // Spread over its start and its looks, of which each stops threads.
        thread::sleep(Duration::from_micros(u64::from(kill * 7919 % 400) * 1000 + 137));
        recording.kill().expect("it is our child");
        recording.wait().expect("it is our child");
    }
    // It was disturbed, had it been possible: threads were stopped, and many.
    let output = holdup(&["record", &pid, "--rate", "1000", "-d", "2s", "-o", "/dev/null", "-v"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let stops = said.split_once(" of threads that were stopped").expect("a count").0;
    let stops = stops.rsplit(' ').next().expect("a word").parse::<u64>().expect("a number");
    assert!(stops > 20, "{said}");
    let folder = fs::read_dir(format!("/proc/{pid}/task")).expect("it lives");
    for thread in folder {
        let tid = thread.expect("an entry").file_name().into_string().expect("a number");
        let (state, tracer) = state(&format!("{pid}/task/{tid}"));
        assert!(!state.starts_with(['T', 't']) && tracer == "0", "{tid}: {state}, {tracer}");
    }
    let said = target.end().pop().expect("a last line");
    let numbers = said.split(' ').filter_map(|word| word.parse::<u64>().ok());
    let [interrupted, wrong, rounds] = numbers.collect::<Vec<_>>()[..] else { panic!("{said}") };
    assert_eq!((interrupted, wrong), (0, 0), "{said}");
    assert!(rounds > 1000, "{said}");
}

#[test]
fn what_cannot_be_looked_at_is_refused_with_the_way_out() {
    let absent = refused(&["dump", "2147483647"]);
    assert!(absent.contains("there is no process 2147483647"), "{absent}");
    let target = Target::start("sleeps");
    // A user without rights, when these tests run as root.
    let dumps_as = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        command.args(arguments).arg("--");
        // Where any user may reach it.
        let folder = tempfile::Builder::new().prefix("holdup").tempdir().expect("a folder");
        let copy = folder.path().join("holdup");
        fs::copy(program("holdup").expect("built"), &copy).expect("copied");
        let open = |path: &Path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is ours");
        };
        [folder.path(), &copy].into_iter().for_each(open);
        let output = command.arg(&copy).args(["dump", &target.pid()]).output().expect("setpriv");
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).expect("text")
    };
    if is_root() {
        let other = dumps_as(&["--reuid", "65534", "--clear-groups"]);
        assert!(other.contains("it runs as user 0, and this command as 65534"), "{other}");
        assert!(other.contains("sudo holdup"), "{other}");
        let bare = dumps_as(&["--bounding-set", "-sys_ptrace", "--inh-caps", "-sys_ptrace"]);
        assert!(bare.contains("SYS_PTRACE"), "{bare}");
    }
    // A thread of the kernel, if this machine shows any.
    let kernel = fs::read_to_string("/proc/2/comm").is_ok_and(|name| name.trim() == "kthreadd");
    if kernel {
        let error = refused(&["dump", "2"]);
        assert!(error.contains("is a thread of the kernel"), "{error}");
    }
}
