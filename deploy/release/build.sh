#!/bin/sh
# Builds a release binary that has no path and no time of this machine in it, so that the same sources and the same
# Rust make the same bytes anywhere.
#
#   deploy/release/build.sh target/holdup                        # the collector
#   deploy/release/build.sh target/blocked holdup-blocked holdup-blocked
set -eu

to=$1 package=${2:-holdup-collector} binary=${3:-holdup}
root=$(cd "$(dirname "$0")/../.." && pwd)
cargo_home=${CARGO_HOME:-$HOME/.cargo}
target=${CARGO_TARGET_DIR:-$root/target}/release-build

# What is given here goes over the flags of .cargo/config.toml.
export RUSTFLAGS="--remap-path-prefix=$root=/holdup --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$target=/target ${RUSTFLAGS:-}"
# For what C code there is.
export CFLAGS="-ffile-prefix-map=$root=/holdup -ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$target=/target ${CFLAGS:-}"
SOURCE_DATE_EPOCH=$(git -C "$root" log -1 --format=%ct)
export SOURCE_DATE_EPOCH
export CARGO_INCREMENTAL=0

cd "$root"
cargo build --locked --release --package "$package" --bin "$binary" --target-dir "$target"
cp "$target/release/$binary" "$to"
