//! A mistake in the body is reported in the body.

#[holdup::detect_blocking]
async fn mismatched() -> u32 {
    "text"
}

fn main() {}
