"""Filling a cart. Every change locks it and is refused while it is being paid."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Sequence
from decimal import Decimal

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.db.models import QuerySet
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from web.core.compiled import compiled
from web.core.models import CREDIT_TYPES, Business, Item, Location, Profile
from web.payments import history, locks
from web.payments.errors import Kind, Refusal
from web.payments.models import LARGEST_QUANTITY, Cart, CartLine, PaymentSettings, ProfilePaymentData
from web.payments.money import Money, MoneyError, UnsupportedCurrency, exponent, largest_charge
from web.payments.queries.quotes import lines_of, quote
from web.payments.states import CartState

LARGEST_TIP_PERCENT = 100
LARGEST_CART_LINES = 100


class CartNotFound(Refusal):
    code, kind = "cart_not_found", Kind.MISSING
    message = _("We cannot find this cart.")
    next_step = _("No money moved. Open the shop again, or use the link from your receipt.")


class CartFrozen(Refusal):
    code, kind = "cart_frozen", Kind.CONFLICT
    message = _("This cart is being paid and cannot change.")
    next_step = _("Nothing new was charged. Finish the payment, or cancel it first.")


class BadQuantity(Refusal):
    code = "bad_quantity"
    message = format_lazy(_("A quantity is a whole number from 0 to {most}."), most=LARGEST_QUANTITY)
    next_step = _("No money moved. Change the quantity and try again.")


class BadAmount(Refusal):
    code = "bad_amount"
    message = _("This amount cannot be used.")
    next_step = _(
        "No money moved. Enter an amount of zero or more, with no more decimals than the currency has."
    )


class CartTooLarge(Refusal):
    code = "cart_too_large"
    message = _("This is more than one payment can be.")
    next_step = _("No money moved. Split the sale into several.")


class ItemNotSold(Refusal):
    code, kind = "item_not_sold", Kind.MISSING
    message = _("This item is not for sale here.")
    next_step = _("No money moved. Choose another item.")


class CurrencyNotSupported(Refusal):
    code = "currency_not_supported"
    message = _("This currency cannot be charged.")
    next_step = _("No money moved. Choose a location with a currency that is supported.")


class DiscountReasonMissing(Refusal):
    code = "discount_reason_missing"
    message = _("A discount needs a reason.")
    next_step = _("No money moved. Say why something is taken off and try again.")


class NotOnArrival(Refusal):
    code, kind = "not_on_arrival", Kind.CONFLICT
    message = _("This order cannot be left to be paid on arrival.")
    next_step = _("You were not charged. Pay it here, or ask at the front desk.")


class BuyerIncomplete(Refusal):
    code = "buyer_incomplete"
    message = _("We need a name and an e-mail address for the receipt.")
    next_step = _("No money moved. Fill in both and try again.")


@transaction.atomic
def open_cart(
    *,
    business: Business,
    location: Location,
    now: datetime.datetime,
    customer: Profile | None = None,
    created_by: Profile | None = None,
    language: str = "en",
) -> Cart:
    """Start an empty cart at a location, in the location's currency."""
    try:
        exponent(location.currency)
    except UnsupportedCurrency as error:
        raise CurrencyNotSupported from error
    return Cart.objects.create(
        business=business,
        location=location,
        currency=location.currency,
        customer=customer,
        created_by=created_by,
        language=language,
        state_changed_at=now,
        created_at=now,
    )


def _locked_open(business: Business, token: str) -> Cart:
    cart = locks.cart(business_id=business.id, token=token)
    if cart is None:
        raise CartNotFound
    if cart.state != CartState.OPEN:
        raise CartFrozen
    return cart


def _refuse_too_large(cart: Cart, lines: Sequence[CartLine] | None = None) -> None:
    if quote(cart, lines).totals.total > largest_charge(cart.currency):
        raise CartTooLarge


@transaction.atomic
def put_in(
    *,
    business: Business,
    token: str,
    location: Location,
    item_id: int,
    quantity: int,
    now: datetime.datetime,
    customer: Profile | None = None,
    created_by: Profile | None = None,
    language: str = "en",
    over_the_counter: bool = False,
) -> Cart:
    """Put so many more of an item into the cart; a new cart is started where the token names none (any more)."""
    if quantity < 1:
        raise BadQuantity
    cart = locks.cart(business_id=business.id, token=token) if token else None
    if cart is None:
        cart = open_cart(
            business=business,
            location=location,
            now=now,
            customer=customer,
            created_by=created_by,
            language=language,
        )
    elif cart.state != CartState.OPEN:
        raise CartFrozen
    line = _line_of.first(cart=cart.id, item=item_id)
    there = line.quantity if line else 0
    _set_line(cart, line, item_id=item_id, quantity=there + quantity, over_the_counter=over_the_counter)
    return cart


@compiled
def _line_of(cart: int, item: int) -> QuerySet[CartLine]:
    return CartLine.objects.filter(cart=cart, item=item)


@compiled
def _item_of(business: int, item: int, currency: str) -> QuerySet[Item]:
    return Item.objects.filter(id=item, business=business, is_active=True, currency=currency)


@transaction.atomic
def accept_policy(
    *, business: Business, token: str, now: datetime.datetime, actor: str = history.CUSTOMER
) -> None:
    """Keep in the sale's history that the buyer accepted the refund policy, and which text it was."""
    cart = locks.cart(business_id=business.id, token=token)
    if cart is None:
        raise CartNotFound
    policy = (
        PaymentSettings.objects.filter(business=business).values_list("refund_policy", flat=True).first()
        or ""
    )
    history.record(
        history.POLICY_ACCEPTED,
        business_id=business.id,
        cart_reference=cart.reference,
        payment=None,
        actor=actor,
        now=now,
        data={"policy": hash_policy(policy)},
    )
    if cart.customer_id is not None:
        ProfilePaymentData.objects.update_or_create(
            profile_id=cart.customer_id, defaults={"policy_accepted_at": now}
        )


def hash_policy(text: str) -> str:
    """Name a policy's text, so that an acceptance says which one it was."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@transaction.atomic
def set_quantity(
    *, business: Business, token: str, item_id: int, quantity: int, over_the_counter: bool = False
) -> Cart:
    """Set how many of an item are in the cart; 0 takes it out.

    What is not sold online is put in by staff only: from a customer, more of it is refused as ItemNotSold.
    """
    cart = _locked_open(business, token)
    line = _line_of.first(cart=cart.id, item=item_id)
    _set_line(cart, line, item_id=item_id, quantity=quantity, over_the_counter=over_the_counter)
    return cart


def _set_line(
    cart: Cart, line: CartLine | None, *, item_id: int, quantity: int, over_the_counter: bool
) -> None:
    """Set how many of an item are in an open cart. Whoever holds its lock is alone with its lines."""
    if not 0 <= quantity <= LARGEST_QUANTITY:
        raise BadQuantity
    if quantity == 0:
        if line is not None:
            line.delete()
        return
    item = _item_of.first(business=cart.business_id, item=item_id, currency=cart.currency)
    if item is None or (item.location_id is not None and item.location_id != cart.location_id):
        raise ItemNotSold
    if not (over_the_counter or item.sold_online) and quantity > (line.quantity if line else 0):
        raise ItemNotSold
    if line is not None:
        line.quantity = quantity
        line.save(update_fields=["quantity"])
    else:
        CartLine.objects.create(
            cart=cart,
            item=item,
            quantity=quantity,
            item_type=item.item_type,
            description=item.name,
            unit_price_minor=item.price_minor,
            gives_minor=item.gives_minor,
            gives_credits=item.gives_credits,
            gives_days=item.gives_days,
            credit_price=item.credit_price if item.item_type in CREDIT_TYPES else 0,
        )
    lines = lines_of(cart)
    if len(lines) > LARGEST_CART_LINES:
        raise CartTooLarge
    _refuse_too_large(cart, lines)


@transaction.atomic
def set_tip(*, business: Business, token: str, percent: int | None = None, amount: str | None = None) -> Cart:
    """Set the tip, either as whole percents of the lines or as an amount that a person typed."""
    cart = _locked_open(business, token)
    if percent is not None:
        if not 0 <= percent <= LARGEST_TIP_PERCENT:
            raise BadAmount
        cart.tip_percent, cart.tip_minor = percent or None, 0
    else:
        try:
            tip = Money.parse(amount or "0", cart.currency)
        except MoneyError as error:
            raise BadAmount from error
        if tip < Money.zero(cart.currency):
            raise BadAmount
        if tip > largest_charge(cart.currency):
            raise CartTooLarge
        cart.tip_percent, cart.tip_minor = None, tip.amount
    _refuse_too_large(cart)
    cart.save(update_fields=["tip_percent", "tip_minor", "updated_at"])
    return cart


@transaction.atomic
def set_discount(
    *,
    business: Business,
    token: str,
    reason: str,
    now: datetime.datetime,
    staff: Profile,
    percent: Decimal | None = None,
    amount: str | None = None,
) -> Cart:
    """Take something off the lines, as a percentage or an amount that staff typed, with a reason; nothing clears it.

    Who may do so is the view's to check (the group *discounts*).
    """
    cart = _locked_open(business, token)
    reason = " ".join(reason.split())[:200]
    off = Money.zero(cart.currency)
    if percent is None and amount:
        try:
            off = Money.parse(amount, cart.currency)
        except MoneyError as error:
            raise BadAmount from error
    if off < Money.zero(cart.currency) or (
        percent is not None and (not 0 < percent <= 100 or percent != round(percent, 2))
    ):
        raise BadAmount
    is_something = percent is not None or bool(off)
    if is_something and not reason:
        raise DiscountReasonMissing
    if off > largest_charge(cart.currency):
        raise CartTooLarge
    cart.discount_percent, cart.discount_minor = percent, off.amount
    cart.discount_reason = reason if is_something else ""
    cart.save(update_fields=["discount_percent", "discount_minor", "discount_reason", "updated_at"])
    history.record(
        history.DISCOUNTED,
        business_id=cart.business_id,
        cart_reference=cart.reference,
        payment=None,
        actor=history.staff(staff.id),
        now=now,
        data={"percent": None if percent is None else str(percent), "amount": off.amount},
    )
    return cart


@transaction.atomic
def pay_on_arrival(*, business: Business, token: str, now: datetime.datetime, payer: Profile | None) -> Cart:
    """Leave a cart to be paid at the desk: it stays a cart, nothing is paid, and staff see it among those due.

    The buyer has to be known. Paying it online meanwhile stays possible. Again changes nothing.
    """
    cart = _locked_open(business, token)
    allowed = PaymentSettings.objects.filter(business=business, pays_on_arrival=True).exists()
    if not allowed:
        raise NotOnArrival
    if cart.customer_id is None and not (cart.guest_name and cart.guest_email):
        raise BuyerIncomplete
    if not cart.lines.exists():
        raise NotOnArrival
    if cart.pays_on_arrival_at is None:
        cart.pays_on_arrival_at = now
        cart.save(update_fields=["pays_on_arrival_at", "updated_at"])
        history.record(
            history.PAYS_ON_ARRIVAL,
            business_id=cart.business_id,
            cart_reference=cart.reference,
            payment=None,
            actor=history.staff(payer.id) if payer is not None and payer.is_staff else history.CUSTOMER,
            now=now,
        )
    return cart


@transaction.atomic
def confirm_buyer(
    *,
    business: Business,
    token: str,
    signed_in: Profile | None,
    name: str,
    email: str,
    accepts_policy: bool,
    now: datetime.datetime,
) -> Cart:
    """Say at the checkout who buys: the customer the cart is for, else who is signed in, else the guest."""
    cart = _locked_open(business, token)
    if cart.customer_id is None:
        cart = set_buyer(business=business, token=token, customer=signed_in, name=name, email=email)
    if accepts_policy:
        accept_policy(business=business, token=token, now=now)
    return cart


@transaction.atomic
def set_buyer(
    *,
    business: Business,
    token: str,
    customer: Profile | None = None,
    name: str = "",
    email: str = "",
) -> Cart:
    """Say who buys: a customer of the business, or a guest by name and e-mail address."""
    cart = _locked_open(business, token)
    before = cart.customer_id
    if customer is not None:
        if customer.business_id != business.id:
            raise BuyerIncomplete
        cart.customer, cart.guest_name, cart.guest_email = customer, "", ""
    else:
        name, email = checked_guest(name, email)
        if not email:
            raise BuyerIncomplete
        cart.customer, cart.guest_name, cart.guest_email = None, name, email
    if cart.customer_id != before:
        cart.uses_balance = cart.uses_credits = False  # the one before had chosen that, of what they have
    cart.save(
        update_fields=["customer", "guest_name", "guest_email", "uses_balance", "uses_credits", "updated_at"]
    )
    return cart


def checked_guest(name: str, email: str) -> tuple[str, str]:
    """Return a guest's name and address as they are kept: both, or neither. Raises BuyerIncomplete for one alone."""
    name, email = " ".join(name.split()), email.strip()
    if not name and not email:
        return "", ""
    try:
        validate_email(email)
    except ValidationError as error:
        raise BuyerIncomplete from error
    if not name or len(name) > 200:
        raise BuyerIncomplete
    return name, email
