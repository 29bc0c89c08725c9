//! The page in a browser, behind tokens.

use super::in_a_browser;

#[test]
fn a_session_that_ends_leads_to_the_form_and_back() {
    in_a_browser("session", 1);
}
