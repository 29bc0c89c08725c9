#!/bin/sh
# Builds what is committed twice, in two folders of other names and depths, and compares the bytes.
#
#   deploy/release/reproduce.sh                                  # the collector
#   deploy/release/reproduce.sh holdup-blocked holdup-blocked    # something small
set -eu

package=${1:-holdup-collector} binary=${2:-holdup}
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for place in "$work/one" "$work/a/longer/way/to/two"; do
    git clone --quiet "$root" "$place"
    # Each has a target folder of its own, or the second would be the first.
    CARGO_TARGET_DIR=$place/target "$place/deploy/release/build.sh" "$place.bin" "$package" "$binary"
    rm -rf "$place/target"
done
sha256sum "$work/one.bin" "$work/a/longer/way/to/two.bin"
cmp "$work/one.bin" "$work/a/longer/way/to/two.bin"
echo "the same"
