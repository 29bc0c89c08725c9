//! The page in a browser while its collector is killed and started again.

use super::in_a_browser;

#[test]
fn a_page_that_is_open_goes_on_when_its_collector_comes_back() {
    // Both views were lost and regained.
    in_a_browser("regain", 2);
}
