"""Terminal's locations, their configurations, and connection tokens."""

from sandbox.errors import invalid, missing
from sandbox.ids import new_id, token
from sandbox.operations import operation
from sandbox.params import merge_metadata
from sandbox.shapes import page
from sandbox.world import Obj, Tx

_TEXTS = ("display_name", "display_name_kana", "display_name_kanji", "phone", "configuration_overrides")
_ADDRESS = ("city", "country", "line1", "line2", "postal_code", "state")


def is_there(obj: Obj) -> bool:
    """Return whether an object was not deleted."""
    return not obj.get("deleted")


def place(tx: Tx, kind: str, object_id: str, param: str | None = None) -> Obj:
    """Return an object of Terminal that was not deleted."""
    found = tx.need(kind, object_id, param)
    if found.get("deleted"):
        raise missing(kind, object_id, param or "id", 400 if param else 404)
    return found


def bury(tx: Tx, obj: Obj) -> Obj:
    """Leave a tombstone where an object was."""
    return tx.put({"id": obj["id"], "object": obj["object"], "deleted": True})


@operation("terminal.locations.create", "POST", "/v1/terminal/locations")
def create(tx: Tx, params: Obj) -> Obj:
    """Create a location; it has a name and an address."""
    for name in ("display_name", "address"):
        if not params.get(name):
            raise invalid(f"Missing required param: {name}.", name, "parameter_missing")
    location: Obj = {
        "id": new_id("terminal.location"),
        "object": "terminal.location",
        "address": {},
        "display_name": "",
        "livemode": False,
        "metadata": {},
        "phone": None,
    }
    return tx.put({**location, **_fields(tx, location, params)})


def _fields(tx: Tx, location: Obj, params: Obj) -> Obj:
    fields: Obj = {name: params[name] or None for name in _TEXTS if name in params}
    if fields.get("configuration_overrides"):
        place(tx, "terminal.configuration", fields["configuration_overrides"], "configuration_overrides")
    if "address" in params:
        empty: Obj = dict.fromkeys(_ADDRESS)
        fields["address"] = {
            **empty,
            **location["address"],
            **{n: v or None for n, v in params["address"].items()},
        }
    for name in ("address_kana", "address_kanji"):
        if name in params:
            fields[name] = {n: v or None for n, v in params[name].items()}
    if "metadata" in params:
        fields["metadata"] = merge_metadata(location["metadata"], params["metadata"])
    return fields


@operation("terminal.locations.list", "GET", "/v1/terminal/locations")
def list_all(tx: Tx, params: Obj) -> Obj:
    """List locations."""
    return page(tx, "terminal.location", params, "/v1/terminal/locations", is_there)


@operation("terminal.locations.retrieve", "GET", "/v1/terminal/locations/{}")
def retrieve(tx: Tx, _: Obj, location_id: str) -> Obj:
    """Return a location, or the tombstone of a deleted one."""
    return tx.need("terminal.location", location_id)


@operation("terminal.locations.update", "POST", "/v1/terminal/locations/{}")
def update(tx: Tx, params: Obj, location_id: str) -> Obj:
    """Change a location."""
    location = place(tx, "terminal.location", location_id)
    if params.get("display_name") == "":
        raise invalid("display_name cannot be unset.", "display_name", "parameter_invalid_empty")
    return tx.change(location, **_fields(tx, location, params))


@operation("terminal.locations.delete", "DELETE", "/v1/terminal/locations/{}")
def delete(tx: Tx, _: Obj, location_id: str) -> Obj:
    """Delete a location that has no reader."""
    location = place(tx, "terminal.location", location_id)
    readers = tx.book.shelf("terminal.reader").values()
    if any(is_there(reader) and reader["location"] == location_id for reader in readers):
        raise invalid("This location cannot be deleted: readers are registered to it.", "id")
    return bury(tx, location)


@operation("terminal.connection_tokens.create", "POST", "/v1/terminal/connection_tokens")
def connect(tx: Tx, params: Obj) -> Obj:
    """Return a token with which Stripe's own SDK on a device could connect to a reader."""
    made: Obj = {"object": "terminal.connection_token", "secret": f"pst_test_{token(32)}"}
    if "location" in params:
        made["location"] = place(tx, "terminal.location", params["location"], "location")["id"]
    return made


_SETTINGS = ("bbpos_wisepad3", "bbpos_wisepos_e", "cellular", "name", "offline", "reader_security", "reboot_window",
             "stripe_s700", "stripe_s710", "stripe_t600", "tipping", "verifone_m425", "verifone_p400",
             "verifone_p630", "verifone_ux700", "verifone_v660p", "wifi")  # fmt: skip


@operation("terminal.configurations.create", "POST", "/v1/terminal/configurations")
def configure(tx: Tx, params: Obj) -> Obj:
    """Create a configuration; what it says of tips is what readers of its locations show."""
    made: Obj = {
        "id": new_id("terminal.configuration"),
        "object": "terminal.configuration",
        "is_account_default": False,
        "livemode": False,
        "name": None,
    }
    return tx.put({**made, **_settings(params)})


def _settings(params: Obj) -> Obj:
    return {name: params[name] or None for name in _SETTINGS if name in params}


@operation("terminal.configurations.list", "GET", "/v1/terminal/configurations")
def list_configurations(tx: Tx, params: Obj) -> Obj:
    """List configurations."""
    by = ("is_account_default",)
    return page(tx, "terminal.configuration", params, "/v1/terminal/configurations", is_there, by=by)


@operation("terminal.configurations.retrieve", "GET", "/v1/terminal/configurations/{}")
def retrieve_configuration(tx: Tx, _: Obj, configuration_id: str) -> Obj:
    """Return a configuration, or the tombstone of a deleted one."""
    return tx.need("terminal.configuration", configuration_id)


@operation("terminal.configurations.update", "POST", "/v1/terminal/configurations/{}")
def reconfigure(tx: Tx, params: Obj, configuration_id: str) -> Obj:
    """Change a configuration."""
    found = place(tx, "terminal.configuration", configuration_id)
    return tx.change(found, **_settings(params))


@operation("terminal.configurations.delete", "DELETE", "/v1/terminal/configurations/{}")
def unconfigure(tx: Tx, _: Obj, configuration_id: str) -> Obj:
    """Delete a configuration; the locations that used it follow none."""
    found = place(tx, "terminal.configuration", configuration_id)
    for location in list(tx.book.shelf("terminal.location").values()):
        if location.get("configuration_overrides") == configuration_id:
            tx.change(location, configuration_overrides=None)
    return bury(tx, found)


def tips_offered(tx: Tx, reader: Obj, currency: str, amount: int) -> list[Obj]:
    """Return the tips that a reader's configuration suggests for an amount, with their labels; none without one."""
    location = tx.get("terminal.location", reader["location"] or "") or {}
    settings = tx.get("terminal.configuration", location.get("configuration_overrides") or "") or {}
    tipping = (settings.get("tipping") or {}).get(currency) or {}
    fixed, percentages = tipping.get("fixed_amounts") or [], tipping.get("percentages") or []
    is_small = amount < tipping.get("smart_tip_threshold", 0)
    if fixed and (is_small or not percentages):
        return [{"label": "", "amount": value} for value in fixed]
    return percent_tips(amount, percentages)


def percent_tips(amount: int, percentages: list[int]) -> list[Obj]:
    """Return tips of so many per cent of an amount, rounded half up."""
    return [{"label": f"{value} %", "amount": (amount * value + 50) // 100} for value in percentages]
