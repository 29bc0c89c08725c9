//! The page in a browser while its collector is killed and started again.

use std::path::Path;
use std::process::Command;

use holdup_tests::program;

#[test]
fn a_page_that_is_open_goes_on_when_its_collector_comes_back() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../collector/page");
    assert!(
        page.join("node_modules").exists(),
        "the page's tests are not installed: run `npm ci` in collector/page, or `cargo xtask test`"
    );
    let ran = Command::new("node")
        .args(["--test", "--test-reporter=tap", "test/regain.test.mjs"])
        .current_dir(page)
        .env("HOLDUP_PROGRAM", program("holdup").expect("built"))
        .output()
        .expect("node runs");
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert!(said.contains("# pass 2"), "both views were lost and regained: {said}");
}
