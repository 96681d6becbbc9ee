"""Every list is read page by page, in the same way."""

from typing import get_args, get_origin

import pytest

from tradepost.kernel.http.body import ListOf, ListQuery
from tradepost.kernel.http.endpoint import Answer, Encoded, Endpoint
from tradepost.kernel.http.signature import signature_of
from tradepost.main import SERVICES

ENDPOINTS = [endpoint for service in SERVICES for endpoint in service.endpoints]


def holds_a_list(answer: object) -> bool:
    kind = get_origin(answer)
    return kind is ListOf or (kind not in (None, list) and any(holds_a_list(part) for part in get_args(answer)))


@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if holds_a_list(signature_of(one).answer)])
def test_a_list_takes_limit_and_cursors(endpoint: Endpoint) -> None:
    query = signature_of(endpoint).query

    assert isinstance(query, type), f"{endpoint.path} takes no query"
    assert issubclass(query, ListQuery)


def test_lists_are_found_in_whatever_answers_they_are() -> None:
    assert all(
        holds_a_list(answer) for answer in (ListOf[int], Answer[ListOf[int]], ListOf[int] | Encoded[ListOf[int]])
    )
    assert not holds_a_list(Answer[int])
    assert sum(holds_a_list(signature_of(endpoint).answer) for endpoint in ENDPOINTS) > 15
