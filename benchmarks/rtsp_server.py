"""Cameras that send H.264 over RTSP and write down when each shows somebody; for the interpreter that has gi.

    /usr/bin/python3 benchmarks/rtsp_server.py PORT CAMERAS FPS FRAMES FIRST SHOWN

The cameras are rtsp://127.0.0.1:PORT/0, /1, ... FRAMES is a file of raw I420 pictures of 640 x 480 pixels that are sent
round and round, from the first on for each client; FIRST is the number of the one that first shows somebody. When that
goes into the encoder, `camera-N SECONDS`, by the monotonic clock, is added to the file SHOWN.

x264 on one thread a camera with `speed-preset=ultrafast tune=zerolatency` keeps no frame back, and appsrc is live, so
that GStreamer waits for nothing: the last packet of a frame leaves one to two milliseconds after the frame has come.

Needs gstreamer1.0-rtsp, -plugins-base, -plugins-good, -plugins-ugly, gir1.2-gst-rtsp-server-1.0 and python3-gi.
"""

import sys
import threading
import time
from itertools import count
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

_WIDTH, _HEIGHT = 640, 480
_LAUNCH = (
    "( appsrc name=frames is-live=true do-timestamp=true format=time "
    f"caps=video/x-raw,format=I420,width={_WIDTH},height={_HEIGHT},framerate=%d/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast threads=1 key-int-max=%d "
    "! rtph264pay name=pay0 pt=96 config-interval=1 )"
)


def send(source: Gst.Element, name: str, fps: int, frames: list[bytes], first: int, shown: Path) -> None:
    """Frames at their pace, until the client is gone."""
    with shown.open("a", buffering=1) as log:
        due = time.monotonic()
        for number in count():
            at = number % len(frames)
            if at == first:
                log.write(f"{name} {time.monotonic()}\n")
            if source.emit("push-buffer", Gst.Buffer.new_wrapped(frames[at])) != Gst.FlowReturn.OK:
                return
            due = max(due + 1 / fps, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))


def main() -> None:
    port, cameras, fps, path, first, shown = sys.argv[1:]
    raw, size = Path(path).read_bytes(), _WIDTH * _HEIGHT * 3 // 2
    frames = [raw[at : at + size] for at in range(0, len(raw), size)]
    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)

    def begin(_factory: object, media: GstRtspServer.RTSPMedia, name: str) -> None:
        source = media.get_element().get_child_by_name("frames")
        arguments = source, name, int(fps), frames, int(first), Path(shown)
        threading.Thread(target=send, args=arguments, daemon=True).start()

    for number in range(int(cameras)):
        factory = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(_LAUNCH % (int(fps), int(fps)))
        factory.connect("media-configure", begin, f"camera-{number}")
        server.get_mount_points().add_factory(f"/{number}", factory)
    server.attach(None)
    GLib.MainLoop().run()


if __name__ == "__main__":
    main()
