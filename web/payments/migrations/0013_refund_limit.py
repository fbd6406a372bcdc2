"""Above which amount staff prove again who they are before they give money back."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('payments', '0012_at_the_reader'),
    ]

    operations = [
        migrations.AddField(
            model_name='paymentsettings',
            name='refund_limit_minor',
            field=models.PositiveBigIntegerField(blank=True, null=True),
        ),
        migrations.AlterField(
            model_name='auditentry',
            name='action',
            field=models.CharField(choices=[('settings.changed', 'Settings changed'), ('taxes.changed', 'Taxes changed'), ('keys.entered', 'Stripe keys entered'), ('keys.tested', 'Connection tested'), ('keys.decided', 'Stripe answered about the keys'), ('webhook.secret_added', 'Webhook secret added'), ('limits.changed', 'Limits changed'), ('purchases.exported', 'Purchases exported'), ('reconciliation.exported', 'Reconciliation exported'), ('safety.changed', 'Security changed'), ('second_factor.removed', 'Second factor removed'), ('receipt.resent', 'Receipt sent again'), ('person.erased', 'Personal data erased'), ('bulk_refund.asked', 'Refund of many orders asked for'), ('bulk_refund.resumed', 'Refund of many orders resumed'), ('reader.changed', 'Card reader changed'), ('shift.closed', 'Shift closed'), ('drift.noted', 'Difference looked into')], max_length=40),
        ),
    ]
