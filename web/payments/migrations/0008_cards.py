"""Saved cards: the setup that saves one, with its state machine's guard, the card, and payments by it."""

import django.db.models.deletion
import uuid
from django.db import migrations, models


EDGES = [
    "requested>awaiting",
    "requested>failed",
    "requested>succeeded",
    "awaiting>succeeded",
    "awaiting>failed",
]
GUARD = (
    "CREATE TRIGGER cardsetup_moves_along_its_edges BEFORE UPDATE OF state ON payments_cardsetup "
    "FOR EACH ROW EXECUTE FUNCTION paydesk_guard_state(" + ", ".join(f"'{edge}'" for edge in EDGES) + ");"
)
UNDO = "DROP TRIGGER cardsetup_moves_along_its_edges ON payments_cardsetup;"


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0004_what_items_give'),
        ('payments', '0007_after_the_sale'),
    ]

    operations = [
        migrations.CreateModel(
            name='CardSetup',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('form_token', models.CharField(max_length=64)),
                ('state', models.CharField(choices=[('requested', 'Requested'), ('awaiting', 'Waiting for the card'), ('succeeded', 'Saved'), ('failed', 'Not saved')], default='requested', max_length=12)),
                ('state_changed_at', models.DateTimeField()),
                ('setup_intent_id', models.CharField(max_length=64, null=True)),
                ('client_secret_sealed', models.TextField(blank=True)),
                ('failure_code', models.CharField(blank=True, max_length=60)),
                ('consented_at', models.DateTimeField()),
                ('consent', models.TextField()),
                ('created_at', models.DateTimeField()),
            ],
        ),
        migrations.AddField(
            model_name='paymentsettings',
            name='keeps_cards',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='paymentsettings',
            name='late_cancel_item',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='core.item'),
        ),
        migrations.AddField(
            model_name='paymentsettings',
            name='no_show_item',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='core.item'),
        ),
        migrations.AlterField(
            model_name='attempt',
            name='operation',
            field=models.CharField(choices=[('create_intent', 'Create Intent'), ('cancel_intent', 'Cancel Intent'), ('confirm_intent', 'Confirm Intent'), ('create_refund', 'Create Refund'), ('capture_intent', 'Capture Intent'), ('process_on_reader', 'Process On Reader'), ('cancel_on_reader', 'Cancel On Reader')], max_length=20),
        ),
        migrations.AlterField(
            model_name='payment',
            name='method',
            field=models.CharField(choices=[('online', 'Card or wallet, online'), ('terminal', 'Card reader'), ('saved_card', 'Saved card'), ('cash', 'Cash'), ('balance', 'Account balance'), ('credits', 'Service credits'), ('already_paid', 'Already paid elsewhere'), ('complimentary', 'Complimentary'), ('no_charge', 'No charge')], max_length=20),
        ),
        migrations.CreateModel(
            name='Card',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('stripe_customer_id', models.CharField(max_length=64)),
                ('payment_method_id', models.CharField(max_length=64)),
                ('brand', models.CharField(max_length=20)),
                ('last4', models.CharField(max_length=4)),
                ('expires_year', models.PositiveSmallIntegerField()),
                ('expires_month', models.PositiveSmallIntegerField()),
                ('is_default', models.BooleanField(default=False)),
                ('removed_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField()),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='cards', to='payments.stripeaccount')),
                ('business', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='cards', to='core.business')),
                ('profile', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='cards', to='core.profile')),
            ],
            options={
                'verbose_name': 'card',
                'ordering': ['-is_default', '-id'],
            },
        ),
        migrations.AddField(
            model_name='payment',
            name='card',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='payments', to='payments.card'),
        ),
        migrations.AddConstraint(
            model_name='payment',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('method', 'saved_card'), _negated=True), ('account__isnull', False), _connector='OR'), name='a_saved_cards_payment_has_its_account'),
        ),
        migrations.AddField(
            model_name='cardsetup',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='payments.stripeaccount'),
        ),
        migrations.AddField(
            model_name='cardsetup',
            name='business',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='core.business'),
        ),
        migrations.AddField(
            model_name='cardsetup',
            name='profile',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='card_setups', to='core.profile'),
        ),
        migrations.AddField(
            model_name='card',
            name='setup',
            field=models.OneToOneField(on_delete=django.db.models.deletion.RESTRICT, related_name='card', to='payments.cardsetup'),
        ),
        migrations.AddConstraint(
            model_name='cardsetup',
            constraint=models.UniqueConstraint(fields=('business', 'form_token'), name='a_form_saves_one_card'),
        ),
        migrations.AddConstraint(
            model_name='cardsetup',
            constraint=models.UniqueConstraint(fields=('account', 'setup_intent_id'), name='a_setup_intent_belongs_to_one_setup'),
        ),
        migrations.AddConstraint(
            model_name='cardsetup',
            constraint=models.CheckConstraint(condition=models.Q(('state__in', ['requested', 'awaiting']), ('client_secret_sealed', ''), _connector='OR'), name='a_final_setup_keeps_no_client_secret'),
        ),
        migrations.AddConstraint(
            model_name='card',
            constraint=models.UniqueConstraint(fields=('account', 'payment_method_id'), name='a_card_is_saved_once'),
        ),
        migrations.AddConstraint(
            model_name='card',
            constraint=models.UniqueConstraint(condition=models.Q(('is_default', True)), fields=('profile',), name='a_person_has_one_default_card'),
        ),
        migrations.AddConstraint(
            model_name='card',
            constraint=models.CheckConstraint(condition=models.Q(('is_default', False), ('removed_at__isnull', True), _connector='OR'), name='a_removed_card_is_no_default'),
        ),
        migrations.RunSQL(GUARD, UNDO),
    ]
