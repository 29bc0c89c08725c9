-- The table over all shards of a cluster. Its columns are those of the tables of each server.
CREATE OR REPLACE TABLE $database.$table ON CLUSTER `$cluster`
AS $local.$table
ENGINE = Distributed('$cluster', '$local', '$table', $key)
