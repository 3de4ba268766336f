"""Pixels in, faces and labels out. Knows no clock, thread, socket or setting."""

import os

# OpenCV reads these once, when it is loaded: its own ceiling on pixels behind the limits that edge.vision.image checks
# first, and silence, because what it prints about a broken picture or stream is said better by our own errors.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(2**27))
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
