"""Who buys, at the till: another customer for the sale at hand, or a new one.

The rule: a change of customer never moves money. While a payment of the sale is under way, and once money has
come in for it, the sale stays with the customer who pays or paid: their balance, their receipt, their history.
"""

from __future__ import annotations

import datetime

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from web.core.accounts import AddressTaken, create_person, user_of_address
from web.core.models import Business, Profile
from web.payments import history, locks
from web.payments.errors import Kind, Refusal
from web.payments.models import Cart, Order
from web.payments.operations.carts import CartFrozen, CartNotFound, checked_guest
from web.payments.operations.intents import AlreadyPaid
from web.payments.states import CartState

LONGEST_NAME = 200
LONGEST_PHONE = 40


class CustomerNotFound(Refusal):
    code, kind = "customer_not_found", Kind.MISSING
    message = _("We cannot find this customer.")
    next_step = _("No money moved. Search again, or sell to a guest.")


class PaymentBindsCustomer(Refusal):
    code, kind = "payment_binds_customer", Kind.CONFLICT
    message = _("A payment of this sale is under way, for the customer it has.")
    next_step = _("Nothing was taken twice. Wait for it to end or cancel it, then change the customer.")


class MoneyBindsCustomer(Refusal):
    code, kind, money_moved = "money_binds_customer", Kind.CONFLICT, True
    message = _("This sale is partly paid by the customer it has.")
    next_step = _("Complete it for them, or give the money back; then sell to somebody else.")


class StoredBindsCustomer(Refusal):
    code, kind = "stored_binds_customer", Kind.CONFLICT
    message = _("A part of this sale is set aside of what its customer has stored.")
    next_step = _("No money moved. Give it back to them first, then change the customer.")


class CustomerIncomplete(Refusal):
    code = "customer_incomplete"
    message = _("A customer needs a name and an e-mail address.")
    next_step = _("No money moved. Fill in both and try again.")


class CustomerKnown(Refusal):
    """`details["customer"]` is the one who has the address already, where they are a customer."""

    code, kind = "customer_known", Kind.CONFLICT
    message = _("Somebody here already has this e-mail address.")
    next_step = _("No money moved. Choose them, or enter another address.")


@transaction.atomic
def choose(
    *,
    business: Business,
    token: str,
    customer: Profile | None,
    now: datetime.datetime,
    actor: str,
    guest_name: str = "",
    guest_email: str = "",
) -> Cart:
    """Give the sale at hand to a customer, else to a guest, who may leave a name and an address for the receipt.

    Lines, tip and price stay as they are.
    """
    if customer is not None and (customer.business_id != business.id or customer.is_staff):
        raise CustomerNotFound
    reference = locks.reference_of(business_id=business.id, token=token)
    sale = None if reference is None else locks.sale(reference)
    if sale is None or sale.cart is None:
        order = Order.objects.filter(business=business, token=token).first()
        raise CartNotFound() if order is None else AlreadyPaid(order=order)
    cart = sale.cart
    chosen = customer.id if customer is not None else None
    name, email = ("", "") if customer else checked_guest(guest_name, guest_email)
    if (cart.customer_id, cart.guest_name, cart.guest_email) == (chosen, name, email):
        return cart
    if sale.live:
        raise PaymentBindsCustomer
    if sale.succeeded or sale.held:
        raise MoneyBindsCustomer
    if sale.reserved:
        raise StoredBindsCustomer
    if cart.state != CartState.OPEN:
        raise CartFrozen
    before = cart.customer_id
    cart.customer, cart.guest_name, cart.guest_email = customer, name, email
    cart.uses_balance = cart.uses_credits = False  # the one before had chosen that, of what they have
    if customer is not None:
        cart.language = customer.language
    cart.save(
        update_fields=[
            "customer",
            "guest_name",
            "guest_email",
            "uses_balance",
            "uses_credits",
            "language",
            "updated_at",
        ]
    )
    history.record(
        history.CUSTOMER_CHOSEN,
        business_id=business.id,
        cart_reference=cart.reference,
        payment=None,
        actor=actor,
        now=now,
        data={"from": before, "to": chosen},
    )
    return cart


@transaction.atomic
def create(*, business: Business, name: str, email: str, phone: str = "", language: str = "en") -> Profile:
    """Create a customer of the business, who may sign in once they have set a password by mail.

    One address exists once per business, also when two tills race for it.
    """
    name, email = " ".join(name.split()), email.strip().lower()
    phone = " ".join(phone.split())
    try:
        validate_email(email)
    except ValidationError as error:
        raise CustomerIncomplete from error
    if not name or len(name) > LONGEST_NAME or len(phone) > LONGEST_PHONE or len(email) > 254:
        raise CustomerIncomplete
    try:
        return create_person(business=business, email=email, name=name, phone=phone, language=language)
    except AddressTaken as error:
        user = user_of_address(business, email)
        known = user.profile if user is not None and not user.profile.is_staff else None
        raise (CustomerKnown() if known is None else CustomerKnown(customer=known)) from error
