"""Makes the peer's tables, its account and its webhook endpoint; prints the endpoint's id as its address has it."""

import os

import django

django.setup()

from django.core.management import call_command
from djstripe.models import Account, WebhookEndpoint

call_command("migrate", verbosity=0, run_syncdb=True)
account = Account.get_default_account(api_key=os.environ["PEER_STRIPE_KEY"])
endpoint, _new = WebhookEndpoint.objects.get_or_create(
    id="we_peer",
    defaults={
        "url": "http://127.0.0.1/",
        "status": "enabled",
        "enabled_events": ["*"],
        "api_version": "",
        "secret": os.environ["PEER_WEBHOOK_SECRET"],
        "livemode": False,
        "djstripe_owner_account": account,
        "djstripe_validation_method": "verify_signature",
    },
)
print(endpoint.djstripe_uuid)
