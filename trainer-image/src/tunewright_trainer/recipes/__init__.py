"""One linear file for each stage, and for each kind of model that is trained. Read them from top to bottom."""
