# One image for everything that runs: web, workers, beat, migrations, and the sandbox. What it does is the command's choice.

FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /app
# The lock alone first: this layer lasts until a dependency changes.
COPY requirements.lock ./
RUN pip install --require-hashes --no-deps -r requirements.lock
COPY manage.py ./
COPY web web
COPY tasks tasks
COPY workers workers
COPY sandbox sandbox
# Settings refuse to load without these; nothing connects while static files are collected and none of it stays.
RUN SECRET_KEY=unused-while-building FIELD_ENCRYPTION_KEYS=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= \
    DATABASE_URL=postgres://nobody@localhost/none REDIS_URL=redis://localhost/0 \
    python manage.py collectstatic --noinput -v 0 \
 && python -m compileall -q web tasks workers sandbox

FROM python:3.12-slim
RUN groupadd --gid 10001 paydesk \
 && useradd --uid 10001 --gid paydesk --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin paydesk \
 && install -d -o paydesk -g paydesk /var/lib/paydesk
# The file system is read-only in compose.yaml, so nothing may want to write beside the code.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 DJANGO_SETTINGS_MODULE=web.settings
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
EXPOSE 8000
CMD ["python", "-m", "granian", "--interface", "wsgi", "--host", "0.0.0.0", "--port", "8000", "--workers", "2", "--blocking-threads", "4", "--respawn-failed-workers", "web.wsgi:application"]
