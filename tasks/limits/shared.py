"""One budget and one breaker for all workers, in Redis; a share of it in this process while Redis is away."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import redis
import structlog
from django.conf import settings

from tasks.limits import rules
from tasks.limits.rules import Admission, Ask, Ledger, Opened, Verdict

T = TypeVar("T")

REDIS_SECONDS = 0.5  # a budget that takes longer to ask for than a call to Stripe is worth nothing
QUIET_SECONDS = 2.0  # after a failure of Redis it is left alone, or every call would wait for it
# While Redis is away every process has this share of each budget: right for four processes that are busy
# with one account, and with more Stripe's own 429 is heard and obeyed.
LOCAL_SHARE = 0.25
PREFIX = "paydesk:limits:"

log = structlog.get_logger(__name__)

# Every script begins with the constants of rules.py, and with the time in seconds: by Redis' own clock, which is
# everybody's (a test gives its own as ARGV[1]).
_PROLOGUE = (
    "".join(
        f"local {name} = {value!r}\n" for name, value in vars(rules).items() if isinstance(value, float | int)
    )
    + """
local now = tonumber(ARGV[1])
if not now then local t = redis.call('TIME'); now = tonumber(t[1]) + tonumber(t[2]) / 1000000 end
local function text(number) return string.format('%.6f', number) end
"""
)

# KEYS: the breaker, the account's bucket, the endpoint's bucket.
# ARGV: now, patience, sweep (0/1), [refill, burst, needed] of the account, the same of the endpoint.
_ADMIT = (
    _PROLOGUE
    + """
local patience, sweep = tonumber(ARGV[2]), ARGV[3]
local b = redis.call('HMGET', KEYS[1], 'open_until', 'probe_until', 'failures')
local open_until, probe_until = tonumber(b[1] or ''), tonumber(b[2] or '') or 0
local failures, verdict = tonumber(b[3] or '') or 0, 'go'
if open_until then
    if now < open_until then return {'open', text(open_until - now), failures} end
    if now < probe_until then return {'open', text(RECHECK_SECONDS), failures} end
    verdict = 'probe'
end
local wait, tokens, at = 0, {}, {}
for i = 1, 2 do
    local refill, burst, needed = tonumber(ARGV[3 * i + 1]), tonumber(ARGV[3 * i + 2]), tonumber(ARGV[3 * i + 3])
    local h = redis.call('HMGET', KEYS[i + 1], 'tokens', 'at')
    tokens[i], at[i] = tonumber(h[1] or ''), tonumber(h[2] or '')
    if not tokens[i] then tokens[i], at[i] = burst, now
    elseif now > at[i] then
        tokens[i], at[i] = math.min(burst, tokens[i] + (now - at[i]) * refill), now
    end
    wait = math.max(wait, math.max(0, at[i] - now) + math.max(0, needed - tokens[i]) / refill)
end
if wait > 0 then
    if wait > patience then
        local field = 'slot' .. sweep
        local slot = math.max(tonumber(redis.call('HGET', KEYS[2], field) or '') or 0, now + wait)
        if slot - now > LONGEST_SLOT_SECONDS then slot = now + wait end
        redis.call('HSET', KEYS[2], field, text(slot + 1 / math.min(tonumber(ARGV[4]), tonumber(ARGV[7]))))
        redis.call('EXPIRE', KEYS[2], 600)
        wait = slot - now
    end
    return {'wait', text(wait), failures}
end
for i = 1, 2 do
    redis.call('HSET', KEYS[i + 1], 'tokens', text(tokens[i] - 1), 'at', text(at[i]))
    redis.call('EXPIRE', KEYS[i + 1], 600)
end
if verdict == 'probe' then redis.call('HSET', KEYS[1], 'probe_until', text(now + PROBE_SECONDS)) end
return {verdict, '0', failures}
"""
)

# KEYS: a bucket. ARGV: now.
_DRAIN = (
    _PROLOGUE
    + """
local h = redis.call('HMGET', KEYS[1], 'at', 'level', 'drained_at')
local at, level, drained_at = tonumber(h[1] or '') or 0, tonumber(h[2] or '') or 0, tonumber(h[3] or '') or 0
if at > now then return text(at - now) end
if now - drained_at > DRAINS_FORGOTTEN_AFTER_SECONDS then level = 0 end
level = level + 1
local seconds = math.min(FIRST_DRAIN_SECONDS * 2 ^ (level - 1), LONGEST_DRAIN_SECONDS)
redis.call('HSET', KEYS[1], 'tokens', '0', 'at', text(now + seconds), 'level', level, 'drained_at', text(now))
redis.call('EXPIRE', KEYS[1], 600)
return text(seconds)
"""
)

# KEYS: a breaker. ARGV: now, is_probe (0/1). Returns nothing, or {seconds that it is open, is_new (0/1)}.
_FAILED = (
    _PROLOGUE
    + """
local b = redis.call('HMGET', KEYS[1], 'open_until', 'failures', 'since', 'probes')
local open_until, failures = tonumber(b[1] or ''), tonumber(b[2] or '') or 0
local since, probes = tonumber(b[3] or '') or 0, tonumber(b[4] or '') or 0
if open_until then
    if ARGV[2] == '1' then
        probes = probes + 1
        open_until = now + math.min(FIRST_OPEN_SECONDS * 2 ^ probes, LONGEST_OPEN_SECONDS)
        redis.call('HSET', KEYS[1], 'open_until', text(open_until), 'probe_until', '0', 'probes', probes)
        redis.call('EXPIRE', KEYS[1], 86400)
    end
    return {text(math.max(open_until - now, RECHECK_SECONDS)), 0}
end
if failures == 0 or now - since > FAILURES_WITHIN_SECONDS then failures, since = 0, now end
failures = failures + 1
redis.call('HSET', KEYS[1], 'failures', failures, 'since', text(since))
redis.call('EXPIRE', KEYS[1], 600)
if failures < FAILURES_TO_OPEN then return nil end
redis.call('HSET', KEYS[1], 'open_until', text(now + FIRST_OPEN_SECONDS), 'probe_until', '0', 'probes', 0)
redis.call('EXPIRE', KEYS[1], 86400)
return {text(FIRST_OPEN_SECONDS), 1}
"""
)

# KEYS: a breaker. Returns 1 where it was open.
_ANSWERED = """
local was_open = redis.call('HEXISTS', KEYS[1], 'open_until')
redis.call('DEL', KEYS[1])
return was_open
"""

# KEYS: a breaker. ARGV: now. Returns for how long no call is let through.
_SHUT = (
    _PROLOGUE
    + """
local b = redis.call('HMGET', KEYS[1], 'open_until', 'probe_until')
local open_until, probe_until = tonumber(b[1] or ''), tonumber(b[2] or '') or 0
if not open_until then return '0' end
if now < open_until then return text(open_until - now) end
if now < probe_until then return text(RECHECK_SECONDS) end
return '0'
"""
)


@functools.lru_cache(maxsize=8)
def _client(url: str, _pid: int) -> redis.Redis:
    return redis.Redis.from_url(
        url, socket_connect_timeout=REDIS_SECONDS, socket_timeout=REDIS_SECONDS, health_check_interval=30
    )


def _budget(per_second: float, *, is_sweep: bool) -> tuple[str, str, str]:
    return (
        repr(rules.refill(per_second)),
        repr(rules.burst(per_second)),
        repr(rules.needed(per_second, is_sweep=is_sweep)),
    )


class Shared:
    """The budget and the breakers of all workers. Every method raises redis.RedisError while Redis is away."""

    def __init__(self, prefix: str = PREFIX) -> None:
        self.prefix = prefix

    def _key(self, kind: str, account: str, endpoint: str = "") -> str:
        # Braces: on a Redis cluster all keys of an account are in one place, as a script needs them.
        return f"{self.prefix}{{{account}}}:{kind}" + (f":{endpoint}" if endpoint else "")

    def _run(self, script: str, keys: list[str], arguments: list[str]) -> Any:
        client = _client(settings.REDIS_URL, os.getpid())
        return _script(client, script)(keys=keys, args=arguments)

    def admit(self, ask: Ask, *, patience: float, now: str = "") -> Admission:
        """Decide, for all workers at once; see rules.Ledger.admit."""
        keys = [
            self._key("breaker", ask.key),
            self._key("bucket", ask.key),
            self._key("bucket", ask.key, ask.endpoint),
        ]
        arguments = [
            now,
            repr(patience),
            "1" if ask.is_sweep else "0",
            *_budget(ask.per_second, is_sweep=ask.is_sweep),
            *_budget(ask.per_second_and_endpoint, is_sweep=ask.is_sweep),
        ]
        verdict, seconds, failures = self._run(_ADMIT, keys, arguments)
        return Admission(Verdict(verdict.decode()), float(seconds), int(failures))

    def drain(self, key: str, endpoint: str, *, now: str = "") -> float:
        """Empty a bucket for a moment."""
        return float(self._run(_DRAIN, [self._key("bucket", key, endpoint)], [now]))

    def failed(self, key: str, *, is_probe: bool, now: str = "") -> Opened | None:
        """Count a failure."""
        found = self._run(_FAILED, [self._key("breaker", key)], [now, "1" if is_probe else "0"])
        return None if found is None else Opened(float(found[0]), is_new=bool(found[1]))

    def answered(self, key: str) -> bool:
        """Forget the failures; return whether the breaker was open."""
        return bool(self._run(_ANSWERED, [self._key("breaker", key)], []))

    def seconds_shut(self, key: str) -> float:
        """Return for how long no call is let through."""
        return float(self._run(_SHUT, [self._key("breaker", key)], [""]))

    def is_open(self, key: str) -> bool:
        """Return whether the breaker is open or half open."""
        client = _client(settings.REDIS_URL, os.getpid())
        return bool(client.hexists(self._key("breaker", key), "open_until"))


@functools.lru_cache(maxsize=32)
def _script(client: redis.Redis, script: str) -> Callable[..., Any]:
    return cast("Callable[..., Any]", client.register_script(script))


class Limits:
    """What the gateway asks: Redis where it answers, this process's own share where it does not."""

    def __init__(self, shared: Shared | None = None) -> None:
        self._shared = shared or Shared()
        self._local = Ledger(share=LOCAL_SHARE)
        self._lock = threading.Lock()
        self._quiet_until = 0.0
        self._suspects: dict[str, float] = {}  # accounts that failed here of late: a success must be told

    def _ask(self, shared: Callable[[], T], local: Callable[[float], T]) -> T:
        now = time.monotonic()
        if now >= self._quiet_until:
            try:
                return shared()
            except (redis.RedisError, OSError) as error:
                self._quiet_until = now + QUIET_SECONDS
                log.warning("limits.redis_away", error=type(error).__name__)
        with self._lock:
            return local(now)

    def admit(self, ask: Ask, *, patience: float) -> Admission:
        """Decide whether a call may be made."""
        return self._ask(
            lambda: self._shared.admit(ask, patience=patience),
            lambda now: self._local.admit(ask, patience=patience, now=now),
        )

    def drain(self, key: str, endpoint: str) -> float:
        """Stripe said 429: nobody calls for a moment. Return the moment in seconds."""
        return self._ask(
            lambda: self._shared.drain(key, endpoint),
            lambda now: self._local.drain(key, endpoint, now=now),
        )

    def failed(self, key: str, admission: Admission) -> Opened | None:
        """Count a failure; return that the breaker is open, if it is."""
        is_probe = admission.verdict is Verdict.PROBE
        self._suspects[key] = time.monotonic()
        return self._ask(
            lambda: self._shared.failed(key, is_probe=is_probe),
            lambda now: self._local.failed(key, is_probe=is_probe, now=now),
        )

    def answered(self, key: str, admission: Admission) -> bool:
        """Forget failures, where there were any; return whether this closed the breaker."""
        suspected = self._suspects.pop(key, None)
        if admission.verdict is Verdict.GO and not admission.failures and suspected is None:
            return False  # as good as always: nothing to tell, and no round trip
        return self._ask(lambda: self._shared.answered(key), lambda _now: self._local.answered(key))

    def seconds_shut(self, key: str) -> float:
        """Return for how long no call of this account is let through."""

        def local(now: float) -> float:
            breaker = self._local.breakers.get(key)
            if breaker is None:
                return 0.0
            verdict, seconds = breaker.look(now)
            return seconds if verdict is Verdict.OPEN else 0.0

        return self._ask(lambda: self._shared.seconds_shut(key), local)

    def is_open(self, key: str) -> bool:
        """Return whether the account's breaker is open or half open."""

        def local(_now: float) -> bool:
            breaker = self._local.breakers.get(key)
            return breaker is not None and breaker.open_until is not None

        return self._ask(lambda: self._shared.is_open(key), local)
