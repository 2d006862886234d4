"""python -m yolocli."""

from yolocli.cli import main

if __name__ == "__main__":
    main()
