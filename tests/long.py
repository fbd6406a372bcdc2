"""Whether this is `make fuzz`: tests that generate what they ask take their time then, and little otherwise."""

import os

IS_LONG = os.environ.get("PAYDESK_FUZZ") == "long"
