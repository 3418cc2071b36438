"""Bridges to other libraries, one file per library, named as it."""
