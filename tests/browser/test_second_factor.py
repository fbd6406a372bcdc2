"""A passkey in a real browser, with an authenticator that the browser pretends to have; and the app beside it."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Person
from tests.browser.test_accessibility import is_accessible


def _give_a_device(somebody: Person) -> None:
    """Let the browser have a fingerprint reader that always says yes."""
    session = somebody.page.context.new_cdp_session(somebody.page)
    session.send("WebAuthn.enable")
    session.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "internal",
                "hasResidentKey": True,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )


def test_a_passkey_is_set_up_signs_in_and_confirms(guest: Person) -> None:
    """By a customer: nobody else's sign-in changes by it."""
    page = guest.page
    guest.sign_in("mina")
    guest.open("/accounts/second-factor/passkeys/")
    is_accessible(guest)
    _give_a_device(guest)
    page.get_by_role("button", name="Add the passkey").click()
    page.wait_for_url("**/second-factor/codes/")
    is_accessible(guest)
    guest.open("/accounts/second-factor/")
    expect(page.get_by_text("Passkey 1").first).to_be_visible()
    is_accessible(guest)
    guest.open("/accounts/second-factor/app/")
    is_accessible(guest)
    guest.open("/accounts/sessions/")
    is_accessible(guest)

    page.get_by_role("button", name="Sign out here").click()
    page.wait_for_url(lambda url: "/sessions/" not in url)
    guest.sign_in("mina")
    page.wait_for_url("**/second-factor/sign-in/")
    is_accessible(guest)
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url(lambda url: "/accounts/" not in url)

    guest.open("/accounts/confirm/passkey/?next=/accounts/sessions/")
    is_accessible(guest)
    page.get_by_role("button", name="Use a passkey").click()
    page.wait_for_url("**/accounts/sessions/")

    guest.open("/accounts/second-factor/")
    page.get_by_role("link", name="Remove Passkey 1").click()
    page.get_by_role("button", name="Remove the passkey").click()
    expect(page.get_by_text("The passkey is removed.")).to_be_visible()
