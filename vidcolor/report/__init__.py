"""``vidcolor-report``: a page that shows what became of a film."""
