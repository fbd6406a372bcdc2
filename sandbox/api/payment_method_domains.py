"""Payment-method domains: where a wallet's button may be shown; every domain but a ``.invalid`` one is accepted."""

from sandbox.errors import invalid
from sandbox.ids import new_id
from sandbox.operations import operation
from sandbox.shapes import page
from sandbox.world import Obj, Tx

_WALLETS = ("amazon_pay", "apple_pay", "google_pay", "klarna", "link", "paypal")


@operation("payment_method_domains.create", "POST", "/v1/payment_method_domains")
def create(tx: Tx, params: Obj) -> Obj:
    """Register a domain; registering it again returns what is there."""
    name = params["domain_name"].lower().rstrip(".")
    if "/" in name or ":" in name or "." not in name:
        raise invalid(
            "Invalid domain: give a name such as shop.example.com, without scheme or path.", "domain_name"
        )
    for known in tx.book.shelf("payment_method_domain").values():
        if known["domain_name"] == name:
            return known
    return tx.put(
        {
            "id": new_id("payment_method_domain"),
            "object": "payment_method_domain",
            "created": tx.now,
            "domain_name": name,
            "enabled": params.get("enabled", True),
            "livemode": False,
            **_statuses(name),
        }
    )


@operation("payment_method_domains.retrieve", "GET", "/v1/payment_method_domains/{}")
def retrieve(tx: Tx, _: Obj, domain_id: str) -> Obj:
    """Return one domain."""
    return tx.need("payment_method_domain", domain_id)


@operation("payment_method_domains.list", "GET", "/v1/payment_method_domains")
def list_all(tx: Tx, params: Obj) -> Obj:
    """List domains, by name or by whether they are enabled."""
    return page(
        tx, "payment_method_domain", params, "/v1/payment_method_domains", by=("domain_name", "enabled")
    )


@operation("payment_method_domains.update", "POST", "/v1/payment_method_domains/{}")
def update(tx: Tx, params: Obj, domain_id: str) -> Obj:
    """Enable or disable a domain."""
    old = tx.need("payment_method_domain", domain_id)
    return tx.change(old, enabled=params.get("enabled", old["enabled"]))


@operation("payment_method_domains.validate", "POST", "/v1/payment_method_domains/{}/validate")
def validate(tx: Tx, _: Obj, domain_id: str) -> Obj:
    """Ask again whether the wallets accept the domain."""
    old = tx.need("payment_method_domain", domain_id)
    return tx.change(old, **_statuses(old["domain_name"]))


def _statuses(name: str) -> Obj:
    good = not name.endswith(".invalid")
    status: Obj = {"status": "active"}
    if not good:
        status = {
            "status": "inactive",
            "status_details": {"error_message": "The domain could not be reached."},
        }
    return {wallet: dict(status) for wallet in _WALLETS}
