-- The least version of the schema that a program must know to write.
ALTER TABLE simops_schema ADD COLUMN min_writer INTEGER NOT NULL DEFAULT 0;
