"""Terminal's readers, server-driven: registered, listed, and every action that a server can ask of one."""

import re
from typing import Any

from sandbox import cards, money
from sandbox.api import devices, reader_endings, refunds
from sandbox.api.devices import CONFIGS, DISPLAY_SECONDS, INPUT_SECONDS
from sandbox.api.terminal_places import bury, is_there, percent_tips, place, tips_offered
from sandbox.errors import invalid
from sandbox.ids import new_id, token
from sandbox.operations import operation
from sandbox.params import merge_metadata
from sandbox.shapes import page
from sandbox.world import Obj, Tx

SOFTWARE = "2.42.0.1"  # of a new reader; see ``api_error`` in devices
DEFAULT_TIPS = [15, 20, 25]  # per cent, where an amount is eligible for tips and no configuration says which
MAX_INPUTS = 5
#: Registration code -> the type of the reader it simulates.
DEVICE_TYPES = {
    "simulated-wpe": "simulated_wisepos_e",
    "simulated-s700": "simulated_stripe_s700",
    "simulated-s710": "simulated_stripe_s710",
    "simulated-t600": "simulated_stripe_t600",
    "simulated-m425": "simulated_verifone_m425",
    "simulated-p630": "simulated_verifone_p630",
    "simulated-ux700": "simulated_verifone_ux700",
    "simulated-v660p": "simulated_verifone_v660p",
}
# Readers of metal show a code of their own each; these are as many of them as somebody wants.
IN_A_BOX = re.compile(r"sandbox-reader-\d{1,6}")
_PATH = "/v1/terminal/readers/{}"
_HELP = "/v1/test_helpers/terminal/readers/{}"


@operation("terminal.readers.create", "POST", "/v1/terminal/readers")
def create(tx: Tx, params: Obj) -> Obj:
    """Register a simulated reader by its code."""
    code = params["registration_code"]
    device_type = "bbpos_wisepos_e" if IN_A_BOX.fullmatch(code) else DEVICE_TYPES.get(code)
    if device_type is None:
        known = ", ".join((*DEVICE_TYPES, "sandbox-reader-1 and so on"))
        raise invalid(
            f"No reader was found with the registration code '{code}'. The sandbox has: {known}.",
            "registration_code",
            "resource_missing",
        )
    location = params.get("location")
    if location is not None:
        place(tx, "terminal.location", location, "location")
    reader_id = new_id("terminal.reader")
    device = tx.put(devices.fresh(tx, reader_id))
    reader: Obj = {
        "id": reader_id,
        "object": "terminal.reader",
        "action": None,
        "device_sw_version": SOFTWARE,
        "device_type": device_type,
        "ip_address": "0.0.0.0",  # noqa: S104 - what Stripe shows of a simulated one
        "label": params.get("label") or code,
        "last_seen_at": device["seen_at"],
        "livemode": False,
        "location": location,
        "metadata": merge_metadata({}, params.get("metadata")),
        "serial_number": f"sim-{token(8).lower()}",
        "status": "online",
    }
    return devices.shown(tx, tx.put(reader))


@operation("terminal.readers.list", "GET", "/v1/terminal/readers")
def list_all(tx: Tx, params: Obj) -> Obj:
    """List readers, by location, type, serial number or whether they are online now."""
    status = params.get("status")

    def keep(reader: Obj) -> bool:
        return is_there(reader) and (status is None or devices.shown(tx, reader)["status"] == status)

    by = ("location", "device_type", "serial_number")
    return page(tx, "terminal.reader", params, "/v1/terminal/readers", keep, by=by)


@operation("terminal.readers.retrieve", "GET", _PATH)
def retrieve(tx: Tx, _: Obj, reader_id: str) -> Obj:
    """Return a reader as it is now, or the tombstone of a deleted one."""
    return devices.shown(tx, tx.need("terminal.reader", reader_id))


@operation("terminal.readers.update", "POST", _PATH)
def update(tx: Tx, params: Obj, reader_id: str) -> Obj:
    """Change a reader's label or metadata."""
    reader = place(tx, "terminal.reader", reader_id)
    fields: Obj = {}
    if "label" in params:
        fields["label"] = params["label"] or reader["serial_number"]
    if "metadata" in params:
        fields["metadata"] = merge_metadata(reader["metadata"], params["metadata"])
    return devices.shown(tx, tx.change(reader, **fields))


@operation("terminal.readers.delete", "DELETE", _PATH)
def delete(tx: Tx, _: Obj, reader_id: str) -> Obj:
    """Forget a reader."""
    reader, device = devices.pair(tx, reader_id)
    tx.drop(device)
    return bury(tx, reader)


# -- actions --------------------------------------------------------------------------------------------------------


def _start(
    tx: Tx,
    reader_id: str,
    kind: str,
    details: Obj,
    phase: str,
    seconds: float = 0.0,
    job: str = "",
    **device: Any,
) -> Obj:
    """Reach the reader, give it the action, and answer as Stripe does once the reader has it."""
    reader, own = devices.pair(tx, reader_id)
    name = f"terminal.readers.{kind}"
    struck = devices.reach(tx, reader, own, name)
    reader = devices.begin(tx, reader, {**own, **device}, kind, details, phase)
    if job:
        run = tx.need("sandbox.device", own["id"])["run"]
        tx.after(seconds, job, f"{reader_id}/{run}")
    told = devices.mislead(tx, name, reader) if phase in ("tip", "card") else devices.shown(tx, reader)
    if "reader_timeout_accepted" in struck:
        raise devices.refused("terminal_reader_timeout", keeps=True)
    return told


def _config(params: Obj, kind: str) -> Obj:
    """Return an action's settings, where there are any."""
    name = CONFIGS[kind]
    given = {key: value for key, value in (params.get(name) or {}).items() if key != "allow_redisplay"}
    eligible = (given.get("tipping") or {}).get("amount_eligible")
    if eligible is not None and eligible < 0:
        raise invalid(
            "Invalid non-negative integer", f"{name}[tipping][amount_eligible]", "parameter_invalid_integer"
        )
    return {name: given} if given else {}


def _intent(tx: Tx, params: Obj, status: str) -> Obj:
    intent = tx.need("payment_intent", params["payment_intent"], "payment_intent")
    if not {"card_present", "interac_present"} & set(intent["payment_method_types"]):
        raise invalid(
            "The PaymentIntent's payment_method_types must include card_present or interac_present to be processed by "
            "a reader.",
            "payment_intent",
        )
    if intent["status"] != status:
        raise reader_endings.invalid_state(intent)
    return intent


def suggested_tips(tx: Tx, reader: Obj) -> list[Obj]:
    """Return the tips that a reader offers for its action; none where it must not ask."""
    action = reader["action"] or {}
    kind = action.get("type", "")
    details = action.get(kind) or {}
    config = details.get(CONFIGS.get(kind, "")) or {}
    intent = tx.get("payment_intent", details.get("payment_intent") or "")
    if (
        intent is None
        or kind not in ("process_payment_intent", "collect_payment_method")
        or config.get("skip_tipping")
    ):
        return []
    eligible = (config.get("tipping") or {}).get("amount_eligible")
    amount = intent["amount"] if eligible is None else eligible
    if amount == 0:
        return []
    offered = tips_offered(tx, reader, intent["currency"], amount)
    return offered or (percent_tips(amount, DEFAULT_TIPS) if eligible else [])


def _first_screen(tx: Tx, reader_id: str, kind: str, details: Obj) -> str:
    reader, _ = devices.pair(tx, reader_id)
    return "tip" if suggested_tips(tx, {**reader, "action": {"type": kind, kind: details}}) else "card"


@operation("terminal.readers.process_payment_intent", "POST", _PATH + "/process_payment_intent")
def process_payment_intent(tx: Tx, params: Obj, reader_id: str) -> Obj:
    """Let a reader collect and authorise a payment."""
    kind = "process_payment_intent"
    intent = _intent(tx, params, "requires_payment_method")
    details: Obj = {"payment_intent": intent["id"], **_config(params, kind)}
    return _start(tx, reader_id, kind, details, _first_screen(tx, reader_id, kind, details))


@operation("terminal.readers.collect_payment_method", "POST", _PATH + "/collect_payment_method")
def collect_payment_method(tx: Tx, params: Obj, reader_id: str) -> Obj:
    """Let a reader collect a card, which can be looked at before the payment is confirmed."""
    kind = "collect_payment_method"
    intent = _intent(tx, params, "requires_payment_method")
    details: Obj = {"payment_intent": intent["id"], **_config(params, kind)}
    return _start(tx, reader_id, kind, details, _first_screen(tx, reader_id, kind, details))


@operation("terminal.readers.confirm_payment_intent", "POST", _PATH + "/confirm_payment_intent")
def confirm_payment_intent(tx: Tx, params: Obj, reader_id: str) -> Obj:
    """Let a reader authorise the payment whose card it has collected."""
    intent = _intent(tx, params, "requires_confirmation")
    method = tx.need("payment_method", intent["payment_method"])
    if method["type"] == "card":
        raise reader_endings.invalid_state(intent)
    details: Obj = {"payment_intent": intent["id"]}
    if params.get("confirm_config"):
        details["confirm_config"] = params["confirm_config"]
    told = _start(
        tx, reader_id, "confirm_payment_intent", details, "authorising", DISPLAY_SECONDS, "reader_authorises"
    )
    device = tx.need("sandbox.device", f"device_{reader_id}")
    card = cards.behind(method)
    tx.change(
        device,
        hand={"card": card.number, "name": card.name, "how": "insert", "by_amount": card.name == "visa"},
    )
    return told


@operation("terminal.readers.process_setup_intent", "POST", _PATH + "/process_setup_intent")
def process_setup_intent(tx: Tx, params: Obj, reader_id: str) -> Obj:
    """Let a reader save a card."""
    kind = "process_setup_intent"
    intent = tx.need("setup_intent", params["setup_intent"], "setup_intent")
    if "card_present" not in intent["payment_method_types"]:
        raise invalid("The SetupIntent's payment_method_types must include card_present.", "setup_intent")
    if intent["status"] != "requires_payment_method":
        raise reader_endings.setup_state(intent)
    details: Obj = {"setup_intent": intent["id"], **_config(params, kind)}
    return _start(tx, reader_id, kind, details, "card", allow_redisplay=params["allow_redisplay"])


@operation("terminal.readers.refund_payment", "POST", _PATH + "/refund_payment")
def refund_payment(tx: Tx, params: Obj, reader_id: str) -> Obj:
    """Let a reader give money back to the card that paid, which must be presented again."""
    charge = refunds.refundable(tx, params)
    refunds.amount_of(charge, params)
    if charge["payment_method_details"]["type"] == "card":
        raise invalid("Only payments that were made in person can be refunded on a reader.", "charge")
    details: Obj = {
        "charge": charge["id"],
        "payment_intent": charge["payment_intent"],
        "metadata": merge_metadata({}, params.get("metadata")),
        **{n: params[n] for n in ("amount", "refund_application_fee", "reverse_transfer") if n in params},
        **_config(params, "refund_payment"),
    }
    return _start(tx, reader_id, "refund_payment", details, "card")


@operation("terminal.readers.set_reader_display", "POST", _PATH + "/set_reader_display")
def set_reader_display(tx: Tx, params: Obj, reader_id: str) -> Obj:
    """Show a cart on the reader."""
    if "cart" not in params:
        raise invalid("Missing required param: cart.", "cart", "parameter_missing")
    cart = {"tax": None, **params["cart"], "currency": money.check_currency(params["cart"]["currency"])}
    details: Obj = {"type": params["type"], "cart": cart}
    return _start(tx, reader_id, "set_reader_display", details, "display", DISPLAY_SECONDS, "reader_displays")


@operation("terminal.readers.collect_inputs", "POST", _PATH + "/collect_inputs")
def collect_inputs(tx: Tx, params: Obj, reader_id: str) -> Obj:
    """Let a reader ask its customer for up to five things."""
    if len(params["inputs"]) > MAX_INPUTS:
        raise invalid(f"At most {MAX_INPUTS} inputs can be collected at once.", "inputs")
    inputs = [_input(one, at) for at, one in enumerate(params["inputs"])]
    details: Obj = {"inputs": inputs, "metadata": merge_metadata({}, params.get("metadata"))}
    return _start(tx, reader_id, "collect_inputs", details, "input", INPUT_SECONDS, "reader_input_expires")


def _input(given: Obj, at: int) -> Obj:
    text: Obj = dict.fromkeys(("description", "skip_button", "submit_button", "title"))
    made: Obj = {
        "custom_text": {**text, **given["custom_text"]},
        "required": given.get("required", False),
        "skipped": False,
        "toggles": [
            {"default_value": "disabled", "description": None, "title": None, **toggle, "value": None}
            for toggle in given.get("toggles", [])
        ],
        "type": given["type"],
    }
    if given["type"] == "selection":
        if "selection" not in given:
            raise invalid(
                "Missing required param: selection.", f"inputs[{at}][selection]", "parameter_missing"
            )
        choices = [{"style": "primary", **choice} for choice in given["selection"]["choices"]]
        made["selection"] = {"choices": choices, "id": None, "text": None}
    else:
        made[given["type"]] = {"value": None}
    return made


@operation("terminal.readers.cancel_action", "POST", _PATH + "/cancel_action")
def cancel_action(tx: Tx, _: Obj, reader_id: str) -> Obj:
    """Reset a reader that waits; the intent stays as it is, no event is sent, and too late is ``busy``."""
    reader, device = devices.pair(tx, reader_id)
    struck = devices.reach(tx, reader, device, "terminal.readers.cancel_action")
    tx.change(device, phase="idle", hand=None, loses=None, tip=None, run=token(12))
    told = devices.shown(tx, tx.change(reader, action=None))
    if "reader_timeout_accepted" in struck:
        raise devices.refused("terminal_reader_timeout", keeps=True)
    return told


# -- test helpers ---------------------------------------------------------------------------------------------------


@operation("test_helpers.terminal.readers.present_payment_method", "POST", _HELP + "/present_payment_method")
def present_payment_method(tx: Tx, params: Obj, reader_id: str) -> Obj:
    """Hold a test card to a simulated reader, which authorises at once."""
    kind = params.get("type", "card_present")
    given = params.get(kind) or {}
    number = given.get("number") or ("interac" if kind == "interac_present" else None)
    if number is not None and cards.at_reader(number) is None:
        raise invalid(f"No such test card: '{number}'", f"{kind}[number]", "resource_missing")
    how = "swipe" if kind == "card" else "tap"
    return devices.shown(tx, devices.present(tx, reader_id, number, how, params.get("amount_tip")))


@operation(
    "test_helpers.terminal.readers.succeed_input_collection", "POST", _HELP + "/succeed_input_collection"
)
def succeed_input_collection(tx: Tx, params: Obj, reader_id: str) -> Obj:
    """Answer what a simulated reader asks; what is not required is skipped when asked to."""
    reader, _ = devices.pair(tx, reader_id)
    inputs = ((reader["action"] or {}).get("collect_inputs") or {}).get("inputs") or []
    skips = params.get("skip_non_required_inputs") == "all"
    values = [None if skips and not one["required"] else sample(one) for one in inputs]
    return devices.shown(tx, devices.answer(tx, reader_id, values))


def sample(one: Obj) -> str:
    """Return an answer that fits an input."""
    if one["type"] == "selection":
        return str(one["selection"]["choices"][0]["id"])
    samples = {"email": "customer@example.com", "numeric": "12345", "phone": "+15555555555", "text": "some text",
               "signature": f"file_{token(24)}"}  # fmt: skip
    return samples[one["type"]]


@operation(
    "test_helpers.terminal.readers.timeout_input_collection", "POST", _HELP + "/timeout_input_collection"
)
def timeout_input_collection(tx: Tx, _: Obj, reader_id: str) -> Obj:
    """Let the time for an answer run out now."""
    reader, device = devices.pair(tx, reader_id)
    if device["phase"] != "input":
        raise invalid("The reader does not ask for anything now.")
    return devices.shown(tx, devices.fail(tx, reader, device, "collect_inputs_timed_out"))
