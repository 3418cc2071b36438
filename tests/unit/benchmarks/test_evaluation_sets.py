import numpy as np
import pytest

pytest.importorskip("sklearn")

from evaluation_sets import SETS, find_set

from benchmark_data import make_sets


def read(name, folder):
    return find_set(name).read(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_sets(tmp_path_factory.mktemp("sets"))


def test_lines_end_at_line_feeds_only_and_old_characters_are_read(folder):
    examples = read("MR", folder)
    assert len(examples.texts) == 41
    assert examples.texts[-1] == "a café\x85with odd marks"
    assert examples.targets[-1] == "1"
    assert examples.parts is None


def test_the_tweets_are_split_as_scikit_learn_splits_them(folder):
    from sklearn.model_selection import train_test_split

    examples = read("tweets", folder)
    _, test = train_test_split(np.arange(60), test_size=0.2, random_state=42)
    assert set(np.flatnonzero(examples.parts == "test")) == set(test)
    assert examples.texts[0].endswith(', "so"')
    assert read("tweets-5", folder).parts is None


def test_quotation_marks_and_byte_order_marks_in_tables_mean_nothing(folder):
    examples = read("MRPC", folder)
    assert len(examples.first) == 60
    assert examples.first[0].startswith('He said "it')
    assert examples.second[0].isprintable(), "no carriage return is left"
    assert set(examples.targets) == {"0", "1"}


def test_pairs_come_with_classes_or_degrees(folder):
    assert read("SICK-E", folder).targets[1] == "NEUTRAL"
    assert read("SICK-R", folder).targets[:2].tolist() == [5.0, 1.0]
    stsb = read("STSB", folder)
    assert stsb.targets[:2].tolist() == [5.0, 0.0]
    assert np.unique(stsb.parts, return_counts=True)[1].tolist() == [20, 20, 40]


def test_words_in_context_know_their_place(folder):
    wic = read("WiC", folder)
    assert {wic.sentences[i][place] for i, place in enumerate(wic.positions)} == {"bank"}
    assert len(wic.sentences) == 2 * len(wic.targets) == 52
    assert wic.targets[:3].tolist() == [True, False, True]
    scws = read("SCWS", folder)
    assert [scws.sentences[i][place] for i, place in enumerate(scws.positions)] == ["bank"] * 3 + ["shore"] * 3
    assert scws.targets.tolist() == [7.5, 1.0, 3.0]


def test_a_missing_file_and_an_unknown_set_are_named(folder):
    with pytest.raises(FileNotFoundError, match=r"custrev\.all"):
        read("CR", folder)
    with pytest.raises(SystemExit, match="there is no set 'MRR'; choose from tweets"):
        find_set("MRR")


def test_the_real_sets_have_their_official_sizes(shared):
    sizes = {
        "tweets": 7920,
        "MR": 10662,
        "CR": 3775 - 4,
        "SUBJ": 10000,
        "MPQA": 10606 - 3,
        "SST2": 6920 + 872 + 1821,
        "SST5": 8544 + 1101 + 2210,
        "TREC": 5452 + 500,
        "MRPC": 4076 + 1725,
        "SICK-E": 4500 + 500 + 4927,
        "SICK-R": 4500 + 500 + 4927,
        "STSB": 5749 + 1500 + 1379,
        "WiC": 5428 + 638 + 1400,
        "SCWS": 2003,
    }
    for one in SETS:
        if one.name in sizes:
            assert abs(len(one.read(shared / "data").targets) - sizes[one.name]) <= 4, one.name
