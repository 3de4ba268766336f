"""One verdict a person: each test is a scene, frame by frame, at ten frames a second."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from edge.people import DecisionRule, People
from edge.vision.analyzer import Face
from edge.vision.classifier import Label
from edge.vision.detector import Detection
from support.faces import face
from support.people import FRAME, FRAME_S, RULE, judge_of, labels, nobody, update, verdicts


def test_a_person_who_stays_yields_one_verdict_as_soon_as_it_is_sure() -> None:
    said = verdicts([[face("no_mask")] for _ in range(600)])

    assert [(number, verdict.label) for number, verdict in said] == [(2, Label.NO_MASK)]
    assert said[0][1].votes == {Label.MASK: 0, Label.NO_MASK: 3, Label.UNCERTAIN: 0}
    assert said[0][1].frames == 3
    assert said[0][1].p_mask < 0.1


def test_a_person_who_walks_through_is_one_person() -> None:
    assert labels([[face("mask", x=20 * number)] for number in range(30)]) == [Label.MASK]


def test_a_walker_who_moves_a_face_a_frame_is_one_person() -> None:
    assert labels([[face("mask", x=50 * number, size=60)] for number in range(12)]) == [Label.MASK]


def test_a_short_loss_does_not_make_a_second_person() -> None:
    seen = [[face("mask")]] * 5

    assert labels([*seen, *nobody(15), *seen]) == [Label.MASK]


def looked_at(rounds_s: Sequence[tuple[float, bool]]) -> list[Label]:
    """What is said of people at one place who have gone before the next look, or not: seconds since the last one."""
    people, at, said = People(RULE, "boot"), 0.0, []
    for seconds, is_there in rounds_s:
        at += seconds
        if seconds > 1:
            people.excuse(seconds)
        said += update(people, [face("no_mask")] if is_there else [], at)
    return [verdict.label for verdict in said]


def test_who_stands_there_before_and_after_a_time_without_a_look_is_one_person() -> None:
    seen = [(FRAME_S, True)] * 5

    assert looked_at([*seen, (5.0, True), *seen, (9.0, True), *seen]) == [Label.NO_MASK]
    assert looked_at([*seen, (15.0, True), *seen]) == [Label.NO_MASK] * 2, "after so long it may be anybody"


def test_with_slow_looks_people_are_forgotten_nevertheless() -> None:
    one_after_another = [*[(1.5, True)] * 5, *[(1.5, False)] * 40] * 6

    assert looked_at(one_after_another) == [Label.NO_MASK] * 6


def test_excuses_without_a_look_between_them_add_up() -> None:
    people = People(RULE, "boot")
    for number in range(5):
        update(people, [face("uncertain")], number * FRAME_S)

    rounds = 0
    while people.forget(0.4 + 1.1 * rounds) == []:
        rounds += 1
        people.excuse(1.1)
        assert rounds < 20


def test_a_camera_that_comes_back_with_smaller_frames_shows_the_same_person() -> None:
    people, said = People(RULE, "boot"), []
    for number in range(40):
        large = number < 10
        seen = face("mask", x=1000, y=300, size=120) if large else face("mask", x=500, y=150, size=60)
        at = number * FRAME_S + (0 if large else 1.0)
        said += people.update([Detection(seen.box, 0.9)], at, (1280, 720) if large else (640, 360), judge_of([seen]))

    assert [verdict.label for verdict in said] == [Label.MASK]
    assert people.tracks()[0].box == face(x=500, y=150, size=60).box


def test_who_comes_back_after_being_forgotten_is_another_person() -> None:
    seen = [[face("mask")]] * 5

    assert labels([*seen, *nobody(25), *seen]) == [Label.MASK, Label.MASK]


def test_two_people_side_by_side_get_a_verdict_each() -> None:
    scene = [[face("mask", x=100), face("no_mask", x=300)] for _ in range(10)]

    assert sorted(labels(scene)) == [Label.MASK, Label.NO_MASK]


def test_a_single_odd_frame_does_not_decide() -> None:
    scene = [[face("no_mask")], *[[face("mask")]] * 5]

    assert labels(scene) == [Label.MASK]


def test_who_leaves_undecided_is_uncertain() -> None:
    assert labels([*[[face("uncertain")]] * 5, *nobody(25)]) == [Label.UNCERTAIN]


def test_what_flickers_is_no_person() -> None:
    scene = [
        [face("mask", x=300), *([face("no_mask", x=100, size=30)] if number % 4 == 0 else [])] for number in range(60)
    ]

    assert labels(scene) == [Label.MASK]


def test_who_is_covered_for_a_second_is_judged_when_seen_again() -> None:
    seen = [[face("no_mask")]] * 2

    assert labels([*seen, *nobody(10), *[[face("no_mask")]] * 12]) == [Label.NO_MASK]


def test_a_face_of_fewer_frames_than_asked_for_is_nobody() -> None:
    assert labels([*[[face("mask")]] * 2, *nobody(25)]) == []


def test_votes_that_do_not_agree_make_no_verdict() -> None:
    rule = DecisionRule(min_frames=4, agreement=0.9, forget_after_s=2.0)
    scene = [[face("mask" if number % 2 else "no_mask")] for number in range(40)]

    assert labels(scene, rule) == []
    assert labels([*scene, *nobody(25)], rule) == [Label.UNCERTAIN]


def test_who_was_always_too_small_is_counted_and_not_judged() -> None:
    people = People(RULE, "boot")
    for number in range(40):
        faces = [face("mask", size=12, too_small=True)] if number < 10 else []
        assert update(people, faces, number * FRAME_S) == []

    assert people.too_small == 1


def test_who_comes_near_enough_is_judged_from_then_on() -> None:
    far = [[face("uncertain", size=20, too_small=True)]] * 10
    near = [[face("no_mask", size=24 + number)] for number in range(5)]

    assert [number for number, _ in verdicts([*far, *near])] == [13]


def test_ids_of_tracks_begin_with_what_the_start_drew_and_differ() -> None:
    scene = [[face("mask", x=100), face("mask", x=300)]] * 3

    assert {verdict.track_id for _, verdict in verdicts(scene)} == {"boot-1", "boot-2"}


def test_two_people_who_cross_keep_their_tracks() -> None:
    scene = []
    for number in range(40):
        to_right, to_left = 15 * number, 600 - 15 * number
        faces = [face("mask", x=to_right)]
        if abs(to_right - to_left) > 40:  # the one behind is covered while they meet
            faces.append(face("no_mask", x=to_left, y=110))
        scene.append(faces)

    assert sorted(labels(scene)) == [Label.MASK, Label.NO_MASK]


def test_who_walks_behind_a_pillar_for_a_second_comes_out_as_the_same_person() -> None:
    scene = [[face("no_mask", x=20 * number)] if not 10 <= number < 20 else [] for number in range(30)]

    assert labels(scene) == [Label.NO_MASK]


def test_who_puts_a_mask_on_in_view_gets_a_second_verdict_once_it_has_held() -> None:
    bare, masked = [[face("no_mask")]] * 20, [[face("mask")]] * 60

    said = verdicts([*bare, *masked])

    assert [(number, verdict.label) for number, verdict in said] == [(2, Label.NO_MASK), (42, Label.MASK)]
    assert said[0][1].track_id == said[1][1].track_id
    assert said[1][1].p_mask > 0.9


def test_a_hand_before_the_mouth_for_a_second_changes_nothing() -> None:
    scene = [*[[face("no_mask")]] * 10, *[[face("mask")]] * 12, *[[face("no_mask")]] * 30]

    assert labels(scene) == [Label.NO_MASK]


@pytest.mark.parametrize(
    "then",
    [
        pytest.param([face("mask", too_small=True)], id="too small"),
        pytest.param([face("uncertain")], id="undecided"),
        pytest.param([], id="out of sight"),
    ],
)
def test_half_a_second_that_nothing_bears_out_changes_nothing(then: list[Face]) -> None:
    masked, bare = [[face("mask")]], [[face("no_mask")]]

    assert labels([*masked * 50, *bare * 5, *[then] * 17, [face("uncertain")], *masked * 30]) == [Label.MASK]
    assert labels([*masked * 50, *bare * 5, *[then] * 5, *bare * 30]) == [Label.MASK, Label.NO_MASK]


def test_a_doubt_that_nothing_nourishes_ends() -> None:
    people, restless = People(RULE, "boot"), 0
    for number in range(600):
        label = "mask" if number < 50 else "no_mask" if number < 56 else "uncertain"
        assert len(update(people, [face(label)], number * FRAME_S)) == (number == 2)
        restless += people.restless
    assert restless < 60


def test_sharp_large_faces_outvote_small_and_blurred_ones() -> None:
    rule = DecisionRule(min_frames=6, agreement=0.6, forget_after_s=2.0)
    far = replace(face("no_mask", size=26), sharpness=20.0)
    scene = [[far]] * 4 + [[face("mask", x=100, y=100, size=30 + 6 * number)] for number in range(6)]

    assert labels(scene, rule) == [Label.MASK]


def test_the_state_of_each_track_can_be_looked_at() -> None:
    people = People(RULE, "boot")
    update(people, [face("no_mask", x=100), face("uncertain", x=300)], 0.0)
    update(people, [face("no_mask", x=100)], 0.1)

    forming, covered = people.tracks()
    assert (forming.id, forming.box, forming.in_sight) == ("boot-1", face(x=100).box, True)
    assert (forming.label, forming.said, round(forming.progress, 2)) == (Label.NO_MASK, None, 0.67)
    assert forming.p_mask is not None
    assert forming.p_mask < 0.1
    assert (covered.label, covered.p_mask, covered.said, covered.in_sight) == (Label.UNCERTAIN, None, None, False)

    update(people, [face("no_mask", x=100)], 0.2)
    said = people.tracks()[0]
    assert (said.label, said.said, said.progress) == (Label.NO_MASK, Label.NO_MASK, 1.0)
    assert said.p_mask is not None
    assert said.p_mask < 0.1


def looks(scene: Iterable[Sequence[Face | None]]) -> int:
    """How many classifications a scene takes; None stands for what the classifier sees no face in."""
    people, asked = People(RULE, "boot"), 0

    def judge(detection: Detection) -> Face | None:
        nonlocal asked
        asked += 1
        return known[detection.box]

    for number, faces in enumerate(scene):
        known = {(each or face()).box: each for each in faces}
        people.update([Detection(box, 0.9) for box in known], number * FRAME_S, FRAME, judge)
    return asked


def test_a_face_whose_verdict_is_said_is_looked_at_twice_a_second() -> None:
    assert looks([[face("mask")]] * 3) == 3
    assert looks([[face("mask")]] * 103) == 3 + 20


def test_a_face_that_cannot_be_decided_is_not_looked_at_for_ever() -> None:
    assert 30 <= looks([[face("uncertain")]] * 600) <= 31 + 2 * 60


def test_what_is_no_face_is_not_looked_at_for_ever_and_is_nobody() -> None:
    people = People(RULE, "boot")
    for number in range(100):
        assert people.update([Detection(face().box, 0.9)], number * FRAME_S, FRAME, lambda _: None) == []

    assert people.tracks() == ()
    assert people.forget(60.0) == []
    assert people.too_small == 0
    assert looks([[None]] * 600) <= 31 + 2 * 60


def test_a_small_face_is_looked_at_again_as_soon_as_it_has_grown() -> None:
    same, growing = ([face(size=size, too_small=True)] for size in (12, 12)), range(12, 23)

    assert looks(same) == 1
    assert looks([face(size=size, too_small=True)] for size in growing) == len(growing)


def test_who_stands_still_before_a_still_picture_is_not_forgotten() -> None:
    people = People(RULE, "boot")
    for number in range(3):
        update(people, [face("mask", x=100 + number)], number * FRAME_S)
    for number in range(3, 600):
        assert people.hold(number * FRAME_S) == []

    assert update(people, [face("mask", x=103)], 60.0) == []
    assert len(people.tracks()) == 1


def test_who_was_lost_before_the_picture_became_still_is_forgotten_in_time() -> None:
    people = People(RULE, "boot")
    for number in range(3):
        update(people, [face("uncertain")], number * FRAME_S)
    update(people, [], 3 * FRAME_S)

    assert people.restless
    said = [verdict.label for number in range(4, 40) for verdict in people.hold(number * FRAME_S)]
    assert said == [Label.UNCERTAIN]
    assert not people.restless


def test_nothing_more_is_expected_of_a_still_person_whose_verdict_is_said() -> None:
    people = People(RULE, "boot")
    assert not people.restless
    update(people, [face("mask")], 0.0)
    assert people.restless
    for number in range(1, 4):
        update(people, [face("mask")], number * FRAME_S)
    assert not people.restless


def test_small_faces_that_agree_but_weigh_little_are_said_when_their_person_has_gone() -> None:
    blurred = replace(face("no_mask", size=30), sharpness=20.0)

    assert labels([[blurred]] * 5) == []
    assert labels([*[[blurred]] * 5, *nobody(25)]) == [Label.NO_MASK]


def test_two_against_one_is_not_sure_yet() -> None:
    scene = [[face("mask")], [face("no_mask")], *[[face("mask")]] * 3]

    assert [(number, verdict.label) for number, verdict in verdicts(scene)] == [(3, Label.MASK)]


def test_a_change_that_flickers_a_little_is_still_a_change() -> None:
    masked = [[face("no_mask" if number % 7 == 6 else "mask")] for number in range(60)]

    assert labels([*[[face("no_mask")]] * 20, *masked]) == [Label.NO_MASK, Label.MASK]


def test_a_face_that_flips_for_ever_is_not_news_each_time() -> None:
    scene = [[face("mask" if number // 30 % 2 else "no_mask")] for number in range(36000)]

    assert len(labels(scene)) <= 3
