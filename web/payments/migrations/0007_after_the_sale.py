"""What the back office needs: audit, payouts, close-outs, mails, and indexes for searching purchases."""

import django.db.models.deletion
import django.db.models.expressions
import uuid
from django.db import migrations, models

# What a search box matches by: the words of a name, an e-mail address and a number, for prefixes
# ("ada kim", "ada@exa", "7QK2"), with the business as a word of its own so that one index serves all tenants.
# Plain PostgreSQL on purpose: pg_trgm is an extension that not every server has.
SQL = """
CREATE FUNCTION paydesk_order_words(business bigint, name text, email text, number text)
RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_to_tsvector(array_remove(string_to_array(
        '~' || business || ' ' || lower(translate(name || ' ' || email || ' ' || number,
                                                  '@.,;:_-+''"()/\\', '              ')), ' '), ''))
$$;
CREATE INDEX order_words ON payments_order
    USING gin (paydesk_order_words(business_id, customer_name, customer_email, number)) WITH (fastupdate = off);
CREATE TRIGGER auditentry_is_never_deleted BEFORE DELETE ON payments_auditentry
    FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();
CREATE TRIGGER auditentry_is_never_changed BEFORE UPDATE ON payments_auditentry
    FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();
CREATE TRIGGER closeout_is_never_deleted BEFORE DELETE ON payments_closeout
    FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();
CREATE TRIGGER closeout_is_never_changed BEFORE UPDATE ON payments_closeout
    FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();
CREATE TRIGGER closeoutline_is_never_deleted BEFORE DELETE ON payments_closeoutline
    FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();
CREATE TRIGGER closeoutline_is_never_changed BEFORE UPDATE ON payments_closeoutline
    FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();
CREATE TRIGGER payout_is_never_deleted BEFORE DELETE ON payments_payout
    FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();
CREATE TRIGGER balanceentry_is_never_deleted BEFORE DELETE ON payments_balanceentry
    FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();
"""
UNDO = """
DROP TRIGGER auditentry_is_never_deleted ON payments_auditentry;
DROP TRIGGER auditentry_is_never_changed ON payments_auditentry;
DROP TRIGGER closeout_is_never_deleted ON payments_closeout;
DROP TRIGGER closeout_is_never_changed ON payments_closeout;
DROP TRIGGER closeoutline_is_never_deleted ON payments_closeoutline;
DROP TRIGGER closeoutline_is_never_changed ON payments_closeoutline;
DROP TRIGGER payout_is_never_deleted ON payments_payout;
DROP TRIGGER balanceentry_is_never_deleted ON payments_balanceentry;
DROP INDEX order_words;
DROP FUNCTION paydesk_order_words;
"""



class Migration(migrations.Migration):
    dependencies = [
        ("core", "0002_cache_table"),
        ("payments", "0006_ledgers"),
    ]

    operations = [
        migrations.CreateModel(
            name='AuditEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('action', models.CharField(choices=[('settings.changed', 'Settings changed'), ('taxes.changed', 'Taxes changed'), ('keys.entered', 'Stripe keys entered'), ('keys.tested', 'Connection tested'), ('keys.decided', 'Stripe answered about the keys'), ('webhook.secret_added', 'Webhook secret added'), ('limits.changed', 'Limits changed'), ('purchases.exported', 'Purchases exported'), ('reconciliation.exported', 'Reconciliation exported'), ('receipt.resent', 'Receipt sent again'), ('person.erased', 'Personal data erased'), ('bulk_refund.asked', 'Refund of many orders asked for'), ('bulk_refund.resumed', 'Refund of many orders resumed'), ('reader.changed', 'Card reader changed'), ('shift.closed', 'Shift closed')], max_length=40)),
                ('subject', models.CharField(blank=True, max_length=100)),
                ('changes', models.JSONField(default=dict)),
                ('actor', models.CharField(max_length=40)),
                ('at', models.DateTimeField()),
            ],
            options={
                'ordering': ['-at', '-id'],
            },
        ),
        migrations.CreateModel(
            name='BalanceCursor',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('read_until', models.DateTimeField()),
                ('read_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='BalanceEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('entry_id', models.CharField(max_length=64)),
                ('kind', models.CharField(max_length=40)),
                ('category', models.CharField(max_length=60)),
                ('source_id', models.CharField(blank=True, max_length=64)),
                ('amount_minor', models.BigIntegerField()),
                ('fee_minor', models.BigIntegerField()),
                ('net_minor', models.BigIntegerField()),
                ('currency', models.CharField(max_length=3)),
                ('created_at', models.DateTimeField()),
                ('available_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='CloseOut',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('currency', models.CharField(max_length=3)),
                ('since', models.DateTimeField()),
                ('closed_at', models.DateTimeField()),
                ('float_minor', models.BigIntegerField()),
                ('cash_sales_minor', models.BigIntegerField()),
                ('cash_refunds_minor', models.BigIntegerField()),
                ('expected_minor', models.BigIntegerField()),
                ('counted_minor', models.BigIntegerField()),
                ('difference_minor', models.BigIntegerField()),
                ('card_sales_minor', models.BigIntegerField()),
                ('card_refunds_minor', models.BigIntegerField()),
                ('card_booked_minor', models.BigIntegerField()),
                ('card_booked_ours_minor', models.BigIntegerField()),
                ('card_count', models.PositiveIntegerField()),
                ('card_booked_count', models.PositiveIntegerField()),
                ('totals', models.JSONField()),
                ('note', models.CharField(blank=True, max_length=500)),
                ('form_token', models.CharField(max_length=64)),
            ],
        ),
        migrations.CreateModel(
            name='CloseOutLine',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
            ],
        ),
        migrations.CreateModel(
            name='Payout',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('payout_id', models.CharField(max_length=64)),
                ('status', models.CharField(choices=[('pending', 'Pending'), ('in_transit', 'On its way'), ('paid', 'Paid'), ('failed', 'Failed'), ('canceled', 'Cancelled')], max_length=12)),
                ('amount_minor', models.BigIntegerField()),
                ('currency', models.CharField(max_length=3)),
                ('is_automatic', models.BooleanField()),
                ('failure_code', models.CharField(blank=True, max_length=60)),
                ('created_at', models.DateTimeField()),
                ('arrives_on', models.DateField()),
                ('is_reconcilable', models.BooleanField(default=False)),
                ('lines_read_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='ReceiptResend',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('sent_to', models.EmailField(blank=True, max_length=254)),
                ('form_token', models.CharField(max_length=64)),
                ('asked_by', models.CharField(max_length=40)),
                ('asked_at', models.DateTimeField()),
                ('sent_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='RefundReceipt',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('language', models.CharField(max_length=5)),
                ('subject', models.CharField(max_length=200)),
                ('html', models.TextField()),
                ('text', models.TextField()),
                ('rendered_at', models.DateTimeField()),
                ('sent_to', models.EmailField(blank=True, max_length=254)),
                ('sent_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.AddField(
            model_name='paymentsettings',
            name='capture_mode',
            field=models.CharField(choices=[('automatic', 'At once'), ('manual', 'When staff confirm it')], default='automatic', max_length=10),
        ),
        migrations.AddField(
            model_name='paymentsettings',
            name='pays_on_arrival',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='paymentsettings',
            name='receipt_footer',
            field=models.TextField(blank=True, max_length=1000),
        ),
        migrations.AddField(
            model_name='paymentsettings',
            name='receipt_header',
            field=models.CharField(blank=True, max_length=300),
        ),
        migrations.AddField(
            model_name='paymentsettings',
            name='receipt_legal',
            field=models.TextField(blank=True, max_length=1000),
        ),
        migrations.AddField(
            model_name='paymentsettings',
            name='statement_descriptor_suffix',
            field=models.CharField(blank=True, max_length=12),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(fields=['business', 'total_minor', '-created_at'], name='order_of_amount'),
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(condition=models.Q(('state', 'succeeded')), fields=['business', 'state_changed_at'], name='payment_settled'),
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(condition=models.Q(('charge_id__isnull', False)), fields=['charge_id'], name='payment_of_charge'),
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(condition=models.Q(('card_last4', ''), _negated=True), fields=['business', 'card_last4'], name='payment_of_last4'),
        ),
        migrations.AddIndex(
            model_name='payment',
            index=models.Index(condition=models.Q(('refunded_minor__gt', 0)), fields=['order'], name='payment_refunded'),
        ),
        migrations.AddIndex(
            model_name='refund',
            index=models.Index(condition=models.Q(('stripe_refund_id__isnull', False)), fields=['stripe_refund_id'], name='refund_of_stripe_id'),
        ),
        migrations.AddIndex(
            model_name='refund',
            index=models.Index(fields=['business', 'state_changed_at'], name='refund_of_business'),
        ),
        migrations.AddConstraint(
            model_name='paymentsettings',
            constraint=models.CheckConstraint(condition=models.Q(('abandoned_after_hours__gte', 1), ('abandoned_after_hours__lte', 168)), name='a_payment_is_given_up_within_a_week'),
        ),
        migrations.AddField(
            model_name='auditentry',
            name='business',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='audit', to='core.business'),
        ),
        migrations.AddField(
            model_name='balancecursor',
            name='account',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='balance_cursor', to='payments.stripeaccount'),
        ),
        migrations.AddField(
            model_name='balanceentry',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='balance_entries', to='payments.stripeaccount'),
        ),
        migrations.AddField(
            model_name='balanceentry',
            name='dispute',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='balance_entries', to='payments.dispute'),
        ),
        migrations.AddField(
            model_name='balanceentry',
            name='payment',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='balance_entries', to='payments.payment'),
        ),
        migrations.AddField(
            model_name='balanceentry',
            name='refund',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='balance_entries', to='payments.refund'),
        ),
        migrations.AddField(
            model_name='closeout',
            name='business',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='close_outs', to='core.business'),
        ),
        migrations.AddField(
            model_name='closeout',
            name='closed_by',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.profile'),
        ),
        migrations.AddField(
            model_name='closeout',
            name='location',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='close_outs', to='core.location'),
        ),
        migrations.AddField(
            model_name='closeout',
            name='reader',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='close_outs', to='payments.reader'),
        ),
        migrations.AddField(
            model_name='closeout',
            name='staff',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='close_outs', to='core.profile'),
        ),
        migrations.AddField(
            model_name='closeoutline',
            name='close_out',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='lines', to='payments.closeout'),
        ),
        migrations.AddField(
            model_name='closeoutline',
            name='payment',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='payments.payment'),
        ),
        migrations.AddField(
            model_name='closeoutline',
            name='refund',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='payments.refund'),
        ),
        migrations.AddField(
            model_name='payout',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='payouts', to='payments.stripeaccount'),
        ),
        migrations.AddField(
            model_name='balanceentry',
            name='payout',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='entries', to='payments.payout'),
        ),
        migrations.AddField(
            model_name='receiptresend',
            name='business',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.business'),
        ),
        migrations.AddField(
            model_name='receiptresend',
            name='order',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='resends', to='payments.order'),
        ),
        migrations.AddField(
            model_name='refundreceipt',
            name='refund',
            field=models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='receipt', to='payments.refund'),
        ),
        migrations.AddIndex(
            model_name='auditentry',
            index=models.Index(fields=['business', '-at', '-id'], name='audit_newest_first'),
        ),
        migrations.AddIndex(
            model_name='closeout',
            index=models.Index(fields=['location', '-closed_at'], name='close_out_newest_first'),
        ),
        migrations.AddConstraint(
            model_name='closeout',
            constraint=models.UniqueConstraint(fields=('business', 'form_token'), name='a_form_closes_one_shift'),
        ),
        migrations.AddConstraint(
            model_name='closeout',
            constraint=models.CheckConstraint(condition=models.Q(('currency__regex', '^[a-z]{3}$')), name='a_close_out_has_a_lower_case_currency'),
        ),
        migrations.AddConstraint(
            model_name='closeout',
            constraint=models.CheckConstraint(condition=models.Q(('expected_minor', django.db.models.expressions.CombinedExpression(django.db.models.expressions.CombinedExpression(models.F('float_minor'), '+', models.F('cash_sales_minor')), '-', models.F('cash_refunds_minor'))), ('difference_minor', django.db.models.expressions.CombinedExpression(models.F('counted_minor'), '-', models.F('expected_minor')))), name='a_close_out_adds_up'),
        ),
        migrations.AddConstraint(
            model_name='closeout',
            constraint=models.CheckConstraint(condition=models.Q(('counted_minor__gte', 0), ('float_minor__gte', 0)), name='a_drawer_holds_no_negative_cash'),
        ),
        migrations.AddConstraint(
            model_name='closeout',
            constraint=models.CheckConstraint(condition=models.Q(('difference_minor', 0), models.Q(('note', ''), _negated=True), _connector='OR'), name='a_difference_is_explained'),
        ),
        migrations.AddConstraint(
            model_name='closeoutline',
            constraint=models.UniqueConstraint(fields=('payment',), name='a_payment_is_closed_out_once'),
        ),
        migrations.AddConstraint(
            model_name='closeoutline',
            constraint=models.UniqueConstraint(fields=('refund',), name='a_refund_is_closed_out_once'),
        ),
        migrations.AddConstraint(
            model_name='closeoutline',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('payment__isnull', False), ('refund__isnull', True)), models.Q(('payment__isnull', True), ('refund__isnull', False)), _connector='OR'), name='a_close_out_line_is_of_one_thing'),
        ),
        migrations.AddIndex(
            model_name='payout',
            index=models.Index(fields=['account', '-created_at', '-id'], name='payout_newest_first'),
        ),
        migrations.AddIndex(
            model_name='payout',
            index=models.Index(condition=models.Q(('is_reconcilable', True), ('lines_read_at__isnull', True)), fields=['created_at'], name='payout_to_be_read'),
        ),
        migrations.AddConstraint(
            model_name='payout',
            constraint=models.UniqueConstraint(fields=('account', 'payout_id'), name='a_payout_is_stored_once'),
        ),
        migrations.AddConstraint(
            model_name='payout',
            constraint=models.CheckConstraint(condition=models.Q(('currency__regex', '^[a-z]{3}$')), name='a_payout_has_a_lower_case_currency'),
        ),
        migrations.AddIndex(
            model_name='balanceentry',
            index=models.Index(fields=['account', '-created_at', '-id'], name='balance_newest_first'),
        ),
        migrations.AddIndex(
            model_name='balanceentry',
            index=models.Index(fields=['source_id'], name='balance_of_source'),
        ),
        migrations.AddConstraint(
            model_name='balanceentry',
            constraint=models.UniqueConstraint(fields=('account', 'entry_id'), name='a_balance_entry_is_stored_once'),
        ),
        migrations.AddConstraint(
            model_name='balanceentry',
            constraint=models.CheckConstraint(condition=models.Q(('currency__regex', '^[a-z]{3}$')), name='a_balance_entry_has_a_lower_case_currency'),
        ),
        migrations.AddConstraint(
            model_name='balanceentry',
            constraint=models.CheckConstraint(condition=models.Q(('net_minor', django.db.models.expressions.CombinedExpression(models.F('amount_minor'), '-', models.F('fee_minor')))), name='a_balance_entry_adds_up'),
        ),
        migrations.AddIndex(
            model_name='receiptresend',
            index=models.Index(fields=['business', 'asked_at'], name='resend_of_business'),
        ),
        migrations.AddConstraint(
            model_name='receiptresend',
            constraint=models.UniqueConstraint(fields=('business', 'form_token'), name='a_form_sends_one_receipt'),
        ),
        migrations.RunSQL(SQL, UNDO),
    ]
