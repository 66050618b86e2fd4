-- Drops the partitions of all days before a date and keeps the aggregates of their rows:
--
--   psql "$DATABASE_URL" -v log=events -v before=2026-01-01 -f deploy/postgres/drop-days.sql
--
-- `log` is events, usage or kpi_events. Like `simops-cli prune`, but without deleting row by row. Use
-- `simops-cli prune` instead while an old run is open or for days that must be kept (35 for usage, 91 for
-- kpi_events): it keeps the required rows.
\set ON_ERROR_STOP on
SET timezone = 'UTC';
BEGIN;
SELECT set_config('simops.log', :'log', true), set_config('simops.before', :'before', true);
-- Takes the locks of the writers, so that counts of calls and visits wait for this transaction.
SELECT generation FROM fence FOR UPDATE;
SELECT id FROM kpi_line FOR UPDATE;
DO $$
DECLARE
    whole CONSTANT TEXT := current_setting('simops.log');
    before CONSTANT DATE := current_setting('simops.before');
    needed CONSTANT INTEGER := CASE whole
        WHEN 'events' THEN 1 WHEN 'usage' THEN 35 WHEN 'kpi_events' THEN 91 END;
    part TEXT;
BEGIN
    IF needed IS NULL THEN
        RAISE EXCEPTION 'log must be events, usage or kpi_events';
    END IF;
    IF before > now()::date - needed THEN
        RAISE EXCEPTION 'the last % days of % are needed', needed, whole;
    END IF;
    FOR part IN
        SELECT inhrelid::regclass::text FROM pg_inherits
        WHERE inhparent = whole::regclass
            AND inhrelid::regclass::text < whole || to_char(before, '_YYYY_MM_DD')
            AND inhrelid::regclass::text ~ '_[0-9]{4}_[0-9]{2}_[0-9]{2}$'
        ORDER BY 1
    LOOP
        IF whole = 'usage' THEN
            EXECUTE format('INSERT INTO usage_pruned AS kept (day, run_id, calls_total,
                    calls_openrouter_free, calls_groq, calls_gemini, calls_unpriced, cost,
                    success_calls, fallback_calls, total_tokens)
                SELECT day, coalesce(run_id, %L), count(*),
                    count(*) FILTER (WHERE model_requested LIKE %L),
                    count(*) FILTER (WHERE provider = %L), count(*) FILTER (WHERE provider = %L),
                    count(*) FILTER (WHERE NOT priced), least(sum(cost), 9223372036854775807)::bigint,
                    count(*) FILTER (WHERE success), count(*) FILTER (WHERE fallback_used),
                    least(sum(least(input_tokens::numeric + output_tokens, 9223372036854775807)),
                        9223372036854775807)::bigint
                FROM %I GROUP BY day, coalesce(run_id, %L)
                ON CONFLICT (day, run_id) DO UPDATE SET
                    calls_total = kept.calls_total + excluded.calls_total,
                    calls_openrouter_free =
                        kept.calls_openrouter_free + excluded.calls_openrouter_free,
                    calls_groq = kept.calls_groq + excluded.calls_groq,
                    calls_gemini = kept.calls_gemini + excluded.calls_gemini,
                    calls_unpriced = kept.calls_unpriced + excluded.calls_unpriced,
                    cost = least(kept.cost::numeric + excluded.cost, 9223372036854775807)::bigint,
                    success_calls = kept.success_calls + excluded.success_calls,
                    fallback_calls = kept.fallback_calls + excluded.fallback_calls,
                    total_tokens = least(kept.total_tokens::numeric + excluded.total_tokens,
                        9223372036854775807)::bigint',
                '', '%:free', 'groq', 'gemini', part, '');
        ELSIF whole = 'kpi_events' THEN
            EXECUTE format('INSERT INTO kpi_pruned AS kept (day, kind, events)
                SELECT occurred_at::date, kind, count(*) FROM %I GROUP BY 1, 2
                ON CONFLICT (day, kind) DO UPDATE SET events = kept.events + excluded.events', part);
        END IF;
        EXECUTE format('DROP TABLE %I', part);
        RAISE NOTICE 'dropped %', part;
    END LOOP;
END $$;
COMMIT;
