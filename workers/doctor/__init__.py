"""What is wrong with this installation, what it means, and how to mend it: `manage.py doctor`.

Every check looks at one thing and says what it found. It changes nothing, here or at Stripe, and no secret is shown.
"""
