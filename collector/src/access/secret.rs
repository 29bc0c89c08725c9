//! Random secrets, and what is kept of them.
//!
//! A slow hash makes guessing dear where people choose passwords. A token has 256 random bits: no
//! number of guesses is enough, so that one SHA-256 is as good and costs a request nothing.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// What is kept of a secret.
pub(crate) type Kept = [u8; 32];

/// How each token begins, so that those who look for secrets in code know it.
const PREFIX: &str = "holdup_";

/// A token that nobody has.
pub(crate) fn new_token() -> std::io::Result<String> {
    Ok(format!("{PREFIX}{}", random()?))
}

/// 256 random bits, as text.
pub(super) fn random() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    let mut filled = 0;
    while filled < bytes.len() {
        let rest = &mut bytes[filled..];
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty())?;
    }
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// What is kept of a secret.
pub(crate) fn digest(secret: &str) -> Kept {
    Sha256::digest(secret.as_bytes()).into()
}

/// As the file has it.
pub(crate) fn hex(kept: &Kept) -> String {
    kept.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the file has, if it is one.
pub(super) fn of_hex(text: &str) -> Option<Kept> {
    let mut kept = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in kept.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(kept)
}
