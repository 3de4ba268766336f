from __future__ import annotations

from edge.mqtt.window import Message, Window


class Paho:
    """Gives each message the next number, from 101 on."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, message: Message) -> int:
        self.sent.append(message.topic)
        return 100 + len(self.sent)


def messages(topics: str) -> list[Message]:
    return [Message(topic, b"", retain=False, properties=None) for topic in topics]


def test_what_there_is_no_room_for_goes_out_in_order_as_answers_come() -> None:
    paho = Paho()
    window = Window(paho.send, 20)
    window.most = 2
    assert [window.put(message) for message in messages("abcde")] == [1, 2, 3, 4, 5]
    assert "".join(paho.sent) == "ab"

    assert window.answered(102) == 2
    window.fill()
    assert "".join(paho.sent) == "abc"
    assert [window.answered(101), window.answered(103)] == [1, 3]
    assert window.put(messages("f")[0]) == 6
    assert "".join(paho.sent) == "abcde"


def test_an_answer_to_what_is_not_ours_makes_no_room() -> None:
    paho = Paho()
    window = Window(paho.send, 1)
    for message in messages("ab"):
        window.put(message)

    assert window.answered(7) is None
    window.fill()
    assert paho.sent == ["a"]
