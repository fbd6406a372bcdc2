"""The database's own guards: state machines, append-only history, rows that money hangs on.

The edges are web/payments/states.py as it was at this migration; tests/integration/payments/test_guards.py
keeps the two equal. When an edge is added there, a new migration replaces the trigger of that machine.
"""

from django.db import migrations

FUNCTIONS = """
CREATE FUNCTION paydesk_guard_state() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state IS DISTINCT FROM NEW.state AND NOT (OLD.state || '>' || NEW.state) = ANY (TG_ARGV) THEN
        RAISE EXCEPTION '%: % -> % is no edge of its state machine', TG_TABLE_NAME, OLD.state, NEW.state
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
    END IF;
    RETURN NEW;
END $$;
CREATE FUNCTION paydesk_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%: % is refused: this record is kept', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_NAME;
END $$;
"""

EDGES = {
    "payment": [
        "requested>unknown",
        "requested>awaiting",
        "requested>failed",
        "requested>cancelling",
        "requested>declined",
        "requested>processing",
        "requested>authorised",
        "requested>succeeded",
        "requested>cancelled",
        "requested>held",
        "unknown>awaiting",
        "unknown>failed",
        "unknown>cancelling",
        "unknown>declined",
        "unknown>processing",
        "unknown>authorised",
        "unknown>succeeded",
        "unknown>cancelled",
        "unknown>held",
        "awaiting>declined",
        "awaiting>processing",
        "awaiting>authorised",
        "awaiting>succeeded",
        "awaiting>cancelling",
        "awaiting>cancelled",
        "awaiting>held",
        "declined>awaiting",
        "declined>processing",
        "declined>authorised",
        "declined>succeeded",
        "declined>cancelling",
        "declined>cancelled",
        "declined>held",
        "processing>awaiting",
        "processing>declined",
        "processing>authorised",
        "processing>succeeded",
        "processing>cancelling",
        "processing>cancelled",
        "processing>held",
        "authorised>succeeded",
        "authorised>cancelling",
        "authorised>cancelled",
        "authorised>held",
        "cancelling>cancelled",
        "cancelling>succeeded",
        "cancelling>held",
        "cancelling>failed",
        "cancelled>succeeded",
        "cancelled>held",
        "failed>succeeded",
        "failed>held",
        "held>succeeded",
    ],
    "cart": [
        "open>frozen",
        "frozen>open",
    ],
    "refund": [
        "requested>submitting",
        "requested>cancelled",
        "requested>succeeded",
        "submitting>pending",
        "submitting>succeeded",
        "submitting>failed",
        "submitting>cancelled",
        "pending>succeeded",
        "pending>failed",
        "pending>cancelled",
        "succeeded>failed",
    ],
    "attempt": [
        "sent>unknown",
        "sent>succeeded",
        "sent>refused",
        "unknown>succeeded",
        "unknown>refused",
    ],
}

NEVER_DELETED = ("payment", "refund", "order", "orderline", "attempt", "receipt")
NEVER_CHANGED = ("paymentevent",)


def triggers() -> str:
    lines = []
    for machine, edges in EDGES.items():
        arguments = ", ".join(f"'{edge}'" for edge in edges)
        lines.append(
            f"CREATE TRIGGER {machine}_moves_along_its_edges BEFORE UPDATE OF state ON payments_{machine} "
            f"FOR EACH ROW EXECUTE FUNCTION paydesk_guard_state({arguments});"
        )
    for table in NEVER_DELETED + NEVER_CHANGED:
        lines.append(
            f"CREATE TRIGGER {table}_is_never_deleted BEFORE DELETE ON payments_{table} "
            "FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();"
        )
    for table in NEVER_CHANGED:
        lines.append(
            f"CREATE TRIGGER {table}_is_never_changed BEFORE UPDATE ON payments_{table} "
            "FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();"
        )
    return "\n".join(lines)


def undo() -> str:
    tables = [(f"{machine}_moves_along_its_edges", machine) for machine in EDGES]
    tables += [(f"{table}_is_never_deleted", table) for table in NEVER_DELETED + NEVER_CHANGED]
    tables += [(f"{table}_is_never_changed", table) for table in NEVER_CHANGED]
    drops = [f"DROP TRIGGER {name} ON payments_{table};" for name, table in tables]
    return "\n".join([*drops, "DROP FUNCTION paydesk_guard_state;", "DROP FUNCTION paydesk_refuse;"])


class Migration(migrations.Migration):
    dependencies = [("payments", "0001_ledger")]
    operations = [migrations.RunSQL(FUNCTIONS + triggers(), undo())]
