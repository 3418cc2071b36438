"""An index of word occurrences in context: which words are used alike, which senses a word has, how its use changes.

    corpus ─▶ sentences ─▶ word vectors ─ centering ─▶ unit vectors ─▶ LanceDB on disk ─▶ answers
      data         build                 centering                  store         reader, senses, shift

Start in `word_index.py`. Everything here needs the extra `index` (LanceDB), which is imported when a store is opened.
"""

from elmokit.index.results import (
    MapPoint,
    Neighbour,
    Neighbours,
    Occurrence,
    Sense,
    Senses,
    Sentence,
    Shift,
    WordMap,
    WordMeans,
)
from elmokit.index.shift import shift
from elmokit.index.word_index import WordIndex

__all__ = ["MapPoint", "Neighbour", "Neighbours", "Occurrence", "Sense", "Senses", "Sentence", "Shift", "WordIndex"]
__all__ += ["WordMap", "WordMeans", "shift"]
