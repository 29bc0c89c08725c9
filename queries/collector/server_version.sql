-- The server's version, which also shows that it is there and lets us in.
SELECT version()
