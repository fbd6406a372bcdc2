"""The two ledgers of a customer, stored money and service credits, and the database's own guards of them."""

import django.db.models.deletion
from django.db import migrations, models

FUNCTIONS = """
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
"""

PAYMENT_EDGES = [
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
]

KEPT = ("ledgerentry", "ledgerbalance", "ledgerlot")


def payment_trigger(edges: list[str]) -> str:
    arguments = ", ".join(f"'{edge}'" for edge in edges)
    return (
        "DROP TRIGGER payment_moves_along_its_edges ON payments_payment;\n"
        "CREATE TRIGGER payment_moves_along_its_edges BEFORE UPDATE OF state ON payments_payment "
        f"FOR EACH ROW EXECUTE FUNCTION paydesk_guard_state({arguments});\n"
    )


def triggers() -> str:
    kept = "".join(
        f"CREATE TRIGGER {table}_is_never_deleted BEFORE DELETE ON payments_{table} "
        "FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();\n"
        for table in KEPT
    )
    return (
        payment_trigger(PAYMENT_EDGES)
        + kept
        + """
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
    )


def undo() -> str:
    before = [edge for edge in PAYMENT_EDGES if not edge.startswith("reserved>")]
    drops = [f"DROP TRIGGER {table}_is_never_deleted ON payments_{table};" for table in KEPT]
    drops += [
        "DROP TRIGGER ledgerentry_is_never_changed ON payments_ledgerentry;",
        "DROP TRIGGER an_entry_continues_the_one_before_it ON payments_ledgerentry;",
        "DROP TRIGGER a_balance_changes_by_its_entries ON payments_ledgerbalance;",
        "DROP TRIGGER a_lot_stays_as_it_came ON payments_ledgerlot;",
        "DROP TRIGGER what_is_free_lies_in_lots ON payments_ledgerlot;",
        "DROP TRIGGER what_is_free_lies_in_lots ON payments_ledgerbalance;",
    ]
    drops += [
        f"DROP FUNCTION {name};"
        for name in (
            "paydesk_ledger_entry",
            "paydesk_ledger_balance",
            "paydesk_ledger_lot",
            "paydesk_ledger_lots_match",
        )
    ]
    return payment_trigger(before) + "\n".join(drops)


class Migration(migrations.Migration):
    dependencies = [("core", "0004_what_items_give"), ("payments", "0005_readers")]
    operations = [
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
                        choices=[("money", "Account balance"), ("credits", "Service credits")], max_length=8
                    ),
                ),
                ("currency", models.CharField(blank=True, max_length=3)),
                ("amount", models.BigIntegerField(default=0)),
                ("reserved", models.BigIntegerField(default=0)),
                ("entries", models.PositiveIntegerField(default=0)),
            ],
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
            ],
            options={
                "ordering": ["balance_id", "number"],
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
            ],
        ),
        migrations.AddField(
            model_name="cart",
            name="discount_percent",
            field=models.DecimalField(decimal_places=2, max_digits=5, null=True),
        ),
        migrations.AddField(
            model_name="cart",
            name="discount_reason",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AddField(
            model_name="cart",
            name="pays_on_arrival_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="cart",
            name="uses_balance",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="cart",
            name="uses_credits",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="cartline",
            name="credit_price",
            field=models.PositiveSmallIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="cartline",
            name="gives_credits",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="cartline",
            name="gives_days",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="cartline",
            name="gives_minor",
            field=models.BigIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="order",
            name="discount_reason",
            field=models.CharField(blank=True, db_default="", max_length=200),
        ),
        migrations.AddField(
            model_name="orderline",
            name="gives_credits",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="orderline",
            name="gives_days",
            field=models.PositiveIntegerField(null=True),
        ),
        migrations.AddField(
            model_name="orderline",
            name="gives_minor",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="payment",
            name="covers",
            field=models.JSONField(db_default=models.Value([], models.JSONField()), default=list),
        ),
        migrations.AddField(
            model_name="payment",
            name="credits",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AlterField(
            model_name="payment",
            name="method",
            field=models.CharField(
                choices=[
                    ("online", "Card or wallet, online"),
                    ("terminal", "Card reader"),
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
        migrations.AlterField(
            model_name="payment",
            name="state",
            field=models.CharField(
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
        migrations.AddIndex(
            model_name="cart",
            index=models.Index(
                condition=models.Q(("pays_on_arrival_at__isnull", False)),
                fields=["business", "pays_on_arrival_at"],
                name="cart_paid_on_arrival",
            ),
        ),
        migrations.AddConstraint(
            model_name="cart",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("discount_percent__isnull", True),
                    models.Q(
                        ("discount_minor", 0), ("discount_percent__gt", 0), ("discount_percent__lte", 100)
                    ),
                    _connector="OR",
                ),
                name="a_discount_is_a_percentage_or_an_amount",
            ),
        ),
        migrations.AddConstraint(
            model_name="cart",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("discount_minor", 0), ("discount_percent__isnull", True)),
                    models.Q(("discount_reason", ""), _negated=True),
                    _connector="OR",
                ),
                name="a_discount_has_a_reason",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("credits__gt", 0), ("method", "credits")),
                    models.Q(models.Q(("method", "credits"), _negated=True), ("credits", 0)),
                    _connector="OR",
                ),
                name="service_credits_are_counted",
            ),
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("state", "reserved"), _negated=True),
                    ("method__in", ["balance", "credits"]),
                    _connector="OR",
                ),
                name="only_what_is_stored_is_set_aside",
            ),
        ),
        migrations.AddField(
            model_name="ledgerbalance",
            name="business",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="balances", to="core.business"
            ),
        ),
        migrations.AddField(
            model_name="ledgerbalance",
            name="customer",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="balances",
                to="core.profile",
            ),
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="balance",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="lines", to="payments.ledgerbalance"
            ),
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="business",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="core.business"
            ),
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="order_line",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="ledger_entries",
                to="payments.orderline",
            ),
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="payment",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="ledger_entries",
                to="payments.payment",
            ),
        ),
        migrations.AddField(
            model_name="ledgerentry",
            name="refund",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="ledger_entries",
                to="payments.refund",
            ),
        ),
        migrations.AddField(
            model_name="ledgerlot",
            name="balance",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="lots", to="payments.ledgerbalance"
            ),
        ),
        migrations.AddField(
            model_name="ledgerlot",
            name="entry",
            field=models.OneToOneField(
                on_delete=django.db.models.deletion.PROTECT, related_name="lot", to="payments.ledgerentry"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerbalance",
            constraint=models.UniqueConstraint(
                fields=("customer", "ledger", "currency"), name="a_customer_has_one_balance_per_currency"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerbalance",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gte", 0)), name="a_balance_is_never_below_zero"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerbalance",
            constraint=models.CheckConstraint(
                condition=models.Q(("reserved__gte", 0), ("reserved__lte", models.F("amount"))),
                name="no_more_is_set_aside_than_there_is",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerbalance",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("currency__regex", "^[a-z]{3}$"), ("ledger", "money")),
                    models.Q(("currency", ""), ("ledger", "credits")),
                    _connector="OR",
                ),
                name="money_has_a_currency_and_credits_have_none",
            ),
        ),
        migrations.AddIndex(
            model_name="ledgerentry",
            index=models.Index(fields=["order_line"], name="entry_of_order_line"),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.UniqueConstraint(
                fields=("balance", "number"), name="a_ledger_is_counted_without_gaps"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.UniqueConstraint(
                fields=("business", "form_token"), name="a_form_makes_one_adjustment"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.UniqueConstraint(
                fields=("payment", "kind"), name="a_payment_sets_aside_and_spends_or_gives_back_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind__in", ["spent", "released"])),
                fields=("payment",),
                name="what_is_spent_is_not_given_back",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "sold")), fields=("order_line",), name="a_line_is_credited_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "credited")), fields=("refund",), name="a_refund_is_credited_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.UniqueConstraint(
                condition=models.Q(("kind", "taken_back")),
                fields=("refund", "order_line"),
                name="a_refund_takes_back_from_a_line_once",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("amount__gt", 0), ("kind__in", ["sold", "credited"]), ("reserved", 0)),
                    models.Q(("amount__lt", 0), ("kind__in", ["taken_back", "expired"]), ("reserved", 0)),
                    models.Q(("kind", "adjusted"), ("reserved", 0), models.Q(("amount", 0), _negated=True)),
                    models.Q(("amount", 0), ("kind", "reserved"), ("reserved__gt", 0)),
                    models.Q(("amount", 0), ("kind", "released"), ("reserved__lt", 0)),
                    models.Q(("amount__lt", 0), ("kind", "spent"), ("reserved", models.F("amount"))),
                    _connector="OR",
                ),
                name="an_entry_changes_what_its_kind_says",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerentry",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("kind__in", ["reserved", "released", "spent"]), ("payment__isnull", False)),
                    models.Q(("kind", "sold"), ("order_line__isnull", False)),
                    models.Q(("kind__in", ["credited", "taken_back"]), ("refund__isnull", False)),
                    models.Q(("kind", "adjusted"), models.Q(("reason", ""), _negated=True)),
                    ("kind", "expired"),
                    _connector="OR",
                ),
                name="an_entry_says_where_it_comes_from",
            ),
        ),
        migrations.AddIndex(
            model_name="ledgerlot",
            index=models.Index(
                condition=models.Q(("taken__lt", models.F("amount"))),
                fields=["balance"],
                name="lot_with_something_left",
            ),
        ),
        migrations.AddIndex(
            model_name="ledgerlot",
            index=models.Index(
                condition=models.Q(("expires_at__isnull", False), ("taken__lt", models.F("amount"))),
                fields=["expires_at"],
                name="lot_that_ends",
            ),
        ),
        migrations.AddConstraint(
            model_name="ledgerlot",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gt", 0), ("taken__gte", 0), ("taken__lte", models.F("amount"))),
                name="no_more_goes_from_a_lot_than_came",
            ),
        ),
        migrations.RunSQL(FUNCTIONS + triggers(), undo()),
    ]
