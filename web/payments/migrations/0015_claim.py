"""The claim of jobs as a function: planned once by each connection, and not anew for each claim.

Planning took two thirds of a claim. What it does is described in operations/backlog.py, which calls it. A change is a
function of another name (…_2), made beside this one: the previous release goes on calling its own.
"""

from django.db import migrations

# The plan is made without looking at values, and goes row by row through indexes: a connection that made its plan while
# the table was empty keeps it while a flood comes in. Limits it cannot see, it takes for a part of the table: what that
# seems to cost must not lead to compiling the plan at each claim.
FUNCTION = """
CREATE FUNCTION payments_claim_1(
    _queue text, _limit integer, _spare integer, _worker text, _served_by text, _now timestamptz, _is_capped boolean,
    _cap integer, _slow_cap integer, _slow_since timestamptz, _after bigint, _hops integer, _oldest integer,
    _leases jsonb
) RETURNS TABLE (
    job_id bigint, public_id uuid, name varchar, arguments text, fence bigint, attempts smallint, business_id bigint,
    account_id bigint, priority smallint, put_offs integer, due_at timestamptz, request_id varchar,
    traceparent varchar, ended_at bigint
) LANGUAGE plpgsql SET plan_cache_mode TO force_generic_plan SET enable_seqscan TO off
SET enable_hashjoin TO off SET enable_mergejoin TO off SET jit TO off AS $$
#variable_conflict use_column
BEGIN
    IF NOT EXISTS (SELECT FROM payments_job WHERE queue = _queue AND state = 'waiting' AND due_at <= _now)
       AND NOT EXISTS (SELECT FROM payments_job WHERE queue = _queue AND state = 'running' AND leased_until < _now)
    THEN
        RETURN QUERY SELECT NULL::bigint, NULL::uuid, NULL::varchar, NULL::text, NULL::bigint, NULL::smallint,
            NULL::bigint, NULL::bigint, NULL::smallint, NULL::integer, NULL::timestamptz, NULL::varchar,
            NULL::varchar, _after;
        RETURN;
    END IF;
    IF _is_capped THEN
        PERFORM pg_advisory_xact_lock(hashtextextended('paydesk claim ' || _queue, 0));
    END IF;
    RETURN QUERY
    WITH RECURSIVE hop(business_id, step, wrapped) AS (
        SELECT _after, 0, false
        UNION ALL
        SELECT next.business_id, hop.step + 1, hop.wrapped OR ahead.business_id IS NULL
        FROM hop CROSS JOIN LATERAL (
            SELECT (SELECT business_id FROM payments_job
                    WHERE queue = _queue AND state = 'waiting' AND business_id > hop.business_id
                          AND business_id <= CASE WHEN hop.wrapped THEN _after ELSE 9223372036854775807 END
                    ORDER BY business_id LIMIT 1) AS business_id
            OFFSET 0  -- looked up once, and the start of the index only where nobody is ahead
        ) AS ahead CROSS JOIN LATERAL (
            SELECT coalesce(ahead.business_id, CASE WHEN NOT hop.wrapped THEN (
                SELECT business_id FROM payments_job
                WHERE queue = _queue AND state = 'waiting' AND business_id <= _after
                ORDER BY business_id LIMIT 1) END) AS business_id
        ) AS next
        WHERE hop.step < _hops AND next.business_id IS NOT NULL
    ), waiting AS MATERIALIZED (
        SELECT business_id FROM hop WHERE step > 0
        UNION
        (SELECT business_id FROM payments_job
         WHERE queue = _queue AND state = 'waiting' AND priority = 0 AND due_at <= _now
         ORDER BY due_at LIMIT _oldest)
        UNION
        (SELECT business_id FROM payments_job
         WHERE queue = _queue AND state = 'waiting' AND due_at <= _now ORDER BY due_at LIMIT _oldest)
    ), in_flight AS (
        SELECT business_id, count(*) AS number, bool_or(started_at < _slow_since) AS is_slow
        FROM payments_job
        WHERE queue = _queue AND state = 'running' AND leased_until >= _now GROUP BY business_id
    ), candidates AS MATERIALIZED (
        SELECT job.id, job.priority, job.due_at,
               coalesce(in_flight.number, 0)
               + row_number() OVER (PARTITION BY job.business_id ORDER BY job.priority, job.due_at, job.id) AS turn
        FROM waiting
        LEFT JOIN in_flight USING (business_id)
        CROSS JOIN LATERAL (
            SELECT id, business_id, priority, due_at FROM payments_job
            WHERE queue = _queue AND state = 'waiting' AND business_id = waiting.business_id
                  AND due_at <= _now
            ORDER BY priority, due_at, id
            LIMIT greatest(0, least(_spare, CASE WHEN in_flight.is_slow THEN _slow_cap ELSE _cap END
                                               - coalesce(in_flight.number, 0)))
        ) AS job
    ), expired AS MATERIALIZED (
        SELECT id FROM payments_job
        WHERE queue = _queue AND state = 'running' AND leased_until < _now
        ORDER BY leased_until LIMIT _spare
    ), chosen AS MATERIALIZED (
        SELECT id, row_number() OVER (ORDER BY priority, turn, due_at) AS place FROM (
            SELECT id, -1 AS priority, 0 AS turn, _now AS due_at FROM expired
            UNION ALL SELECT id, priority, turn, due_at FROM candidates
        ) AS everything
        ORDER BY priority, turn, due_at LIMIT _spare
    ), locked AS MATERIALIZED (
        SELECT job.id FROM payments_job AS job JOIN chosen USING (id)
        WHERE ((job.state = 'waiting' AND job.due_at <= _now)
               OR (job.state = 'running' AND job.leased_until < _now))
          AND NOT EXISTS (SELECT 1 FROM payments_queuepause WHERE queue = _queue)
          AND NOT EXISTS (SELECT 1 FROM payments_workerdrain WHERE worker = _served_by)
        ORDER BY chosen.place LIMIT _limit
        FOR NO KEY UPDATE OF job SKIP LOCKED
    ), taken AS (
        UPDATE payments_job AS job
        SET state = 'running', fence = job.fence + 1, attempts = job.attempts + 1, worker = _worker,
            started_at = _now,
            leased_until = _now + make_interval(secs => (_leases ->> job.name)::double precision)
        FROM locked WHERE job.id = locked.id
        RETURNING job.id, job.public_id, job.name, job.arguments::text, job.fence, job.attempts, job.business_id,
                  job.account_id, job.priority, job.put_offs, job.due_at, job.request_id, job.traceparent
    )
    SELECT taken.*, NULL::bigint FROM taken
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
           (SELECT hop.business_id FROM hop ORDER BY step DESC LIMIT 1);
END
$$;
"""


class Migration(migrations.Migration):
    dependencies = [("payments", "0014_programs")]
    operations = [migrations.RunSQL(FUNCTION, "DROP FUNCTION payments_claim_1")]
    is_safe_because = "it makes a function that the previous release does not know"
