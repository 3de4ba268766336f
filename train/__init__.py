"""The training side of maskgate: from folders of pictures to the int8 model and its card. Never imported by `edge`."""
