-- Rows of a rule's test.
INSERT INTO {table:Identifier} FORMAT JSONEachRow
