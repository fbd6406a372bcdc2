"""Two businesses with one of everything, and the people who may come: what the tables of this room ask about.

Each maker makes a fresh one, so that what one request did is not in the way of the next.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field

from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from tests.factories import BusinessFactory, LocationFactory, ProfileFactory, StaffFactory
from tests.giving_back import ask, paid_by_card, succeed, told
from tests.recent import just_signed_in
from tests.shop import Shop
from tests.stored import Desk
from web.core.crypto import seal
from web.core.groups import GROUP_NAMES
from web.core.models import Item, ItemType, Location, Profile
from web.payments.models import (
    ApiToken,
    BulkRefund,
    BulkRefundOrder,
    Card,
    CardSetup,
    Cart,
    CloseOut,
    ConnectionToken,
    Dispute,
    Drift,
    Job,
    Method,
    Order,
    OrderLine,
    OutgoingDelivery,
    OutgoingEndpoint,
    Payment,
    PaymentSettings,
    Payout,
    Reader,
    ReaderAction,
    Refund,
    StripeAccount,
    StripeLocation,
    WebhookSecret,
)
from web.payments.money import Money
from web.payments.operations import (
    accounts,
    api_tokens,
    bulk_refunds,
    close_outs,
    desk,
    outgoing,
    terminal,
)
from web.payments.operations.refund_shares import Share
from web.payments.states import PaymentState

ANONYMOUS, FOREIGNER, CUSTOMER, STRANGER = "anonymous", "another business's owner", "customer", "stranger"
STAFF, WITHOUT, OWNER = "staff", "without", "owner"
PRICE = 3600


def token() -> str:
    """Return a form's token."""
    return uuid.uuid4().hex


@dataclass(frozen=True)
class Asked:
    """One request: what is in its address, and what it carries."""

    args: tuple[object, ...] = ()
    query: Mapping[str, object] = field(default_factory=dict)
    body: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


class Studio:
    """One of the two businesses."""

    def __init__(self, name: str) -> None:
        self.name, self.host = name, f"{name}.localhost"
        self.business = BusinessFactory.create(name=name, host=self.host)
        self.shop = Shop.make(business=self.business, slug=name, price_minor=PRICE)
        self.desk = Desk(self.shop)
        self.place, self.item = self.shop.location, self.shop.item
        self.other_place: Location = LocationFactory.create(business=self.business, name="Annex")
        self.customer = ProfileFactory.create(business=self.business, name="Cora Customer")
        self.stranger = ProfileFactory.create(business=self.business, name="Sam Stranger")
        self.fee = self.desk.item(ItemType.MISCELLANEOUS, 1500, name="No-show fee", sold_online=False)
        self.gift: Item = self.desk.card
        self.reset_settings()
        self.settings = PaymentSettings.objects.get(business=self.business)
        for place in (self.place, self.other_place):
            StripeLocation.objects.create(
                account=self.shop.account,
                location=place,
                stripe_location_id=f"tml_{place.id}",
                line1="1 Main St",
            )
        self.webhook_secret = f"whsec_of_{name}_1234"
        accounts.add_webhook_secret(business=self.business, secret=self.webhook_secret, now=timezone.now())
        self._people: dict[object, Profile] = {}
        self._sessions: dict[int, str] = {}

    def reset_settings(self) -> None:
        """Put the settings back: every action can be asked for."""
        PaymentSettings.objects.filter(business=self.business).update(
            keeps_cards=True, pays_on_arrival=True, guests_may_pay=True, no_show_item=self.fee, refund_policy="No.",
            refund_popup=False, tip_presets=[15, 20], capture_mode="automatic", statement_descriptor_suffix="",
            refund_limit_minor=None, abandoned_after_hours=24, receipt_header="", receipt_footer="", receipt_legal="",
        )  # fmt: skip

    # --- people -----------------------------------------------------------------------------------------

    def staff(self, *groups: str, number: int = 1) -> Profile:
        """Return a member of staff with exactly these groups; `number` tells two of a kind apart."""
        key = (frozenset(groups), number)
        if key not in self._people:
            self._people[key] = StaffFactory.create(business=self.business, groups=list(groups))
        return self._people[key]

    def without(self, groups: frozenset[str]) -> Profile:
        """Return a member of staff with every group but these."""
        return self.staff(*(name for name in GROUP_NAMES if name not in groups))

    @property
    def owner(self) -> Profile:
        if OWNER not in self._people:
            owner = StaffFactory.create(business=self.business, name="Olga Owner")
            owner.user.is_superuser = True
            owner.user.save()
            self._people[OWNER] = owner
        return self._people[OWNER]

    def meet(self, person: Profile | None) -> None:
        """Let somebody sign in, once."""
        if person is not None and person.id not in self._sessions:
            first = Client()
            just_signed_in(first, person.user)
            self._sessions[person.id] = first.cookies["sessionid"].value

    def browser(self, person: Profile | None, *, host: str = "") -> Client:
        """Return a browser of theirs: a new one each time, so that two may ask at once."""
        browser = Client(SERVER_NAME=host or self.host, raise_request_exception=False)
        if person is not None:
            self.meet(person)
            browser.cookies["sessionid"] = self._sessions[person.id]
        return browser

    def with_app(self) -> Asked:
        """Let the customer have an app for codes, and recovery codes."""
        Authenticator.objects.filter(user=self.customer.user).delete()
        for kind, data in (
            ("totp", {"secret": seal("A" * 32)}),
            ("recovery_codes", {"seed": seal("b" * 80), "used_mask": 0}),
        ):
            Authenticator.objects.create(user=self.customer.user, type=kind, data=data)
        return Asked()

    def passkey(self) -> Authenticator:
        """Let the customer have a passkey that nothing can use."""
        data = {"name": "Phone", "credential": {}}
        return Authenticator.objects.create(user=self.customer.user, type="webauthn", data=data)

    # --- things -----------------------------------------------------------------------------------------

    def cart(self, *items: Item, customer: Profile | None = None) -> Cart:
        """Return a customer's open cart; of the one who is called the customer, unless another is named."""
        return self.desk.cart(*items, customer=customer or self.customer)

    def guest_cart(self, *items: Item) -> Cart:
        cart = self.shop.cart()
        for item in items:
            cart.lines.all().delete()
            desk_cart = self.desk.cart(item)
            desk_cart.lines.update(cart=cart)
            desk_cart.delete()
        return cart

    def payment(self, *, customer: Profile | None = None) -> Payment:
        """Return an online payment that waits for the customer."""
        return told(self.shop.request(self.cart(customer=customer)), PaymentState.AWAITING)

    def order(self, *, customer: Profile | None = None) -> Order:
        """Return an order that a card paid."""
        order = paid_by_card(self.shop, self.cart(customer=customer)).order
        assert order is not None
        return order

    def sold(self, *items: Item, customer: Profile | None = None) -> Order:
        """Return an order that was paid in cash; a guest's, unless a customer is named."""
        cart = self.cart(*items, customer=customer) if customer else self.guest_cart(*items)
        total = sum(line.amount_minor for line in cart.lines.all())
        return desk.sell(
            business=self.business,
            token=cart.token,
            method=Method.CASH,
            form_token=token(),
            expected_total_minor=total,
            now=timezone.now(),
            staff=self.desk.staff,
        )

    def line_to_claim(self) -> OrderLine:
        """Return a gift card that a guest bought and nobody has claimed."""
        return self.sold(self.gift).lines.get()

    def refund(self, share: Share | None = None) -> Refund:
        """Return a refund that was asked for and not sent yet."""
        payment = self.order().payments.get()
        return ask(payment, share).refunds[0]

    def held(self) -> Payment:
        """Return a payment whose money is held, and fits its cart again."""
        cart = self.cart()
        payment = self.shop.request(cart)
        Payment.objects.filter(id=payment.id).update(
            state=PaymentState.CANCELLED, next_check_at=None, client_secret_sealed=""
        )
        Cart.objects.filter(id=cart.id).update(
            state="open", committed_minor=0, frozen_total_minor=None, frozen_quote=None
        )
        cart.lines.update(quantity=2)
        payment.refresh_from_db()
        succeed(payment)
        assert payment.state == PaymentState.HELD, payment.state
        cart.lines.update(quantity=1)
        return payment

    def dispute(self) -> Dispute:
        payment = self.order().payments.get()
        now = timezone.now()
        assert payment.account is not None
        return Dispute.objects.create(
            business=self.business, account=payment.account, payment=payment, charge_id="ch_1",
            stripe_dispute_id=f"dp_{token()}", amount_minor=PRICE, currency="usd", reason="fraudulent",
            status="needs_response", taken_minor=PRICE, snapshot_at=now, opened_at=now,
        )  # fmt: skip

    def disputed(self) -> Order:
        order = self.dispute().payment.order
        assert order is not None
        return order

    def being_refunded(self) -> Order:
        order = self.refund().payment.order
        assert order is not None
        return order

    def reader(self, *, state: str = "ready", label: str = "") -> Reader:
        name = token()
        return Reader.objects.create(
            business=self.business, account=self.shop.account, location=self.place, state=state,
            label=label or f"Reader {name[:6]}", created_at=timezone.now(),
            stripe_reader_id=f"tmr_{name}" if state == "ready" else None,
            registration_code="" if state == "ready" else f"code-{name[:12]}",
            problem="Stripe does not know this code." if state == "refused" else "",
        )  # fmt: skip

    def action(self, reader: Reader | None = None) -> ReaderAction:
        """Return a payment's place in a reader's queue: behind another, so that nothing sends it."""
        return self.on_reader(reader or self.reader())

    def on_reader(self, reader: Reader, cart: Cart | None = None) -> ReaderAction:
        return terminal.start(
            business=self.business,
            token=(cart or self.cart()).token,
            reader_id=reader.public_id,
            form_token=token(),
            expected_total_minor=PRICE,
            staff=self.staff("store"),
            now=timezone.now(),
        ).action

    def authorised(self) -> Payment:
        """Return a payment on a reader whose money is held on the card, to be taken."""
        PaymentSettings.objects.filter(business=self.business).update(capture_mode="manual")
        action = self.action()
        PaymentSettings.objects.filter(business=self.business).update(capture_mode="automatic")
        until = timezone.now() + datetime.timedelta(days=2)
        return told(action.payment, PaymentState.AUTHORISED, capture_before=until)

    def api_token(self) -> ApiToken:
        """Return a new token that may do everything."""
        made, _secret = api_tokens.make(
            business=self.business, name="Web shop", scopes=ApiToken.Scope.values, expires_at=None,
            form_token=token(), maker=self.staff("store"), actor="tests", now=timezone.now(),
        )  # fmt: skip
        return made

    def endpoint(self) -> OutgoingEndpoint:
        """Return a new address that is told of paid orders."""
        made, _secret = outgoing.add_endpoint(
            business=self.business, url=f"https://shop.example/{token()}", events=["order.paid"], actor="tests",
            now=timezone.now(),
        )  # fmt: skip
        OutgoingEndpoint.objects.exclude(id=made.id).filter(business=self.business).update(
            removed_at=timezone.now()
        )
        return made

    def delivery(self) -> OutgoingDelivery:
        """Return a test that was sent to an address, and taken there."""
        made = outgoing.ping(endpoint=self.endpoint(), now=timezone.now())
        OutgoingDelivery.objects.filter(id=made.id).update(
            state="delivered", delivered_at=timezone.now(), tries=1
        )
        Job.objects.filter(name="deliver_event", state="waiting").update(
            state="done", finished_at=timezone.now()
        )
        return made

    def connection_token(self, asked_by: Profile) -> ConnectionToken:
        return ConnectionToken.objects.create(
            business=self.business, account=self.shop.account, asked_by=asked_by, created_at=timezone.now(),
            secret_sealed=seal("pst_test_1"),
        )  # fmt: skip

    def setup(self, owner: Profile | None = None, *, state: str = "awaiting") -> CardSetup:
        """Return a card that is being saved."""
        now = timezone.now()
        return CardSetup.objects.create(
            business=self.business, account=self.shop.account, profile=owner or self.customer, form_token=token(),
            state=state, state_changed_at=now, consented_at=now, created_at=now, consent="I agree",
            setup_intent_id=f"seti_{token()}",
        )  # fmt: skip

    def card(self, owner: Profile | None = None) -> Card:
        """Return a saved card, the only one of its owner."""
        Card.objects.filter(profile=owner or self.customer).update(is_default=False)
        Card.objects.filter(profile=owner or self.customer, removed_at=None).update(removed_at=timezone.now())
        setup = self.setup(owner, state="succeeded")
        return Card.objects.create(
            business=self.business, account=setup.account, profile=setup.profile, setup=setup,
            stripe_customer_id=f"cus_{token()}", payment_method_id=f"pm_{token()}", brand="visa", last4="4242",
            expires_year=2041, expires_month=4, created_at=timezone.now(),
        )  # fmt: skip

    def bulk_item(self) -> tuple[Item, Order]:
        """Return an item of its own, and the order that bought it."""
        item = self.desk.item(ItemType.MERCHANDISE, PRICE, name=f"Class {token()[:8]}")
        order = paid_by_card(self.shop, self.cart(item)).order
        assert order is not None
        return item, order

    def bulk(self, *, is_refused: bool = False) -> BulkRefund:
        """Return a refund of many orders; one of them refused, if asked for."""
        item, _order = self.bulk_item()
        made = bulk_refunds.start(
            business=self.business, item=item, since=None, until=None, reason="cancelled", form_token=token(),
            expected_orders=1, staff=self.staff("refunds"), now=timezone.now(),
        )  # fmt: skip
        if is_refused:
            BulkRefundOrder.objects.filter(bulk=made).update(state="refused", code="disputed")
            made.finished_at = timezone.now()
            made.save()
        return made

    def close_out(self) -> CloseOut:
        """Close the drawer of the annex, where nothing was sold."""
        zero = Money.zero(self.other_place.currency)
        return close_outs.close(
            business=self.business, location=self.other_place, staff=None, reader_id=None, opening_float=zero,
            counted=zero, shown=zero, note="", form_token=token(), closed_by=self.owner, now=timezone.now(),
        )  # fmt: skip

    def payout(self) -> Payout:
        now = timezone.now()
        return Payout.objects.create(
            account=self.shop.account, payout_id=f"po_{token()}", status="paid", amount_minor=PRICE, currency="usd",
            is_automatic=True, created_at=now, arrives_on=now.date(),
        )  # fmt: skip

    def difference(self) -> Drift:
        now = timezone.now()
        return Drift.objects.create(
            account=self.shop.account, business=self.business, kind=Drift.Kind.UNKNOWN_CHARGE, currency="usd",
            object_id=f"pi_{token()}", ours="no payment", theirs="received 36.00 USD", at_risk_minor=PRICE,
            found_at=now, checked_at=now,
        )  # fmt: skip

    def drawer(self) -> Location:
        """Return a place of its own where one thing was sold for cash."""
        place: Location = LocationFactory.create(business=self.business)
        cart = self.cart()
        cart.location = place
        cart.save()
        desk.sell(
            business=self.business, token=cart.token, method=Method.CASH, form_token=token(),
            expected_total_minor=PRICE, now=timezone.now(), staff=self.desk.staff,
        )  # fmt: skip
        return place

    def move_reader(self) -> Reader:
        """Return a reader that can go to the annex."""
        return self.reader(label="Moved")

    def account_to_check(self) -> StripeAccount:
        """Return the account, with no check waiting and the usual limits."""
        StripeAccount.objects.filter(id=self.shop.account.id).update(calls_per_second=None)
        Job.objects.filter(name="verify_account").delete()
        return self.shop.account

    def new_secret(self) -> str:
        """Return a secret that takes the place of one."""
        accounts.add_webhook_secret(business=self.business, secret=f"whsec_of_{token()}", now=timezone.now())
        return f"whsec_of_{token()}"

    def cart_of(self, payment: Payment) -> Cart:
        return Cart.objects.get(reference=payment.cart_reference)

    def url(self, name: str, *args: object) -> str:
        return reverse(f"payment:{name}", args=args)

    @property
    def second(self) -> int:
        return int(timezone.now().timestamp())

    def secret(self) -> WebhookSecret:
        return WebhookSecret.objects.filter(account__business=self.business).latest("id")


class World:
    """Both businesses: `mine` is asked, and nobody must learn of `theirs`."""

    def __init__(self) -> None:
        self.mine, self.theirs = Studio("mine"), Studio("theirs")
