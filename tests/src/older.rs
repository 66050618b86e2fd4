//! What takes a schema back to the last version whose schema does not say which programs may write.

/// Of a SQLite database.
pub const SQLITE: &str = "\
    PRAGMA user_version = 14; DROP TABLE schema_writers; DROP TABLE known_addresses; \
    DROP TABLE run_labels; DROP INDEX runs_by_group; \
    ALTER TABLE runs DROP COLUMN group_id; ALTER TABLE runs DROP COLUMN labels; \
    ALTER TABLE kpi_progress DROP COLUMN revision; \
    ALTER TABLE kpi_progress DROP COLUMN invalidations; \
    ALTER TABLE fence DROP COLUMN corrections; \
    DROP INDEX runs_open_in_world; DROP INDEX runs_open; \
    ALTER TABLE runs DROP COLUMN host; ALTER TABLE runs DROP COLUMN world; \
    ALTER TABLE runs DROP COLUMN paused; ALTER TABLE runs DROP COLUMN gate_generation; \
    ALTER TABLE runs DROP COLUMN open_since; ALTER TABLE runs DROP COLUMN open_before_ms; \
    ALTER TABLE runs DROP COLUMN limits; ALTER TABLE runs DROP COLUMN limit_reached; \
    CREATE UNIQUE INDEX runs_one_open ON runs ((ended_at IS NULL)) WHERE ended_at IS NULL; \
    UPDATE control SET world_epoch = json_extract(worlds, '$.main'); \
    ALTER TABLE control DROP COLUMN worlds; \
    ALTER TABLE control ADD COLUMN gate_generation INTEGER NOT NULL DEFAULT 0; \
    UPDATE control SET gate_generation = generation; \
    ALTER TABLE epochs DROP COLUMN world; \
    ALTER TABLE hosts DROP COLUMN kind; ALTER TABLE hosts DROP COLUMN world; \
    ALTER TABLE hosts DROP COLUMN run_id; \
    ALTER TABLE hosts ADD COLUMN owns_world INTEGER NOT NULL DEFAULT 1; \
    ALTER TABLE audit DROP COLUMN run_id; \
    DROP TABLE budgets; DROP TABLE budget_use; ALTER TABLE fence DROP COLUMN budgets; \
    ALTER TABLE leases DROP COLUMN input_tokens; ALTER TABLE leases DROP COLUMN output_tokens; \
    ALTER TABLE members DROP COLUMN tokens; ALTER TABLE members DROP COLUMN sequence; \
    ALTER TABLE usage DROP COLUMN sent; ALTER TABLE usage DROP COLUMN over_reservation;";

/// Of a Postgres database.
pub const POSTGRES: &str = "\
    UPDATE simops_schema SET version = 13; ALTER TABLE simops_schema DROP COLUMN min_writer; \
    DROP TABLE known_addresses; DROP TABLE run_labels; \
    ALTER TABLE runs DROP COLUMN group_id, DROP COLUMN labels; \
    ALTER TABLE kpi_line DROP COLUMN revision; ALTER TABLE fence DROP COLUMN corrections; \
    DROP INDEX runs_open_in_world; DROP INDEX runs_open; \
    ALTER TABLE runs DROP COLUMN host, DROP COLUMN world, DROP COLUMN paused, \
        DROP COLUMN gate_generation, DROP COLUMN open_since, DROP COLUMN open_before_ms, \
        DROP COLUMN limits, DROP COLUMN limit_reached; \
    CREATE UNIQUE INDEX runs_one_open ON runs ((ended_at IS NULL)) WHERE ended_at IS NULL; \
    UPDATE control SET world_epoch = (worlds::json ->> 'main')::bigint; \
    ALTER TABLE control DROP COLUMN worlds, ADD COLUMN gate_generation BIGINT NOT NULL DEFAULT 0; \
    UPDATE control SET gate_generation = generation; \
    ALTER TABLE epochs DROP COLUMN world; \
    ALTER TABLE hosts DROP COLUMN kind, DROP COLUMN world, DROP COLUMN run_id, \
        ADD COLUMN owns_world BOOLEAN NOT NULL DEFAULT TRUE; \
    ALTER TABLE audit DROP COLUMN run_id; \
    DROP TABLE budgets; DROP TABLE budget_use; ALTER TABLE fence DROP COLUMN budgets; \
    ALTER TABLE leases DROP COLUMN input_tokens, DROP COLUMN output_tokens; \
    ALTER TABLE members DROP COLUMN tokens, DROP COLUMN sequence; \
    ALTER TABLE usage DROP COLUMN sent, DROP COLUMN over_reservation;";
