"""``python -m vidcolor``, for where the command is not on the path."""

from vidcolor.cli import main

if __name__ == "__main__":
    main()
