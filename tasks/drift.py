"""Comparing Stripe's books with ours, a slice of time after the other, and again what differed before."""

from __future__ import annotations

import datetime

import structlog
from django.utils import timezone

from tasks.gateway import books
from tasks.gateway.stripe_api import StripeRefused
from web.payments.jobs import Lease, TryAgain
from web.payments.models import StripeAccount
from web.payments.operations import drift
from web.payments.operations.drift import Slice

log = structlog.get_logger(__name__)


def check_drift(*, stripe_account_id: int, lease: Lease) -> None:
    """Compare the next slice of the account's books, and look again at what differs."""
    account = StripeAccount.objects.select_related("business").get(id=stripe_account_id)
    try:
        _recheck(account)
        piece = drift.next_slice(stripe_account_id=account.id, now=timezone.now())
        if piece is None:
            return
        _compare(account, piece)
    except books.TooMany:
        if not drift.too_much(stripe_account_id=account.id):
            raise TryAgain("more within a minute than one run reads") from None
        drift.ROUND.go_on(account=account, now=timezone.now())
    except StripeRefused as refusal:
        drift.ROUND.refused(account=account, code=refusal.code, now=timezone.now())
        log.warning("drift.refused", account=str(account), code=refusal.code)


def compare_everything(account: StripeAccount, *, days: int) -> None:
    """Compare the books of so many days now, to this very moment: of a copy, to which no news is on its way.

    Raises StripeRefused, TryAgain (Stripe did not answer).
    """
    now = timezone.now()
    drift.begin_again(account=account, since=now - datetime.timedelta(days=days), now=now)
    _recheck(account)
    while piece := drift.next_slice(stripe_account_id=account.id, now=now + drift.SETTLES_WITHIN):
        try:
            _compare(account, piece)
        except books.TooMany:
            if not drift.too_much(stripe_account_id=account.id):
                raise TryAgain("more within a minute than one run reads") from None


def _compare(account: StripeAccount, piece: Slice) -> None:
    intents = books.list_intents(account, piece)
    refunds = books.list_refunds(account, piece)
    for intent in intents:
        drift.judge_intent(account=account, intent_id=intent.intent_id, record=intent, now=timezone.now())
    for refund in refunds:
        drift.judge_refund(account=account, refund_id=refund.refund_id, record=refund, now=timezone.now())
    seen = {one.intent_id for one in intents}
    for intent_id in drift.intents_to_read_alone(stripe_account_id=account.id, done=piece, seen=seen):
        _judge(account, intent_id)
    seen = {one.refund_id for one in refunds}
    for refund_id in drift.refunds_to_read_alone(stripe_account_id=account.id, done=piece, seen=seen):
        _judge(account, refund_id)
    was_small = len(intents) + len(refunds) < 100 * books.PAGES / 4
    drift.finish(stripe_account_id=account.id, done=piece, was_small=was_small)
    if drift.next_slice(stripe_account_id=account.id, now=timezone.now() - drift.ROUND.every) is not None:
        drift.ROUND.go_on(account=account, now=timezone.now())


def _recheck(account: StripeAccount) -> None:
    for object_id in drift.to_recheck(stripe_account_id=account.id):
        _judge(account, object_id)


def _judge(account: StripeAccount, object_id: str) -> None:
    """Read one object at Stripe and compare it: pi_… is an intent, all else a refund."""
    if object_id.startswith("pi_"):
        intent = books.read_intent(account, object_id)
        drift.judge_intent(account=account, intent_id=object_id, record=intent, now=timezone.now())
    else:
        refund = books.read_refund(account, object_id)
        drift.judge_refund(account=account, refund_id=object_id, record=refund, now=timezone.now())
