"""The account behind a key. It is made up from the key's slug, so nothing has to be set up first."""

from sandbox.errors import StripeError
from sandbox.operations import operation
from sandbox.world import Obj, Tx

_CREATED = 1_704_067_200  # accounts are older than anything in them


def account_id(slug: str) -> str:
    """Return the id of the account that keys with this slug belong to."""
    return f"acct_{slug}"


@operation("account.retrieve", "GET", "/v1/account")
def retrieve(tx: Tx, _: Obj) -> Obj:
    """Return the caller's own account."""
    slug = tx.book.slug
    return {
        "id": account_id(slug),
        "object": "account",
        "business_profile": {
            "annual_revenue": None, "estimated_worker_count": None, "mcc": "7999", "name": slug.capitalize(),
            "product_description": None, "support_address": None, "support_email": None,
            "support_phone": None,
            "support_url": None, "url": None, "minority_owned_business_designation": None,
        },
        "business_type": "company",
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "controller": {"type": "account"},
        "country": "US",
        "created": _CREATED,
        "default_currency": "usd",
        "details_submitted": True,
        "email": f"{slug}@example.com",
        "external_accounts": {
            "object": "list", "data": [], "has_more": False,
            "url": f"/v1/accounts/{account_id(slug)}/external_accounts",
        },
        "metadata": {},
        "payouts_enabled": True,
        "settings": {
            "bacs_debit_payments": {"display_name": None, "service_user_number": None},
            "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
            "card_issuing": {"tos_acceptance": {"date": None, "ip": None}},
            "card_payments": {
                "decline_on": {"avs_failure": False, "cvc_failure": False},
                "statement_descriptor_prefix": None, "statement_descriptor_prefix_kana": None,
                "statement_descriptor_prefix_kanji": None,
            },
            "dashboard": {"display_name": slug.capitalize(), "timezone": "Etc/UTC"},
            "payments": {
                "statement_descriptor": slug.upper()[:22], "statement_descriptor_kana": None,
                "statement_descriptor_kanji": None,
            },
            "payouts": {
                "debit_negative_balances": True,
                "schedule": {"delay_days": 2, "interval": "daily"},
                "statement_descriptor": None,
            },
            "sepa_debit_payments": {},
        },
        "type": "standard",
    }  # fmt: skip


@operation("accounts.retrieve", "GET", "/v1/accounts/{}")
def retrieve_by_id(tx: Tx, params: Obj, wanted: str) -> Obj:
    """Return the account when it is the caller's own; another one is refused as Stripe refuses it."""
    if wanted != account_id(tx.book.slug):
        raise StripeError(
            403,
            f"The provided key does not have access to account '{wanted}' (or that account does not exist). "
            "Application access may have been revoked.",
            code="account_invalid",
        )
    return retrieve(tx, params)
