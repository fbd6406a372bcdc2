"""Cards saved at the local Stripe: with consent, once, and gone when their owner says so."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from tasks import intents as tasks_intents
from tasks import relay
from tests.factories import ProfileFactory, StaffFactory
from tests.integration.conftest import AtStripe
from tests.integration.tasks.test_sale import arrive, hurry
from tests.shop import claim, claim_one
from web.core.models import Profile
from web.payments.models import Card, CardSetup, Cart, Job, Order, Payment, PaymentSettings
from web.payments.operations import attempts, backlog, cards, saved_cards
from web.payments.queries.quotes import quote

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., AtStripe]


@pytest.fixture
def at(at_stripe: Make) -> AtStripe:
    at = at_stripe()
    PaymentSettings.objects.filter(business=at.shop.business).update(keeps_cards=True)
    return at


@pytest.fixture
def owner(at: AtStripe) -> Profile:
    return ProfileFactory.create(business=at.shop.business)


def ask(owner: Profile, *, form_token: str | None = None, agrees: bool = True) -> CardSetup:
    return cards.request_setup(
        profile=owner,
        form_token=form_token or uuid.uuid4().hex,
        consent="You may charge this card.",
        agrees=agrees,
        now=timezone.now(),
    )


def asked(owner: Profile) -> CardSetup:
    """Ask, and let a worker make the setup intent."""
    setup = ask(owner)
    relay.run(claim_one("create_card_setup"))
    setup.refresh_from_db()
    return setup


def confirm(at: AtStripe, setup: CardSetup, card: str = "pm_card_visa") -> None:
    """Confirm the setup intent, as Stripe.js does for the card's owner."""
    assert setup.setup_intent_id is not None
    at.v1.setup_intents.confirm(
        setup.setup_intent_id, {"payment_method": card, "return_url": "https://shop.example/"}
    )


def saved(at: AtStripe, owner: Profile, card: str = "pm_card_visa") -> Card:
    """Save a card to the end."""
    setup = asked(owner)
    confirm(at, setup, card)
    cards.request_read(setup=setup, now=timezone.now())
    relay.run(claim_one("read_card_setup"))
    setup.refresh_from_db()
    return setup.card


def test_a_card_is_saved_and_recognised(at: AtStripe, owner: Profile) -> None:
    setup = asked(owner)
    assert (setup.state, bool(setup.client_secret_sealed)) == ("awaiting", True)
    confirm(at, setup)
    cards.request_read(setup=setup, now=timezone.now())
    relay.run(claim_one("read_card_setup"))
    setup.refresh_from_db()
    assert (setup.state, setup.client_secret_sealed) == ("succeeded", "")
    card = setup.card
    assert (card.brand, card.last4, card.is_default, card.removed_at) == ("visa", "4242", True, None)
    assert card.profile_id == owner.id
    kept = at.v1.customers.payment_methods.list(card.stripe_customer_id)
    assert [method.id for method in kept.data] == [card.payment_method_id]


def test_an_event_alone_is_enough(at: AtStripe, owner: Profile) -> None:
    setup = asked(owner)
    confirm(at, setup)
    arrive(at)
    relay.run(claim_one("read_card_setup"))
    assert Card.objects.get(setup=setup).last4 == "4242"
    arrive(at)
    assert (Card.objects.count(), claim("intents")) == (1, [])


def test_the_same_form_twice_saves_one_card(at: AtStripe, owner: Profile) -> None:
    first, second = ask(owner, form_token="f" * 20), ask(owner, form_token="f" * 20)
    assert first == second
    relay.run(claim_one("create_card_setup"))
    assert claim("intents") == []
    with pytest.raises(cards.CardNotFound):
        ask(ProfileFactory.create(business=at.shop.business), form_token="f" * 20)


def test_without_consent_nothing_is_asked_of_stripe(at: AtStripe, owner: Profile) -> None:
    with pytest.raises(cards.ConsentMissing):
        ask(owner, agrees=False)
    assert claim("intents") == []
    PaymentSettings.objects.update(keeps_cards=False)
    with pytest.raises(cards.CardsNotOffered):
        ask(owner)


def test_a_declined_card_may_be_followed_by_another(at: AtStripe, owner: Profile) -> None:
    setup = asked(owner)
    with pytest.raises(Exception, match="declined"):
        confirm(at, setup, "pm_card_chargeDeclined")
    cards.request_read(setup=setup, now=timezone.now())
    relay.run(claim_one("read_card_setup"))
    setup.refresh_from_db()
    assert (setup.state, setup.failure_code) == ("awaiting", "generic_decline")
    confirm(at, setup, "pm_card_mastercard")
    cards.request_read(setup=setup, now=timezone.now())
    relay.run(claim_one("read_card_setup"))
    assert Card.objects.get().brand == "mastercard"


@pytest.mark.parametrize("fault", ["reset_after", "error_500_before", "truncated_body"])
def test_an_answer_that_is_lost_saves_one_card(at: AtStripe, owner: Profile, fault: str) -> None:
    setup = ask(owner)
    at.fault(fault, match={"path": "/v1/setup_intents"}, times=1)
    job = claim_one("create_card_setup")
    relay.run(job)
    setup.refresh_from_db()
    if setup.state == "requested":  # put off: the same key again
        hurry()
        relay.run(claim_one("create_card_setup"))
        setup.refresh_from_db()
    assert setup.state == "awaiting"
    made = [intent.to_dict()["metadata"]["card_setup"] for intent in at.v1.setup_intents.list().data]
    assert made == [str(setup.public_id)]


def test_one_default_and_a_removed_card_is_charged_by_nobody(at: AtStripe, owner: Profile) -> None:
    first, second = saved(at, owner), saved(at, owner, "pm_card_mastercard")
    assert (first.is_default, second.is_default) == (True, False)
    cards.make_default(profile=owner, card_id=second.public_id)
    cards.make_default(profile=owner, card_id=second.public_id)
    assert Card.objects.get(is_default=True) == second
    cards.remove(profile=owner, card_id=second.public_id, now=timezone.now())
    cards.remove(profile=owner, card_id=second.public_id, now=timezone.now())
    assert Card.objects.get(is_default=True) == first
    relay.run(claim_one("detach_card"))
    kept = at.v1.customers.payment_methods.list(second.stripe_customer_id)
    assert [method.id for method in kept.data] == [first.payment_method_id]
    with pytest.raises(cards.CardNotFound):
        cards.make_default(profile=owner, card_id=second.public_id)


def test_nobody_touches_the_card_of_another(at: AtStripe, owner: Profile) -> None:
    card = saved(at, owner)
    stranger = ProfileFactory.create(business=at.shop.business)
    with pytest.raises(cards.CardNotFound):
        cards.make_default(profile=stranger, card_id=card.public_id)
    with pytest.raises(cards.CardNotFound):
        cards.remove(profile=stranger, card_id=card.public_id, now=timezone.now())
    with pytest.raises(IntegrityError, match="a_removed_card_is_no_default"), transaction.atomic():
        Card.objects.filter(id=card.id).update(removed_at=timezone.now())


# --- charging one ---------------------------------------------------------------------------------------


@pytest.fixture
def clerk(at: AtStripe) -> Profile:
    return StaffFactory.create(business=at.shop.business)


def charge(
    at: AtStripe, owner: Profile, clerk: Profile, card: Card, *, form_token: str | None = None
) -> Payment:
    cart = at.shop.cart()
    cart.customer = owner
    cart.save()
    return saved_cards.charge(
        business=at.shop.business,
        token=cart.token,
        card_id=card.public_id,
        form_token=form_token or uuid.uuid4().hex,
        expected_total_minor=quote(cart).totals.total.amount,
        staff=clerk,
        now=timezone.now(),
    ).payment


def charges(at: AtStripe) -> list[tuple[str, int]]:
    return [(charge["status"], charge["amount"]) for charge in at.books()["charges"]]


def test_a_saved_card_is_charged_and_the_order_made(at: AtStripe, owner: Profile, clerk: Profile) -> None:
    payment = charge(at, owner, clerk, saved(at, owner))
    relay.run(claim_one("charge_card"))
    payment.refresh_from_db()
    assert (payment.state, payment.card_last4) == ("succeeded", "4242")
    assert payment.order is not None
    assert charges(at) == [("succeeded", 3600)]


@pytest.mark.parametrize("fault", ["reset_after", "error_500_after", "truncated_body", "reset_before"])
def test_a_lost_answer_charges_once(at: AtStripe, owner: Profile, clerk: Profile, fault: str) -> None:
    payment = charge(at, owner, clerk, saved(at, owner))
    at.fault(fault, match={"operation": "payment_intents.confirm"}, times=1)
    relay.run(claim_one("charge_card"))
    for _again in range(3):
        hurry()
        for job in claim("intents"):
            relay.run(job)
    arrive(at)
    payment.refresh_from_db()
    assert (payment.state, charges(at)) == ("succeeded", [("succeeded", 3600)])
    assert Order.objects.count() == 1


def test_dying_between_the_two_writes_charges_once(at: AtStripe, owner: Profile, clerk: Profile) -> None:
    payment = charge(at, owner, clerk, saved(at, owner))
    job = claim_one("charge_card")
    tasks_intents.create_before_use(Payment.objects.get(id=payment.id), lease=job)
    saved_cards.begin_confirm(
        payment_id=payment.id, lease=job, now=timezone.now()
    )  # and dies before it is sent
    Job.objects.update(leased_until=timezone.now() - datetime.timedelta(seconds=1))
    relay.run(claim_one("charge_card"))
    payment.refresh_from_db()
    assert (payment.state, charges(at)) == ("succeeded", [("succeeded", 3600)])


def test_a_confirmation_whose_answer_is_lost_for_ever_is_closed_by_its_payments_end(
    at: AtStripe, owner: Profile, clerk: Profile
) -> None:
    """The job died for good with its answer unheard; an event told of the money. The attempt does not stay open."""
    payment = charge(at, owner, clerk, saved(at, owner))
    at.fault("reset_after", match={"operation": "payment_intents.confirm"}, times=1)
    relay.run(claim_one("charge_card"))
    hurry()
    backlog.bury(claim_one("charge_card"), error="gave up", now=timezone.now())
    arrive(at)
    payment.refresh_from_db()
    confirmation = payment.attempts.get(operation="confirm_intent")
    assert (payment.state, confirmation.state) == ("succeeded", "unknown")
    later = timezone.now() + attempts.FORGOTTEN_AFTER + datetime.timedelta(minutes=1)
    assert attempts.follow_up(limit=10, now=later) == 1
    Job.objects.filter(state="waiting").update(due_at=timezone.now())
    relay.run(claim_one("charge_card"))
    confirmation.refresh_from_db()
    assert (confirmation.state, charges(at)) == ("succeeded", [("succeeded", 3600)])


def test_a_declined_card_ends_the_payment_and_frees_the_cart(
    at: AtStripe, owner: Profile, clerk: Profile
) -> None:
    card = saved(at, owner, "pm_card_chargeCustomerFail")
    payment = charge(at, owner, clerk, card)
    relay.run(claim_one("charge_card"))
    relay.run(claim_one("cancel_intent"))
    payment.refresh_from_db()
    assert (payment.state, payment.decline_code) == ("cancelled", "generic_decline")
    cart = Cart.objects.get(reference=payment.cart_reference)
    assert (cart.state, cart.committed_minor) == ("open", 0)
    assert [status for status, _amount in charges(at)] == ["failed"]


def test_a_card_that_was_removed_meanwhile_is_not_charged(
    at: AtStripe, owner: Profile, clerk: Profile
) -> None:
    card = saved(at, owner)
    payment = charge(at, owner, clerk, card)
    cards.remove(profile=owner, card_id=card.public_id, now=timezone.now())
    for _step in range(3):
        for job in claim("intents", limit=5):
            relay.run(job)
    payment.refresh_from_db()
    assert (payment.state, charges(at)) == ("cancelled", [])


def test_a_card_removed_after_a_lost_answer_is_not_charged(
    at: AtStripe, owner: Profile, clerk: Profile
) -> None:
    """The confirmation was begun and never arrived; then its owner removes the card."""
    card = saved(at, owner)
    payment = charge(at, owner, clerk, card)
    at.fault("reset_before", match={"operation": "payment_intents.confirm"}, times=1)
    relay.run(claim_one("charge_card"))
    cards.remove(profile=owner, card_id=card.public_id, now=timezone.now())
    for _step in range(4):
        hurry()
        for job in sorted(claim("intents", limit=5), key=lambda lease: lease.kind.name != "charge_card"):
            relay.run(job)
    payment.refresh_from_db()
    assert (payment.state, charges(at)) == ("cancelled", [])


def test_a_card_that_its_customer_lost_at_stripe_is_read_once(at: AtStripe, owner: Profile) -> None:
    setup = asked(owner)
    confirm(at, setup)
    assert setup.setup_intent_id is not None
    method = at.v1.setup_intents.retrieve(setup.setup_intent_id).payment_method
    at.v1.payment_methods.detach(str(method))
    cards.request_read(setup=setup, now=timezone.now())
    relay.run(claim_one("read_card_setup"))
    setup.refresh_from_db()
    assert (setup.state, setup.failure_code, claim("intents")) == ("failed", "card_gone", [])


def test_a_colleague_does_not_charge_the_same_fee_again(at: AtStripe, owner: Profile, clerk: Profile) -> None:
    card = saved(at, owner)
    PaymentSettings.objects.filter(business=at.shop.business).update(no_show_item=at.shop.item)

    def fee(note: str) -> None:
        saved_cards.charge_fee(
            business=at.shop.business, customer=owner, kind="no_show", card_id=card.public_id, note=note,
            form_token=uuid.uuid4().hex, staff=clerk, now=timezone.now(),
        )  # fmt: skip

    fee("Morning flow, Monday")
    with pytest.raises(saved_cards.FeeChargedAlready):
        fee("Morning flow, Monday")
    fee("Evening flow, Monday")
    assert Payment.objects.count() == 2


def test_a_fee_is_charged_once_however_often_it_is_asked_for(
    at: AtStripe, owner: Profile, clerk: Profile
) -> None:
    card = saved(at, owner)
    settings = PaymentSettings.objects.get(business=at.shop.business)
    settings.no_show_item = at.shop.item
    settings.save()

    def ask_for(kind: str = "no_show", note: str = "Morning flow") -> Payment:
        return saved_cards.charge_fee(
            business=at.shop.business, customer=owner, kind=kind, card_id=card.public_id, note=note,
            form_token="f" * 20, staff=clerk, now=timezone.now(),
        ).payment  # fmt: skip

    with pytest.raises(saved_cards.FeeReasonMissing):
        ask_for(note=" ")
    with pytest.raises(saved_cards.NoFee):
        ask_for(kind="late_cancel")
    assert ask_for() == ask_for()
    relay.run(claim_one("charge_card"))
    assert (Order.objects.count(), charges(at)) == (1, [("succeeded", 3600)])
    assert ask_for().state == "succeeded"


def test_nobody_is_charged_with_the_card_of_another(at: AtStripe, owner: Profile, clerk: Profile) -> None:
    card = saved(at, owner)
    with pytest.raises(cards.CardNotFound):
        charge(at, ProfileFactory.create(business=at.shop.business), clerk, card)
    assert Payment.objects.count() == 0
