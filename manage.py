#!/usr/bin/env python3
"""Django's command line for Paydesk."""

import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "web.settings")
    from web.core import startup

    startup.begin(ends_when_ready=True)
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
