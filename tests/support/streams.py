"""Real streams: an MJPEG server that the test controls, and GStreamer's RTSP server."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2

from support.components import free_port, require

RTSP_SERVER = """
import sys, gi
gi.require_version("Gst", "1.0"); gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1"); server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch("( multifilesrc location=%s loop=true caps=image/jpeg,framerate=10/1 ! jpegdec ! videoconvert "
    "! video/x-raw,format=I420 ! x264enc tune=zerolatency key-int-max=10 speed-preset=ultrafast "
    "! rtph264pay name=pay0 pt=96 config-interval=1 )" % sys.argv[2])
factory.set_shared(True)
server.get_mount_points().add_factory("/cam", factory)
server.attach(None)
print("serving", flush=True)
GLib.MainLoop().run()
"""


def jpegs_of(clip: Path, folder: Path, count: int, width: int = 640) -> list[bytes]:
    """The first frames of a clip as JPEGs, also written to `folder` as 0.jpg, 1.jpg, ..."""
    capture = cv2.VideoCapture(str(clip))
    found = []
    while len(found) < count:
        there, frame = capture.read()
        assert there, f"{clip} ends after {len(found)} frames"
        height = frame.shape[0] * width // frame.shape[1] // 2 * 2
        data = cv2.imencode(".jpg", cv2.resize(frame, (width, height)))[1].tobytes()
        (folder / f"{len(found)}.jpg").write_bytes(data)
        found.append(data)
    capture.release()
    return found


class MjpegServer:
    """Sends `jpegs`, which may be changed, round and round to every client; can fall silent, send nonsense, go away."""

    def __init__(self, jpegs: list[bytes], port: int = 0, frame_s: float = 0.1) -> None:
        self.jpegs = jpegs
        self.silent = threading.Event()
        self.nonsense = threading.Event()
        self._ended = threading.Event()
        stream = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                number = 0
                while not stream._ended.wait(frame_s):
                    if stream.silent.is_set():
                        continue
                    jpegs = stream.jpegs
                    data = b"\0nonsense" * 50 if stream.nonsense.is_set() else jpegs[number % len(jpegs)]
                    number += 1
                    head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
                    try:
                        self.wfile.write(head + data + b"\r\n")
                    except OSError:
                        return

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True

        self._server = Server(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/cam"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def rtsp_server(folder: Path) -> Iterator[str]:
    """Serves the JPEGs of `folder` (0.jpg, 1.jpg, ...) as H.264 over RTSP; the URL."""
    python = "/usr/bin/python3"
    packages = "gstreamer1.0-{rtsp,libav,plugins-base,plugins-good,plugins-ugly} gir1.2-gst-rtsp-server-1.0 python3-gi"
    probe = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"
    there = (
        Path(python).exists() and not subprocess.run([python, "-c", probe], capture_output=True, check=False).returncode
    )
    require(there, f"the RTSP server of GStreamer is missing: apt-get install {packages}")
    port = free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    process = subprocess.Popen(
        [python, "-c", RTSP_SERVER, str(port), str(folder / "%d.jpg")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "serving\n"
        yield f"rtsp://127.0.0.1:{port}/cam"
    finally:
        process.kill()
        process.wait(5)
        process.stdout.close()
