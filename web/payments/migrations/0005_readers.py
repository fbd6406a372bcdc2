"""Card readers, the queue in front of each, and payments that they take."""

import django.db.models.deletion
import django.db.models.expressions
import uuid
from django.db import migrations, models

# web/payments/states.py as it is at this migration; a test keeps the two equal.
EDGES = [
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
]
ARGUMENTS = ", ".join(f"'{edge}'" for edge in EDGES)
GUARDS = f"""
CREATE TRIGGER readeraction_moves_along_its_edges BEFORE UPDATE OF state ON payments_readeraction
    FOR EACH ROW EXECUTE FUNCTION paydesk_guard_state({ARGUMENTS});
CREATE TRIGGER readeraction_is_never_deleted BEFORE DELETE ON payments_readeraction
    FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();
CREATE TRIGGER reader_is_never_deleted BEFORE DELETE ON payments_reader
    FOR EACH ROW EXECUTE FUNCTION paydesk_refuse();
"""
NO_GUARDS = """
DROP TRIGGER readeraction_moves_along_its_edges ON payments_readeraction;
DROP TRIGGER readeraction_is_never_deleted ON payments_readeraction;
DROP TRIGGER reader_is_never_deleted ON payments_reader;
"""


class Migration(migrations.Migration):
    dependencies = [("core", "0002_cache_table"), ("payments", "0004_watch")]
    operations = [
        migrations.CreateModel(
            name='ConnectionToken',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('secret_sealed', models.TextField(blank=True)),
                ('problem', models.CharField(blank=True, max_length=60)),
                ('created_at', models.DateTimeField()),
                ('taken_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='Reader',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('state', models.CharField(choices=[('registering', 'Being registered'), ('ready', 'Ready'), ('refused', 'Refused by Stripe'), ('removed', 'Removed')], default='registering', max_length=12)),
                ('label', models.CharField(max_length=100)),
                ('registration_code', models.CharField(blank=True, max_length=80)),
                ('stripe_reader_id', models.CharField(max_length=64, null=True)),
                ('device_type', models.CharField(blank=True, max_length=40)),
                ('serial_number', models.CharField(blank=True, max_length=60)),
                ('is_online', models.BooleanField(null=True)),
                ('last_seen_at', models.DateTimeField(null=True)),
                ('read_at', models.DateTimeField(null=True)),
                ('problem', models.CharField(blank=True, max_length=200)),
                ('created_at', models.DateTimeField()),
                ('removed_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='ReaderAction',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('form_token', models.CharField(max_length=64)),
                ('asks_for_tip', models.BooleanField(default=False)),
                ('state', models.CharField(choices=[('queued', 'Waiting for the reader'), ('sending', 'Being sent to the reader'), ('waiting', 'Present card'), ('processing', 'Processing'), ('checking', 'Checking'), ('cancelling', 'Cancelling'), ('succeeded', 'Approved'), ('failed', 'Not paid'), ('cancelled', 'Cancelled')], default='queued', max_length=12)),
                ('state_changed_at', models.DateTimeField()),
                ('queued_at', models.DateTimeField()),
                ('sent_at', models.DateTimeField(null=True)),
                ('shown_at', models.DateTimeField(null=True)),
                ('deadline_at', models.DateTimeField(null=True)),
                ('next_poll_at', models.DateTimeField(null=True)),
                ('polls', models.PositiveSmallIntegerField(default=0)),
                ('fence', models.BigIntegerField(default=0)),
                ('cancel_reason', models.CharField(blank=True, choices=[('', ''), ('asked', 'Somebody asked'), ('deadline', 'Nobody paid in time'), ('handed_over', 'Handed to another reader'), ('intent_ended', 'The payment was cancelled elsewhere')], max_length=12)),
                ('failure_code', models.CharField(blank=True, max_length=60)),
                ('api_error', models.CharField(blank=True, max_length=60)),
                ('finished_at', models.DateTimeField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name='StripeLocation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stripe_location_id', models.CharField(max_length=64, null=True)),
                ('line1', models.CharField(max_length=200)),
                ('city', models.CharField(blank=True, max_length=100)),
                ('region', models.CharField(blank=True, max_length=100)),
                ('postal_code', models.CharField(blank=True, max_length=20)),
            ],
        ),
        migrations.RemoveConstraint(
            model_name='payment',
            name='a_payment_has_no_negative_amount',
        ),
        migrations.RemoveConstraint(
            model_name='payment',
            name='a_payment_succeeds_with_exactly_its_amount',
        ),
        migrations.AddField(
            model_name='payment',
            name='capture_before',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='payment',
            name='is_captured_later',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.AddField(
            model_name='payment',
            name='reader_tip_minor',
            field=models.BigIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name='paymentsettings',
            name='reader_asks_for_tip',
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name='attempt',
            name='operation',
            field=models.CharField(choices=[('create_intent', 'Create Intent'), ('cancel_intent', 'Cancel Intent'), ('create_refund', 'Create Refund'), ('capture_intent', 'Capture Intent'), ('process_on_reader', 'Process On Reader'), ('cancel_on_reader', 'Cancel On Reader')], max_length=20),
        ),
        migrations.AlterField(
            model_name='payment',
            name='method',
            field=models.CharField(choices=[('online', 'Card or wallet, online'), ('terminal', 'Card reader'), ('cash', 'Cash'), ('complimentary', 'Complimentary'), ('no_charge', 'No charge')], max_length=20),
        ),
        migrations.AddField(
            model_name='connectiontoken',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='payments.stripeaccount'),
        ),
        migrations.AddField(
            model_name='connectiontoken',
            name='asked_by',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='core.profile'),
        ),
        migrations.AddField(
            model_name='connectiontoken',
            name='business',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.business'),
        ),
        migrations.AddField(
            model_name='connectiontoken',
            name='location',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.location'),
        ),
        migrations.AddField(
            model_name='reader',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='readers', to='payments.stripeaccount'),
        ),
        migrations.AddField(
            model_name='reader',
            name='business',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='readers', to='core.business'),
        ),
        migrations.AddField(
            model_name='reader',
            name='location',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='readers', to='core.location'),
        ),
        migrations.AddField(
            model_name='payment',
            name='reader',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='payments', to='payments.reader'),
        ),
        migrations.AddConstraint(
            model_name='payment',
            constraint=models.CheckConstraint(condition=models.Q(('amount_minor__gte', 0), ('amount_received_minor__gte', 0), ('reader_tip_minor__gte', 0)), name='a_payment_has_no_negative_amount'),
        ),
        migrations.AddConstraint(
            model_name='payment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'succeeded'), _negated=True), ('amount_received_minor', django.db.models.expressions.CombinedExpression(models.F('amount_minor'), '+', models.F('reader_tip_minor'))), _connector='OR'), name='a_payment_succeeds_with_exactly_its_amount'),
        ),
        migrations.AddConstraint(
            model_name='payment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('method', 'terminal'), _negated=True), ('account__isnull', False), _connector='OR'), name='a_payment_on_a_reader_has_its_account'),
        ),
        migrations.AddConstraint(
            model_name='payment',
            constraint=models.CheckConstraint(condition=models.Q(('reader_tip_minor', 0), ('method', 'terminal'), _connector='OR'), name='only_a_reader_takes_a_tip_of_its_own'),
        ),
        migrations.AddField(
            model_name='readeraction',
            name='business',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.business'),
        ),
        migrations.AddField(
            model_name='readeraction',
            name='holder',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='core.profile'),
        ),
        migrations.AddField(
            model_name='readeraction',
            name='next_reader',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to='payments.reader'),
        ),
        migrations.AddField(
            model_name='readeraction',
            name='payment',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='reader_actions', to='payments.payment'),
        ),
        migrations.AddField(
            model_name='readeraction',
            name='reader',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='actions', to='payments.reader'),
        ),
        migrations.AddField(
            model_name='stripelocation',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='stripe_locations', to='payments.stripeaccount'),
        ),
        migrations.AddField(
            model_name='stripelocation',
            name='location',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='stripe_locations', to='core.location'),
        ),
        migrations.AddConstraint(
            model_name='connectiontoken',
            constraint=models.CheckConstraint(condition=models.Q(('taken_at__isnull', True), ('secret_sealed', ''), _connector='OR'), name='a_connection_token_is_given_out_once'),
        ),
        migrations.AddIndex(
            model_name='reader',
            index=models.Index(fields=['business', 'location'], name='reader_of_business'),
        ),
        migrations.AddConstraint(
            model_name='reader',
            constraint=models.UniqueConstraint(fields=('account', 'stripe_reader_id'), name='a_reader_is_known_once'),
        ),
        migrations.AddConstraint(
            model_name='reader',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'ready'), _negated=True), ('stripe_reader_id__isnull', False), _connector='OR'), name='a_ready_reader_is_known_to_stripe'),
        ),
        migrations.AddConstraint(
            model_name='reader',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('removed_at__isnull', False), ('state', 'removed')), models.Q(models.Q(('state', 'removed'), _negated=True), ('removed_at__isnull', True)), _connector='OR'), name='a_removed_reader_says_since_when'),
        ),
        migrations.AddIndex(
            model_name='readeraction',
            index=models.Index(condition=models.Q(('state', 'queued')), fields=['reader', 'queued_at', 'id'], name='action_queued'),
        ),
        migrations.AddIndex(
            model_name='readeraction',
            index=models.Index(condition=models.Q(('next_poll_at__isnull', False)), fields=['next_poll_at'], name='action_due_for_a_look'),
        ),
        migrations.AddIndex(
            model_name='readeraction',
            index=models.Index(fields=['payment', 'id'], name='action_of_payment'),
        ),
        migrations.AddConstraint(
            model_name='readeraction',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', ['cancelling', 'checking', 'processing', 'sending', 'waiting'])), fields=('reader',), name='a_reader_has_one_active_action'),
        ),
        migrations.AddConstraint(
            model_name='readeraction',
            constraint=models.UniqueConstraint(condition=models.Q(('state__in', ['cancelled', 'failed', 'succeeded']), _negated=True), fields=('payment',), name='a_payment_has_one_unfinished_action'),
        ),
        migrations.AddConstraint(
            model_name='readeraction',
            constraint=models.UniqueConstraint(fields=('business', 'form_token'), name='a_form_starts_one_action'),
        ),
        migrations.AddConstraint(
            model_name='readeraction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state__in', ['cancelling', 'checking', 'processing', 'sending', 'waiting']), _negated=True), models.Q(('deadline_at__isnull', False), ('next_poll_at__isnull', False)), _connector='OR'), name='an_active_action_has_a_deadline_and_a_next_look'),
        ),
        migrations.AddConstraint(
            model_name='readeraction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('finished_at__isnull', False), ('next_poll_at__isnull', True), ('state__in', ['cancelled', 'failed', 'succeeded'])), models.Q(models.Q(('state__in', ['cancelled', 'failed', 'succeeded']), _negated=True), ('finished_at__isnull', True)), _connector='OR'), name='a_finished_action_is_looked_at_no_more'),
        ),
        migrations.AddConstraint(
            model_name='readeraction',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('state', 'failed'), _negated=True), models.Q(('failure_code', ''), _negated=True), _connector='OR'), name='a_failed_action_says_why'),
        ),
        migrations.AddConstraint(
            model_name='stripelocation',
            constraint=models.UniqueConstraint(fields=('account', 'location'), name='a_place_is_at_stripe_once'),
        ),
        migrations.RunSQL(GUARDS, NO_GUARDS),
    ]
