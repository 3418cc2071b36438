"""Requests made up by schemathesis from the server's own description, fitting and not fitting: none makes it fail."""

import contextlib
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable

schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis (extra test)")

UNDECLARED = {405}  # another method: no route answers, so none declares it


def fuzz(client, mode, n_examples):
    """Send made-up requests to every route; how often which status came from which route."""
    counts = Counter()
    schema = schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")
    for found in schema.get_all_operations():
        with contextlib.suppress(Unsatisfiable):  # what takes nothing can't be asked wrongly
            fuzz_route(found.ok(), mode, n_examples, counts)
    return counts


def fuzz_route(route, mode, n_examples, counts):
    declared = {int(status) for status in route.definition.raw["responses"]} | UNDECLARED

    @settings(
        max_examples=n_examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=route.as_strategy(generation_mode=mode))
    def one(case):
        status = case.call().status_code
        assert status < 500, case.as_curl_command()
        assert status in declared, (status, case.as_curl_command())
        counts[route.path, status] += 1

    one()


@pytest.mark.parametrize(
    "n_examples", [pytest.param(25, id="short"), pytest.param(400, id="long", marks=pytest.mark.slow)]
)
@pytest.mark.filterwarnings("default")
def test_no_made_up_request_makes_it_fail(client, n_examples):
    modes = schemathesis.GenerationMode
    right = fuzz(client, modes.POSITIVE, n_examples)
    for path in ("/v1/embeddings", "/v1/words", "/v1/similar"):
        assert right[path, 200] + right[path, 400] >= n_examples // 2, right
    assert right["/v1/words", 200] + right["/v1/embeddings", 200] > 0, right
    wrong = fuzz(client, modes.NEGATIVE, n_examples)
    assert wrong["/v1/embeddings", 400] > 0, wrong
    assert client.post("/v1/embeddings", json={"input": "still there"}).status_code == 200
