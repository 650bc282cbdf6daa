"""`python -m teller` is the `teller` command."""

from teller.cli.teller import main

if __name__ == "__main__":
    main()
