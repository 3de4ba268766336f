from __future__ import annotations

import json

import pytest

from edge.heard import Heard, Numbering, as_records, as_table


def a_message(seq: int, verdict: str | None = "mask", source: str = "door", message_id: str | None = None) -> bytes:
    message = {"id": message_id or f"id-{seq}", "seq": seq, "source": source}
    return json.dumps(message | ({"event_type": verdict} if verdict else {})).encode()


def numbered(*seqs: int) -> Numbering:
    numbering = Numbering()
    for index, seq in enumerate(seqs):
        numbering.is_new(f"id-{index}", seq)
    return numbering


def test_verdicts_are_counted_a_door() -> None:
    heard = Heard()
    for seq, verdict in enumerate(["mask", "mask", "no_mask", "uncertain"], 1):
        heard.take("maskgate/lobby-1/event", a_message(seq, verdict))
    heard.take("maskgate/lobby-1/event", a_message(5, "no_mask", "back"))
    heard.take("maskgate/lobby-2/event", a_message(1, "mask"))

    assert [(door.device, door.source, dict(door.counts)) for door in heard.doors()] == [
        ("lobby-1", "back", {"no_mask": 1}),
        ("lobby-1", "door", {"mask": 2, "no_mask": 1, "uncertain": 1}),
        ("lobby-2", "door", {"mask": 1}),
    ]
    assert heard.total().counts == {"mask": 3, "no_mask": 2, "uncertain": 1}
    assert heard.total().share == 0.6


def test_what_comes_twice_is_counted_once() -> None:
    heard = Heard()
    for seq in (1, 2, 3, 2, 3, 4):
        heard.take("maskgate/lobby-1/event", a_message(seq))

    assert heard.total().counts == {"mask": 4}
    ((_, numbering),) = heard.devices()
    assert (numbering.doubles, numbering.lost) == (2, 0)


@pytest.mark.parametrize(
    ("seqs", "lost"),
    [
        ((7, 8, 9), 0),
        ((1, 2, 5), 2),
        ((1, 2, 5, 4), 1),
        ((1, 10, 5, 2, 9, 3, 4, 6, 7, 8), 0),
        ((1, 3, 5, 7), 3),
        ((1, 3, 1, 2, 3), 1),  # a new outbox begins anew; what was lost of the one before stays lost
        ((500, 1, 2, 3), 0),
        ((1, 2**62), 2**62 - 2),
    ],
)
def test_a_gap_is_a_loss_until_it_is_filled(seqs: tuple[int, ...], lost: int) -> None:
    assert numbered(*seqs).lost == lost


def test_what_is_sent_again_from_before_the_first_that_was_heard_is_no_loss() -> None:
    numbering = Numbering()
    for seq in (100, *range(95, 103)):
        numbering.is_new(f"id {seq}", seq)

    assert (numbering.lost, numbering.doubles) == (0, 1)


def test_what_comes_again_after_a_power_cut_is_counted_once() -> None:
    numbering = Numbering()
    new = sum(numbering.is_new(f"id {seq}", seq) for seq in (*range(1, 1001), *range(401, 1003)))

    assert (new, numbering.lost, numbering.doubles) == (1002, 0, 600)


def test_a_long_run_takes_bounded_memory() -> None:
    numbering = numbered(*range(1, 20_001, 2))

    assert numbering.lost == 9_999
    assert len(numbering._gaps) <= 1000
    assert len(numbering._ids) <= 1024


def test_image_records_fill_the_numbering_and_are_no_verdicts() -> None:
    heard = Heard()
    heard.take("maskgate/lobby-1/event", a_message(1))
    heard.take("maskgate/lobby-1/image", a_message(2, None))
    heard.take("maskgate/lobby-1/event", a_message(3))

    assert heard.total().counts == {"mask": 2}
    assert heard.devices()[0][1].lost == 0


def test_the_device_is_that_of_the_topic_which_the_broker_guards() -> None:
    heard = Heard()
    payload = json.loads(a_message(1)) | {"device": "lobby-1"}
    heard.take("maskgate/lobby-2/event", json.dumps(payload).encode())

    assert [door.device for door in heard.doors()] == ["lobby-2"]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"null",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        a_message(1, "other"),
        b'{"id": 1, "seq": "1", "source": ""}',
    ],
)
def test_what_is_no_message_of_ours_is_passed_over(payload: bytes) -> None:
    heard = Heard()
    heard.take("maskgate/lobby-1/event", payload)

    assert heard.doors() == []


def test_the_table_and_the_records() -> None:
    heard = Heard()
    for seq in (1, 2, 2, 5):
        heard.take("maskgate/lobby-1/event", a_message(seq, "no_mask" if seq == 5 else "mask"))
    heard.take("maskgate/lobby-2/event", a_message(1, "uncertain", "\x1b[31m"))

    assert as_table(heard).splitlines() == [
        "                           mask        no_mask      uncertain  share of mask",
        "all                           2              1              1           67 %",
        "lobby-1/door                  2              1              0           67 %",
        "lobby-2/\\x1b[31m              0              0              1",
        "lobby-1: 2 lost (missing in seq), 1 came twice",
    ]
    assert list(as_records(heard)) == [
        {
            "device": "lobby-1",
            "lost": 2,
            "doubles": 1,
            "sources": [{"source": "door", "mask": 2, "no_mask": 1, "uncertain": 0, "share": 0.6667}],
        },
        {
            "device": "lobby-2",
            "lost": 0,
            "doubles": 0,
            "sources": [{"source": "\x1b[31m", "mask": 0, "no_mask": 0, "uncertain": 1, "share": None}],
        },
    ]


def test_before_anything_came() -> None:
    assert as_table(Heard()).splitlines()[-1].split() == ["all", "0", "0", "0"]
    assert list(as_records(Heard())) == []
