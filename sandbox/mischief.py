"""What a fault needs to know of a request, and the faults that change the world rather than the answer."""

from sandbox import cards
from sandbox.api import disputes
from sandbox.world import Obj, Tx, World


def card_behind(world: World, account: str, ids: tuple[str, ...], form: Obj) -> str | None:
    """Return the name of the test card a request is about: named in it, or behind an object it names."""
    tx = world.begin(account)
    named = [*ids, *(form[name] for name in ("payment_method", "payment_intent", "charge") if name in form)]
    data = form.get("payment_method_data")
    card = data.get("card") if isinstance(data, dict) else None
    token = card.get("token") if isinstance(card, dict) else None
    for value in [*named, token]:
        if isinstance(value, str) and (found := _card_of(tx, value)):
            return found
    return None


def _card_of(tx: Tx, object_id: str) -> str | None:
    if (card := cards.by_test_id(object_id)) is not None:
        return card.name
    for kind in ("payment_intent", "setup_intent"):
        if (intent := tx.get(kind, object_id)) is not None:
            charge = tx.get("charge", intent.get("latest_charge") or "")
            return _card_of(tx, intent["payment_method"] or (charge or {}).get("payment_method") or "")
    for kind in ("charge", "refund", "dispute"):
        if (obj := tx.get(kind, object_id)) is not None:
            return _card_of(tx, obj.get("payment_method") or obj.get("charge") or "")
    method = tx.get("payment_method", object_id)
    return cards.behind(method).name if method else None


def dispute_first(tx: Tx, params: Obj) -> None:
    """Open a dispute on the charge that is about to be refunded, as if it had come a moment earlier."""
    intent = tx.get("payment_intent", params.get("payment_intent", ""))
    charge = tx.get("charge", params.get("charge") or (intent or {}).get("latest_charge") or "")
    if charge is not None and charge["captured"] and not disputes.refuses_refund(tx, charge):
        disputes.start(tx, charge)
        tx.commit()
