-- The newest migration that the database has had; 0 when none.
SELECT max(version) FROM schema_migrations
