"""A payment: one promise of money for a cart, by one method, and all we know of what became of it."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import F, Q, Value
from django.utils.translation import gettext_lazy as _

from web.core import tracing
from web.core.models import Business, Profile
from web.payments.models.base import currency_field, is_lower_case_currency, minor_field
from web.payments.models.order import Order
from web.payments.models.settings import StripeAccount
from web.payments.money import Money
from web.payments.states import FINAL, LIVE, OURS_TO_MOVE, PaymentState


class Method(models.TextChoices):
    """How money comes (or does not)."""

    ONLINE = "online", _("Card or wallet, online")
    TERMINAL = "terminal", _("Card reader")
    SAVED_CARD = "saved_card", _("Saved card")
    CASH = "cash", _("Cash")
    BALANCE = "balance", _("Account balance")
    CREDITS = "credits", _("Service credits")
    ALREADY_PAID = "already_paid", _("Already paid elsewhere")
    COMPLIMENTARY = "complimentary", _("Complimentary")
    NO_CHARGE = "no_charge", _("No charge")


WITHOUT_MONEY = frozenset({Method.COMPLIMENTARY, Method.NO_CHARGE})  # nothing came in, nothing can go back


class HeldReason(models.TextChoices):
    """Why money that came in waits for a person."""

    AMOUNT = "amount", _("The amount is not what was asked for")
    CURRENCY = "currency", _("The currency is not what was asked for")
    SECOND_SUCCESS = "second_success", _("The sale was already paid")
    CART_GONE = "cart_gone", _("There is no cart or order for it")
    CART_CHANGED = "cart_changed", _("The cart has changed since")


class Payment(models.Model):
    """A payment transaction. Never deleted (a trigger refuses); its history is in PaymentEvent."""

    MACHINE = "payment"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="payments")
    account = models.ForeignKey(StripeAccount, on_delete=models.PROTECT, null=True, related_name="payments")
    cart_reference = models.UUIDField()  # of its cart, and of the order that the cart becomes
    order = models.ForeignKey(Order, on_delete=models.PROTECT, null=True, related_name="payments")
    customer = models.ForeignKey(Profile, on_delete=models.SET_NULL, null=True, related_name="payments")
    created_by = models.ForeignKey(Profile, on_delete=models.SET_NULL, null=True, related_name="+")

    method = models.CharField(max_length=20, choices=Method)
    state = models.CharField(max_length=12, choices=PaymentState, default=PaymentState.REQUESTED)
    state_changed_at = models.DateTimeField()
    amount_minor = minor_field()
    currency = currency_field()
    amount_received_minor = minor_field(default=0)
    # What the customer added on the reader: part of what was received, on top of what was asked for.
    reader_tip_minor = minor_field(default=0, db_default=0)
    received_currency = models.CharField(
        max_length=3, blank=True, default="", db_default=""
    )  # where it is not the one asked for
    # Refunds asked for and not failed: reserved under this row's lock before anything is sent. The checks below
    # bind what we ask for; what Stripe reports beyond that is kept beside it (refunded_beyond_minor), never refused.
    refunded_minor = minor_field(default=0)
    refunded_beyond_minor = minor_field(default=0, db_default=0)
    returned_minor = minor_field(
        default=0, db_default=0
    )  # of these, what certainly went back: refunds that succeeded
    # Its money was given back before there was an order: it no longer counts for its cart, even if the bank
    # sends the refund back later.
    is_released = models.BooleanField(default=False, db_default=False)

    reader = models.ForeignKey(
        "payments.Reader", on_delete=models.PROTECT, null=True, related_name="payments"
    )
    card = models.ForeignKey("payments.Card", on_delete=models.SET_NULL, null=True, related_name="payments")
    form_token = models.CharField(max_length=64)  # of the form that asked; a repeat finds this payment
    payer_key_hash = models.CharField(max_length=64, blank=True)  # whose browser may have the client secret
    intent_id = models.CharField(max_length=64, null=True)
    charge_id = models.CharField(max_length=64, null=True)
    client_secret_sealed = models.TextField(blank=True)  # erased when final
    # Authorised first, taken when somebody says so.
    is_captured_later = models.BooleanField(default=False, db_default=False)
    capture_before = models.DateTimeField(null=True)  # when the authorisation runs out
    card_brand = models.CharField(max_length=20, blank=True)
    card_last4 = models.CharField(max_length=4, blank=True)
    decline_code = models.CharField(max_length=60, blank=True)  # Stripe's code; words for people come from it
    failure_code = models.CharField(max_length=60, blank=True)
    held_reason = models.CharField(max_length=20, choices=HeldReason, blank=True)

    # Stripe's time of the newest snapshot applied: an older one never takes the payment back.
    snapshot_at = models.DateTimeField(null=True)
    next_check_at = models.DateTimeField(null=True)  # when a sweep reads Stripe; null once final
    read_at = models.DateTimeField(null=True)  # the newest time that a page asked for a read
    checks = models.PositiveSmallIntegerField(default=0)
    note = models.CharField(max_length=200, blank=True)  # why it was complimentary, where it was paid already
    # Service credits only: how many, and for what ([[line, pieces], …], lines as the frozen quote counts them).
    credits = models.PositiveIntegerField(default=0, db_default=0)
    covers = models.JSONField(default=list, db_default=Value([], models.JSONField()))
    # Of the request that asked for it: what a webhook leads to, hours later, belongs to the same trace.
    traceparent = models.CharField(max_length=55, blank=True, default=tracing.traceparent, db_default="")
    created_at = models.DateTimeField()

    class Meta:
        constraints = [
            is_lower_case_currency("a_payment_has_a_lower_case_currency"),
            models.UniqueConstraint(fields=["account", "intent_id"], name="an_intent_belongs_to_one_payment"),
            models.UniqueConstraint(fields=["business", "form_token"], name="a_form_makes_one_payment"),
            models.CheckConstraint(
                condition=Q(amount_minor__gte=0, amount_received_minor__gte=0, reader_tip_minor__gte=0),
                name="a_payment_has_no_negative_amount",
            ),
            models.CheckConstraint(
                condition=~Q(state="succeeded")
                | Q(amount_received_minor=F("amount_minor") + F("reader_tip_minor")),
                name="a_payment_succeeds_with_exactly_its_amount",
            ),
            models.CheckConstraint(
                condition=Q(refunded_minor__gte=0, refunded_minor__lte=F("amount_received_minor")),
                name="refunds_never_exceed_the_payment",
            ),
            models.CheckConstraint(
                condition=Q(refunded_beyond_minor=0)
                | Q(refunded_beyond_minor__gt=0, refunded_minor=F("amount_received_minor")),
                name="only_a_payment_given_back_whole_has_refunds_beyond",
            ),
            models.CheckConstraint(
                condition=Q(is_released=False) | Q(order__isnull=True), name="released_money_pays_no_order"
            ),
            models.CheckConstraint(
                condition=~Q(state="held") | ~Q(held_reason=""), name="held_money_has_a_reason"
            ),
            models.CheckConstraint(
                condition=Q(order__isnull=True) | Q(state="succeeded"),
                name="only_money_that_came_pays_an_order",
            ),
            models.CheckConstraint(
                condition=~Q(method="saved_card") | Q(account__isnull=False),
                name="a_saved_cards_payment_has_its_account",
            ),
            models.CheckConstraint(
                condition=~Q(method="online") | Q(account__isnull=False),
                name="an_online_payment_has_its_account",
            ),
            models.CheckConstraint(
                condition=~Q(method="terminal") | Q(account__isnull=False),
                name="a_payment_on_a_reader_has_its_account",
            ),
            models.CheckConstraint(
                condition=Q(reader_tip_minor=0) | Q(method="terminal"),
                name="only_a_reader_takes_a_tip_of_its_own",
            ),
            models.CheckConstraint(
                condition=Q(method="credits", credits__gt=0) | ~Q(method="credits") & Q(credits=0),
                name="service_credits_are_counted",
            ),
            models.CheckConstraint(
                condition=~Q(state="reserved") | Q(method__in=["balance", "credits"]),
                name="only_what_is_stored_is_set_aside",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=sorted(FINAL))
                | Q(client_secret_sealed="", next_check_at__isnull=True),
                name="a_final_payment_keeps_no_client_secret",
            ),
        ]
        indexes = [
            models.Index(fields=["cart_reference"], name="payment_of_cart"),
            models.Index(fields=["order"], name="payment_of_order"),
            models.Index(
                fields=["next_check_at"],
                condition=Q(next_check_at__isnull=False),
                name="payment_due_for_a_check",
            ),
            models.Index(
                fields=["business", "state_changed_at"],
                condition=Q(state__in=sorted(LIVE | {PaymentState.HELD})),
                name="payment_unsettled",
            ),
            models.Index(
                fields=["business", "state_changed_at"],
                condition=Q(state=PaymentState.SUCCEEDED),
                name="payment_settled",
            ),
            # What people search by, and what an order's list asks of its payments.
            models.Index(
                fields=["charge_id"], condition=Q(charge_id__isnull=False), name="payment_of_charge"
            ),
            models.Index(
                fields=["business", "card_last4"], condition=~Q(card_last4=""), name="payment_of_last4"
            ),
            models.Index(fields=["order"], condition=Q(refunded_minor__gt=0), name="payment_refunded"),
            # What whoever is on call looks at, over all businesses: few rows, however many payments there are.
            models.Index(
                fields=["state_changed_at"],
                condition=Q(state__in=sorted(OURS_TO_MOVE)),
                name="payment_ours_to_move",
            ),
            models.Index(
                fields=["state_changed_at"],
                condition=Q(state="held", is_released=False),
                name="payment_held",
            ),
            models.Index(
                fields=["business", "reader", "order"],
                condition=Q(reader__isnull=False, order__isnull=False),
                name="payment_on_reader",
            ),
        ]

    def __str__(self) -> str:
        return str(self.public_id)

    @property
    def is_final(self) -> bool:
        return self.state in FINAL

    @property
    def received(self) -> Money:
        """What came in, in the currency that it came in."""
        return Money(self.amount_received_minor, self.received_currency or self.currency)

    @property
    def refundable(self) -> Money:
        """What is neither given back nor being given back."""
        return Money(self.amount_received_minor - self.refunded_minor, self.received.currency)


class PaymentEvent(models.Model):
    """A line of a sale's history, written in the transaction of the change. Append-only (a trigger refuses)."""

    business = models.ForeignKey(Business, on_delete=models.PROTECT, related_name="+")
    cart_reference = models.UUIDField()
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, null=True, related_name="events")
    kind = models.CharField(max_length=40)  # a constant of payments/history.py
    from_state = models.CharField(max_length=12, blank=True)
    to_state = models.CharField(max_length=12, blank=True)
    cause = models.CharField(max_length=200, blank=True)
    data = models.JSONField(default=dict)  # ids and codes; never a secret, never personal data
    actor = models.CharField(max_length=40)  # "worker", "stripe", "customer", "staff 12"
    at = models.DateTimeField()

    class Meta:
        ordering = ["at", "id"]
        indexes = [models.Index(fields=["cart_reference", "at", "id"], name="event_of_sale")]

    def __str__(self) -> str:
        return f"{self.at:%H:%M:%S} {self.kind}"
