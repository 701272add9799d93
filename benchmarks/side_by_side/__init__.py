"""Parts of benchmarks/train.py: what is compared, each side's steps, the processes that take turns, the table."""
