"""What refunds, disputes and held money need: tables, a refund's edges, and sums that the database re-checks."""

import uuid

import django.db.models.deletion
import django.db.models.expressions
from django.db import migrations, models

OLD_REFUND_EDGES = [
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
]
REFUND_EDGES = [
    *OLD_REFUND_EDGES,
    "submitting>unknown",
    "unknown>pending",
    "unknown>succeeded",
    "unknown>failed",
    "unknown>cancelled",
]


def refund_trigger(edges: list[str]) -> str:
    arguments = ", ".join(f"'{edge}'" for edge in edges)
    return (
        "CREATE TRIGGER refund_moves_along_its_edges BEFORE UPDATE OF state ON payments_refund "
        f"FOR EACH ROW EXECUTE FUNCTION paydesk_guard_state({arguments});"
    )


# Looked at when the transaction commits: the refund and its payment change in two statements.
SUMS = """
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
CREATE CONSTRAINT TRIGGER refunds_add_up_to_their_payment AFTER INSERT OR UPDATE ON payments_refund
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION paydesk_guard_refund_sums();
CREATE CONSTRAINT TRIGGER a_payment_is_the_sum_of_its_refunds AFTER UPDATE ON payments_payment
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (OLD.refunded_minor IS DISTINCT FROM NEW.refunded_minor
          OR OLD.refunded_beyond_minor IS DISTINCT FROM NEW.refunded_beyond_minor
          OR OLD.returned_minor IS DISTINCT FROM NEW.returned_minor)
    EXECUTE FUNCTION paydesk_guard_refund_sums();
"""
NEVER_DELETED = ("refundline", "dispute", "bulkrefund", "bulkrefundorder")
GUARDS = "\n".join(
    [
        "DROP TRIGGER refund_moves_along_its_edges ON payments_refund;",
        refund_trigger(REFUND_EDGES),
        SUMS,
        *(
            f"CREATE TRIGGER {table}_is_never_deleted BEFORE DELETE ON payments_{table} "
            "FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();"
            for table in NEVER_DELETED
        ),
    ]
)
UNDO = "\n".join(
    [
        "DROP TRIGGER refund_moves_along_its_edges ON payments_refund;",
        refund_trigger(OLD_REFUND_EDGES),
        "DROP TRIGGER refunds_add_up_to_their_payment ON payments_refund;",
        "DROP TRIGGER a_payment_is_the_sum_of_its_refunds ON payments_payment;",
        "DROP FUNCTION paydesk_guard_refund_sums;",
        *(f"DROP TRIGGER {table}_is_never_deleted ON payments_{table};" for table in NEVER_DELETED),
    ]
)


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0002_cache_table"),
        ("payments", "0002_guards"),
    ]

    operations = [
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
            ],
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
            ],
            options={
                "ordering": ["opened_at", "id"],
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
            ],
            options={
                "ordering": ["id"],
            },
        ),
        migrations.AlterModelOptions(
            name="refund",
            options={"ordering": ["id"]},
        ),
        migrations.RemoveConstraint(
            model_name="refund",
            name="a_payment_has_one_refund_under_way",
        ),
        migrations.RemoveConstraint(
            model_name="refund",
            name="a_form_makes_one_refund",
        ),
        migrations.AddField(
            model_name="orderline",
            name="refunded_minor",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="orderline",
            name="refunded_quantity",
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="payment",
            name="is_released",
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name="payment",
            name="received_currency",
            field=models.CharField(blank=True, db_default="", default="", max_length=3),
        ),
        migrations.AddField(
            model_name="payment",
            name="refunded_beyond_minor",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="payment",
            name="returned_minor",
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="refund",
            name="checks",
            field=models.PositiveSmallIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="refund",
            name="next_check_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="refund",
            name="origin",
            field=models.CharField(
                choices=[("paydesk", "Asked for here"), ("stripe", "Made at Stripe")],
                db_default="paydesk",
                default="paydesk",
                max_length=8,
            ),
        ),
        migrations.AlterField(
            model_name="refund",
            name="state",
            field=models.CharField(
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
        migrations.AddConstraint(
            model_name="orderline",
            constraint=models.CheckConstraint(
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
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
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
        ),
        migrations.AddConstraint(
            model_name="payment",
            constraint=models.CheckConstraint(
                condition=models.Q(("is_released", False), ("order__isnull", True), _connector="OR"),
                name="released_money_pays_no_order",
            ),
        ),
        migrations.AddField(
            model_name="bulkrefund",
            name="business",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="bulk_refunds", to="core.business"
            ),
        ),
        migrations.AddField(
            model_name="bulkrefund",
            name="created_by",
            field=models.ForeignKey(
                null=True, on_delete=django.db.models.deletion.SET_NULL, related_name="+", to="core.profile"
            ),
        ),
        migrations.AddField(
            model_name="bulkrefund",
            name="item",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="+", to="core.item"
            ),
        ),
        migrations.AddField(
            model_name="refund",
            name="bulk",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="refunds",
                to="payments.bulkrefund",
            ),
        ),
        migrations.AddIndex(
            model_name="refund",
            index=models.Index(
                condition=models.Q(("next_check_at__isnull", False)),
                fields=["next_check_at"],
                name="refund_due_for_a_check",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(("reason", ""), _negated=True), name="a_refund_has_a_reason"
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("next_check_at__isnull", True),
                    ("state__in", ["pending", "requested", "submitting", "unknown"]),
                    _connector="OR",
                ),
                name="a_final_refund_waits_for_nothing",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("origin", "stripe"), _negated=True),
                    ("stripe_refund_id__isnull", False),
                    _connector="OR",
                ),
                name="a_refund_made_at_stripe_has_its_id",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.UniqueConstraint(
                condition=models.Q(("state__in", ["requested", "submitting", "unknown"])),
                fields=("payment",),
                name="a_payment_has_one_refund_under_way",
            ),
        ),
        migrations.AddConstraint(
            model_name="refund",
            constraint=models.UniqueConstraint(
                fields=("business", "form_token", "payment"), name="a_form_makes_one_refund"
            ),
        ),
        migrations.AddField(
            model_name="dispute",
            name="account",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="disputes",
                to="payments.stripeaccount",
            ),
        ),
        migrations.AddField(
            model_name="dispute",
            name="business",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="disputes", to="core.business"
            ),
        ),
        migrations.AddField(
            model_name="dispute",
            name="payment",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="disputes", to="payments.payment"
            ),
        ),
        migrations.AddField(
            model_name="refundline",
            name="order_line",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT,
                related_name="refund_lines",
                to="payments.orderline",
            ),
        ),
        migrations.AddField(
            model_name="refundline",
            name="refund",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.PROTECT, related_name="lines", to="payments.refund"
            ),
        ),
        migrations.AddConstraint(
            model_name="bulkrefund",
            constraint=models.UniqueConstraint(
                fields=("business", "form_token"), name="a_form_makes_one_bulk_refund"
            ),
        ),
        migrations.AddIndex(
            model_name="dispute",
            index=models.Index(
                condition=models.Q(("closed_at__isnull", True)),
                fields=["business", "evidence_due_at"],
                name="dispute_open",
            ),
        ),
        migrations.AddIndex(
            model_name="dispute",
            index=models.Index(fields=["payment"], name="dispute_of_payment"),
        ),
        migrations.AddConstraint(
            model_name="dispute",
            constraint=models.CheckConstraint(
                condition=models.Q(("currency__regex", "^[a-z]{3}$")),
                name="a_dispute_has_a_lower_case_currency",
            ),
        ),
        migrations.AddConstraint(
            model_name="dispute",
            constraint=models.UniqueConstraint(
                fields=("account", "stripe_dispute_id"), name="a_dispute_is_recorded_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="dispute",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount_minor__gte", 0), ("taken_minor__gte", 0)),
                name="a_dispute_takes_no_less_than_nothing",
            ),
        ),
        migrations.AddConstraint(
            model_name="refundline",
            constraint=models.UniqueConstraint(
                fields=("refund", "order_line"), name="a_refund_names_a_line_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="refundline",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("amount_minor__gte", 0),
                    models.Q(("quantity__gt", 0), ("amount_minor__gt", 0), _connector="OR"),
                ),
                name="a_refund_line_gives_something_back",
            ),
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
                        choices=[("waiting", "Waiting"), ("asked", "Asked for"), ("refused", "Refused")],
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
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="payments.order"
                    ),
                ),
            ],
            options={"ordering": ["id"]},
        ),
        migrations.AddIndex(
            model_name="bulkrefundorder",
            index=models.Index(
                condition=models.Q(("state", "waiting")), fields=["bulk", "id"], name="bulk_refund_waiting"
            ),
        ),
        migrations.AddConstraint(
            model_name="bulkrefundorder",
            constraint=models.UniqueConstraint(
                fields=("bulk", "order"), name="a_bulk_refund_names_an_order_once"
            ),
        ),
        migrations.RunSQL(GUARDS, UNDO),
    ]
