"""ELMo vectors as the encoder of a tiny translator with attention, end to end, in less than a minute on one core.

    python examples/translate_toy.py

The tutorial names machine translation among the uses of ELMo's features; this shows how the parts fit. The language on
the other side, "Tok", is made up here: every word has another form, adjectives follow their nouns, the verb comes last,
plurals are doubled, and negation is one word before the verb: words must be found elsewhere in the sentence, which is
what attention is for. The English side is encoded once by the frozen biLM; a GRU with attention (Bahdanau et al. 2015)
learns to write Tok. Sentences of the test part were not seen in training. Needs PyTorch (extra `torch`).
"""

import argparse
import random
import time

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from elmokit import Elmo

NOUNS = [
    "dog",
    "cat",
    "bird",
    "girl",
    "teacher",
    "doctor",
    "farmer",
    "king",
    "river",
    "house",
    "garden",
    "book",
    "song",
]
ADJECTIVES = ["old", "young", "small", "big", "happy", "quiet", "red", "green"]
VERBS = ["sees", "finds", "likes", "hears", "follows", "remembers", "wants", "paints"]
BEGIN, END = 0, 1


def forms(words, ending):
    """A made-up form of each word: its letters turned round, and an ending."""
    return {word: word[::-1] + ending for word in words}


TOK = {**forms(NOUNS, "a"), **forms(ADJECTIVES, "i"), **forms(VERBS, "um"), "the": "lo", "a": "un", "not": "ne"}


def noun_phrase(rng):
    """An English noun phrase, and the same in Tok."""
    article, noun = rng.choice(["the", "a"]), rng.choice(NOUNS)
    adjective = rng.choice([*ADJECTIVES, "", "", "", ""])
    plural = article == "the" and rng.random() < 0.4
    english = [article, *([adjective] if adjective else []), noun + ("s" if plural else "")]
    tok = [TOK[article], TOK[noun], *([TOK[noun]] if plural else []), *([TOK[adjective]] if adjective else [])]
    return english, tok


def sentence_pair(rng):
    """A sentence in both languages: subject, verb, object; subject, object, verb."""
    (who, who_tok), (what, what_tok), verb = noun_phrase(rng), noun_phrase(rng), rng.choice(VERBS)
    negated = rng.random() < 0.25
    middle = ["never", verb] if negated else [verb]
    return [*who, *middle, *what, "."], [*who_tok, *what_tok, *([TOK["not"]] if negated else []), TOK[verb]]


def parallel_set(n, seed):
    """Pairs of sentences, each once."""
    rng = random.Random(seed)
    pairs = {}
    while len(pairs) < n:
        english, tok = sentence_pair(rng)
        pairs[tuple(english)] = tok
    return [(list(english), tok) for english, tok in pairs.items()]


class Translator(nn.Module):
    """A GRU that writes words, looking at all vectors of the sentence at every step."""

    def __init__(self, dim, n_words, width=128):
        super().__init__()
        self.memory = nn.Sequential(nn.Dropout(0.1), nn.Linear(dim, width), nn.Tanh())
        self.words = nn.Embedding(n_words, width)
        self.cell = nn.GRUCell(2 * width, width)
        self.look = nn.Linear(width, width, bias=False)
        self.write = nn.Linear(2 * width, n_words)

    def step(self, word, hidden, memory, mask):
        """One word on: (B,) → scores of the next (B, V), and where it looked (B, T)."""
        scores = torch.einsum("btw,bw->bt", memory, self.look(hidden))
        attention = scores.masked_fill(~mask, -torch.inf).softmax(1)
        seen = torch.einsum("bt,btw->bw", attention, memory)
        hidden = self.cell(torch.cat([self.words(word), seen], 1), hidden)
        return self.write(torch.cat([hidden, seen], 1)), hidden, attention

    def forward(self, vectors, mask, targets):
        """The mean loss of writing the targets, each step given the right word before it."""
        memory = self.memory(vectors)
        hidden, word, loss = memory.mean(1), torch.full((len(vectors),), BEGIN), 0.0
        for target in targets.T:
            scores, hidden, _ = self.step(word, hidden, memory, mask)
            loss = loss + F.cross_entropy(scores, target, ignore_index=-1, reduction="sum")
            word = target.clamp(min=0)
        return loss / (targets >= 0).sum()

    @torch.no_grad()
    def translate(self, vectors, mask, longest=12):
        """The likeliest word at each step: word ids (B, longest)."""
        memory = self.memory(vectors)
        hidden, word, written = memory.mean(1), torch.full((len(vectors),), BEGIN), []
        for _ in range(longest):
            scores, hidden, _ = self.step(word, hidden, memory, mask)
            word = scores.argmax(1)
            written.append(word)
        return torch.stack(written, 1)


def padded(rows, fill):
    """Arrays of different lengths → one tensor."""
    longest = max(map(len, rows))
    out = np.full((len(rows), longest, *rows[0].shape[1:]), fill, rows[0].dtype)
    for place, row in enumerate(rows):
        out[place, : len(row)] = row
    return torch.from_numpy(out)


def run(elmo, *, n_train=1500, n_test=200, n_epochs=12, seed=0, say=print):
    """Train a translator and translate sentences that it never saw.

    Returns:
        the share of them that came out without a mistake, and the loss of each epoch.
    """
    torch.manual_seed(seed)
    pairs = parallel_set(n_train + n_test, seed)
    vocabulary = ["<begin>", "<end>", *sorted({word for _, tok in pairs for word in tok})]
    ids = {word: number for number, word in enumerate(vocabulary)}
    features = elmo.encode_words([english for english, _ in pairs], show_progress=False)
    vectors = padded([text.vectors for text in features], 0.0)
    mask = padded([np.ones(len(text), bool) for text in features], False)
    targets = padded([np.array([*(ids[word] for word in tok), END]) for _, tok in pairs], -1)
    vectors = (vectors - vectors[:n_train][mask[:n_train]].mean(0)) / vectors[:n_train][mask[:n_train]].std()
    translator = Translator(vectors.shape[2], len(vocabulary))
    optimiser = torch.optim.Adam(translator.parameters(), lr=3e-3)
    losses = []
    for epoch in range(n_epochs):
        translator.train()
        total = 0.0
        for rows in torch.randperm(n_train).split(50):
            loss = translator(vectors[rows], mask[rows], targets[rows])
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(translator.parameters(), 1.0)
            optimiser.step()
            total += float(loss.detach()) * len(rows)
        losses.append(total / n_train)
        say(f"epoch {epoch + 1:2}: loss {losses[-1]:.3f}")
    translator.eval()
    written = translator.translate(vectors[n_train:], mask[n_train:]).tolist()
    right = 0
    for number, (row, (english, tok)) in enumerate(zip(written, pairs[n_train:], strict=True)):
        words = [vocabulary[word] for word in (row[: row.index(END)] if END in row else row)]
        right += words == tok
        if number < 5:
            say(f"{' '.join(english):50} → {' '.join(words)}{'' if words == tok else '   (not ' + ' '.join(tok) + ')'}")
    return right / n_test, losses


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    torch.set_num_threads(1)
    start = time.monotonic()
    share, _ = run(Elmo.load(options.model))
    print(f"{share:.0%} of 200 new sentences without a mistake, in {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
