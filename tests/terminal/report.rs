//! `holdup report`: the file, and what a browser makes of it.

use std::process::Command;

use holdup_tests::collector::Collector;

use super::tmux::HOSTILE;
use super::{Poll, holdup, now_ms, ran};

/// A name that would run in a page that took it for markup.
const SCRIPT: &str = "evil::<img src=x onerror=\"document.title='owned'\">";

fn with_polls() -> Collector {
    let data = tempfile::tempdir().expect("a folder");
    let collector = Collector::start_in(data, &[]);
    let now = now_ms();
    let stack = "std::thread::sleep\nshop::db::wait\nshop::pay\nstd::rt::lang_start";
    Poll { stack, long_ms: 900, ..Poll::of("shop::pay", 1, now - 5_000) }.send(&collector);
    let stack = format!("libc::read\n{SCRIPT}");
    Poll { stack: &stack, ..Poll::of(SCRIPT, 2, now - 4_000) }.send(&collector);
    Poll::of(HOSTILE, 3, now - 4_000).send(&collector);
    collector.settle();
    collector
}

#[test]
fn a_report_is_one_html_file_without_scripts() {
    let collector = with_polls();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("report.html");
    let path = file.to_str().expect("text");
    let wrote = holdup(&["report", "--page", &collector.page(), "--since", "1h", "--out", path]);
    assert_eq!((wrote.code, wrote.stdout.as_str()), (Some(0), ""), "{wrote:?}");
    let page = std::fs::read_to_string(&file).expect("it is written");
    assert!(page.contains("shop::pay") && page.contains("900.0 ms"), "{page}");
    assert_eq!(page.matches("data:image/svg+xml;base64,").count(), 2, "a graph a stack: {page}");
    assert!(page.contains("3 functions blocked for 1.0 s"), "{page}");
    assert!(page.contains("docs/advice.md#"), "what to write instead: {page}");
    assert!(!page.contains("<script") && !page.contains('\u{1b}'), "{page}");

    let chromium = std::env::var("CHROMIUM").unwrap_or_else(|_| "chromium".to_owned());
    let mut browser = Command::new(chromium);
    browser.args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"]);
    browser.arg(format!("--user-data-dir={}", folder.path().join("browser").display()));
    let read = ran(browser.arg(format!("file://{path}")));
    assert!(read.stdout.contains("<title>What blocked, "), "{read:?}");
    assert!(!read.stdout.contains("src=\"x\"") && !read.stdout.contains("<script"), "{read:?}");
}

#[test]
fn a_report_in_markdown_has_its_pictures_as_text() {
    let collector = with_polls();
    let page = collector.page();
    let report = holdup(&["report", "--page", &page, "--since", "1h", "--format", "markdown"]);
    assert_eq!(report.code, Some(0), "{report:?}");
    let text = &report.stdout;
    assert!(text.contains("# What blocked") && text.contains("| `shop::pay` | `shop` |"), "{text}");
    assert!(text.contains("100 % shop::pay\n100 % shop::db::wait\n"), "outermost first: {text}");
    assert!(!text.contains("lang_start") && !text.contains('\u{1b}'), "{text}");
    let none = holdup(&["report", "--page", &page, "--service", "none", "--format", "markdown"]);
    assert!(none.stdout.contains("Nothing blocked in this range."), "{none:?}");
    let unknown = holdup(&["report", "--page", &page, "--out", "report.pdf"]);
    assert!(unknown.stderr.contains(".pdf is neither .html nor .md"), "{unknown:?}");
}
