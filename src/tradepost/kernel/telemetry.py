"""Logs to standard error: lines for people on a terminal, JSON for machines. Never a body and never a secret."""

import logging
import sys
from typing import Any, Final

import structlog
from prometheus_client import CollectorRegistry, Counter

LEVEL: Final = logging.INFO
FIGURES: Final = CollectorRegistry()  # what services measure about their own work, for /metrics
MESSAGES: Final = Counter(
    "tradepost_messages",
    "Tries to hand a message over: sent, to be tried again (pending), given up (failed), or too old to send (expired).",
    ["service", "channel", "outcome"],
    registry=FIGURES,
)
for _sender in (("user", "email"), ("notification", "email"), ("notification", "sms")):
    for _outcome in ("sent", "pending", "failed", "expired"):
        MESSAGES.labels(*_sender, _outcome)  # at 0, so that the first counts
JOB_FAILURES: Final = Counter(
    "tradepost_job_failures",
    "Rounds of timed work that failed.",
    ["name"],  # not `job`, which Prometheus calls the target
    registry=FIGURES,
)
QUIET: Final = {  # heard from there on
    "uvicorn": logging.ERROR,  # it warns of each client that speaks no HTTP
    "asyncio": logging.WARNING,
    "aiohttp.access": logging.WARNING,
}


def set_up_logs() -> None:
    """For the whole process, the standard library's loggers included."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, *_rendered()],
        wrapper_class=structlog.make_filtering_bound_logger(LEVEL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    formatted = [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendered()]
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=formatted, foreign_pre_chain=shared))
    logging.basicConfig(handlers=[handler], level=LEVEL, force=True)
    for name, level in QUIET.items():
        logging.getLogger(name).setLevel(level)


def _rendered() -> list[Any]:
    """Tracebacks come without local variables, which may hold anything."""
    if sys.stderr.isatty():
        return [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
