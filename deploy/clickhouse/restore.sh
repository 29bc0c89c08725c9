#!/bin/sh
# What backup.sh wrote, into a database that has Holdup's tables and nothing in them. It runs where ClickHouse's files are,
# as the user of ClickHouse.
#
#   holdup migrate --clickhouse-url http://127.0.0.1:8123
#   deploy/clickhouse/restore.sh http://127.0.0.1:8123 /var/backups/holdup-2026-11-22.tar
#
# A later Holdup migrates what an earlier one wrote: restore with the version that wrote it, then start the later one.
set -eu

url=${1:?the address of ClickHouse, such as http://127.0.0.1:8123}
from=${2:?the file that backup.sh wrote}
database=${HOLDUP_CLICKHOUSE_DATABASE:-holdup}

ask() {
    curl --netrc-optional --silent --show-error --fail-with-body --data-binary "$1" "$url/?database=$database"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
tar --extract --file "$from" --directory "$work"

steps=schema_migrations
while read -r table path; do
    [ "$table" != "$steps" ] || continue
    rows=$(ask "SELECT count() FROM $table") || {
        echo "$table: $rows. Run \`holdup migrate\` of the version that wrote the backup first" >&2
        exit 1
    }
    [ "$rows" = 0 ] || { echo "$table has $rows rows: restore into an empty database" >&2; exit 1; }
done < "$work/tables"
while read -r table path; do
    [ "$table" != "$steps" ] || continue
    path=$(ask "SELECT data_paths[1] FROM system.tables WHERE database = '$database' AND name = '$table' FORMAT TSV")
    [ -d "$path/detached" ] || { echo "$path/detached is not here: run this where ClickHouse's files are" >&2; exit 1; }
    parts=0
    for part in "$work/$table"/*/; do
        [ -d "$part" ] || continue
        cp -R "${part%/}" "$path/detached/"
        parts=$((parts + 1))
        # Parts as they are: no view sees them, so that rollups are not filled twice.
        ask "ALTER TABLE $table ATTACH PART '$(basename "$part")'" > /dev/null
    done
    echo "$table: $parts parts, $(ask "SELECT count() FROM $table") rows"
done < "$work/tables"
