"""A business may insist on a second factor for its staff."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('core', '0004_what_items_give'),
    ]

    operations = [
        migrations.AddField(
            model_name='business',
            name='second_factor',
            field=models.CharField(choices=[('nobody', 'Nobody has to; whoever has set one up is asked for it'), ('money', 'Staff who give money back, change balances or settings'), ('staff', 'All staff')], db_default='nobody', default='nobody', max_length=8),
        ),
    ]
