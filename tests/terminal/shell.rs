//! Completions and manual pages, by the programs that read them.

use std::process::Command;

use super::{holdup, ran};

/// What bash would offer for a line whose last word is begun.
fn offered(script: &str, words: &[&str]) -> Vec<String> {
    let complete = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                    _holdup holdup \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; \
                    printf '%s\\n' \"${COMPREPLY[@]}\"";
    let offered = ran(Command::new("bash").args(["-c", complete, "bash", script]).args(words));
    assert!(offered.stderr.is_empty(), "{offered:?}");
    offered.stdout.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_panels_and_formats() {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("holdup.bash");
    let written = holdup(&["completions", "bash"]);
    std::fs::write(&script, &written.stdout).expect("it can be written");
    let script = script.to_str().expect("text");
    assert_eq!(offered(script, &["holdup", "qu"]), ["query"]);
    assert_eq!(offered(script, &["holdup", "query", "top"]), ["top", "top_trend"]);
    assert_eq!(offered(script, &["holdup", "export", "spe"]), ["speedscope"]);
    assert_eq!(offered(script, &["holdup", "query", "--serv"]), ["--service", "--service-version"]);
}

#[test]
fn every_shell_has_a_script_that_knows_the_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let written = holdup(&["completions", shell]);
        assert_eq!(written.code, Some(0), "{written:?}");
        for command in ["serve", "query", "export", "completions"] {
            assert!(written.stdout.contains(command), "{shell} does not know {command}");
        }
    }
    assert_eq!(holdup(&["completions", "tcsh"]).code, Some(2));
}

#[test]
fn every_command_has_a_manual_page_that_man_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("man1");
    let written = holdup(&["man", "--out", out.to_str().expect("text")]);
    assert_eq!(written.code, Some(0), "{written:?}");
    let pages = std::fs::read_dir(&out).expect("it is there").map(|page| page.expect("one").path());
    let pages: Vec<_> = pages.collect();
    assert!(pages.len() > 20, "{pages:?}");
    for page in &pages {
        let mut man = Command::new("man");
        man.args(["--warnings", "-l"]).arg(page).env("MANWIDTH", "80").env("LC_ALL", "C.UTF-8");
        let read = ran(&mut man);
        assert_eq!((read.code, read.stderr.as_str()), (Some(0), ""), "{}", page.display());
        assert!(read.stdout.contains("SYNOPSIS"), "{}: {}", page.display(), read.stdout);
    }
    assert!(out.join("holdup.1").exists() && out.join("holdup-query.1").exists(), "{pages:?}");
    let one = holdup(&["man"]);
    assert_eq!(one.stdout, std::fs::read_to_string(out.join("holdup.1")).expect("text"));
}
