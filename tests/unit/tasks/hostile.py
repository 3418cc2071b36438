"""Saved folders whose values are replaced by odd ones, one at a time: they load, or are refused by an error of ours."""

import copy
import hashlib
import json

import numpy as np
from safetensors.numpy import load, save

from elmokit.errors import ElmoKitError

ODD = (None, [], {}, "x", "", -1, 0, True, 10**400, float("nan"), [[1]], {"a": 1}, ["x"] * 3, "\ud800")
NOT_READ = ("arrays_sha256", "metadata", "report")


def places(value, path=()):
    """Paths to the values of JSON, two of each list."""
    items = value.items() if isinstance(value, dict) else list(enumerate(value))[:2] if isinstance(value, list) else ()
    for key, child in items:
        yield (*path, key)
        yield from places(child, (*path, key))


def hostile(folder, kind, use):
    """Messages of the errors that `use` raises for every change; any other exception than ours passes through."""
    described, stored = folder / f"{kind}.json", folder / f"{kind}.safetensors"
    good, arrays = json.loads(described.read_text()), load(stored.read_bytes())
    messages = []

    def attempt():
        try:
            result = use()
        except ElmoKitError as error:
            messages.append(str(error))
        else:
            flat = np.asarray(result, dtype=object).ravel().tolist()
            assert not any(isinstance(value, float) and value != value for value in flat), "NaN came out"

    for path in [path for path in places(good) if path[0] not in NOT_READ]:
        for odd in (*ODD, places):
            changed = copy.deepcopy(good)
            parent = changed
            for key in path[:-1]:
                parent = parent[key]
            if odd is places:
                del parent[path[-1]]
            else:
                parent[path[-1]] = odd
            described.write_text(json.dumps(changed))
            attempt()
    for name, array in arrays.items():
        changes = [None, array[:0], array.reshape(-1)[:1], array[None], np.zeros((0, 0)), np.concatenate([array] * 2)]
        changes += [np.full_like(array, value) for value in (np.nan, np.inf, 0)] + [array.astype(np.int8)]
        for change in changes:
            changed = {**arrays, name: change} if change is not None else {n: a for n, a in arrays.items() if n != name}
            data = save({n: np.ascontiguousarray(a) for n, a in changed.items()})
            stored.write_bytes(data)
            described.write_text(json.dumps({**good, "arrays_sha256": hashlib.sha256(data).hexdigest()}))
            attempt()
    assert len(messages) > 50
    return messages
