-- The least version of the schema that a program must know to write. The number of the last migration is
-- the database's user_version.
CREATE TABLE schema_writers (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    min_writer INTEGER NOT NULL
) STRICT;
INSERT INTO schema_writers VALUES (1, 0);
