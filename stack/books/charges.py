"""Our payments against Stripe's charges and intents."""

from __future__ import annotations

from collections import defaultdict

from stack.books.record import Books, Row, invariant, once_quiet, ours


@once_quiet
def _charges(books: Books) -> None:
    """Hold each successful charge against the payment that it belongs to."""
    payments = _payments_by_intent(books)
    for account, theirs in books.stripe.items():
        paid: dict[str, list[Row]] = defaultdict(list)
        for charge in theirs["charges"]:
            if charge["status"] == "succeeded" and charge["captured"]:
                paid[charge["payment_intent"] or charge["id"]].append(charge)
        for intent_id, charges in paid.items():
            amount = sum(ours(charge["amount_captured"], charge["currency"]) for charge in charges)
            currency = charges[0]["currency"]
            payment = payments.get((account, intent_id))
            if payment is None:
                books.report("a_charge_belongs_to_no_payment", intent_id, amount, currency)
                continue
            if len(charges) > 1:
                books.report("an_intent_was_charged_twice", intent_id, amount, currency)
            if payment["currency"] != currency:
                books.report("a_charge_has_another_currency", _about(payment), amount, currency)
            elif payment["state"] == "succeeded" and amount != payment["amount_received_minor"]:
                books.report("a_charge_has_another_amount", _about(payment), amount, currency)


def _payments_by_intent(books: Books) -> dict[tuple[str, str], Row]:
    rows = books.rows(
        "SELECT payment.*, account.account_id AS stripe_account FROM payments_payment AS payment"
        " JOIN payments_stripeaccount AS account ON account.id = payment.account_id WHERE intent_id IS NOT NULL"
    )
    return {(row["stripe_account"], row["intent_id"]): row for row in rows}


def _about(payment: Row) -> str:
    return f"payment {payment['id']} ({payment['state']}, {payment['intent_id']})"


@once_quiet
def _claimed_charges(books: Books) -> None:
    """Find payments that we call paid and Stripe does not."""
    for (account, intent_id), payment in _payments_by_intent(books).items():
        if payment["state"] not in ("succeeded", "held") or account not in books.stripe:
            continue
        charges = [
            charge
            for charge in books.stripe[account]["charges"]
            if charge["payment_intent"] == intent_id and charge["status"] == "succeeded"
        ]
        if not charges:
            books.report(
                "a_payment_succeeded_without_a_charge",
                _about(payment),
                payment["amount_received_minor"],
                payment["currency"],
            )


@invariant
def _one_intent(books: Books) -> None:
    """Find payments for which Stripe has two intents that can take money or have."""
    for account, theirs in books.stripe.items():
        intents: dict[str, list[Row]] = defaultdict(list)
        for intent in theirs["payment_intents"]:
            if intent["status"] != "canceled" and intent["metadata"].get("payment"):
                intents[intent["metadata"]["payment"]].append(intent)
        for payment, several in intents.items():
            if len(several) > 1:
                amount = sum(ours(intent["amount"], intent["currency"]) for intent in several[1:])
                names = ", ".join(intent["id"] for intent in several)
                books.report(
                    "a_payment_has_two_intents",
                    f"payment {payment} at {account}: {names}",
                    amount,
                    several[0]["currency"],
                )


@invariant
def _charged_beyond_the_order(books: Books) -> None:
    """Find orders for which customers were charged more than the total, held money apart."""
    payments = _payments_by_intent(books)
    charged: dict[str, int] = defaultdict(int)
    for account, theirs in books.stripe.items():
        for charge in theirs["charges"]:
            payment = payments.get((account, charge["payment_intent"]))
            if payment and charge["status"] == "succeeded" and payment["state"] != "held":
                charged[str(payment["cart_reference"])] += ours(charge["amount_captured"], charge["currency"])
    for order in books.rows("SELECT * FROM payments_order"):
        amount = charged.get(str(order["cart_reference"]), 0)
        if amount > order["total_minor"]:
            books.report(
                "an_order_was_charged_beyond_its_total",
                f"order {order['number']}: {amount} of {order['total_minor']}",
                amount - order["total_minor"],
                order["currency"],
            )


@once_quiet
def _settled(books: Books) -> None:
    """Hold what Stripe ended against what we think of it: the last word must have arrived."""
    for (account, intent_id), payment in _payments_by_intent(books).items():
        theirs = books.stripe.get(account)
        if theirs is None:
            continue
        intent = next((one for one in theirs["payment_intents"] if one["id"] == intent_id), None)
        money = payment["amount_minor"], payment["currency"]
        if intent is None:
            books.report("an_intent_is_not_at_stripe", _about(payment), *money)
        elif intent["status"] == "succeeded" and payment["state"] not in ("succeeded", "held"):
            books.report("a_charge_was_never_settled", _about(payment), *money)
        elif intent["status"] == "canceled" and payment["state"] not in ("cancelled", "failed"):
            books.report("a_cancellation_was_never_settled", _about(payment), *money)
        elif payment["state"] in ("cancelled", "failed") and intent["status"] != "canceled":
            books.report("an_ended_payment_can_still_be_paid", _about(payment), *money)


@once_quiet
def _orphaned_intents(books: Books) -> None:
    """Find intents of ours at Stripe whose payment does not know them."""
    known = {intent_id for _account, intent_id in _payments_by_intent(books)}
    for theirs in books.stripe.values():
        for intent in theirs["payment_intents"]:
            is_open = intent["status"] not in ("canceled", "succeeded")  # the charge says the rest
            if is_open and intent["id"] not in known and intent["metadata"].get("payment"):
                amount = ours(intent["amount"], intent["currency"])
                books.report("an_open_intent_belongs_to_no_payment", intent["id"], amount, intent["currency"])
