"""How a training picture is changed before the network sees it. numpy and OpenCV only: a helper process runs it."""
