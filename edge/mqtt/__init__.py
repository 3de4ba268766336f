"""The way to the broker, which is somebody else's: topics, connection, publisher, and a small broker for trials."""
