"""What several tests need: real components, pictures that anyone has, and patience with a limit."""
