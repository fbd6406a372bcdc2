"""An Interac payment given back: with the card on a reader, through its queue, certain by the refund at Stripe."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable

import pytest
from django.utils import timezone

from tasks import relay
from tasks.gateway import readers as gateway
from tests.contract.conftest import eventually
from tests.factories import BusinessFactory
from tests.faults.test_dying_at_every_step import discrepancies
from tests.integration.conftest import AtStripe
from tests.integration.tasks.desk import Desk, look, run, state_of, work
from tests.shop import claim, claim_one
from web.payments.jobs import QUEUES
from web.payments.models import Attempt, Job, Payment, Reader, ReaderAction, Refund
from web.payments.money import Money
from web.payments.operations import reader_refunds, readers, refund_moves, refunds, terminal
from web.payments.operations.refund_shares import Part, Whole
from web.payments.queries import readers as queries

pytestmark = pytest.mark.django_db(transaction=True)
Make = Callable[..., AtStripe]


class Counter(Desk):
    """A desk in Canada, where an Interac card has paid for something on a reader."""

    def __init__(self, at: AtStripe) -> None:
        super().__init__(at)
        self.row, self.hand = self.reader("Counter")
        self.payment = self.sold()

    def sold(self) -> Payment:
        action = self.shown(self.row)
        self.hand.tap("interac")
        self.hear()
        assert state_of(action) == ("succeeded", "succeeded")
        payment = Payment.objects.get(id=action.payment_id)
        assert payment.card_brand == "interac"
        return payment

    def give_back(self, amount: int | None = None, *, form: str = "", reader: Reader | None = None) -> Refund:
        share = Whole() if amount is None else Part(Money(amount, "cad"))
        (refund,) = refunds.request(
            business=self.at.shop.business,
            reference=self.payment.cart_reference,
            share=share,
            reason="torn",
            form_token=form or uuid.uuid4().hex,
            reader_id=(reader or self.row).public_id,
            now=timezone.now(),
            staff=self.staff,
        ).refunds
        return refund

    def asking(self, amount: int | None = None) -> Refund:
        """Return a refund for which the reader asks for the card."""
        refund = self.give_back(amount)
        run("serve_reader")
        assert stood(refund) == ("submitting", "waiting", "")
        assert self.hand.screen().refund_of
        return refund

    def ended(self, refund: Refund, *end: str, given: int) -> None:
        """Assert how a refund ended, what both books say, and that the reader is free for the next sale."""
        _do_everything()
        assert stood(refund) == end
        payment = Payment.objects.get(id=self.payment.id)
        assert (payment.refunded_minor, payment.returned_minor) == (given, given)
        assert sum(one["amount"] for one in self.at.books()["refunds"]) == given
        assert not Attempt.objects.filter(state__in=["sent", "unknown"]).exists()
        assert not ReaderAction.objects.exclude(state__in=["succeeded", "failed", "cancelled"]).exists()
        self.hear()
        _do_everything()
        assert discrepancies(self.at) == []


def _do_everything() -> None:
    """Let workers do what there is, receipts too, until nothing is left."""
    work()
    while leases := [lease for queue in QUEUES for lease in claim(queue, limit=5)]:
        for lease in leases:
            relay.run(lease)


def stood(refund: Refund) -> tuple[str, str, str]:
    """Return the states of a refund and its place at the reader, and why it came to nothing."""
    refund.refresh_from_db()
    return refund.state, ReaderAction.objects.get(refund=refund).state, refund.failure_code


@pytest.fixture
def counter(at_stripe: Make) -> Counter:
    return Counter(at_stripe(business=BusinessFactory.create(country="CA", currency="cad")))


def test_the_same_card_gets_its_money_back(counter: Counter) -> None:
    form = "a" * 32
    refund = counter.give_back(1000, form=form)
    assert counter.give_back(1000, form=form) == refund  # pressed twice
    with pytest.raises(refunds.RefundUnderWay):
        counter.give_back(500)
    run("serve_reader")
    shown = counter.hand.screen()
    assert (shown.asks, shown.amount, shown.can_cancel) == ("card", 1000, True)
    assert look() == 1  # nothing new, and no refund is asked for
    assert stood(refund) == ("submitting", "waiting", "")
    counter.hand.tap("interac")
    counter.hear()
    counter.ended(refund, "succeeded", "succeeded", "", given=1000)
    rest = counter.asking()  # without any event
    counter.hand.tap("interac")
    look()
    counter.ended(rest, "succeeded", "succeeded", "", given=3600)
    assert Attempt.objects.filter(operation="refund_on_reader", state="succeeded").count() == 2
    assert not Attempt.objects.filter(operation="create_refund").exists()


def test_it_needs_a_reader_of_the_business(counter: Counter, at_stripe: Make) -> None:
    stranger = Desk(at_stripe()).reader()[0]
    for reader_id, refusal in (
        (None, refunds.OnTheReader),
        (stranger.public_id, terminal.ReaderNotFound),
    ):
        with pytest.raises(refusal):
            refunds.request(
                business=counter.at.shop.business,
                reference=counter.payment.cart_reference,
                share=Whole(),
                reason="torn",
                form_token=uuid.uuid4().hex,
                reader_id=reader_id,
                now=timezone.now(),
                staff=counter.staff,
            )
    assert not Refund.objects.exists()


def test_it_comes_to_nothing_on_the_reader(counter: Counter) -> None:
    """Nothing stays reserved, the reader is free, and it can be asked for again."""
    counter.at.fault("reader_offline", match={"reader": counter.hand.id}, times=1)
    refund = counter.give_back()
    run("serve_reader")
    counter.ended(refund, "failed", "failed", "terminal_reader_offline", given=0)
    refund = counter.asking()
    counter.hand.cancel()
    look()
    counter.ended(refund, "failed", "failed", "customer_canceled", given=0)
    refund = counter.asking()
    counter.hand.tap("visa")  # not the card that paid
    look()
    counter.ended(refund, "failed", "failed", "card_declined", given=0)
    refund = counter.asking()
    counter.hand.tap("interac")
    counter.hear()
    counter.ended(refund, "succeeded", "succeeded", "", given=3600)


def cancel(counter: Counter, refund: Refund) -> None:
    terminal.request_cancel(
        business=counter.at.shop.business,
        action_id=ReaderAction.objects.get(refund=refund).public_id,
        staff=counter.staff,
        now=timezone.now(),
    )


def test_staff_cancel_it(counter: Counter) -> None:
    """In the queue at once; on the reader only when it is certain; and where the card was first, it is given back."""
    other = counter.shown(counter.row)  # somebody else's sale has the reader
    refund = counter.give_back()
    work()
    assert stood(refund) == ("requested", "queued", "")
    (status,) = queries.readers(counter.at.shop.business)
    assert [(one.refund_id, one.amount.amount) for one in status.queue] == [(refund.id, 3600)]
    place = ReaderAction.objects.get(refund=refund)
    with pytest.raises(terminal.RefundStays):
        terminal.hand_over(
            business=counter.at.shop.business,
            action_id=place.public_id,
            reader_id=counter.reader()[0].public_id,
            staff=counter.staff,
            now=timezone.now(),
        )
    cancel(counter, refund)
    assert stood(refund) == ("cancelled", "cancelled", "")
    counter.cancel(other)
    work()
    counter.ended(refund, "cancelled", "cancelled", "", given=0)
    refund = counter.asking()
    cancel(counter, refund)
    assert stood(refund) == ("submitting", "cancelling", "")
    counter.ended(refund, "cancelled", "cancelled", "", given=0)
    assert counter.hand.screen().asks == "nothing"
    refund = counter.asking()
    counter.hand.tap("interac", processing_ms=60_000)
    cancel(counter, refund)
    run("cancel_on_reader")
    assert stood(refund) == ("submitting", "cancelling", "")  # too late: what comes of it is Stripe's to say
    counter.hand.finish()
    counter.ended(refund, "succeeded", "succeeded", "", given=3600)


def test_the_worker_dies(counter: Counter, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had begun is sent again under the same key: the reader asks once, the card is given its money once."""

    class Died(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Died

    for number, line in enumerate(((gateway, "refund"), (reader_refunds, "conclude_show")), 1):
        refund = counter.give_back(500)
        lease = claim_one("serve_reader")
        with monkeypatch.context() as dying:
            dying.setattr(*line, die)  # before the call, and after it
            with pytest.raises(Died):
                relay.run(lease)
        assert stood(refund) == ("submitting", "sending", "")
        Job.objects.filter(id=lease.job_id).update(leased_until=timezone.now())
        run("serve_reader")
        assert stood(refund) == ("submitting", "waiting", "")
        attempt = Attempt.objects.get(operation="refund_on_reader", refund=refund)
        assert (attempt.state, attempt.sends) == ("succeeded", 2)
        counter.hand.tap("interac")
        counter.hear()
        counter.ended(refund, "succeeded", "succeeded", "", given=500 * number)


def test_an_answer_that_is_not_certain(counter: Counter) -> None:
    """The reader is read, and Stripe's refunds are listed, before anything is asked for again or given up."""
    faults = ("reader_timeout", "reader_timeout_accepted", "reset_after", "reader_connection_error")
    for number, fault in enumerate(faults, 1):
        match = {"reader": counter.hand.id}
        if fault == "reset_after":
            match = {"path": f"/v1/terminal/readers/{counter.hand.id}/refund_payment"}
        counter.at.fault(fault, match=match, times=1)
        refund = counter.give_back(500)
        run("serve_reader")
        if fault != "reader_connection_error":  # which comes with the card: given back, and "it failed"
            assert stood(refund)[:2] == ("submitting", "checking")
            look()
        if fault == "reader_timeout":
            assert stood(refund)[:2] == ("submitting", "sending")  # it never got there: under a new key
            run("serve_reader")
        assert stood(refund)[:2] == ("submitting", "waiting")
        counter.hand.tap("interac")
        look()
        counter.ended(refund, "succeeded", "succeeded", "", given=500 * number)


def test_a_reader_off_the_net_keeps_it_until_it_is_back(counter: Counter) -> None:
    """There is no intent that could be cancelled instead: the amount stays reserved, and no second one is asked."""
    refund = counter.asking()
    counter.hand.unplug()
    at_the_end = timezone.now() - datetime.timedelta(seconds=1)
    ReaderAction.objects.filter(refund=refund).update(deadline_at=at_the_end)
    look()
    counter.at.fault("reader_offline", match={"reader": counter.hand.id}, times=2)
    for _ in range(2):
        work()
        assert stood(refund) == ("submitting", "cancelling", "")
        look()
    with pytest.raises(refunds.RefundUnderWay):
        counter.give_back()
    refund_moves.check_again(limit=10, now=timezone.now() + datetime.timedelta(hours=1))  # a sweep only looks
    counter.hand.plug_in()
    look()
    counter.ended(refund, "failed", "failed", "timed_out", given=0)


def test_a_reader_that_is_broken_is_removed_and_its_refund_is_certain(counter: Counter) -> None:
    refund = counter.asking()
    business = counter.at.shop.business
    with pytest.raises(readers.ReaderInUse):
        readers.remove(business=business, reader_id=counter.row.public_id, now=timezone.now())
    counter.at.fault("reader_offline", match={"reader": counter.hand.id}, times=1)
    cancel(counter, refund)
    run("cancel_on_reader")
    assert stood(refund) == ("submitting", "cancelling", "")
    readers.remove(business=business, reader_id=counter.row.public_id, now=timezone.now())
    work()
    look()
    counter.ended(refund, "cancelled", "cancelled", "", given=0)


def test_another_program_takes_the_reader(counter: Counter) -> None:
    refund = counter.asking()
    counter.hand.take_for_another_till()
    eventually(lambda: not counter.hand.screen().refund_of)
    look()
    assert stood(refund)[:2] == ("submitting", "checking")
    look()
    counter.ended(refund, "failed", "failed", "replaced", given=0)
