"""What an item gives its buyer, stored money or service credits, and how many credits pay for it."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("core", "0003_find_people"),
    ]

    operations = [
        migrations.AddField(
            model_name="item",
            name="credit_price",
            field=models.PositiveSmallIntegerField(default=1),
        ),
        migrations.AddField(
            model_name="item",
            name="gives_credits",
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name="item",
            name="gives_days",
            field=models.PositiveIntegerField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="item",
            name="gives_minor",
            field=models.PositiveBigIntegerField(default=0),
        ),
        migrations.AddConstraint(
            model_name="item",
            constraint=models.CheckConstraint(
                condition=models.Q(("gives_minor", 0), ("item_type", "gift_card"), _connector="OR"),
                name="only_a_gift_card_gives_money",
            ),
        ),
        migrations.AddConstraint(
            model_name="item",
            constraint=models.CheckConstraint(
                condition=models.Q(("gives_credits", 0), ("item_type", "service_pass"), _connector="OR"),
                name="only_a_service_pass_gives_credits",
            ),
        ),
        migrations.AddConstraint(
            model_name="item",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("gives_days__isnull", True),
                    models.Q(("gives_days__gte", 1), ("gives_days__lte", 36500)),
                    _connector="OR",
                ),
                name="what_an_item_gives_lasts_a_day_to_a_hundred_years",
            ),
        ),
    ]
