"""Customers: created, changed, deleted; a deleted one answers as a tombstone and leaves every list."""

from sandbox.api.payment_methods import detached, list_of_customer
from sandbox.errors import missing
from sandbox.ids import new_id, token
from sandbox.operations import operation
from sandbox.params import bounds, merge_metadata
from sandbox.shapes import page, within
from sandbox.world import Obj, Tx

_TEXTS = ("description", "email", "name", "phone", "business_name", "individual_name", "tax_exempt")
_OTHERS = ("address", "shipping", "balance", "preferred_locales", "next_invoice_sequence", "invoice_prefix")


@operation("customers.create", "POST", "/v1/customers")
def create(tx: Tx, params: Obj) -> Obj:
    """Create a customer."""
    customer: Obj = {
        "id": new_id("customer"),
        "object": "customer",
        "address": None,
        "balance": 0,
        "created": tx.now,
        "currency": None,
        "default_source": None,
        "delinquent": False,
        "description": None,
        "discount": None,
        "email": None,
        "invoice_prefix": token(8).upper(),
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {},
        "name": None,
        "next_invoice_sequence": 1,
        "phone": None,
        "preferred_locales": [],
        "shipping": None,
        "tax_exempt": "none",
        "test_clock": None,
    }
    customer.update(_fields(customer, params))
    tx.put(customer)
    tx.emit("customer.created", customer)
    return customer


@operation("customers.retrieve", "GET", "/v1/customers/{}")
def retrieve(tx: Tx, _: Obj, customer_id: str) -> Obj:
    """Return a customer, or the tombstone of a deleted one."""
    return tx.need("customer", customer_id)


@operation("customers.update", "POST", "/v1/customers/{}")
def update(tx: Tx, params: Obj, customer_id: str) -> Obj:
    """Change a customer; emits ``customer.updated`` when something did."""
    old = tx.need("customer", customer_id)
    if old.get("deleted"):
        raise missing("customer", customer_id)
    customer = tx.change(old, **_fields(old, params))
    if customer != old:
        tx.emit("customer.updated", customer, before=old)
    return customer


@operation("customers.delete", "DELETE", "/v1/customers/{}")
def delete(tx: Tx, _: Obj, customer_id: str) -> Obj:
    """Delete a customer: its cards are detached, its payments stay."""
    customer = tx.need("customer", customer_id)
    gone: Obj = {"id": customer_id, "object": "customer", "deleted": True}
    if not customer.get("deleted"):
        for method in tx.find("payment_method", "customer", customer_id):
            detached(tx, method)
        tx.emit("customer.deleted", customer)
        tx.put(gone)
    return gone


@operation("customers.list", "GET", "/v1/customers")
def list_all(tx: Tx, params: Obj) -> Obj:
    """List customers; deleted ones are left out."""
    email = params.get("email")
    return page(
        tx,
        "customer",
        {**params, "created": None},
        "/v1/customers",
        lambda customer: (
            not customer.get("deleted")
            and (email is None or customer["email"] == email)
            and (not params.get("created") or within(customer["created"], bounds(params["created"])))
        ),
    )


@operation("customers.payment_methods", "GET", "/v1/customers/{}/payment_methods")
def payment_methods(tx: Tx, params: Obj, customer_id: str) -> Obj:
    """List the payment methods saved on a customer."""
    tx.need("customer", customer_id)
    return list_of_customer(tx, params, customer_id, f"/v1/customers/{customer_id}/payment_methods")


def _fields(old: Obj, params: Obj) -> Obj:
    fields: Obj = {name: params[name] or None for name in _TEXTS if name in params}
    if fields.get("tax_exempt", "") is None:
        fields["tax_exempt"] = "none"
    for name in _OTHERS:
        if name in params:
            fields[name] = None if params[name] == "" else params[name]
    if "invoice_settings" in params:
        fields["invoice_settings"] = {**old["invoice_settings"], **(params["invoice_settings"] or {})}
    if "metadata" in params:
        fields["metadata"] = merge_metadata(old["metadata"], params["metadata"])
    return fields
