"""The logs themselves: nothing lost, nothing twice, nothing set aside."""

from typing import Final

from tradepost.console.audit.check import SINCE, Check
from tradepost.main import SERVICES

SCHEMAS: Final = tuple(service.name for service in SERVICES)


def of_all(select: str) -> str:
    """`select`, with `{schema}` in it, over all schemas."""
    return " UNION ALL ".join(select.format(schema=schema) for schema in SCHEMAS)


_SEQUENCES: Final = f"""
SELECT format('%s, key %s: %s after %s', type, key, sequence, COALESCE(before::text, 'nothing'))
FROM ({
    of_all('''
    SELECT type, key, sequence, lag(sequence) OVER (PARTITION BY key ORDER BY id) AS before FROM "{schema}".event
''')
}) AS event
WHERE sequence <> before + 1 OR before IS NULL AND sequence <> 1 AND {SINCE} = '-infinity'
"""

_IDS: Final = f"""
SELECT format('%s is the id of %s events', event_id, count(*))
FROM ({of_all('SELECT event_id FROM "{schema}".event')}) AS event
GROUP BY event_id HAVING count(*) > 1
"""

_CAUSES: Final = f"""
WITH event AS MATERIALIZED ({of_all('SELECT event_id, causation_id, type, key FROM "{schema}".event')})
SELECT format('%s, key %s: caused by %s, which is on no log', type, key, causation_id) FROM event
WHERE causation_id IS NOT NULL AND {SINCE} = '-infinity'
  AND NOT EXISTS (SELECT FROM event AS cause WHERE cause.event_id = event.causation_id)
"""

_PARKED: Final = of_all("""
SELECT format('%s of %s, key %s: %s', event ->> 'type', "group", key, error) FROM "{schema}".parked
""")

CHECKS: Final = (
    Check("log.sequences", "the events of each key are numbered 1, 2, 3, ...", _SEQUENCES),
    Check("log.ids", "no two events share an id", _IDS),
    Check("log.causes", "what an event names as its cause happened", _CAUSES),
    Check("log.parked", "no event was set aside", _PARKED),
)
