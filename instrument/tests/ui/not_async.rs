//! A function that is not async has no polls.

#[holdup::detect_blocking]
fn synchronous() -> u32 {
    42
}

fn main() {
    synchronous();
}
