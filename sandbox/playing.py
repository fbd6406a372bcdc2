"""Controls that play somebody: the customer, the bank of a customer, the bank of the account."""

from sandbox.api import disputes, paying, payouts, refunds, setting_up
from sandbox.api.accounts import account_id
from sandbox.control import action, intent_for_page, opened
from sandbox.errors import invalid
from sandbox.server import Sandbox
from sandbox.world import Obj, Tx


def authenticate(tx: Tx, intent: Obj, authorised: bool) -> Obj:
    """Finish 3-D Secure of a payment or setup intent."""
    finish = setting_up.authenticate if intent["object"] == "setup_intent" else paying.authenticate
    return finish(tx, intent, authorised)


@action("POST", "payment_intents/authenticate", 1)
@action("POST", "setup_intents/authenticate", 1)
async def authenticated(sandbox: Sandbox, given: Obj, ids: list[str], base: str) -> Obj:
    """Finish 3-D Secure: ``outcome`` is ``authorise`` or ``fail``."""
    if given.get("outcome") not in ("authorise", "fail"):
        raise invalid("outcome must be authorise or fail", "outcome")
    tx, intent = intent_for_page(sandbox, ids[0], base)
    return _done(tx, authenticate(tx, intent, given["outcome"] == "authorise"))


@action("POST", "charges/dispute", 1)
async def dispute(sandbox: Sandbox, given: Obj, ids: list[str], base: str) -> Obj:
    """Dispute a charge now: ``reason``, ``amount`` for a part, ``inquiry`` for one that takes no money."""
    tx, charge = opened(sandbox, "charge", ids[0], base)
    if not charge["captured"] or not disputable(tx, charge):
        raise invalid("Only a captured charge without an open dispute can be disputed.")
    amount = int(given["amount"]) if given.get("amount") else None
    if amount is not None and not 1 <= amount <= charge["amount_captured"]:
        raise invalid("amount must be a part of what was captured", "amount")
    reason = str(given.get("reason", "fraudulent"))
    return _done(tx, disputes.start(tx, charge, reason, inquiry=bool(given.get("inquiry")), amount=amount))


def disputable(tx: Tx, charge: Obj) -> bool:
    """Return whether a charge has no dispute that is still open."""
    return not any(one["status"] in disputes.WAITING for one in tx.find("dispute", "charge", charge["id"]))


@action("POST", "disputes/resolve", 1)
async def resolve(sandbox: Sandbox, given: Obj, ids: list[str], base: str) -> Obj:
    """Let the bank decide a dispute: ``outcome`` is ``won``, ``lost`` or ``warning_closed``."""
    if given.get("outcome") not in ("won", "lost", "warning_closed"):
        raise invalid("outcome must be won, lost or warning_closed", "outcome")
    tx, found = opened(sandbox, "dispute", ids[0], base)
    return _done(tx, disputes.decide(tx, found, given["outcome"]))


@action("POST", "refunds/act", 1)
async def act(sandbox: Sandbox, given: Obj, ids: list[str], base: str) -> Obj:
    """Do what the customer must do for a refund: ``outcome`` is ``succeeded`` or ``failed``."""
    if given.get("outcome") not in ("succeeded", "failed"):
        raise invalid("outcome must be succeeded or failed", "outcome")
    tx, refund = opened(sandbox, "refund", ids[0], base)
    return _done(tx, refunds.act(tx, refund, given["outcome"]))


@action("POST", "refunds/fail", 1)
async def fail_refund(sandbox: Sandbox, _: Obj, ids: list[str], base: str) -> Obj:
    """Let a refund fail, a succeeded one too."""
    tx, refund = opened(sandbox, "refund", ids[0], base)
    refunds.fail(tx, refund["id"])
    return _done(tx, tx.need("refund", refund["id"]))


@action("POST", "payouts/settle", 1)
async def settle(sandbox: Sandbox, given: Obj, ids: list[str], base: str) -> Obj:
    """Let a payout end: ``outcome`` is ``paid`` or ``failed`` (with ``failure_code``)."""
    tx, payout = opened(sandbox, "payout", ids[0], base)
    code = str(given.get("failure_code", "could_not_process"))
    return _done(tx, payouts.settle(tx, payout, str(given.get("outcome")), code))


@action("POST", "accounts/payout", 1)
async def pay_out(sandbox: Sandbox, _: Obj, ids: list[str], __: str) -> Obj:
    """Make the automatic payout of an account now, of what is available."""
    tx = sandbox.world.begin(ids[0])
    made = payouts.automatic(tx, "")
    tx.commit()
    return {"account": account_id(ids[0]), "payouts": [payout["id"] for payout in made]}


def _done(tx: Tx, obj: Obj) -> Obj:
    tx.commit()
    return {"id": obj["id"], "status": obj["status"]}
