//! Password hashing with parameters that a real service uses.

use std::io;

use argon2::{Algorithm, Argon2, Params, Version};

pub(crate) const BYTES: usize = 32;

/// The first of the equivalent Argon2id settings that OWASP's password storage cheat sheet lists:
/// 46 MiB, one pass, one lane.
const MEMORY_KIB: u32 = 46 * 1024;
const PASSES: u32 = 1;
const LANES: u32 = 1;

/// Hashes a password. Takes tens of milliseconds of CPU, by design.
pub(crate) fn hash(word: &str) -> io::Result<[u8; BYTES]> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, Some(BYTES)).map_err(io::Error::other)?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let mut output = [0; BYTES];
    // A fixed salt: nothing here is stored, and equal work each time is wanted.
    argon2
        .hash_password_into(word.as_bytes(), b"holdup-demo-salt", &mut output)
        .map_err(io::Error::other)?;
    Ok(output)
}
