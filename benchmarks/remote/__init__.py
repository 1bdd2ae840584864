"""Parts of the benchmark of attaching: processes, a notebook, what is measured, the report."""
