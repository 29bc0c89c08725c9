//! A threshold is a whole number with a unit.

#[holdup::detect_blocking(threshold = "soon")]
async fn no_duration() {}

#[holdup::detect_blocking(threshold = "200")]
async fn no_unit() {}

#[holdup::detect_blocking(threshold = "0ms")]
async fn zero() {}

#[holdup::detect_blocking(threshold = "99999999999999999s")]
async fn too_long() {}

#[holdup::detect_blocking(threshold = 200)]
async fn no_string() {}

fn main() {}
