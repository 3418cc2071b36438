"""`python -m elmokit`, which is what `torchrun -m elmokit train` starts: the same as the command `elmokit`."""

from elmokit.cli import main

if __name__ == "__main__":
    main()
