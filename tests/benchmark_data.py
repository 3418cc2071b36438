"""A folder of sets in miniature: every format, with the accidents of the real files."""

from pathlib import Path

import numpy as np

GOOD = ["lovely", "great", "fine", "superb"]
BAD = ["awful", "poor", "dull", "broken"]


def sentence(random, label):
    """Words of which the label can be told."""
    words = ["it", "is", random.choice(BAD if label else GOOD), "and", random.choice(BAD if label else GOOD)]
    return " ".join([*words, str(random.integers(100))])


def labelled(random, n, order=(0, 1)):
    return [(label, sentence(random, label)) for label in np.resize(order, n)]


def make_sets(folder: Path) -> Path:
    random = np.random.default_rng(0)

    def write(name, text, encoding="utf-8"):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode(encoding))

    def lines(rows):
        return "".join(f"{label} {text} \n" for label, text in rows)

    rows = "".join(f'{i},{label},"{text}, ""so"""\n' for i, (label, text) in enumerate(labelled(random, 60)))
    write("tweets/train.csv", "id,label,tweet\n" + rows)
    write("MR/rt-polarity.all", lines([*labelled(random, 40), (1, "a café\x85with odd marks")]), "latin-1")
    for part, n in (("train", 40), ("dev", 20), ("test", 20)):
        write(f"SST2/stsa.binary.{part}", lines(labelled(random, n)))
        pairs = [(sentence(random, 0), sentence(random, i % 2), i % 2) for i in range(n)]
        scored = "".join(f'"{a}",{b},{5 * (1 - far)}.0\n' for a, b, far in pairs)
        write(f"STSB/stsb-en-{part}.csv", scored)
        name = {"train": "train", "dev": "trial", "test": "test_annotated"}[part]
        header = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment\n"
        body = "".join(
            f"{i}\t{a}\t{b}\t{5 - 4 * far}\t{'NEUTRAL' if far else 'ENTAILMENT'}\n"
            for i, (a, b, far) in enumerate(pairs)
        )
        write(f"SICK/SICK_{name}.txt", header + body)
    write("TREC/TREC.train.all", lines(labelled(random, 40)))
    write("TREC/TREC.test.all", lines(labelled(random, 10)))
    for part in ("train", "test"):
        header = "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n"
        body = "".join(
            f'{i % 2}\t1\t2\tHe said "{sentence(random, 0)}\t{sentence(random, i % 2)}\r\n' for i in range(30)
        )
        write(f"MRPC/msr_paraphrase_{part}.txt", header + body)
    for part, n in (("train", 12), ("dev", 6), ("test", 8)):
        data = "".join(f"bank\tN\t0-1\tbank of {GOOD[i % 4]}\tthe bank {BAD[i % 4]}\n" for i in range(n))
        write(f"WiC/{part}/{part}.data.txt", data)
        write(f"WiC/{part}/{part}.gold.txt", "".join("TF"[i % 2] + "\n" for i in range(n)))
    rating = "1\tbank\tn\tshore\tn\tthe <b> bank </b> of it\ta long <b>shore</b> .\t{}\t" + "\t".join("0" * 10) + "\n"
    write("SCWS/ratings.txt", rating.format(7.5) + rating.format(1.0) + rating.format(3.0))
    return folder
