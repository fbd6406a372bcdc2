"""Which function does which job of the catalogue. Start-up fails if one has none (workers/app.py)."""

from __future__ import annotations

from collections.abc import Callable

from tasks import (
    accounts,
    backfill,
    balance,
    cards,
    drift,
    drills,
    intents,
    outgoing,
    readers,
    receipts,
    refunds,
    saved_cards,
    terminal,
    webhooks,
)
from web.payments import jobs

Result = dict[str, object] | None

HANDLERS: dict[str, Callable[..., Result]] = {
    jobs.CREATE_INTENT.name: intents.create_intent,
    jobs.CANCEL_INTENT.name: intents.cancel_intent,
    jobs.READ_INTENT.name: intents.read_intent,
    jobs.VERIFY_ACCOUNT.name: accounts.verify_account,
    jobs.SUBMIT_REFUND.name: refunds.submit_refund,
    jobs.READ_REFUND.name: refunds.read_refund,
    jobs.IMPORT_REFUNDS.name: refunds.import_refunds,
    jobs.SERVE_READER.name: terminal.serve_reader,
    jobs.CANCEL_ON_READER.name: terminal.cancel_on_reader,
    jobs.CAPTURE_INTENT.name: intents.capture_intent,
    jobs.REGISTER_READER.name: readers.register_reader,
    jobs.UPDATE_READER.name: readers.update_reader,
    jobs.REMOVE_READER.name: readers.remove_reader,
    jobs.READ_READER.name: readers.read_reader,
    jobs.CREATE_CONNECTION_TOKEN.name: readers.create_connection_token,
    jobs.CHARGE_CARD.name: saved_cards.charge_card,
    jobs.CREATE_CARD_SETUP.name: cards.create_card_setup,
    jobs.READ_CARD_SETUP.name: cards.read_card_setup,
    jobs.DETACH_CARD.name: cards.detach_card,
    jobs.ASK_BULK_REFUND.name: refunds.ask_bulk_refund,
    jobs.REHEARSE_EVENT.name: webhooks.rehearse_event,
    jobs.DRILL_STEP.name: drills.drill_step,
    jobs.DELIVER_EVENT.name: outgoing.deliver_event,
    jobs.SEND_RECEIPT.name: receipts.send_receipt,
    jobs.BACKFILL_EVENTS.name: backfill.backfill_events,
    jobs.CHECK_DRIFT.name: drift.check_drift,
    jobs.IMPORT_BALANCE.name: balance.import_balance,
    jobs.READ_PAYOUT.name: balance.read_payout,
    jobs.RESEND_RECEIPT.name: receipts.resend_receipt,
    jobs.SEND_REFUND_RECEIPT.name: receipts.send_refund_receipt,
}


class CatalogueGap(Exception):
    """A job has no handler, or a handler no job: this release cannot do all of its work."""


def check() -> None:
    """Raise CatalogueGap unless every job has exactly one handler."""
    gap = set(HANDLERS) ^ set(jobs.CATALOGUE)
    if gap:
        raise CatalogueGap(", ".join(sorted(gap)))
