"""The addresses of this room; they are joined under the namespace `payment` in web/payment_urls.py."""

from django.urls import URLPattern, URLResolver, path

from web.backoffice import (
    close_outs,
    purchase_list,
    purchases,
    readers_page,
    receipts,
    reconciliation,
    refunds,
    settings_page,
)

urlpatterns: list[URLPattern | URLResolver] = [
    path("purchases/", purchase_list.purchase_list, name="purchases"),
    path("purchases/totals/", purchase_list.totals, name="purchases_totals"),
    path("purchases/export/", purchase_list.export, name="purchases_export"),
    path("purchases/refunds/", refunds.bulk, name="bulk_refunds"),
    path("purchases/refunds/<uuid:bulk_id>/", refunds.bulk_progress, name="bulk_refund"),
    path("purchases/refunds/<uuid:bulk_id>/resume/", refunds.bulk_resume, name="bulk_refund_resume"),
    path("purchases/refunds/<uuid:refund_id>/withdraw/", refunds.withdraw, name="withdraw_refund"),
    path("purchases/payments/<uuid:payment_id>/refund/", refunds.refund_payment, name="refund_payment"),
    path("purchases/payments/<uuid:payment_id>/attach/", refunds.attach_payment, name="attach_payment"),
    path("purchases/<str:number>/", purchases.purchase, name="purchase"),
    path("purchases/<str:number>/refund/", refunds.refund_order, name="refund_order"),
    path("purchases/<str:number>/refunds/", refunds.refunds_of_order, name="order_refunds"),
    path("purchases/<str:number>/receipt/", receipts.resend, name="receipt_resend"),
    path("close-out/", close_outs.close_out_page, name="close_outs"),
    path("close-out/export/", close_outs.export, name="close_outs_export"),
    path("close-out/<uuid:public_id>/", close_outs.close_out, name="close_out"),
    path("reconciliation/", reconciliation.payouts, name="reconciliation"),
    path("reconciliation/export/", reconciliation.export, name="reconciliation_export"),
    path("reconciliation/<str:payout_id>/", reconciliation.payout, name="payout"),
    path("settings/", settings_page.settings_page, name="settings"),
    path("settings/stripe/", settings_page.save_keys, name="settings_keys"),
    path("settings/stripe/state/", settings_page.account_state, name="settings_account_state"),
    path("settings/stripe/check/", settings_page.check_keys, name="settings_check"),
    path("settings/webhook/", settings_page.add_webhook_secret, name="settings_webhook"),
    path("settings/taxes/<int:location_id>/", settings_page.save_taxes, name="settings_taxes"),
    path("settings/tips/", settings_page.save_tips, name="settings_tips"),
    path("settings/policy/", settings_page.save_policy, name="settings_policy"),
    path("settings/readers/", readers_page.readers_page, name="settings_readers"),
    path("settings/readers/state/", readers_page.readers_state, name="settings_readers_state"),
    path("settings/readers/register/", readers_page.register, name="settings_reader_register"),
    path("settings/readers/<uuid:reader_id>/", readers_page.change, name="settings_reader"),
    path(
        "settings/readers/<uuid:reader_id>/again/", readers_page.register_again, name="settings_reader_again"
    ),
    path("settings/readers/<uuid:reader_id>/refresh/", readers_page.refresh, name="settings_reader_refresh"),
    path("settings/readers/<uuid:reader_id>/remove/", readers_page.remove, name="settings_reader_remove"),
    path("settings/gateway/", settings_page.save_gateway, name="settings_gateway"),
    path("settings/charging/", settings_page.save_charging, name="settings_charging"),
    path("settings/receipts/", settings_page.save_receipts, name="settings_receipts"),
    path("settings/erase/", settings_page.erase_person, name="settings_erase"),
]
