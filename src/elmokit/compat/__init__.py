"""Doors for old code, one file per tool that people come from: the calls they know, on our runtimes."""
