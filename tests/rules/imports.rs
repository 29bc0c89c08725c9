//! Who may use whom: the arrows of the architecture.

use super::files::File;
use super::{caught, modules, obey, tokens};

/// What the files below a folder must not use.
struct Wall {
    folder: &'static str,
    /// Files that are not held to this wall, each for the reason that stands with it.
    except: &'static [&'static str],
    /// A path that begins with one of these crosses it.
    forbidden: &'static [&'static str],
    /// Why, and what to do.
    instead: &'static str,
}

const WALLS: [Wall; 11] = [
    Wall {
        folder: "attach/",
        except: &[],
        forbidden: &["holdup_collector", "tokio", "tracing", "clap", "std::net"],
        instead: "what looks at a process from outside knows nothing of services and collectors",
    },
    Wall {
        folder: "instrument/",
        except: &[],
        forbidden: &["holdup_collector", "collector"],
        instead: "the crate that services depend on knows nothing of the collector",
    },
    Wall {
        folder: "instrument/src/polling/",
        except: &[],
        forbidden: &[
            "crate::export",
            "crate::exporter",
            "crate::watchdog",
            "opentelemetry_sdk",
            "opentelemetry_otlp",
        ],
        instead: "the polling thread leaves records behind; exporter and watchdog read them",
    },
    Wall {
        folder: "instrument/src/polling/",
        except: &[
            // Asks the kernel, once and before the first poll, which clock it trusts.
            "instrument/src/polling/clock.rs",
            // Reads a file of /proc that is kept open, when a poll was slow: under a microsecond.
            "instrument/src/polling/usage.rs",
        ],
        forbidden: &[
            "std::fs",
            "std::net",
            "std::io",
            "tracing::debug",
            "tracing::info",
            "tracing::warn",
            "tracing::error",
        ],
        instead: "nothing on a polling thread does I/O or logs; leave a record behind",
    },
    Wall {
        folder: "collector/src/fold/",
        except: &[],
        forbidden: &[
            "std::time::Instant",
            "std::time::SystemTime",
            "std::fs",
            "std::io",
            "std::net",
            "std::thread",
            "std::process",
            "tokio",
            "futures_util",
            "tracing",
            "clickhouse",
            "crate::batch",
            "crate::log",
            "crate::store",
            "crate::receive",
            "async",
        ],
        instead: "the fold is a pure function of spans and times: pass in what it needs",
    },
    Wall {
        folder: "collector/src/notify/",
        except: &[
            // Have the clock, the disk and the network.
            "collector/src/notify/courier.rs",
            "collector/src/notify/mod.rs",
            "collector/src/notify/secret.rs",
            "collector/src/notify/send/",
            "collector/src/notify/state.rs",
            "collector/src/notify/trial.rs",
        ],
        forbidden: &[
            "std::time::Instant",
            "SystemTime::now",
            "std::fs",
            "std::io",
            "std::net",
            "std::thread",
            "std::process",
            "tokio",
            "futures_util",
            "tracing",
            "crate::store",
            "async",
        ],
        instead: "what is sent to whom and when is a pure function of alerts and times: pass them in",
    },
    Wall {
        folder: "collector/src/alerts/",
        except: &[],
        forbidden: &[
            "std::time::Instant",
            "std::time::SystemTime",
            "std::fs",
            "std::io",
            "std::net",
            "std::thread",
            "std::process",
            "tokio",
            "futures_util",
            "tracing",
            "clickhouse",
            "crate::batch",
            "crate::evaluate",
            "crate::log",
            "crate::notify",
            "crate::rules",
            "crate::store",
            "async",
        ],
        instead: "states of alerts are a pure function of observations and times: pass them in",
    },
    Wall {
        folder: "collector/src/rules/",
        except: &[],
        forbidden: &[
            "std::time::Instant",
            "std::time::SystemTime",
            "std::net",
            "std::thread",
            "tokio",
            "futures_util",
            "clickhouse",
            "crate::evaluate",
            "crate::notify",
            "crate::store",
            "async",
        ],
        instead: "a rule is what its file says: asking ClickHouse is for crate::evaluate",
    },
    Wall {
        folder: "collector/src/dashboards/",
        except: &[],
        forbidden: &["std::fs", "std::io", "std::net", "std::time", "tokio", "tracing", "async"],
        instead: "dashboards are text made from text: the command writes the files",
    },
    Wall {
        folder: "collector/src/log/",
        except: &[],
        forbidden: &[
            "clickhouse",
            "opentelemetry_proto",
            "crate::batch",
            "crate::decode",
            "crate::fold",
            "crate::metrics",
            "crate::receive",
            "crate::request",
            "crate::span",
            "crate::store",
        ],
        instead: "the log knows nothing of what is in it: give it bytes, a key and a label",
    },
    Wall {
        folder: "collector/src/",
        except: &["collector/src/store/"],
        forbidden: &["clickhouse"],
        instead: "only collector/src/store talks to ClickHouse: give it a method",
    },
];

fn walls_crossed(files: &[File]) -> Vec<String> {
    let reachable = modules::reachable(files);
    let mut crossed = Vec::new();
    for file in files.iter().filter(|file| file.is_rust()) {
        if reachable.get(file.path.as_str()) == Some(&true) {
            continue;
        }
        let Some(stream) = tokens::of(&file.text) else { continue };
        for at in tokens::paths(tokens::without_tests(stream)) {
            let path = absolute(&at.text, &file.path);
            for wall in &WALLS {
                if wall.stops(&file.path, &path) {
                    crossed.push(format!(
                        "{}:{}: uses `{path}`; {}",
                        file.path, at.line, wall.instead
                    ));
                }
            }
        }
    }
    crossed
}

impl Wall {
    fn stops(&self, file: &str, path: &str) -> bool {
        let inside = file.starts_with(self.folder)
            && !self.except.iter().any(|except| file.starts_with(except));
        inside
            && self.forbidden.iter().any(|forbidden| {
                let rest = path.strip_prefix(forbidden);
                // A single word may be any name, unless it is a keyword or begins a path.
                rest.is_some_and(|rest| {
                    rest.starts_with("::")
                        || rest.is_empty() && (path.contains("::") || path == "async")
                })
            })
    }
}

/// The path from the crate's root, for one that begins with `super` or `self`.
fn absolute(path: &str, file: &str) -> String {
    let mut parts: Vec<&str> = path.split("::").collect();
    if !matches!(parts.first(), Some(&"super" | &"self")) {
        return path.to_owned();
    }
    let inside = file.split_once("/src/").map_or(file, |(_, inside)| inside);
    let mut module: Vec<&str> = inside.trim_end_matches(".rs").split('/').collect();
    if matches!(module.last(), Some(&"mod" | &"lib" | &"main")) {
        module.pop();
    }
    while matches!(parts.first(), Some(&"super" | &"self")) {
        if parts.remove(0) == "super" {
            module.pop();
        }
    }
    let all: Vec<&str> = std::iter::once("crate").chain(module).chain(parts).collect();
    all.join("::")
}

/// A manifest is the other way to depend on something.
fn manifests_that_reach_up(files: &[File]) -> Vec<String> {
    let manifests = files
        .iter()
        .filter(|file| file.path.starts_with("instrument/") && file.path.ends_with("Cargo.toml"));
    let wrong = manifests.filter(|file| file.text.contains("holdup-collector"));
    wrong.map(|file| format!("{}: depends on the collector; turn it round", file.path)).collect()
}

/// Modules are named after what they do.
fn nameless_modules(files: &[File]) -> Vec<String> {
    let nameless = |part: &&str| {
        let stem = part.split('.').next().unwrap_or_default();
        matches!(stem, "util" | "utils" | "common" | "helper" | "helpers" | "misc")
    };
    let wrong = files.iter().filter_map(|file| Some((file, file.path.split('/').find(nameless)?)));
    wrong
        .map(|(file, part)| {
            format!("{}: `{part}` says nothing; name it after what it does", file.path)
        })
        .collect()
}

#[test]
fn modules_use_only_what_they_may() {
    obey(walls_crossed);
    obey(manifests_that_reach_up);
    let one = |path: &str, text: &str| walls_crossed(&[File::new(path, text)]);
    caught(&one("instrument/src/polling/slot.rs", "use crate::export::Queue;"), "crate::export");
    caught(&one("instrument/src/polling/slot.rs", "use super::super::export;"), "crate::export");
    caught(&one("instrument/src/polling/slot.rs", "fn f() { tracing::warn!() }"), "or logs");
    caught(&one("instrument/src/lib.rs", "fn f() { holdup_collector::g() }"), "knows nothing");
    caught(&one("collector/src/fold/mod.rs", "use std::{time::Instant, fmt};"), "pure function");
    caught(&one("collector/src/fold/mod.rs", "async fn f() {}"), "pure function");
    caught(
        &one("collector/src/page/api.rs", "use clickhouse::Client;"),
        "only collector/src/store",
    );
    caught(
        &one("collector/src/log/mod.rs", "use crate::decode::Decoded;"),
        "knows nothing of what",
    );
    let manifest = File::new("instrument/Cargo.toml", "holdup-collector.workspace = true");
    caught(&manifests_that_reach_up(&[manifest]), "turn it round");
}

#[test]
fn what_is_allowed_is_not_caught() {
    let allowed = [
        File::new("collector/src/store/read.rs", "use clickhouse::Client;"),
        File::new("collector/src/main.rs", "let clickhouse = 1; // clickhouse::Client"),
        File::new("collector/src/fold/a.rs", "#[cfg(test)] mod tests { use std::fs::File; }"),
        File::new("collector/src/fold/b.rs", "use std::time::Duration;"),
        File::new("instrument/src/export/mod.rs", "use crate::polling::record;"),
    ];
    assert_eq!(walls_crossed(&allowed), [""; 0]);
}

#[test]
fn modules_are_named_after_what_they_do() {
    obey(nameless_modules);
    caught(&nameless_modules(&[File::new("collector/src/utils.rs", "")]), "`utils.rs`");
    caught(&nameless_modules(&[File::new("collector/src/common/a.rs", "")]), "`common`");
}
