"""All tables of the payments app as one step: what a new installation runs instead of the fourteen it replaces.

The database's own guards stand at its end: state machines, append-only history, rows that money hangs on, sums that
are checked when a transaction commits. The edges are web/payments/states.py as it was at this migration;
tests/integration/payments/test_guards.py keeps the two equal. When an edge is added there, a new migration replaces
the trigger of that machine.
"""

import uuid
from typing import Any

import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models
from django.db.migrations.operations.base import Operation
from django.db.migrations.state import ProjectState

import web.core.tracing
import web.payments.models.base
import web.payments.models.order
import web.payments.models.settings

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

CREATE FUNCTION paydesk_guard_refund_sums() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    subject bigint := CASE WHEN TG_TABLE_NAME = 'payments_payment' THEN (to_jsonb(NEW) ->> 'id')::bigint
                           ELSE (to_jsonb(NEW) ->> 'payment_id')::bigint END;
BEGIN
    IF EXISTS (
        SELECT 1 FROM payments_payment AS payment
        CROSS JOIN LATERAL (
            SELECT coalesce(sum(amount_minor) FILTER (WHERE state NOT IN ('failed', 'cancelled')), 0) AS reserved,
                   coalesce(sum(amount_minor) FILTER (WHERE state = 'succeeded'), 0) AS returned
            FROM payments_refund WHERE payment_id = payment.id
        ) AS refunds
        WHERE payment.id = subject
          AND (payment.refunded_minor + payment.refunded_beyond_minor <> refunds.reserved
               OR payment.returned_minor <> refunds.returned)
    ) THEN
        RAISE EXCEPTION 'payment %: its refunds do not add up to what it says', subject
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
    END IF;
    RETURN NULL;
END $$;
-- An entry moves its balance, and must say by itself what comes out: number, amount and what is set aside.
CREATE FUNCTION paydesk_ledger_entry() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE after payments_ledgerbalance%ROWTYPE;
BEGIN
    UPDATE payments_ledgerbalance
       SET amount = amount + NEW.amount, reserved = reserved + NEW.reserved, entries = entries + 1
     WHERE id = NEW.balance_id RETURNING * INTO after;
    IF (NEW.number, NEW.amount_after, NEW.reserved_after, NEW.business_id)
        IS DISTINCT FROM (after.entries, after.amount, after.reserved, after.business_id) THEN
        RAISE EXCEPTION 'ledger entry % of balance % does not continue the one before it', NEW.number, NEW.balance_id
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
    END IF;
    RETURN NEW;
END $$;
-- A balance starts at nothing and is moved by its entries alone: only from inside their trigger.
CREATE FUNCTION paydesk_ledger_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        IF (NEW.amount, NEW.reserved, NEW.entries) = (0, 0, 0) THEN
            RETURN NEW;
        END IF;
    ELSIF (NEW.ledger, NEW.currency, NEW.business_id) = (OLD.ledger, OLD.currency, OLD.business_id)
        AND (NEW.customer_id IS NULL OR NEW.customer_id = OLD.customer_id)
        AND ((NEW.amount, NEW.reserved, NEW.entries) = (OLD.amount, OLD.reserved, OLD.entries)
             OR pg_trigger_depth() > 1) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'balance % changes by its entries and in no other way', NEW.id
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
END $$;
-- Of a lot nothing changes but how much has gone from it.
CREATE FUNCTION paydesk_ledger_lot() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.balance_id, NEW.entry_id, NEW.amount) <> (OLD.balance_id, OLD.entry_id, OLD.amount)
        OR NEW.expires_at IS DISTINCT FROM OLD.expires_at THEN
        RAISE EXCEPTION 'lot % is as it came', NEW.id USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
    END IF;
    RETURN NEW;
END $$;
-- When the transaction ends, what is free lies in the lots, to the last unit.
CREATE FUNCTION paydesk_ledger_lots_match() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    of_balance bigint := CASE WHEN TG_TABLE_NAME = 'payments_ledgerlot'
                              THEN (to_jsonb(NEW) ->> 'balance_id')::bigint ELSE NEW.id END;
    free bigint;
    in_lots bigint;
BEGIN
    SELECT amount - reserved INTO free FROM payments_ledgerbalance WHERE id = of_balance;
    SELECT COALESCE(sum(amount - taken), 0) INTO in_lots
      FROM payments_ledgerlot WHERE balance_id = of_balance AND taken < amount;
    IF free IS DISTINCT FROM in_lots THEN
        RAISE EXCEPTION 'balance %: % is free, % lies in its lots', of_balance, free, in_lots
            USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION paydesk_order_words(business bigint, name text, email text, number text)
RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_to_tsvector(array_remove(string_to_array(
        '~' || business || ' ' || lower(translate(name || ' ' || email || ' ' || number,
                                                  '@.,;:_-+''"()/\\', '              ')), ' '), ''))
$$;
CREATE INDEX order_words ON payments_order
    USING gin (paydesk_order_words(business_id, customer_name, customer_email, number)) WITH (fastupdate = off);
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
        "reserved>succeeded",
        "reserved>cancelled",
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
        "submitting>unknown",
        "unknown>pending",
        "unknown>succeeded",
        "unknown>failed",
        "unknown>cancelled",
    ],
    "attempt": [
        "sent>unknown",
        "sent>succeeded",
        "sent>refused",
        "unknown>succeeded",
        "unknown>refused",
    ],
    "readeraction": [
        "queued>sending",
        "queued>cancelled",
        "queued>succeeded",
        "queued>failed",
        "sending>waiting",
        "sending>processing",
        "sending>checking",
        "sending>cancelling",
        "sending>succeeded",
        "sending>failed",
        "sending>cancelled",
        "waiting>processing",
        "waiting>checking",
        "waiting>cancelling",
        "waiting>succeeded",
        "waiting>failed",
        "processing>waiting",
        "processing>checking",
        "processing>cancelling",
        "processing>succeeded",
        "processing>failed",
        "checking>sending",
        "checking>waiting",
        "checking>processing",
        "checking>cancelling",
        "checking>succeeded",
        "checking>failed",
        "cancelling>cancelled",
        "cancelling>succeeded",
        "cancelling>failed",
    ],
    "cardsetup": [
        "requested>awaiting",
        "requested>failed",
        "requested>succeeded",
        "awaiting>succeeded",
        "awaiting>failed",
    ],
}

NEVER_DELETED = (
    "payment",
    "refund",
    "order",
    "orderline",
    "attempt",
    "receipt",
    "refundline",
    "dispute",
    "bulkrefund",
    "bulkrefundorder",
    "readeraction",
    "reader",
    "ledgerentry",
    "ledgerbalance",
    "ledgerlot",
    "payout",
    "balanceentry",
)
# Neither deleted nor changed.
HISTORY = ("paymentevent", "auditentry", "closeout", "closeoutline", "operatoraction")

# Refunds: looked at when the transaction commits, for the refund and its payment change in two statements.
SUMS = """
CREATE CONSTRAINT TRIGGER refunds_add_up_to_their_payment AFTER INSERT OR UPDATE ON payments_refund
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION paydesk_guard_refund_sums();
CREATE CONSTRAINT TRIGGER a_payment_is_the_sum_of_its_refunds AFTER UPDATE ON payments_payment
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.refunded_minor IS DISTINCT FROM NEW.refunded_minor
          OR OLD.refunded_beyond_minor IS DISTINCT FROM NEW.refunded_beyond_minor
          OR OLD.returned_minor IS DISTINCT FROM NEW.returned_minor)
    EXECUTE FUNCTION paydesk_guard_refund_sums();
-- Everything but the reason: people write names into it, and a person's data goes when they ask for it.
CREATE TRIGGER ledgerentry_is_never_changed BEFORE UPDATE OF balance_id, business_id, number, kind, amount, reserved,
    amount_after, reserved_after, actor, payment_id, order_line_id, refund_id, form_token, lots, at
    ON payments_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();
CREATE TRIGGER an_entry_continues_the_one_before_it BEFORE INSERT ON payments_ledgerentry
    FOR EACH ROW EXECUTE FUNCTION paydesk_ledger_entry();
CREATE TRIGGER a_balance_changes_by_its_entries BEFORE INSERT OR UPDATE ON payments_ledgerbalance
    FOR EACH ROW EXECUTE FUNCTION paydesk_ledger_balance();
CREATE TRIGGER a_lot_stays_as_it_came BEFORE UPDATE ON payments_ledgerlot
    FOR EACH ROW EXECUTE FUNCTION paydesk_ledger_lot();
CREATE CONSTRAINT TRIGGER what_is_free_lies_in_lots AFTER INSERT OR UPDATE ON payments_ledgerlot
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION paydesk_ledger_lots_match();
CREATE CONSTRAINT TRIGGER what_is_free_lies_in_lots AFTER INSERT OR UPDATE ON payments_ledgerbalance
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION paydesk_ledger_lots_match();
"""


def triggers() -> str:
    lines = []
    for machine, edges in EDGES.items():
        arguments = ", ".join(f"'{edge}'" for edge in edges)
        lines.append(
            f"CREATE TRIGGER {machine}_moves_along_its_edges BEFORE UPDATE OF state ON payments_{machine} "
            f"FOR EACH ROW EXECUTE FUNCTION paydesk_guard_state({arguments});"
        )
    kept = [(table, "DELETE", "deleted") for table in NEVER_DELETED + HISTORY]
    kept += [(table, "UPDATE", "changed") for table in HISTORY]
    lines += [
        f"CREATE TRIGGER {table}_is_never_{word} BEFORE {event} ON payments_{table} "
        "FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();"
        for table, event, word in kept
    ]
    return "\n".join(lines)


# With a function go its triggers and the index that calls it.
UNDO = """
DROP FUNCTION paydesk_guard_state, paydesk_refuse, paydesk_guard_refund_sums, paydesk_ledger_entry,
    paydesk_ledger_balance, paydesk_ledger_lot, paydesk_ledger_lots_match, paydesk_order_words CASCADE;
"""


class CreateTables(Operation):
    """Create tables that refer to each other as one step.

    After each of fifty single steps Django would draw up every model that is related to the new one again, which is
    nearly all of them: that took three quarters of an installation's time.
    """

    def __init__(self, tables: list[migrations.CreateModel]) -> None:
        self.tables = tables

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        state.clear_delayed_apps_cache()
        state.__dict__.pop("apps", None)  # drawn up once, when it is asked for next
        for table in self.tables:
            table.state_forwards(app_label, state)

    def database_forwards(
        self, app_label: str, schema_editor: Any, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        for table in self.tables:
            table.database_forwards(app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self, app_label: str, schema_editor: Any, from_state: ProjectState, to_state: ProjectState
    ) -> None:
        for table in reversed(self.tables):
            table.database_backwards(app_label, schema_editor, from_state, to_state)

    def describe(self) -> str:
        return f"Create {len(self.tables)} tables"


class Migration(migrations.Migration):
    initial = True

    replaces = [
        ("payments", "0001_ledger"),
        ("payments", "0002_guards"),
        ("payments", "0003_giving_back"),
        ("payments", "0004_watch"),
        ("payments", "0005_readers"),
        ("payments", "0006_ledgers"),
        ("payments", "0007_after_the_sale"),
        ("payments", "0008_cards"),
        ("payments", "0009_on_call"),
        ("payments", "0010_keeping"),
        ("payments", "0011_after_the_sale_again"),
        ("payments", "0012_at_the_reader"),
        ("payments", "0013_refund_limit"),
        ("payments", "0014_programs"),
    ]

    dependencies = [("core", "0005_second_factor")]

    operations = [
        CreateTables(
            [
                migrations.CreateModel(
                    name="QueuePause",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("queue", models.CharField(max_length=20, unique=True)),
                        ("reason", models.CharField(max_length=200)),
                        ("actor", models.CharField(max_length=40)),
                        ("paused_at", models.DateTimeField()),
                    ],
                ),
                migrations.CreateModel(
                    name="WorkerDrain",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("worker", models.CharField(max_length=100, unique=True)),
                        ("reason", models.CharField(max_length=200)),
                        ("actor", models.CharField(max_length=40)),
                        ("asked_at", models.DateTimeField()),
                    ],
                ),
                migrations.CreateModel(
                    name="ApiToken",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("name", models.CharField(max_length=60)),
                        ("prefix", models.CharField(max_length=16)),
                        ("secret_hash", models.CharField(max_length=64, unique=True)),
                        ("scopes", models.JSONField(default=list)),
                        ("created_at", models.DateTimeField()),
                        ("expires_at", models.DateTimeField(null=True)),
                        ("revoked_at", models.DateTimeField(null=True)),
                        ("used_at", models.DateTimeField(null=True)),
                        ("minute_at", models.DateTimeField(null=True)),
                        ("calls", models.PositiveIntegerField(default=0)),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="api_tokens",
                                to="core.business",
                            ),
                        ),
                        (
                            "created_by",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="core.profile",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-id"],
                    },
                ),
                migrations.CreateModel(
                    name="BulkRefund",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                        ("item_name", models.CharField(max_length=200)),
                        ("reason", models.CharField(max_length=500)),
                        ("form_token", models.CharField(max_length=64)),
                        ("created_at", models.DateTimeField()),
                        ("finished_at", models.DateTimeField(null=True)),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="bulk_refunds",
                                to="core.business",
                            ),
                        ),
                        (
                            "created_by",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="core.profile",
                            ),
                        ),
                        (
                            "item",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="core.item"
                            ),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("business", "form_token"), name="a_form_makes_one_bulk_refund"
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="CardSetup",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                        ("form_token", models.CharField(max_length=64)),
                        (
                            "state",
                            models.CharField(
                                choices=[
                                    ("requested", "Requested"),
                                    ("awaiting", "Waiting for the card"),
                                    ("succeeded", "Saved"),
                                    ("failed", "Not saved"),
                                ],
                                default="requested",
                                max_length=12,
                            ),
                        ),
                        ("state_changed_at", models.DateTimeField()),
                        ("setup_intent_id", models.CharField(max_length=64, null=True)),
                        ("client_secret_sealed", models.TextField(blank=True)),
                        ("failure_code", models.CharField(blank=True, max_length=60)),
                        ("consented_at", models.DateTimeField()),
                        ("consent", models.TextField()),
                        ("created_at", models.DateTimeField()),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="core.business",
                            ),
                        ),
                        (
                            "profile",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="card_setups",
                                to="core.profile",
                            ),
                        ),
                        (
                            "account",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("business", "form_token"), name="a_form_saves_one_card"
                            ),
                            models.UniqueConstraint(
                                fields=("account", "setup_intent_id"),
                                name="a_setup_intent_belongs_to_one_setup",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("state__in", ["requested", "awaiting"]),
                                    ("client_secret_sealed", ""),
                                    _connector="OR",
                                ),
                                name="a_final_setup_keeps_no_client_secret",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Card",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                        ("stripe_customer_id", models.CharField(max_length=64)),
                        ("payment_method_id", models.CharField(max_length=64)),
                        ("brand", models.CharField(max_length=20)),
                        ("last4", models.CharField(max_length=4)),
                        ("expires_year", models.PositiveSmallIntegerField()),
                        ("expires_month", models.PositiveSmallIntegerField()),
                        ("is_default", models.BooleanField(default=False)),
                        ("removed_at", models.DateTimeField(null=True)),
                        ("created_at", models.DateTimeField()),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="cards",
                                to="core.business",
                            ),
                        ),
                        (
                            "profile",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="cards",
                                to="core.profile",
                            ),
                        ),
                        (
                            "setup",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.RESTRICT,
                                related_name="card",
                                to="payments.cardsetup",
                            ),
                        ),
                        (
                            "account",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="cards",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                    options={
                        "verbose_name": "card",
                        "ordering": ["-is_default", "-id"],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("account", "payment_method_id"), name="a_card_is_saved_once"
                            ),
                            models.UniqueConstraint(
                                condition=models.Q(("is_default", True)),
                                fields=("profile",),
                                name="a_person_has_one_default_card",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("is_default", False), ("removed_at__isnull", True), _connector="OR"
                                ),
                                name="a_removed_card_is_no_default",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Cart",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("reference", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                        (
                            "token",
                            models.CharField(
                                default=web.payments.models.base.new_token,
                                editable=False,
                                max_length=40,
                                unique=True,
                            ),
                        ),
                        ("guest_name", models.CharField(blank=True, max_length=200)),
                        ("guest_email", models.EmailField(blank=True, max_length=254)),
                        ("language", models.CharField(default="en", max_length=5)),
                        ("currency", models.CharField(max_length=3)),
                        (
                            "state",
                            models.CharField(
                                choices=[("open", "Open"), ("frozen", "Being paid")],
                                default="open",
                                max_length=10,
                            ),
                        ),
                        ("state_changed_at", models.DateTimeField()),
                        ("tip_percent", models.PositiveSmallIntegerField(null=True)),
                        ("tip_minor", models.BigIntegerField(default=0)),
                        ("discount_percent", models.DecimalField(decimal_places=2, max_digits=5, null=True)),
                        ("discount_minor", models.BigIntegerField(default=0)),
                        ("discount_reason", models.CharField(blank=True, max_length=200)),
                        ("uses_balance", models.BooleanField(default=False)),
                        ("uses_credits", models.BooleanField(default=False)),
                        ("pays_on_arrival_at", models.DateTimeField(null=True)),
                        ("frozen_total_minor", models.BigIntegerField(null=True)),
                        ("frozen_quote", models.JSONField(null=True)),
                        ("committed_minor", models.BigIntegerField(default=0)),
                        ("created_at", models.DateTimeField()),
                        ("updated_at", models.DateTimeField(auto_now=True)),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="carts",
                                to="core.business",
                            ),
                        ),
                        (
                            "created_by",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="core.profile",
                            ),
                        ),
                        (
                            "customer",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="carts",
                                to="core.profile",
                            ),
                        ),
                        (
                            "location",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="carts",
                                to="core.location",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(fields=["business", "customer"], name="cart_of_customer"),
                            models.Index(
                                condition=models.Q(("pays_on_arrival_at__isnull", False)),
                                fields=["business", "pays_on_arrival_at"],
                                name="cart_paid_on_arrival",
                            ),
                        ],
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(("currency__regex", "^[a-z]{3}$")),
                                name="a_cart_has_a_lower_case_currency",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("committed_minor__gte", 0),
                                    models.Q(
                                        ("committed_minor", 0),
                                        ("committed_minor__lte", models.F("frozen_total_minor")),
                                        _connector="OR",
                                    ),
                                ),
                                name="payments_never_exceed_the_frozen_total",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("frozen_total_minor__isnull", False), ("state", "frozen")),
                                    models.Q(
                                        ("committed_minor", 0),
                                        ("frozen_total_minor__isnull", True),
                                        ("state", "open"),
                                    ),
                                    _connector="OR",
                                ),
                                name="a_cart_is_frozen_with_its_total",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("tip_minor__gte", 0), ("discount_minor__gte", 0)),
                                name="a_cart_takes_no_negative_amounts",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("discount_percent__isnull", True),
                                    models.Q(
                                        ("discount_minor", 0),
                                        ("discount_percent__gt", 0),
                                        ("discount_percent__lte", 100),
                                    ),
                                    _connector="OR",
                                ),
                                name="a_discount_is_a_percentage_or_an_amount",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("discount_minor", 0), ("discount_percent__isnull", True)),
                                    models.Q(("discount_reason", ""), _negated=True),
                                    _connector="OR",
                                ),
                                name="a_discount_has_a_reason",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="CartLine",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "item_type",
                            models.CharField(
                                choices=[
                                    ("service_pass", "Service pass"),
                                    ("rental", "Rental"),
                                    ("merchandise", "Merchandise"),
                                    ("miscellaneous", "Miscellaneous"),
                                    ("gift_card", "Gift card"),
                                    ("service_registration", "Service registration"),
                                    ("digital_good", "Digital good"),
                                    ("appointment", "Appointment"),
                                ],
                                max_length=24,
                            ),
                        ),
                        ("description", models.CharField(max_length=200)),
                        ("unit_price_minor", models.BigIntegerField()),
                        (
                            "quantity",
                            models.PositiveSmallIntegerField(
                                validators=[
                                    django.core.validators.MinValueValidator(1),
                                    django.core.validators.MaxValueValidator(999),
                                ]
                            ),
                        ),
                        ("gives_minor", models.BigIntegerField(default=0)),
                        ("gives_credits", models.PositiveIntegerField(default=0)),
                        ("gives_days", models.PositiveIntegerField(null=True)),
                        ("credit_price", models.PositiveSmallIntegerField(default=0)),
                        (
                            "cart",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="lines",
                                to="payments.cart",
                            ),
                        ),
                        (
                            "item",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="core.item"
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["id"],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("cart", "item"), name="an_item_has_one_line_in_a_cart"
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("quantity__gte", 1), ("quantity__lte", 999)),
                                name="a_line_has_a_sane_quantity",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("unit_price_minor__gte", 0)),
                                name="a_line_has_no_negative_price",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="LedgerBalance",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "ledger",
                            models.CharField(
                                choices=[("money", "Account balance"), ("credits", "Service credits")],
                                max_length=8,
                            ),
                        ),
                        ("currency", models.CharField(blank=True, max_length=3)),
                        ("amount", models.BigIntegerField(default=0)),
                        ("reserved", models.BigIntegerField(default=0)),
                        ("entries", models.PositiveIntegerField(default=0)),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="balances",
                                to="core.business",
                            ),
                        ),
                        (
                            "customer",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="balances",
                                to="core.profile",
                            ),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("customer", "ledger", "currency"),
                                name="a_customer_has_one_balance_per_currency",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("amount__gte", 0)), name="a_balance_is_never_below_zero"
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("reserved__gte", 0), ("reserved__lte", models.F("amount"))
                                ),
                                name="no_more_is_set_aside_than_there_is",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("currency__regex", "^[a-z]{3}$"), ("ledger", "money")),
                                    models.Q(("currency", ""), ("ledger", "credits")),
                                    _connector="OR",
                                ),
                                name="money_has_a_currency_and_credits_have_none",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="LedgerEntry",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("number", models.PositiveIntegerField()),
                        (
                            "kind",
                            models.CharField(
                                choices=[
                                    ("adjusted", "Adjusted"),
                                    ("sold", "Bought"),
                                    ("credited", "Credited by refund"),
                                    ("reserved", "Set aside"),
                                    ("released", "Given back"),
                                    ("spent", "Spent"),
                                    ("taken_back", "Taken back"),
                                    ("expired", "Expired"),
                                ],
                                max_length=12,
                            ),
                        ),
                        ("amount", models.BigIntegerField(default=0)),
                        ("reserved", models.BigIntegerField(default=0)),
                        ("amount_after", models.BigIntegerField()),
                        ("reserved_after", models.BigIntegerField()),
                        ("reason", models.CharField(blank=True, max_length=500)),
                        ("actor", models.CharField(max_length=40)),
                        ("form_token", models.CharField(max_length=64, null=True)),
                        ("lots", models.JSONField(default=dict)),
                        ("at", models.DateTimeField()),
                        (
                            "balance",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="lines",
                                to="payments.ledgerbalance",
                            ),
                        ),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="core.business",
                            ),
                        ),
                        (
                            "order_line",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="ledger_entries",
                                to="payments.orderline",
                            ),
                        ),
                        (
                            "payment",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="ledger_entries",
                                to="payments.payment",
                            ),
                        ),
                        (
                            "refund",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="ledger_entries",
                                to="payments.refund",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["balance_id", "number"],
                        "indexes": [models.Index(fields=["order_line"], name="entry_of_order_line")],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("balance", "number"), name="a_ledger_is_counted_without_gaps"
                            ),
                            models.UniqueConstraint(
                                fields=("business", "form_token"), name="a_form_makes_one_adjustment"
                            ),
                            models.UniqueConstraint(
                                fields=("payment", "kind"),
                                name="a_payment_sets_aside_and_spends_or_gives_back_once",
                            ),
                            models.UniqueConstraint(
                                condition=models.Q(("kind__in", ["spent", "released"])),
                                fields=("payment",),
                                name="what_is_spent_is_not_given_back",
                            ),
                            models.UniqueConstraint(
                                condition=models.Q(("kind", "sold")),
                                fields=("order_line",),
                                name="a_line_is_credited_once",
                            ),
                            models.UniqueConstraint(
                                condition=models.Q(("kind", "credited")),
                                fields=("refund",),
                                name="a_refund_is_credited_once",
                            ),
                            models.UniqueConstraint(
                                condition=models.Q(("kind", "taken_back")),
                                fields=("refund", "order_line"),
                                name="a_refund_takes_back_from_a_line_once",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(
                                        ("amount__gt", 0), ("kind__in", ["sold", "credited"]), ("reserved", 0)
                                    ),
                                    models.Q(
                                        ("amount__lt", 0),
                                        ("kind__in", ["taken_back", "expired"]),
                                        ("reserved", 0),
                                    ),
                                    models.Q(
                                        ("kind", "adjusted"),
                                        ("reserved", 0),
                                        models.Q(("amount", 0), _negated=True),
                                    ),
                                    models.Q(("amount", 0), ("kind", "reserved"), ("reserved__gt", 0)),
                                    models.Q(("amount", 0), ("kind", "released"), ("reserved__lt", 0)),
                                    models.Q(
                                        ("amount__lt", 0), ("kind", "spent"), ("reserved", models.F("amount"))
                                    ),
                                    _connector="OR",
                                ),
                                name="an_entry_changes_what_its_kind_says",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(
                                        ("kind__in", ["reserved", "released", "spent"]),
                                        ("payment__isnull", False),
                                    ),
                                    models.Q(("kind", "sold"), ("order_line__isnull", False)),
                                    models.Q(
                                        ("kind__in", ["credited", "taken_back"]), ("refund__isnull", False)
                                    ),
                                    models.Q(("kind", "adjusted"), models.Q(("reason", ""), _negated=True)),
                                    ("kind", "expired"),
                                    _connector="OR",
                                ),
                                name="an_entry_says_where_it_comes_from",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="LedgerLot",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("amount", models.BigIntegerField()),
                        ("taken", models.BigIntegerField(default=0)),
                        ("expires_at", models.DateTimeField(null=True)),
                        (
                            "balance",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="lots",
                                to="payments.ledgerbalance",
                            ),
                        ),
                        (
                            "entry",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="lot",
                                to="payments.ledgerentry",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(
                                condition=models.Q(("taken__lt", models.F("amount"))),
                                fields=["balance"],
                                name="lot_with_something_left",
                            ),
                            models.Index(
                                condition=models.Q(
                                    ("expires_at__isnull", False), ("taken__lt", models.F("amount"))
                                ),
                                fields=["expires_at"],
                                name="lot_that_ends",
                            ),
                        ],
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("amount__gt", 0), ("taken__gte", 0), ("taken__lte", models.F("amount"))
                                ),
                                name="no_more_goes_from_a_lot_than_came",
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Order",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "number",
                            models.CharField(
                                default=web.payments.models.order.new_order_number, max_length=9
                            ),
                        ),
                        ("cart_reference", models.UUIDField()),
                        (
                            "token",
                            models.CharField(
                                default=web.payments.models.base.new_token, max_length=40, unique=True
                            ),
                        ),
                        ("customer_name", models.CharField(blank=True, max_length=200)),
                        ("customer_email", models.EmailField(blank=True, max_length=254)),
                        ("language", models.CharField(default="en", max_length=5)),
                        ("currency", models.CharField(max_length=3)),
                        ("subtotal_minor", models.BigIntegerField()),
                        ("discount_minor", models.BigIntegerField()),
                        ("discount_reason", models.CharField(blank=True, db_default="", max_length=200)),
                        ("sales_tax_name", models.CharField(blank=True, max_length=60)),
                        ("sales_tax_rate", models.DecimalField(decimal_places=4, default=0, max_digits=7)),
                        ("sales_tax_minor", models.BigIntegerField()),
                        ("additional_tax_name", models.CharField(blank=True, max_length=60)),
                        (
                            "additional_tax_rate",
                            models.DecimalField(decimal_places=4, default=0, max_digits=7),
                        ),
                        ("additional_tax_minor", models.BigIntegerField()),
                        ("tip_minor", models.BigIntegerField()),
                        ("total_minor", models.BigIntegerField()),
                        ("created_at", models.DateTimeField()),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="orders",
                                to="core.business",
                            ),
                        ),
                        (
                            "created_by",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="core.profile",
                            ),
                        ),
                        (
                            "customer",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="orders",
                                to="core.profile",
                            ),
                        ),
                        (
                            "location",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="orders",
                                to="core.location",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(
                                fields=["business", "-created_at", "-id"], name="order_newest_first"
                            ),
                            models.Index(fields=["customer", "-created_at"], name="order_of_customer"),
                            models.Index(
                                fields=["business", "total_minor", "-created_at"], name="order_of_amount"
                            ),
                        ],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("cart_reference",), name="a_cart_becomes_one_order"
                            ),
                            models.UniqueConstraint(
                                fields=("business", "number"), name="an_order_number_is_used_once"
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("currency__regex", "^[a-z]{3}$")),
                                name="an_order_has_a_lower_case_currency",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    (
                                        "total_minor",
                                        django.db.models.expressions.CombinedExpression(
                                            django.db.models.expressions.CombinedExpression(
                                                django.db.models.expressions.CombinedExpression(
                                                    django.db.models.expressions.CombinedExpression(
                                                        models.F("subtotal_minor"),
                                                        "-",
                                                        models.F("discount_minor"),
                                                    ),
                                                    "+",
                                                    models.F("sales_tax_minor"),
                                                ),
                                                "+",
                                                models.F("additional_tax_minor"),
                                            ),
                                            "+",
                                            models.F("tip_minor"),
                                        ),
                                    )
                                ),
                                name="an_order_adds_up",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("total_minor__gte", 0)),
                                name="an_order_has_no_negative_total",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="BulkRefundOrder",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "state",
                            models.CharField(
                                choices=[
                                    ("waiting", "Waiting"),
                                    ("asked", "Asked for"),
                                    ("refused", "Refused"),
                                ],
                                default="waiting",
                                max_length=10,
                            ),
                        ),
                        ("code", models.CharField(blank=True, max_length=60)),
                        ("settled_at", models.DateTimeField(null=True)),
                        (
                            "bulk",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="orders",
                                to="payments.bulkrefund",
                            ),
                        ),
                        (
                            "order",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="payments.order",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["id"],
                        "indexes": [
                            models.Index(
                                condition=models.Q(("state", "waiting")),
                                fields=["bulk", "id"],
                                name="bulk_refund_waiting",
                            )
                        ],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("bulk", "order"), name="a_bulk_refund_names_an_order_once"
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="OrderLine",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "item_type",
                            models.CharField(
                                choices=[
                                    ("service_pass", "Service pass"),
                                    ("rental", "Rental"),
                                    ("merchandise", "Merchandise"),
                                    ("miscellaneous", "Miscellaneous"),
                                    ("gift_card", "Gift card"),
                                    ("service_registration", "Service registration"),
                                    ("digital_good", "Digital good"),
                                    ("appointment", "Appointment"),
                                ],
                                max_length=24,
                            ),
                        ),
                        ("description", models.CharField(max_length=200)),
                        ("unit_price_minor", models.BigIntegerField()),
                        ("quantity", models.PositiveSmallIntegerField()),
                        ("amount_minor", models.BigIntegerField()),
                        ("discount_minor", models.BigIntegerField()),
                        ("sales_tax_minor", models.BigIntegerField()),
                        ("additional_tax_minor", models.BigIntegerField()),
                        ("refunded_quantity", models.PositiveSmallIntegerField(db_default=0, default=0)),
                        ("refunded_minor", models.BigIntegerField(db_default=0, default=0)),
                        ("gives_minor", models.BigIntegerField(db_default=0, default=0)),
                        ("gives_credits", models.PositiveIntegerField(db_default=0, default=0)),
                        ("gives_days", models.PositiveIntegerField(null=True)),
                        (
                            "item",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="core.item",
                            ),
                        ),
                        (
                            "order",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="lines",
                                to="payments.order",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["id"],
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(
                                    (
                                        "amount_minor",
                                        django.db.models.expressions.CombinedExpression(
                                            models.F("unit_price_minor"), "*", models.F("quantity")
                                        ),
                                    )
                                ),
                                name="an_order_line_adds_up",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("refunded_quantity__lte", models.F("quantity")),
                                    ("refunded_minor__gte", 0),
                                    (
                                        "refunded_minor__lte",
                                        django.db.models.expressions.CombinedExpression(
                                            django.db.models.expressions.CombinedExpression(
                                                django.db.models.expressions.CombinedExpression(
                                                    models.F("amount_minor"), "-", models.F("discount_minor")
                                                ),
                                                "+",
                                                models.F("sales_tax_minor"),
                                            ),
                                            "+",
                                            models.F("additional_tax_minor"),
                                        ),
                                    ),
                                ),
                                name="no_more_of_a_line_is_given_back_than_was_sold",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="OutgoingEndpoint",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                        ("url", models.CharField(max_length=500)),
                        ("events", models.JSONField(default=list)),
                        ("secret_sealed", models.TextField()),
                        ("secret_hint", models.CharField(max_length=8)),
                        ("previous_secret_sealed", models.TextField(blank=True)),
                        ("previous_until", models.DateTimeField(null=True)),
                        ("failing_since", models.DateTimeField(null=True)),
                        ("disabled_at", models.DateTimeField(null=True)),
                        ("is_disabled_by_failing", models.BooleanField(default=False)),
                        ("removed_at", models.DateTimeField(null=True)),
                        ("created_at", models.DateTimeField()),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="outgoing_endpoints",
                                to="core.business",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["id"],
                        "constraints": [
                            models.UniqueConstraint(
                                condition=models.Q(("removed_at__isnull", True)),
                                fields=("business", "url"),
                                name="an_address_is_told_once",
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="OutgoingEvent",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                        (
                            "kind",
                            models.CharField(
                                choices=[
                                    ("order.paid", "An order was paid"),
                                    ("order.refunded", "Money of an order went back"),
                                    ("refund.failed", "A refund came to nothing"),
                                    ("payment.disputed", "A payment is disputed"),
                                    ("dispute.closed", "A dispute has ended"),
                                    ("ping", "A test"),
                                ],
                                max_length=30,
                            ),
                        ),
                        ("subject", models.CharField(max_length=64)),
                        ("body", models.TextField()),
                        ("created_at", models.DateTimeField()),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="outgoing_events",
                                to="core.business",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [models.Index(fields=["created_at"], name="outgoing_event_to_forget")],
                    },
                ),
                migrations.CreateModel(
                    name="OutgoingDelivery",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                        (
                            "state",
                            models.CharField(
                                choices=[
                                    ("waiting", "On its way"),
                                    ("delivered", "Delivered"),
                                    ("failed", "Given up"),
                                ],
                                default="waiting",
                                max_length=10,
                            ),
                        ),
                        ("tries", models.PositiveSmallIntegerField(default=0)),
                        ("answer_code", models.PositiveSmallIntegerField(null=True)),
                        ("problem", models.CharField(blank=True, max_length=60)),
                        ("took_ms", models.PositiveIntegerField(null=True)),
                        ("asked_at", models.DateTimeField()),
                        ("tried_at", models.DateTimeField(null=True)),
                        ("delivered_at", models.DateTimeField(null=True)),
                        (
                            "endpoint",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="deliveries",
                                to="payments.outgoingendpoint",
                            ),
                        ),
                        (
                            "event",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="deliveries",
                                to="payments.outgoingevent",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [models.Index(fields=["endpoint", "-id"], name="delivery_of_endpoint")],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("event", "endpoint"), name="an_event_is_told_to_an_address_once"
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Payment",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                        ("cart_reference", models.UUIDField()),
                        (
                            "method",
                            models.CharField(
                                choices=[
                                    ("online", "Card or wallet, online"),
                                    ("terminal", "Card reader"),
                                    ("saved_card", "Saved card"),
                                    ("cash", "Cash"),
                                    ("balance", "Account balance"),
                                    ("credits", "Service credits"),
                                    ("already_paid", "Already paid elsewhere"),
                                    ("complimentary", "Complimentary"),
                                    ("no_charge", "No charge"),
                                ],
                                max_length=20,
                            ),
                        ),
                        (
                            "state",
                            models.CharField(
                                choices=[
                                    ("requested", "Requested"),
                                    ("unknown", "Checking"),
                                    ("awaiting", "Waiting for the customer"),
                                    ("declined", "Declined"),
                                    ("processing", "Processing"),
                                    ("authorised", "Authorised"),
                                    ("reserved", "Set aside"),
                                    ("cancelling", "Cancelling"),
                                    ("succeeded", "Paid"),
                                    ("held", "Held"),
                                    ("cancelled", "Cancelled"),
                                    ("failed", "Failed"),
                                ],
                                default="requested",
                                max_length=12,
                            ),
                        ),
                        ("state_changed_at", models.DateTimeField()),
                        ("amount_minor", models.BigIntegerField()),
                        ("currency", models.CharField(max_length=3)),
                        ("amount_received_minor", models.BigIntegerField(default=0)),
                        ("reader_tip_minor", models.BigIntegerField(db_default=0, default=0)),
                        (
                            "received_currency",
                            models.CharField(blank=True, db_default="", default="", max_length=3),
                        ),
                        ("refunded_minor", models.BigIntegerField(default=0)),
                        ("refunded_beyond_minor", models.BigIntegerField(db_default=0, default=0)),
                        ("returned_minor", models.BigIntegerField(db_default=0, default=0)),
                        ("is_released", models.BooleanField(db_default=False, default=False)),
                        ("form_token", models.CharField(max_length=64)),
                        ("payer_key_hash", models.CharField(blank=True, max_length=64)),
                        ("intent_id", models.CharField(max_length=64, null=True)),
                        ("charge_id", models.CharField(max_length=64, null=True)),
                        ("client_secret_sealed", models.TextField(blank=True)),
                        ("is_captured_later", models.BooleanField(db_default=False, default=False)),
                        ("capture_before", models.DateTimeField(null=True)),
                        ("card_brand", models.CharField(blank=True, max_length=20)),
                        ("card_last4", models.CharField(blank=True, max_length=4)),
                        ("decline_code", models.CharField(blank=True, max_length=60)),
                        ("failure_code", models.CharField(blank=True, max_length=60)),
                        (
                            "held_reason",
                            models.CharField(
                                blank=True,
                                choices=[
                                    ("amount", "The amount is not what was asked for"),
                                    ("currency", "The currency is not what was asked for"),
                                    ("second_success", "The sale was already paid"),
                                    ("cart_gone", "There is no cart or order for it"),
                                    ("cart_changed", "The cart has changed since"),
                                ],
                                max_length=20,
                            ),
                        ),
                        ("snapshot_at", models.DateTimeField(null=True)),
                        ("next_check_at", models.DateTimeField(null=True)),
                        ("read_at", models.DateTimeField(null=True)),
                        ("checks", models.PositiveSmallIntegerField(default=0)),
                        ("note", models.CharField(blank=True, max_length=200)),
                        ("credits", models.PositiveIntegerField(db_default=0, default=0)),
                        (
                            "covers",
                            models.JSONField(db_default=models.Value([], models.JSONField()), default=list),
                        ),
                        (
                            "traceparent",
                            models.CharField(
                                blank=True, db_default="", default=web.core.tracing.traceparent, max_length=55
                            ),
                        ),
                        ("created_at", models.DateTimeField()),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="payments",
                                to="core.business",
                            ),
                        ),
                        (
                            "card",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="payments",
                                to="payments.card",
                            ),
                        ),
                        (
                            "created_by",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="core.profile",
                            ),
                        ),
                        (
                            "customer",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="payments",
                                to="core.profile",
                            ),
                        ),
                        (
                            "order",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="payments",
                                to="payments.order",
                            ),
                        ),
                        (
                            "reader",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="payments",
                                to="payments.reader",
                            ),
                        ),
                        (
                            "account",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="payments",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(fields=["cart_reference"], name="payment_of_cart"),
                            models.Index(fields=["order"], name="payment_of_order"),
                            models.Index(
                                condition=models.Q(("next_check_at__isnull", False)),
                                fields=["next_check_at"],
                                name="payment_due_for_a_check",
                            ),
                            models.Index(
                                condition=models.Q(
                                    (
                                        "state__in",
                                        [
                                            "authorised",
                                            "awaiting",
                                            "cancelling",
                                            "declined",
                                            "held",
                                            "processing",
                                            "requested",
                                            "unknown",
                                        ],
                                    )
                                ),
                                fields=["business", "state_changed_at"],
                                name="payment_unsettled",
                            ),
                            models.Index(
                                condition=models.Q(("state", "succeeded")),
                                fields=["business", "state_changed_at"],
                                name="payment_settled",
                            ),
                            models.Index(
                                condition=models.Q(("charge_id__isnull", False)),
                                fields=["charge_id"],
                                name="payment_of_charge",
                            ),
                            models.Index(
                                condition=models.Q(("card_last4", ""), _negated=True),
                                fields=["business", "card_last4"],
                                name="payment_of_last4",
                            ),
                            models.Index(
                                condition=models.Q(("refunded_minor__gt", 0)),
                                fields=["order"],
                                name="payment_refunded",
                            ),
                            models.Index(
                                condition=models.Q(
                                    ("state__in", ["cancelling", "processing", "requested", "unknown"])
                                ),
                                fields=["state_changed_at"],
                                name="payment_ours_to_move",
                            ),
                            models.Index(
                                condition=models.Q(("is_released", False), ("state", "held")),
                                fields=["state_changed_at"],
                                name="payment_held",
                            ),
                            models.Index(
                                condition=models.Q(("order__isnull", False), ("reader__isnull", False)),
                                fields=["business", "reader", "order"],
                                name="payment_on_reader",
                            ),
                        ],
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(("currency__regex", "^[a-z]{3}$")),
                                name="a_payment_has_a_lower_case_currency",
                            ),
                            models.UniqueConstraint(
                                fields=("account", "intent_id"), name="an_intent_belongs_to_one_payment"
                            ),
                            models.UniqueConstraint(
                                fields=("business", "form_token"), name="a_form_makes_one_payment"
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("amount_minor__gte", 0),
                                    ("amount_received_minor__gte", 0),
                                    ("reader_tip_minor__gte", 0),
                                ),
                                name="a_payment_has_no_negative_amount",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("state", "succeeded"), _negated=True),
                                    (
                                        "amount_received_minor",
                                        django.db.models.expressions.CombinedExpression(
                                            models.F("amount_minor"), "+", models.F("reader_tip_minor")
                                        ),
                                    ),
                                    _connector="OR",
                                ),
                                name="a_payment_succeeds_with_exactly_its_amount",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("refunded_minor__gte", 0),
                                    ("refunded_minor__lte", models.F("amount_received_minor")),
                                ),
                                name="refunds_never_exceed_the_payment",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("refunded_beyond_minor", 0),
                                    models.Q(
                                        ("refunded_beyond_minor__gt", 0),
                                        ("refunded_minor", models.F("amount_received_minor")),
                                    ),
                                    _connector="OR",
                                ),
                                name="only_a_payment_given_back_whole_has_refunds_beyond",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("is_released", False), ("order__isnull", True), _connector="OR"
                                ),
                                name="released_money_pays_no_order",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("state", "held"), _negated=True),
                                    models.Q(("held_reason", ""), _negated=True),
                                    _connector="OR",
                                ),
                                name="held_money_has_a_reason",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("order__isnull", True), ("state", "succeeded"), _connector="OR"
                                ),
                                name="only_money_that_came_pays_an_order",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("method", "saved_card"), _negated=True),
                                    ("account__isnull", False),
                                    _connector="OR",
                                ),
                                name="a_saved_cards_payment_has_its_account",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("method", "online"), _negated=True),
                                    ("account__isnull", False),
                                    _connector="OR",
                                ),
                                name="an_online_payment_has_its_account",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("method", "terminal"), _negated=True),
                                    ("account__isnull", False),
                                    _connector="OR",
                                ),
                                name="a_payment_on_a_reader_has_its_account",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("reader_tip_minor", 0), ("method", "terminal"), _connector="OR"
                                ),
                                name="only_a_reader_takes_a_tip_of_its_own",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("credits__gt", 0), ("method", "credits")),
                                    models.Q(models.Q(("method", "credits"), _negated=True), ("credits", 0)),
                                    _connector="OR",
                                ),
                                name="service_credits_are_counted",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("state", "reserved"), _negated=True),
                                    ("method__in", ["balance", "credits"]),
                                    _connector="OR",
                                ),
                                name="only_what_is_stored_is_set_aside",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(
                                        ("state__in", ["cancelled", "failed", "held", "succeeded"]),
                                        _negated=True,
                                    ),
                                    models.Q(("client_secret_sealed", ""), ("next_check_at__isnull", True)),
                                    _connector="OR",
                                ),
                                name="a_final_payment_keeps_no_client_secret",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="OperatorAction",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "action",
                            models.CharField(
                                choices=[
                                    ("jobs.retried", "Jobs let run again"),
                                    ("jobs.discarded", "Jobs discarded"),
                                    ("queue.paused", "Queue paused"),
                                    ("queue.resumed", "Queue resumed"),
                                    ("event.rehearsed", "Replay of an event tried out"),
                                    ("events.replayed", "Events replayed"),
                                    ("payment.read", "Payment read at Stripe"),
                                    ("worker.drained", "Worker told to take no more"),
                                    ("worker.returned", "Worker told to take work again"),
                                    ("rights.changed", "An operator’s rights changed"),  # noqa: RUF001
                                ],
                                max_length=20,
                            ),
                        ),
                        ("actor", models.CharField(max_length=40)),
                        ("at", models.DateTimeField()),
                        ("reason", models.CharField(max_length=200)),
                        ("subject", models.CharField(blank=True, max_length=100)),
                        ("number", models.PositiveIntegerField(default=1)),
                        ("changes", models.JSONField(default=dict)),
                        (
                            "business",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="core.business",
                            ),
                        ),
                        (
                            "payment",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="operator_actions",
                                to="payments.payment",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-at", "-id"],
                        "indexes": [models.Index(fields=["-at", "-id"], name="operators_newest_first")],
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(("reason", ""), _negated=True),
                                name="what_an_operator_does_has_a_reason",
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="PaymentEvent",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("cart_reference", models.UUIDField()),
                        ("kind", models.CharField(max_length=40)),
                        ("from_state", models.CharField(blank=True, max_length=12)),
                        ("to_state", models.CharField(blank=True, max_length=12)),
                        ("cause", models.CharField(blank=True, max_length=200)),
                        ("data", models.JSONField(default=dict)),
                        ("actor", models.CharField(max_length=40)),
                        ("at", models.DateTimeField()),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="core.business",
                            ),
                        ),
                        (
                            "payment",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="events",
                                to="payments.payment",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["at", "id"],
                        "indexes": [
                            models.Index(fields=["cart_reference", "at", "id"], name="event_of_sale")
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="PaymentSettings",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "gateway",
                            models.CharField(
                                choices=[("none", "No online payments"), ("stripe", "Stripe")],
                                default="stripe",
                                max_length=10,
                            ),
                        ),
                        ("refund_policy", models.TextField(blank=True)),
                        ("refund_popup", models.BooleanField(default=False)),
                        ("guests_may_pay", models.BooleanField(default=True)),
                        ("abandoned_after_hours", models.PositiveSmallIntegerField(default=24)),
                        (
                            "tip_presets",
                            models.JSONField(default=web.payments.models.settings.default_tip_presets),
                        ),
                        ("pays_on_arrival", models.BooleanField(default=False)),
                        (
                            "capture_mode",
                            models.CharField(
                                choices=[("automatic", "At once"), ("manual", "When staff confirm it")],
                                default="automatic",
                                max_length=10,
                            ),
                        ),
                        ("statement_descriptor_suffix", models.CharField(blank=True, max_length=12)),
                        ("receipt_header", models.CharField(blank=True, max_length=300)),
                        ("receipt_footer", models.TextField(blank=True, max_length=1000)),
                        ("receipt_legal", models.TextField(blank=True, max_length=1000)),
                        ("reader_asks_for_tip", models.BooleanField(default=False)),
                        ("keeps_cards", models.BooleanField(default=False)),
                        ("refund_limit_minor", models.PositiveBigIntegerField(blank=True, null=True)),
                        ("webhook_token", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                        ("updated_at", models.DateTimeField(auto_now=True)),
                        (
                            "business",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="payment_settings",
                                to="core.business",
                            ),
                        ),
                        (
                            "late_cancel_item",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="core.item",
                            ),
                        ),
                        (
                            "no_show_item",
                            models.ForeignKey(
                                blank=True,
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="core.item",
                            ),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("abandoned_after_hours__gte", 1), ("abandoned_after_hours__lte", 168)
                                ),
                                name="a_payment_is_given_up_within_a_week",
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="QueueMinute",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("queue", models.CharField(max_length=20)),
                        ("minute", models.DateTimeField()),
                        ("due", models.PositiveIntegerField(null=True)),
                        ("oldest_seconds", models.FloatField(null=True)),
                        ("running", models.PositiveIntegerField(null=True)),
                        ("dead", models.PositiveIntegerField(null=True)),
                        ("done", models.PositiveIntegerField(db_default=0, default=0)),
                        ("died", models.PositiveIntegerField(db_default=0, default=0)),
                        ("failed", models.PositiveIntegerField(db_default=0, default=0)),
                        ("excused", models.PositiveIntegerField(db_default=0, default=0)),
                        ("waits", models.JSONField(default=list)),
                        ("runs", models.JSONField(default=list)),
                    ],
                    options={
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("minute", "queue"), name="a_queue_has_one_row_a_minute"
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Reader",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                        (
                            "state",
                            models.CharField(
                                choices=[
                                    ("registering", "Being registered"),
                                    ("ready", "Ready"),
                                    ("refused", "Refused by Stripe"),
                                    ("removed", "Removed"),
                                ],
                                default="registering",
                                max_length=12,
                            ),
                        ),
                        ("label", models.CharField(max_length=100)),
                        ("registration_code", models.CharField(blank=True, max_length=80)),
                        ("stripe_reader_id", models.CharField(max_length=64, null=True)),
                        ("device_type", models.CharField(blank=True, max_length=40)),
                        ("serial_number", models.CharField(blank=True, max_length=60)),
                        ("is_online", models.BooleanField(null=True)),
                        ("last_seen_at", models.DateTimeField(null=True)),
                        ("read_at", models.DateTimeField(null=True)),
                        ("problem", models.CharField(blank=True, max_length=200)),
                        ("created_at", models.DateTimeField()),
                        ("removed_at", models.DateTimeField(null=True)),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="readers",
                                to="core.business",
                            ),
                        ),
                        (
                            "location",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="readers",
                                to="core.location",
                            ),
                        ),
                        (
                            "account",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="readers",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [models.Index(fields=["business", "location"], name="reader_of_business")],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("account", "stripe_reader_id"), name="a_reader_is_known_once"
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("state", "ready"), _negated=True),
                                    ("stripe_reader_id__isnull", False),
                                    _connector="OR",
                                ),
                                name="a_ready_reader_is_known_to_stripe",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("removed_at__isnull", False), ("state", "removed")),
                                    models.Q(
                                        models.Q(("state", "removed"), _negated=True),
                                        ("removed_at__isnull", True),
                                    ),
                                    _connector="OR",
                                ),
                                name="a_removed_reader_says_since_when",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="CloseOut",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                        ("currency", models.CharField(max_length=3)),
                        ("since", models.DateTimeField()),
                        ("closed_at", models.DateTimeField()),
                        ("float_minor", models.BigIntegerField()),
                        ("cash_sales_minor", models.BigIntegerField()),
                        ("cash_refunds_minor", models.BigIntegerField()),
                        ("expected_minor", models.BigIntegerField()),
                        ("counted_minor", models.BigIntegerField()),
                        ("difference_minor", models.BigIntegerField()),
                        ("card_sales_minor", models.BigIntegerField()),
                        ("card_refunds_minor", models.BigIntegerField()),
                        ("card_booked_minor", models.BigIntegerField()),
                        ("card_booked_ours_minor", models.BigIntegerField()),
                        ("card_count", models.PositiveIntegerField()),
                        ("card_booked_count", models.PositiveIntegerField()),
                        ("totals", models.JSONField()),
                        ("note", models.CharField(blank=True, max_length=500)),
                        ("form_token", models.CharField(max_length=64)),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="close_outs",
                                to="core.business",
                            ),
                        ),
                        (
                            "closed_by",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="core.profile",
                            ),
                        ),
                        (
                            "location",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="close_outs",
                                to="core.location",
                            ),
                        ),
                        (
                            "staff",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="close_outs",
                                to="core.profile",
                            ),
                        ),
                        (
                            "reader",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="close_outs",
                                to="payments.reader",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(fields=["location", "-closed_at"], name="close_out_newest_first")
                        ],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("business", "form_token"), name="a_form_closes_one_shift"
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("currency__regex", "^[a-z]{3}$")),
                                name="a_close_out_has_a_lower_case_currency",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    (
                                        "expected_minor",
                                        django.db.models.expressions.CombinedExpression(
                                            django.db.models.expressions.CombinedExpression(
                                                models.F("float_minor"), "+", models.F("cash_sales_minor")
                                            ),
                                            "-",
                                            models.F("cash_refunds_minor"),
                                        ),
                                    ),
                                    (
                                        "difference_minor",
                                        django.db.models.expressions.CombinedExpression(
                                            models.F("counted_minor"), "-", models.F("expected_minor")
                                        ),
                                    ),
                                ),
                                name="a_close_out_adds_up",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("counted_minor__gte", 0), ("float_minor__gte", 0)),
                                name="a_drawer_holds_no_negative_cash",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("difference_minor", 0),
                                    models.Q(("note", ""), _negated=True),
                                    _connector="OR",
                                ),
                                name="a_difference_is_explained",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Receipt",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("language", models.CharField(max_length=5)),
                        ("subject", models.CharField(max_length=200)),
                        ("html", models.TextField()),
                        ("text", models.TextField()),
                        ("rendered_at", models.DateTimeField()),
                        ("sent_to", models.EmailField(blank=True, max_length=254)),
                        ("sent_at", models.DateTimeField(null=True)),
                        (
                            "order",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="receipt",
                                to="payments.order",
                            ),
                        ),
                    ],
                ),
                migrations.CreateModel(
                    name="ReceiptResend",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("sent_to", models.EmailField(blank=True, max_length=254)),
                        ("form_token", models.CharField(max_length=64)),
                        ("asked_by", models.CharField(max_length=40)),
                        ("asked_at", models.DateTimeField()),
                        ("sent_at", models.DateTimeField(null=True)),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="core.business",
                            ),
                        ),
                        (
                            "order",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="resends",
                                to="payments.order",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [models.Index(fields=["business", "asked_at"], name="resend_of_business")],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("business", "form_token"), name="a_form_sends_one_receipt"
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Refund",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                        (
                            "origin",
                            models.CharField(
                                choices=[("paydesk", "Asked for here"), ("stripe", "Made at Stripe")],
                                db_default="paydesk",
                                default="paydesk",
                                max_length=8,
                            ),
                        ),
                        ("amount_minor", models.BigIntegerField()),
                        ("currency", models.CharField(max_length=3)),
                        (
                            "destination",
                            models.CharField(
                                choices=[
                                    ("method", "To the original method"),
                                    ("balance", "To the customer's balance"),
                                    ("credits", "As service credits"),
                                ],
                                default="method",
                                max_length=10,
                            ),
                        ),
                        ("reason", models.CharField(max_length=500)),
                        (
                            "state",
                            models.CharField(
                                choices=[
                                    ("requested", "Requested"),
                                    ("submitting", "Being sent"),
                                    ("unknown", "Checking"),
                                    ("pending", "Pending"),
                                    ("succeeded", "Refunded"),
                                    ("failed", "Failed"),
                                    ("cancelled", "Cancelled"),
                                ],
                                default="requested",
                                max_length=12,
                            ),
                        ),
                        ("state_changed_at", models.DateTimeField()),
                        ("stripe_refund_id", models.CharField(max_length=64, null=True)),
                        ("failure_code", models.CharField(blank=True, max_length=60)),
                        ("form_token", models.CharField(max_length=64)),
                        ("next_check_at", models.DateTimeField(null=True)),
                        ("checks", models.PositiveSmallIntegerField(db_default=0, default=0)),
                        ("created_at", models.DateTimeField()),
                        (
                            "bulk",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="refunds",
                                to="payments.bulkrefund",
                            ),
                        ),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="refunds",
                                to="core.business",
                            ),
                        ),
                        (
                            "created_by",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="core.profile",
                            ),
                        ),
                        (
                            "payment",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="refunds",
                                to="payments.payment",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["id"],
                        "indexes": [
                            models.Index(
                                condition=models.Q(("stripe_refund_id__isnull", False)),
                                fields=["stripe_refund_id"],
                                name="refund_of_stripe_id",
                            ),
                            models.Index(fields=["business", "state_changed_at"], name="refund_of_business"),
                            models.Index(
                                condition=models.Q(("next_check_at__isnull", False)),
                                fields=["next_check_at"],
                                name="refund_due_for_a_check",
                            ),
                            models.Index(
                                condition=models.Q(("state__in", ["requested", "submitting", "unknown"])),
                                fields=["state_changed_at"],
                                name="refund_ours_to_move",
                            ),
                        ],
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(("currency__regex", "^[a-z]{3}$")),
                                name="a_refund_has_a_lower_case_currency",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("amount_minor__gt", 0)),
                                name="a_refund_gives_something_back",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("reason", ""), _negated=True),
                                name="a_refund_has_a_reason",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("next_check_at__isnull", True),
                                    ("state__in", ["pending", "requested", "submitting", "unknown"]),
                                    _connector="OR",
                                ),
                                name="a_final_refund_waits_for_nothing",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("origin", "stripe"), _negated=True),
                                    ("stripe_refund_id__isnull", False),
                                    _connector="OR",
                                ),
                                name="a_refund_made_at_stripe_has_its_id",
                            ),
                            models.UniqueConstraint(
                                condition=models.Q(("state__in", ["requested", "submitting", "unknown"])),
                                fields=("payment",),
                                name="a_payment_has_one_refund_under_way",
                            ),
                            models.UniqueConstraint(
                                fields=("business", "form_token", "payment"), name="a_form_makes_one_refund"
                            ),
                            models.UniqueConstraint(
                                fields=("payment", "stripe_refund_id"),
                                name="a_stripe_refund_is_recorded_once",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="ReaderAction",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                        ("form_token", models.CharField(max_length=64)),
                        ("asks_for_tip", models.BooleanField(default=False)),
                        (
                            "state",
                            models.CharField(
                                choices=[
                                    ("queued", "Waiting for the reader"),
                                    ("sending", "Being sent to the reader"),
                                    ("waiting", "Present card"),
                                    ("processing", "Processing"),
                                    ("checking", "Checking"),
                                    ("cancelling", "Cancelling"),
                                    ("succeeded", "Approved"),
                                    ("failed", "Not paid"),
                                    ("cancelled", "Cancelled"),
                                ],
                                default="queued",
                                max_length=12,
                            ),
                        ),
                        ("state_changed_at", models.DateTimeField()),
                        ("queued_at", models.DateTimeField()),
                        ("sent_at", models.DateTimeField(null=True)),
                        ("shown_at", models.DateTimeField(null=True)),
                        ("deadline_at", models.DateTimeField(null=True)),
                        ("next_poll_at", models.DateTimeField(null=True)),
                        ("polls", models.PositiveSmallIntegerField(default=0)),
                        ("fence", models.BigIntegerField(default=0)),
                        (
                            "cancel_reason",
                            models.CharField(
                                blank=True,
                                choices=[
                                    ("", ""),
                                    ("asked", "Somebody asked"),
                                    ("deadline", "Nobody paid in time"),
                                    ("handed_over", "Handed to another reader"),
                                    ("intent_ended", "The payment was cancelled elsewhere"),
                                ],
                                max_length=12,
                            ),
                        ),
                        ("failure_code", models.CharField(blank=True, max_length=60)),
                        ("api_error", models.CharField(blank=True, max_length=60)),
                        ("finished_at", models.DateTimeField(null=True)),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="core.business",
                            ),
                        ),
                        (
                            "holder",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="core.profile",
                            ),
                        ),
                        (
                            "next_reader",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="payments.reader",
                            ),
                        ),
                        (
                            "payment",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="reader_actions",
                                to="payments.payment",
                            ),
                        ),
                        (
                            "reader",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="actions",
                                to="payments.reader",
                            ),
                        ),
                        (
                            "refund",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="reader_actions",
                                to="payments.refund",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(
                                condition=models.Q(("state", "queued")),
                                fields=["reader", "queued_at", "id"],
                                name="action_queued",
                            ),
                            models.Index(
                                condition=models.Q(("next_poll_at__isnull", False)),
                                fields=["next_poll_at"],
                                name="action_due_for_a_look",
                            ),
                            models.Index(fields=["payment", "id"], name="action_of_payment"),
                        ],
                        "constraints": [
                            models.UniqueConstraint(
                                condition=models.Q(
                                    (
                                        "state__in",
                                        ["cancelling", "checking", "processing", "sending", "waiting"],
                                    )
                                ),
                                fields=("reader",),
                                name="a_reader_has_one_active_action",
                            ),
                            models.UniqueConstraint(
                                condition=models.Q(
                                    ("state__in", ["cancelled", "failed", "succeeded"]), _negated=True
                                ),
                                fields=("payment",),
                                name="a_payment_has_one_unfinished_action",
                            ),
                            models.UniqueConstraint(
                                fields=("business", "form_token"), name="a_form_starts_one_action"
                            ),
                            models.UniqueConstraint(
                                condition=models.Q(("refund__isnull", False)),
                                fields=("refund",),
                                name="a_refund_has_one_place_at_a_reader",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(
                                        (
                                            "state__in",
                                            ["cancelling", "checking", "processing", "sending", "waiting"],
                                        ),
                                        _negated=True,
                                    ),
                                    models.Q(("deadline_at__isnull", False), ("next_poll_at__isnull", False)),
                                    _connector="OR",
                                ),
                                name="an_active_action_has_a_deadline_and_a_next_look",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(
                                        ("finished_at__isnull", False),
                                        ("next_poll_at__isnull", True),
                                        ("state__in", ["cancelled", "failed", "succeeded"]),
                                    ),
                                    models.Q(
                                        models.Q(
                                            ("state__in", ["cancelled", "failed", "succeeded"]), _negated=True
                                        ),
                                        ("finished_at__isnull", True),
                                    ),
                                    _connector="OR",
                                ),
                                name="a_finished_action_is_looked_at_no_more",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("state", "failed"), _negated=True),
                                    models.Q(("failure_code", ""), _negated=True),
                                    _connector="OR",
                                ),
                                name="a_failed_action_says_why",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="CloseOutLine",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "close_out",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="lines",
                                to="payments.closeout",
                            ),
                        ),
                        (
                            "payment",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="payments.payment",
                            ),
                        ),
                        (
                            "refund",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="payments.refund",
                            ),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.UniqueConstraint(fields=("payment",), name="a_payment_is_closed_out_once"),
                            models.UniqueConstraint(fields=("refund",), name="a_refund_is_closed_out_once"),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("payment__isnull", False), ("refund__isnull", True)),
                                    models.Q(("payment__isnull", True), ("refund__isnull", False)),
                                    _connector="OR",
                                ),
                                name="a_close_out_line_is_of_one_thing",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="RefundLine",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("quantity", models.PositiveSmallIntegerField()),
                        ("amount_minor", models.BigIntegerField()),
                        (
                            "order_line",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="refund_lines",
                                to="payments.orderline",
                            ),
                        ),
                        (
                            "refund",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="lines",
                                to="payments.refund",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["id"],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("refund", "order_line"), name="a_refund_names_a_line_once"
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("amount_minor__gte", 0),
                                    models.Q(("quantity__gt", 0), ("amount_minor__gt", 0), _connector="OR"),
                                ),
                                name="a_refund_line_gives_something_back",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="RefundReceipt",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("language", models.CharField(max_length=5)),
                        ("subject", models.CharField(max_length=200)),
                        ("html", models.TextField()),
                        ("text", models.TextField()),
                        ("rendered_at", models.DateTimeField()),
                        ("sent_to", models.EmailField(blank=True, max_length=254)),
                        ("sent_at", models.DateTimeField(null=True)),
                        (
                            "refund",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="receipt",
                                to="payments.refund",
                            ),
                        ),
                    ],
                ),
                migrations.CreateModel(
                    name="StripeAccount",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("account_id", models.CharField(max_length=64, null=True)),
                        ("is_live", models.BooleanField()),
                        (
                            "state",
                            models.CharField(
                                choices=[
                                    ("unverified", "Being checked"),
                                    ("active", "In use"),
                                    ("retired", "Replaced"),
                                    ("refused", "Refused by Stripe"),
                                ],
                                default="unverified",
                                max_length=12,
                            ),
                        ),
                        ("publishable_key", models.CharField(max_length=255)),
                        ("secret_key_sealed", models.TextField()),
                        ("secret_key_hint", models.CharField(max_length=8)),
                        ("problem", models.CharField(blank=True, max_length=200)),
                        ("calls_per_second", models.PositiveSmallIntegerField(blank=True, null=True)),
                        (
                            "calls_per_second_and_endpoint",
                            models.PositiveSmallIntegerField(blank=True, null=True),
                        ),
                        ("silent_since", models.DateTimeField(null=True)),
                        ("created_at", models.DateTimeField()),
                        ("verified_at", models.DateTimeField(null=True)),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="stripe_accounts",
                                to="core.business",
                            ),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.UniqueConstraint(
                                condition=models.Q(("state", "active")),
                                fields=("business",),
                                name="a_business_sells_on_one_account",
                            ),
                            models.UniqueConstraint(
                                condition=models.Q(("account_id__isnull", False)),
                                fields=("business", "account_id", "is_live"),
                                name="an_account_has_one_row_per_business",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("state", "active"), _negated=True),
                                    ("account_id__isnull", False),
                                    _connector="OR",
                                ),
                                name="an_active_account_is_verified",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(
                                        ("calls_per_second", None),
                                        ("calls_per_second__gt", 0),
                                        _connector="OR",
                                    ),
                                    models.Q(
                                        ("calls_per_second_and_endpoint", None),
                                        ("calls_per_second_and_endpoint__gt", 0),
                                        _connector="OR",
                                    ),
                                ),
                                name="an_account_may_call_stripe",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="ProfilePaymentData",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("stripe_customer_id", models.CharField(max_length=64, null=True)),
                        ("policy_accepted_at", models.DateTimeField(null=True)),
                        (
                            "profile",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="payment_data",
                                to="core.profile",
                            ),
                        ),
                        (
                            "account",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("account", "stripe_customer_id"),
                                name="a_stripe_customer_is_one_person",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("stripe_customer_id__isnull", True),
                                    ("account__isnull", False),
                                    _connector="OR",
                                ),
                                name="a_stripe_customer_belongs_to_an_account",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Payout",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("payout_id", models.CharField(max_length=64)),
                        (
                            "status",
                            models.CharField(
                                choices=[
                                    ("pending", "Pending"),
                                    ("in_transit", "On its way"),
                                    ("paid", "Paid"),
                                    ("failed", "Failed"),
                                    ("canceled", "Cancelled"),
                                ],
                                max_length=12,
                            ),
                        ),
                        ("amount_minor", models.BigIntegerField()),
                        ("currency", models.CharField(max_length=3)),
                        ("is_automatic", models.BooleanField()),
                        ("failure_code", models.CharField(blank=True, max_length=60)),
                        ("created_at", models.DateTimeField()),
                        ("arrives_on", models.DateField()),
                        ("is_reconcilable", models.BooleanField(default=False)),
                        ("lines_read_at", models.DateTimeField(null=True)),
                        (
                            "account",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="payouts",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(
                                fields=["account", "-created_at", "-id"], name="payout_newest_first"
                            ),
                            models.Index(
                                condition=models.Q(
                                    ("is_reconcilable", True), ("lines_read_at__isnull", True)
                                ),
                                fields=["created_at"],
                                name="payout_to_be_read",
                            ),
                        ],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("account", "payout_id"), name="a_payout_is_stored_once"
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("currency__regex", "^[a-z]{3}$")),
                                name="a_payout_has_a_lower_case_currency",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Job",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                        ("name", models.CharField(max_length=40)),
                        ("queue", models.CharField(max_length=20)),
                        ("arguments", models.JSONField(default=dict)),
                        ("dedup_key", models.CharField(max_length=120, null=True)),
                        ("priority", models.SmallIntegerField(default=0)),
                        (
                            "state",
                            models.CharField(
                                choices=[
                                    ("waiting", "Waiting"),
                                    ("running", "Running"),
                                    ("done", "Done"),
                                    ("dead", "Given up"),
                                    ("dropped", "Discarded"),
                                ],
                                default="waiting",
                                max_length=8,
                            ),
                        ),
                        ("attempts", models.PositiveSmallIntegerField(default=0)),
                        ("put_offs", models.PositiveIntegerField(default=0)),
                        ("due_at", models.DateTimeField()),
                        ("leased_until", models.DateTimeField(null=True)),
                        ("fence", models.BigIntegerField(default=0)),
                        ("worker", models.CharField(blank=True, max_length=100)),
                        ("last_error", models.CharField(blank=True, max_length=300)),
                        (
                            "request_id",
                            models.CharField(blank=True, db_default="", default="", max_length=64),
                        ),
                        (
                            "traceparent",
                            models.CharField(blank=True, db_default="", default="", max_length=55),
                        ),
                        ("created_at", models.DateTimeField()),
                        ("started_at", models.DateTimeField(null=True)),
                        ("finished_at", models.DateTimeField(null=True)),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="core.business",
                            ),
                        ),
                        (
                            "account",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(
                                condition=models.Q(("state", "waiting")),
                                fields=["queue", "business", "priority", "due_at", "id"],
                                name="job_waiting",
                            ),
                            models.Index(
                                condition=models.Q(("state", "waiting")),
                                fields=["queue", "due_at"],
                                name="job_due",
                            ),
                            models.Index(
                                condition=models.Q(("priority", 0), ("state", "waiting")),
                                fields=["queue", "due_at"],
                                name="job_person_waits",
                            ),
                            models.Index(
                                condition=models.Q(("attempts__gt", 0), ("state", "waiting")),
                                fields=["queue", "due_at"],
                                name="job_retrying",
                            ),
                            models.Index(
                                condition=models.Q(("state", "running")),
                                fields=["queue", "leased_until"],
                                name="job_leased",
                            ),
                            models.Index(
                                condition=models.Q(("state", "dead")),
                                fields=["queue", "finished_at"],
                                name="job_dead",
                            ),
                            models.Index(
                                condition=models.Q(("state", "done")), fields=["finished_at"], name="job_done"
                            ),
                            models.Index(
                                condition=models.Q(("state", "dropped")),
                                fields=["finished_at"],
                                name="job_dropped",
                            ),
                            models.Index(fields=["arguments"], name="job_of_subject"),
                        ],
                        "constraints": [
                            models.UniqueConstraint(
                                condition=models.Q(("dedup_key__isnull", False), ("state", "waiting")),
                                fields=("name", "dedup_key"),
                                name="one_waiting_job_per_dedup_key",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    models.Q(("state", "running"), _negated=True),
                                    ("leased_until__isnull", False),
                                    _connector="OR",
                                ),
                                name="a_running_job_has_a_lease",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="InboxEvent",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("event_id", models.CharField(max_length=64)),
                        ("event_type", models.CharField(max_length=80)),
                        ("object_id", models.CharField(max_length=64)),
                        ("occurred_at", models.DateTimeField()),
                        ("received_at", models.DateTimeField()),
                        ("payload", models.JSONField()),
                        (
                            "state",
                            models.CharField(
                                choices=[
                                    ("received", "Received"),
                                    ("applied", "Applied"),
                                    ("ignored", "Not for us"),
                                    ("dead", "Given up"),
                                ],
                                default="received",
                                max_length=10,
                            ),
                        ),
                        ("tries", models.PositiveSmallIntegerField(default=0)),
                        ("due_at", models.DateTimeField()),
                        ("error", models.CharField(blank=True, max_length=200)),
                        ("settled_at", models.DateTimeField(null=True)),
                        (
                            "payment",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="inbox",
                                to="payments.payment",
                            ),
                        ),
                        (
                            "account",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="inbox",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(
                                condition=models.Q(("state", "received")),
                                fields=["due_at", "id"],
                                name="inbox_due",
                            ),
                            models.Index(fields=["received_at"], name="inbox_age"),
                            models.Index(
                                condition=models.Q(("state", "dead")), fields=["state"], name="inbox_dead"
                            ),
                        ],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("account", "event_id"), name="an_event_is_stored_once"
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="EventCursor",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("through_at", models.DateTimeField()),
                        ("window_to", models.DateTimeField(null=True)),
                        ("resume_after", models.CharField(blank=True, max_length=64)),
                        ("due_at", models.DateTimeField()),
                        ("problem", models.CharField(blank=True, max_length=60)),
                        (
                            "account",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="event_cursor",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [models.Index(fields=["due_at"], name="event_cursor_due")],
                    },
                ),
                migrations.CreateModel(
                    name="DriftCursor",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("through_at", models.DateTimeField()),
                        ("slice_seconds", models.PositiveIntegerField(default=86400)),
                        ("due_at", models.DateTimeField()),
                        ("problem", models.CharField(blank=True, max_length=60)),
                        (
                            "account",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="drift_cursor",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [models.Index(fields=["due_at"], name="drift_cursor_due")],
                    },
                ),
                migrations.CreateModel(
                    name="Drift",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "kind",
                            models.CharField(
                                choices=[
                                    ("not_settled", "Paid at Stripe, not settled here"),
                                    ("unknown_charge", "Paid at Stripe with our mark, unknown here"),
                                    ("not_paid", "Paid here, not at Stripe"),
                                    ("amount", "Another amount at Stripe"),
                                    ("refund_unknown_here", "Refunded at Stripe, unknown here"),
                                    ("refund_unknown_there", "Refunded here, not at Stripe"),
                                    ("refunded_total", "Another sum of refunds at Stripe"),
                                ],
                                max_length=24,
                            ),
                        ),
                        ("object_id", models.CharField(max_length=64)),
                        ("ours", models.CharField(max_length=80)),
                        ("theirs", models.CharField(max_length=80)),
                        ("at_risk_minor", models.BigIntegerField()),
                        ("currency", models.CharField(max_length=3)),
                        ("found_at", models.DateTimeField()),
                        ("checked_at", models.DateTimeField()),
                        ("resolved_at", models.DateTimeField(null=True)),
                        ("note", models.CharField(blank=True, max_length=200)),
                        ("accepted_at", models.DateTimeField(null=True)),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="core.business",
                            ),
                        ),
                        (
                            "payment",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="drift",
                                to="payments.payment",
                            ),
                        ),
                        (
                            "account",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="drift",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(
                                condition=models.Q(("resolved_at__isnull", True)),
                                fields=["business", "-at_risk_minor"],
                                name="drift_open",
                            ),
                            models.Index(
                                condition=models.Q(("resolved_at__isnull", True)),
                                fields=["account", "checked_at"],
                                name="drift_to_check",
                            ),
                        ],
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(("currency__regex", "^[a-z]{3}$")),
                                name="a_drift_has_a_lower_case_currency",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("at_risk_minor__gte", 0)),
                                name="a_drift_risks_no_negative_amount",
                            ),
                            models.UniqueConstraint(
                                condition=models.Q(("resolved_at__isnull", True)),
                                fields=("account", "kind", "object_id"),
                                name="a_difference_is_open_once",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="Dispute",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("stripe_dispute_id", models.CharField(max_length=64)),
                        ("charge_id", models.CharField(max_length=64)),
                        ("amount_minor", models.BigIntegerField()),
                        ("currency", models.CharField(max_length=3)),
                        ("reason", models.CharField(blank=True, max_length=60)),
                        ("status", models.CharField(max_length=30)),
                        ("is_refundable", models.BooleanField(default=False)),
                        ("evidence_due_at", models.DateTimeField(null=True)),
                        ("taken_minor", models.BigIntegerField(default=0)),
                        ("fee_minor", models.BigIntegerField(default=0)),
                        ("fee_currency", models.CharField(blank=True, max_length=3)),
                        ("entries", models.PositiveSmallIntegerField(default=0)),
                        ("snapshot_at", models.DateTimeField()),
                        ("opened_at", models.DateTimeField()),
                        ("closed_at", models.DateTimeField(null=True)),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="disputes",
                                to="core.business",
                            ),
                        ),
                        (
                            "payment",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="disputes",
                                to="payments.payment",
                            ),
                        ),
                        (
                            "account",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="disputes",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["opened_at", "id"],
                        "indexes": [
                            models.Index(
                                condition=models.Q(("closed_at__isnull", True)),
                                fields=["business", "evidence_due_at"],
                                name="dispute_open",
                            ),
                            models.Index(fields=["payment"], name="dispute_of_payment"),
                        ],
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(("currency__regex", "^[a-z]{3}$")),
                                name="a_dispute_has_a_lower_case_currency",
                            ),
                            models.UniqueConstraint(
                                fields=("account", "stripe_dispute_id"), name="a_dispute_is_recorded_once"
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("amount_minor__gte", 0), ("taken_minor__gte", 0)),
                                name="a_dispute_takes_no_less_than_nothing",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="ConnectionToken",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("public_id", models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                        ("secret_sealed", models.TextField(blank=True)),
                        ("problem", models.CharField(blank=True, max_length=60)),
                        ("created_at", models.DateTimeField()),
                        ("taken_at", models.DateTimeField(null=True)),
                        (
                            "asked_by",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.SET_NULL,
                                related_name="+",
                                to="core.profile",
                            ),
                        ),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="core.business",
                            ),
                        ),
                        (
                            "location",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="core.location",
                            ),
                        ),
                        (
                            "account",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="+",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(
                                condition=models.Q(("secret_sealed", ""), _negated=True),
                                fields=["created_at"],
                                name="token_to_forget",
                            )
                        ],
                        "constraints": [
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("taken_at__isnull", True), ("secret_sealed", ""), _connector="OR"
                                ),
                                name="a_connection_token_is_given_out_once",
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="BalanceEntry",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("entry_id", models.CharField(max_length=64)),
                        ("kind", models.CharField(max_length=40)),
                        ("category", models.CharField(max_length=60)),
                        ("source_id", models.CharField(blank=True, max_length=64)),
                        ("amount_minor", models.BigIntegerField()),
                        ("fee_minor", models.BigIntegerField()),
                        ("net_minor", models.BigIntegerField()),
                        ("currency", models.CharField(max_length=3)),
                        ("created_at", models.DateTimeField()),
                        ("available_at", models.DateTimeField()),
                        (
                            "dispute",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="balance_entries",
                                to="payments.dispute",
                            ),
                        ),
                        (
                            "payment",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="balance_entries",
                                to="payments.payment",
                            ),
                        ),
                        (
                            "payout",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="entries",
                                to="payments.payout",
                            ),
                        ),
                        (
                            "refund",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="balance_entries",
                                to="payments.refund",
                            ),
                        ),
                        (
                            "account",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="balance_entries",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [
                            models.Index(
                                fields=["account", "-created_at", "-id"], name="balance_newest_first"
                            ),
                            models.Index(fields=["source_id"], name="balance_of_source"),
                        ],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("account", "entry_id"), name="a_balance_entry_is_stored_once"
                            ),
                            models.CheckConstraint(
                                condition=models.Q(("currency__regex", "^[a-z]{3}$")),
                                name="a_balance_entry_has_a_lower_case_currency",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    (
                                        "net_minor",
                                        django.db.models.expressions.CombinedExpression(
                                            models.F("amount_minor"), "-", models.F("fee_minor")
                                        ),
                                    )
                                ),
                                name="a_balance_entry_adds_up",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="BalanceCursor",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("read_until", models.DateTimeField()),
                        ("read_at", models.DateTimeField()),
                        (
                            "account",
                            models.OneToOneField(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="balance_cursor",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                ),
                migrations.CreateModel(
                    name="Attempt",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "operation",
                            models.CharField(
                                choices=[
                                    ("create_intent", "Create Intent"),
                                    ("cancel_intent", "Cancel Intent"),
                                    ("confirm_intent", "Confirm Intent"),
                                    ("create_refund", "Create Refund"),
                                    ("capture_intent", "Capture Intent"),
                                    ("process_on_reader", "Process On Reader"),
                                    ("refund_on_reader", "Refund On Reader"),
                                    ("cancel_on_reader", "Cancel On Reader"),
                                ],
                                max_length=20,
                            ),
                        ),
                        ("key", models.CharField(max_length=255, unique=True)),
                        ("parameters", models.JSONField()),
                        ("fence", models.BigIntegerField()),
                        (
                            "state",
                            models.CharField(
                                choices=[
                                    ("sent", "Sent"),
                                    ("unknown", "Unknown"),
                                    ("succeeded", "Succeeded"),
                                    ("refused", "Refused"),
                                ],
                                default="sent",
                                max_length=12,
                            ),
                        ),
                        ("state_changed_at", models.DateTimeField()),
                        ("first_sent_at", models.DateTimeField()),
                        ("sent_at", models.DateTimeField()),
                        ("sends", models.PositiveSmallIntegerField(default=1)),
                        ("request_id", models.CharField(blank=True, max_length=64)),
                        ("http_status", models.PositiveSmallIntegerField(null=True)),
                        ("error_code", models.CharField(blank=True, max_length=60)),
                        (
                            "payment",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="attempts",
                                to="payments.payment",
                            ),
                        ),
                        (
                            "refund",
                            models.ForeignKey(
                                null=True,
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="attempts",
                                to="payments.refund",
                            ),
                        ),
                        (
                            "account",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="attempts",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["id"],
                        "indexes": [
                            models.Index(
                                condition=models.Q(
                                    ("state__in", ["sent", "unknown"]),
                                    ("parameters", {}),
                                    _connector="OR",
                                    _negated=True,
                                ),
                                fields=["state_changed_at"],
                                name="attempt_parameters_kept",
                            ),
                            models.Index(
                                condition=models.Q(("request_id", ""), _negated=True),
                                fields=["request_id"],
                                name="attempt_of_request",
                            ),
                        ],
                        "constraints": [
                            models.UniqueConstraint(
                                condition=models.Q(
                                    ("refund__isnull", True), ("state__in", ["sent", "unknown"])
                                ),
                                fields=("operation", "payment"),
                                name="a_payment_has_one_open_attempt_per_operation",
                            ),
                            models.UniqueConstraint(
                                condition=models.Q(
                                    ("refund__isnull", False), ("state__in", ["sent", "unknown"])
                                ),
                                fields=("operation", "refund"),
                                name="a_refund_has_one_open_attempt_per_operation",
                            ),
                            models.CheckConstraint(
                                condition=models.Q(
                                    ("payment__isnull", False), ("refund__isnull", False), _connector="OR"
                                ),
                                name="an_attempt_is_for_something",
                            ),
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="StripeLocation",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("stripe_location_id", models.CharField(max_length=64, null=True)),
                        ("line1", models.CharField(max_length=200)),
                        ("city", models.CharField(blank=True, max_length=100)),
                        ("region", models.CharField(blank=True, max_length=100)),
                        ("postal_code", models.CharField(blank=True, max_length=20)),
                        (
                            "account",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="stripe_locations",
                                to="payments.stripeaccount",
                            ),
                        ),
                        (
                            "location",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="stripe_locations",
                                to="core.location",
                            ),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("account", "location"), name="a_place_is_at_stripe_once"
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="StripeMinute",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("minute", models.DateTimeField()),
                        ("calls", models.PositiveIntegerField(default=0)),
                        ("errors", models.PositiveIntegerField(default=0)),
                        ("limited", models.PositiveIntegerField(default=0)),
                        ("turned_away", models.PositiveIntegerField(default=0)),
                        ("milliseconds", models.PositiveBigIntegerField(default=0)),
                        (
                            "account",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="minutes",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                    options={
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("minute", "account"), name="an_account_has_one_row_a_minute"
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="WebhookSecret",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("secret_sealed", models.TextField()),
                        ("secret_hint", models.CharField(max_length=8)),
                        ("created_at", models.DateTimeField()),
                        ("expires_at", models.DateTimeField(null=True)),
                        (
                            "account",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="webhook_secrets",
                                to="payments.stripeaccount",
                            ),
                        ),
                    ],
                ),
                migrations.CreateModel(
                    name="WorkerPulse",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("worker", models.CharField(max_length=100)),
                        ("queue", models.CharField(max_length=20)),
                        ("threads", models.PositiveSmallIntegerField(default=1)),
                        ("started_at", models.DateTimeField()),
                        ("seen_at", models.DateTimeField()),
                        ("drained_at", models.DateTimeField(null=True)),
                    ],
                    options={
                        "indexes": [models.Index(fields=["queue", "seen_at"], name="pulse_of_queue")],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("worker", "queue"), name="a_worker_has_one_pulse_a_queue"
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="ApiRequest",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("key", models.CharField(max_length=255)),
                        ("fingerprint", models.CharField(max_length=64)),
                        ("subject", models.CharField(max_length=64)),
                        ("created_at", models.DateTimeField()),
                        (
                            "token",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="requests",
                                to="payments.apitoken",
                            ),
                        ),
                    ],
                    options={
                        "indexes": [models.Index(fields=["created_at"], name="api_request_to_forget")],
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("token", "key"), name="a_key_is_used_for_one_request"
                            )
                        ],
                    },
                ),
                migrations.CreateModel(
                    name="AuditEntry",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        (
                            "action",
                            models.CharField(
                                choices=[
                                    ("settings.changed", "Settings changed"),
                                    ("taxes.changed", "Taxes changed"),
                                    ("keys.entered", "Stripe keys entered"),
                                    ("keys.tested", "Connection tested"),
                                    ("keys.decided", "Stripe answered about the keys"),
                                    ("webhook.secret_added", "Webhook secret added"),
                                    ("limits.changed", "Limits changed"),
                                    ("token.made", "API token made"),
                                    ("token.revoked", "API token revoked"),
                                    ("endpoint.changed", "Outgoing webhook changed"),
                                    ("purchases.exported", "Purchases exported"),
                                    ("reconciliation.exported", "Reconciliation exported"),
                                    ("safety.changed", "Security changed"),
                                    ("second_factor.removed", "Second factor removed"),
                                    ("receipt.resent", "Receipt sent again"),
                                    ("person.erased", "Personal data erased"),
                                    ("bulk_refund.asked", "Refund of many orders asked for"),
                                    ("bulk_refund.resumed", "Refund of many orders resumed"),
                                    ("reader.changed", "Card reader changed"),
                                    ("shift.closed", "Shift closed"),
                                    ("drift.noted", "Difference looked into"),
                                ],
                                max_length=40,
                            ),
                        ),
                        ("subject", models.CharField(blank=True, max_length=100)),
                        ("changes", models.JSONField(default=dict)),
                        ("actor", models.CharField(max_length=40)),
                        ("at", models.DateTimeField()),
                        (
                            "business",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.PROTECT,
                                related_name="audit",
                                to="core.business",
                            ),
                        ),
                    ],
                    options={
                        "ordering": ["-at", "-id"],
                        "indexes": [
                            models.Index(fields=["business", "-at", "-id"], name="audit_newest_first")
                        ],
                    },
                ),
            ]
        ),
        migrations.RunSQL(FUNCTIONS + SUMS + triggers(), UNDO),
    ]
