"""Webhook endpoints: where events go. A secret is shown once, at creation, and kept apart."""

from urllib.parse import urlsplit

from sandbox.api.accounts import account_id
from sandbox.errors import invalid
from sandbox.ids import new_id, token
from sandbox.operations import operation
from sandbox.params import merge_metadata
from sandbox.shapes import page
from sandbox.world import Obj, Tx

ROLL_SECONDS = 24 * 3600  # the longest overlap Stripe offers when a secret is rolled


def secrets(tx: Tx, endpoint_id: str) -> list[str]:
    """Return the secrets that sign now: the newest first, then those of a roll not yet over."""
    kept = tx.get("sandbox.secret", f"secret_{endpoint_id}")
    if kept is None:
        return []
    return [
        entry["value"] for entry in kept["secrets"] if entry["expires"] is None or entry["expires"] > tx.now
    ]


def roll_secret(tx: Tx, endpoint_id: str, overlap_seconds: int = ROLL_SECONDS) -> str:
    """Give an endpoint a new secret; the old one signs along until the overlap ends."""
    tx.need("webhook_endpoint", endpoint_id)
    kept = tx.need("sandbox.secret", f"secret_{endpoint_id}")
    overlap = min(max(overlap_seconds, 0), ROLL_SECONDS)
    old = [
        {**entry, "expires": min(entry["expires"] or tx.now + overlap, tx.now + overlap)}
        for entry in kept["secrets"]
    ]
    fresh = _new_secret()
    tx.change(kept, secrets=[{"value": fresh, "expires": None}, *old])
    return fresh


def _new_secret() -> str:
    return f"whsec_{token(32)}"


@operation("webhook_endpoints.create", "POST", "/v1/webhook_endpoints")
def create(tx: Tx, params: Obj) -> Obj:
    """Register an endpoint; the answer alone carries its secret."""
    endpoint: Obj = {
        "id": new_id("webhook_endpoint"),
        "object": "webhook_endpoint",
        "api_version": params.get("api_version"),
        "application": None,
        "created": tx.now,
        "description": params.get("description") or None,
        "enabled_events": params["enabled_events"],
        "livemode": False,
        "metadata": merge_metadata({}, params.get("metadata")),
        "status": "enabled",
        "url": _checked_url(params["url"]),
    }
    tx.put(endpoint)
    secret = _new_secret()
    tx.put(
        {
            "id": f"secret_{endpoint['id']}",
            "object": "sandbox.secret",
            "account": account_id(tx.book.slug),
            "secrets": [{"value": secret, "expires": None}],
        }
    )
    return {**endpoint, "secret": secret}


@operation("webhook_endpoints.retrieve", "GET", "/v1/webhook_endpoints/{}")
def retrieve(tx: Tx, _: Obj, endpoint_id: str) -> Obj:
    """Return an endpoint, without its secret."""
    return tx.need("webhook_endpoint", endpoint_id)


@operation("webhook_endpoints.list", "GET", "/v1/webhook_endpoints")
def list_all(tx: Tx, params: Obj) -> Obj:
    """List endpoints."""
    return page(tx, "webhook_endpoint", params, "/v1/webhook_endpoints")


@operation("webhook_endpoints.update", "POST", "/v1/webhook_endpoints/{}")
def update(tx: Tx, params: Obj, endpoint_id: str) -> Obj:
    """Change an endpoint: its URL, events, description, or whether it is used."""
    old = tx.need("webhook_endpoint", endpoint_id)
    fields: Obj = {}
    if "url" in params:
        fields["url"] = _checked_url(params["url"])
    if "enabled_events" in params:
        fields["enabled_events"] = params["enabled_events"]
    if "description" in params:
        fields["description"] = params["description"] or None
    if "disabled" in params:
        fields["status"] = "disabled" if params["disabled"] else "enabled"
    if "metadata" in params:
        fields["metadata"] = merge_metadata(old["metadata"], params["metadata"])
    return tx.change(old, **fields)


@operation("webhook_endpoints.delete", "DELETE", "/v1/webhook_endpoints/{}")
def delete(tx: Tx, _: Obj, endpoint_id: str) -> Obj:
    """Remove an endpoint; deliveries still due to it end as failed."""
    tx.drop(tx.need("webhook_endpoint", endpoint_id))
    if (kept := tx.get("sandbox.secret", f"secret_{endpoint_id}")) is not None:
        tx.drop(kept)
    return {"id": endpoint_id, "object": "webhook_endpoint", "deleted": True}


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise invalid(
            "Invalid URL: An explicit scheme (such as https) must be provided.", "url", "url_invalid"
        )
    return url
