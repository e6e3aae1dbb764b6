"""An example of a package that adds to Dormant: copy it, and change what you need."""
