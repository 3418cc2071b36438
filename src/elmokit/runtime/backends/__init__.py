"""Ways to compute a biLM: compiled loops, NumPy, PyTorch; one protocol, see `elmokit.runtime.engine`."""
