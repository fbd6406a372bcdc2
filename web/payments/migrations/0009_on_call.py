"""What whoever is on call can say and do: paused queues, drained workers, actions with their audit."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("payments", "0008_cards")]

    operations = []
