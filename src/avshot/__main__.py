"""`python -m avshot` is `avshot`; torchrun starts it so (`docs/scaling.md`)."""

from avshot.cli.app import main

if __name__ == "__main__":
    main()
