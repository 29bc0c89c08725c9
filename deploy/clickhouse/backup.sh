#!/bin/sh
# A copy of Holdup's tables while they are in use. It runs where ClickHouse's files are, as a user who may read them.
#
#   deploy/clickhouse/backup.sh http://127.0.0.1:8123 /var/backups/holdup-2026-11-22.tar
#
# The database is `holdup`, or $HOLDUP_CLICKHOUSE_DATABASE. A user and a password are taken from ~/.netrc, as curl does.
# Each table is frozen by hard links, which takes no space until merges replace its parts, and no time to speak of.
set -eu

url=${1:?the address of ClickHouse, such as http://127.0.0.1:8123}
out=${2:?the file to write}
database=${HOLDUP_CLICKHOUSE_DATABASE:-holdup}
# Letters, digits and _ only: ClickHouse writes the rest otherwise in names of folders.
name=holdup_$(date -u +%Y%m%dT%H%M%S)_$$

ask() {
    curl --netrc-optional --silent --show-error --fail-with-body --data-binary "$1" "$url/?database=$database"
}

[ ! -e "$out" ] || { echo "$out is there already: name another file" >&2; exit 1; }
work=$(mktemp -d "$out.XXXXXX")
shadow=
finish() {
    rm -rf "$work"
    # The links are ours alone: they carry this run's name.
    [ -z "$shadow" ] || rm -rf "$shadow"
}
trap finish EXIT

# Views hold nothing, and alert_evaluators is for the collectors that run.
ask "SELECT name, data_paths[1] FROM system.tables WHERE database = '$database' AND engine LIKE '%MergeTree'
     AND name != 'alert_evaluators' ORDER BY name FORMAT TSV" > "$work/tables"
[ -s "$work/tables" ] || { echo "database $database has no tables at $url" >&2; exit 1; }
while read -r table path; do
    # …/store/abc/abcdef…/ is in …/shadow/NAME/store/abc/abcdef…/ then.
    root=${path%/store/*}
    shadow=$root/shadow/$name
    ask "ALTER TABLE $table FREEZE WITH NAME '$name'" > /dev/null
    mkdir "$work/$table"
    frozen=$shadow/store/${path#"$root"/store/}
    if [ -d "$frozen" ]; then
        cp -R "$frozen/." "$work/$table/"
    elif [ "$(ask "SELECT count() FROM $table")" != 0 ]; then
        echo "$table has rows and $frozen is not here: run this where ClickHouse's files are" >&2
        exit 1
    fi
done < "$work/tables"
tar --create --file "$out.part" --directory "$work" .
mv "$out.part" "$out"
echo "$out: $(wc -l < "$work/tables") tables, $(wc -c < "$out") bytes"
