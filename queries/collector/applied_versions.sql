-- The migrations that the database has had.
SELECT DISTINCT version FROM schema_migrations ORDER BY version
