"""What PostgreSQL is told at the start of each of our sessions."""

from typing import Final

SESSION: Final = {
    "default_transaction_isolation": "read committed",  # what the locks rely on, whatever the server's default is
    # These free the locks of a process that was paused. Between preparing a statement and executing it a session is not
    # idle for PostgreSQL, and hears of no other limit than the last. While we are awake, our own comes first.
    "idle_in_transaction_session_timeout": "60s",
    "statement_timeout": "70s",
    "transaction_timeout": "300s",
}
# One plan for all arguments, made once: planning the statements of small batches takes as long as some of them do.
# Without statistics it would read the whole of a table that was short when it was made, so it may use indexes only.
PLANNED_ONCE: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "max_parallel_workers_per_gather": "0",
}
