"""plan -> measure -> fit -> apply -> collect: the only place that knows the order."""
