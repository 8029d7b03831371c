"""What scalablehub costs, against what it is built on: `make bench`, or `python -m tests.bench`."""
