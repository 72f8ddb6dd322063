"""Claims of new arable land judged against rules; evidence per claim, never an accepted total."""
