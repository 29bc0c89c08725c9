-- Functions that somebody muted on the page, and why.

CREATE TABLE IF NOT EXISTS mutes
(
    service   String,
    function  String,
    muted     DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    -- When it ends; 0 for not at a time.
    until     DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    -- It ends when the function is seen in another version than this; '' for not with a version.
    version   String,
    reason    String CODEC(ZSTD(1)),
    -- False: somebody ended it.
    active    Bool
)
ENGINE = ReplacingMergeTree(muted)
ORDER BY (service, function)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1;
