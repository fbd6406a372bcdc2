"""Programs of businesses: their tokens, what their keys have led to, and the events that they are told."""

import django.db.models.deletion
import uuid
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0004_what_items_give'),
        ('payments', '0013_refund_limit'),
    ]

    operations = [
        migrations.AlterField(
            model_name='auditentry',
            name='action',
            field=models.CharField(choices=[('settings.changed', 'Settings changed'), ('taxes.changed', 'Taxes changed'), ('keys.entered', 'Stripe keys entered'), ('keys.tested', 'Connection tested'), ('keys.decided', 'Stripe answered about the keys'), ('webhook.secret_added', 'Webhook secret added'), ('limits.changed', 'Limits changed'), ('token.made', 'API token made'), ('token.revoked', 'API token revoked'), ('endpoint.changed', 'Outgoing webhook changed'), ('purchases.exported', 'Purchases exported'), ('reconciliation.exported', 'Reconciliation exported'), ('safety.changed', 'Security changed'), ('second_factor.removed', 'Second factor removed'), ('receipt.resent', 'Receipt sent again'), ('person.erased', 'Personal data erased'), ('bulk_refund.asked', 'Refund of many orders asked for'), ('bulk_refund.resumed', 'Refund of many orders resumed'), ('reader.changed', 'Card reader changed'), ('shift.closed', 'Shift closed'), ('drift.noted', 'Difference looked into')], max_length=40),
        ),
        migrations.CreateModel(
            name='ApiToken',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=60)),
                ('prefix', models.CharField(max_length=16)),
                ('secret_hash', models.CharField(max_length=64, unique=True)),
                ('scopes', models.JSONField(default=list)),
                ('created_at', models.DateTimeField()),
                ('expires_at', models.DateTimeField(null=True)),
                ('revoked_at', models.DateTimeField(null=True)),
                ('used_at', models.DateTimeField(null=True)),
                ('minute_at', models.DateTimeField(null=True)),
                ('calls', models.PositiveIntegerField(default=0)),
                ('business', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='api_tokens', to='core.business')),
                ('created_by', models.ForeignKey(null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='core.profile')),
            ],
            options={
                'ordering': ['-id'],
            },
        ),
        migrations.CreateModel(
            name='OutgoingEndpoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('url', models.CharField(max_length=500)),
                ('events', models.JSONField(default=list)),
                ('secret_sealed', models.TextField()),
                ('secret_hint', models.CharField(max_length=8)),
                ('previous_secret_sealed', models.TextField(blank=True)),
                ('previous_until', models.DateTimeField(null=True)),
                ('failing_since', models.DateTimeField(null=True)),
                ('disabled_at', models.DateTimeField(null=True)),
                ('is_disabled_by_failing', models.BooleanField(default=False)),
                ('removed_at', models.DateTimeField(null=True)),
                ('created_at', models.DateTimeField()),
                ('business', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='outgoing_endpoints', to='core.business')),
            ],
            options={
                'ordering': ['id'],
            },
        ),
        migrations.CreateModel(
            name='OutgoingEvent',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('kind', models.CharField(choices=[('order.paid', 'An order was paid'), ('order.refunded', 'Money of an order went back'), ('refund.failed', 'A refund came to nothing'), ('payment.disputed', 'A payment is disputed'), ('dispute.closed', 'A dispute has ended'), ('ping', 'A test')], max_length=30)),
                ('subject', models.CharField(max_length=64)),
                ('body', models.TextField()),
                ('created_at', models.DateTimeField()),
                ('business', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='outgoing_events', to='core.business')),
            ],
        ),
        migrations.CreateModel(
            name='OutgoingDelivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public_id', models.UUIDField(default=uuid.uuid4, editable=False, unique=True)),
                ('state', models.CharField(choices=[('waiting', 'On its way'), ('delivered', 'Delivered'), ('failed', 'Given up')], default='waiting', max_length=10)),
                ('tries', models.PositiveSmallIntegerField(default=0)),
                ('answer_code', models.PositiveSmallIntegerField(null=True)),
                ('problem', models.CharField(blank=True, max_length=60)),
                ('took_ms', models.PositiveIntegerField(null=True)),
                ('asked_at', models.DateTimeField()),
                ('tried_at', models.DateTimeField(null=True)),
                ('delivered_at', models.DateTimeField(null=True)),
                ('endpoint', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='deliveries', to='payments.outgoingendpoint')),
                ('event', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='deliveries', to='payments.outgoingevent')),
            ],
        ),
        migrations.CreateModel(
            name='ApiRequest',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=255)),
                ('fingerprint', models.CharField(max_length=64)),
                ('subject', models.CharField(max_length=64)),
                ('created_at', models.DateTimeField()),
                ('token', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='requests', to='payments.apitoken')),
            ],
            options={
                'indexes': [models.Index(fields=['created_at'], name='api_request_to_forget')],
                'constraints': [models.UniqueConstraint(fields=('token', 'key'), name='a_key_is_used_for_one_request')],
            },
        ),
        migrations.AddConstraint(
            model_name='outgoingendpoint',
            constraint=models.UniqueConstraint(condition=models.Q(('removed_at__isnull', True)), fields=('business', 'url'), name='an_address_is_told_once'),
        ),
        migrations.AddIndex(
            model_name='outgoingevent',
            index=models.Index(fields=['created_at'], name='outgoing_event_to_forget'),
        ),
        migrations.AddIndex(
            model_name='outgoingdelivery',
            index=models.Index(fields=['endpoint', '-id'], name='delivery_of_endpoint'),
        ),
        migrations.AddConstraint(
            model_name='outgoingdelivery',
            constraint=models.UniqueConstraint(fields=('event', 'endpoint'), name='an_event_is_told_to_an_address_once'),
        ),
    ]
