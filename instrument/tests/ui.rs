//! What the compiler says of wrong uses, and what right ones become.

#[test]
fn mistakes_are_named_where_they_are() {
    trybuild::TestCases::new().compile_fail("tests/ui/*.rs");
}
