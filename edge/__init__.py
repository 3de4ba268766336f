"""maskgate on the device: pictures in, mask / no_mask events out over MQTT."""

__version__ = "0.1.0"
