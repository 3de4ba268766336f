"""What `maskgate classify --report` writes: one HTML file that needs nothing else, to look at and to pass on."""
