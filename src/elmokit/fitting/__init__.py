"""One fitting loop and one snapshot for every network: heads, taggers, fine-tuning and pretraining (extra `torch`)."""

from elmokit.fitting.epochs import EpochReport, FitOptions, fit
from elmokit.fitting.loop import FittingLoop, prefixed, reading_snapshot, write_snapshot

__all__ = ["EpochReport", "FitOptions", "FittingLoop", "fit", "prefixed", "reading_snapshot", "write_snapshot"]
