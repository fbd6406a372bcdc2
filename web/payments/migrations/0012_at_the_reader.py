"""Refunds with the card on a reader have a place in its queue; secrets that nobody fetched are found and erased."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("payments", "0011_after_the_sale_again")]

    operations = [
        migrations.AddField(
            model_name='readeraction',
            name='refund',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='reader_actions', to='payments.refund'),
        ),
        migrations.AddConstraint(
            model_name='readeraction',
            constraint=models.UniqueConstraint(condition=models.Q(('refund__isnull', False)), fields=('refund',), name='a_refund_has_one_place_at_a_reader'),
        ),
        migrations.AlterField(
            model_name='attempt',
            name='operation',
            field=models.CharField(choices=[('create_intent', 'Create Intent'), ('cancel_intent', 'Cancel Intent'), ('confirm_intent', 'Confirm Intent'), ('create_refund', 'Create Refund'), ('capture_intent', 'Capture Intent'), ('process_on_reader', 'Process On Reader'), ('refund_on_reader', 'Refund On Reader'), ('cancel_on_reader', 'Cancel On Reader')], max_length=20),
        ),
        migrations.AddIndex(
            model_name='connectiontoken',
            index=models.Index(condition=models.Q(('secret_sealed', ''), _negated=True), fields=['created_at'], name='token_to_forget'),
        ),
    ]
