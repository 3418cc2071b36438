"""Batches: nothing lost, nothing twice, the same from any position."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from elmokit.training.store import BOS_NUMBER, EOS_NUMBER, build_store
from elmokit.training.stream import Stream, pack_segments


@given(st.lists(st.integers(1, 30), min_size=1, max_size=60), st.integers(2, 40))
def test_segments_hold_every_word_once(lengths, limit):
    ends = np.cumsum(lengths)
    ids = np.arange(2, 2 + ends[-1], dtype=np.uint32)
    segments = list(pack_segments(ids, ends, limit))
    inputs = np.concatenate([s.inputs for s in segments])
    targets = np.concatenate([s.targets for s in segments])
    assert inputs[inputs != BOS_NUMBER].tolist() == ids.tolist() == targets[targets != EOS_NUMBER].tolist()
    assert len(inputs) == ends[-1] + len(lengths)
    assert max(len(s.inputs) for s in segments) <= limit
    for segment in segments:  # what is predicted at one place is read at the next, within a text
        within = segment.targets[:-1] != EOS_NUMBER
        assert (segment.inputs[1:][within] == segment.targets[:-1][within]).all()


def a_stream(folder, n_texts=400, **settings):
    texts = [" ".join(f"w{i}x{j}" for j in range(i % 9 + 1)) for i in range(n_texts)]
    sources = [("a", lambda: texts[::2]), ("b", lambda: texts[1::2])]
    store = build_store(sources, folder, heldout_every=0, n_processes=1)
    return Stream(
        store, **({"batch_size": 5, "bptt": 6, "segment": 18, "block_words": 50, "pool_blocks": 4} | settings)
    )


def arrays(window):
    return [window.inputs[0], window.targets[0], window.inputs[1], window.targets[1]]


def blocks_of(stream, epoch):
    return tuple(map(tuple, stream.epoch_blocks(epoch).tolist()))


def first_epoch(stream):
    return list(itertools.takewhile(lambda w: w.position.epoch == 0, stream.windows()))


@given(at=st.integers(0, 150))
@settings(max_examples=15, deadline=None)
def test_a_stream_goes_on_from_any_position(tmp_path_factory, at):
    stream = a_stream(tmp_path_factory.mktemp("s") / "store")
    windows = list(itertools.islice(stream.windows(), at, at + 5))
    again = list(itertools.islice(stream.windows(windows[0].position), 5))
    for one, other in zip(windows, again, strict=True):
        assert one.position == other.position
        assert one.fresh == other.fresh
        assert all(np.array_equal(a, b) for a, b in zip(arrays(one), arrays(other), strict=True))


def test_an_epoch_reads_every_word_and_the_backward_direction_is_the_mirror(tmp_path):
    stream = a_stream(tmp_path / "store")
    seen, rows = [], {}
    for window in first_epoch(stream):
        seen.append(window.targets[0][window.targets[0] > 1])
        rows.setdefault((window.position.pool, window.position.group), []).append(window)
    n_wrapped = sum(len(s) for s in seen)
    assert set(np.concatenate(seen).tolist()) == set(range(2, stream.store.n_spellings))
    assert n_wrapped < 1.3 * stream.store.n_words("train")
    for windows in rows.values():
        ahead_in, ahead_out, back_in, back_out = (
            np.concatenate(a, axis=1) for a in zip(*map(arrays, windows), strict=True)
        )
        for row in range(5):
            n = (ahead_in[row] >= 0).sum()
            assert back_in[row, :n].tolist() == ahead_out[row, :n][::-1].tolist()
            assert back_out[row, :n].tolist() == ahead_in[row, :n][::-1].tolist()


def test_seeds_and_epochs_shuffle_differently(tmp_path):
    store_of = a_stream(tmp_path / "store").store
    seeds_and_epochs = ((0, 0), (1, 0), (0, 1))
    streams = [Stream(store_of, batch_size=5, seed=seed, block_words=50) for seed, _ in seeds_and_epochs]
    orders = [blocks_of(stream, epoch) for stream, (_, epoch) in zip(streams, seeds_and_epochs, strict=True)]
    assert len(set(orders)) == 3
    assert len({frozenset(order) for order in orders}) == 1


def test_weights_repeat_and_sample_sources(tmp_path):
    stream = a_stream(tmp_path / "store", weights={"a": 2.5, "b": 0.0})
    blocks = blocks_of(stream, 0)
    last_of_a = stream.store.sources[0].train[1]
    assert all(last <= last_of_a for _, last in blocks)
    counts = [blocks.count(block) for block in set(blocks)]
    assert set(counts) == {2, 3}


def test_processes_share_the_rows(tmp_path):
    stream = a_stream(tmp_path / "store", batch_size=4)
    window = next(stream.windows())
    halves = [window.shard(part, 2) for part in range(2)]
    for whole, *parts in zip(arrays(window), *map(arrays, halves), strict=True):
        assert np.array_equal(whole, np.concatenate(parts))


def test_blocks_cover_every_text_once(tmp_path):
    stream = a_stream(tmp_path / "store")
    covered = [text for first, last in blocks_of(stream, 0) for text in range(first, last)]
    assert sorted(covered) == list(range(stream.store.n_texts("train")))
    words = [len(stream.store.span("train", first, last)[0]) for first, last in blocks_of(stream, 0)]
    assert max(words) <= 50 + 9


def test_without_bptt_a_row_is_one_text_and_a_batch_holds_similar_lengths(tmp_path):
    stream = a_stream(tmp_path / "store", bptt=None, segment=8)
    texts, padding = [], []
    for window in first_epoch(stream):
        assert window.fresh
        padding.append((window.inputs[0] < 0).mean())
        for row, text in enumerate(window.texts.tolist()):
            words = window.inputs[0, row][window.inputs[0, row] > 1].tolist()
            if text >= 0:
                assert words == stream.store.span("train", text, text + 1)[0].tolist()
                texts.append(text)
            else:
                assert len(words) + 1 >= 7 or len(words) <= 2, "a part of a text of eight or nine words"
    lengths = np.diff(stream.store.ends("train", 0, 400), prepend=0)
    assert set(texts) == set(np.flatnonzero(lengths < 8).tolist())
    assert np.mean(padding) < 0.2
    windows = list(itertools.islice(stream.windows(), 7, 10))
    again = list(itertools.islice(stream.windows(windows[0].position), 3))
    assert all(np.array_equal(a.inputs, b.inputs) for a, b in zip(windows, again, strict=True))
