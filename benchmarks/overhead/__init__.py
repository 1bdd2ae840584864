"""Parts of ``benchmarks/overhead.py``: what logging costs a training, here and in other tools."""
