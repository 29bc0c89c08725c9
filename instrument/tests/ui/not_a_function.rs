//! Only functions have a body to be timed.

#[holdup::detect_blocking]
struct Shop;

fn main() {}
