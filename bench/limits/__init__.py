"""The limits: the least that Django and Celery can do and still store one row. What we are held against."""
