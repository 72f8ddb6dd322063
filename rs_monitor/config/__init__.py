"""What a user may say about a job, and the rule files it names."""
